//! What the program is asked to do: `sfumato` alone runs the server, a word after it one of the subcommands of the table.
//!
//! What always holds: each takes the settings of the server, as flags before or after its name, as variables and in the
//! file; a wrong setting ends any of them with the same words.

mod doctor;
mod healthcheck;
mod serve;
mod top;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};

use crate::config::{self, Config, ConfigError, KeysNeeded, Loaded};

/// A word that makes the program do something else than serve.
struct Subcommand {
    name: &'static str,
    /// One line of `--help`.
    about: &'static str,
    /// Flags of its own, beside those of the settings.
    flags: fn() -> Vec<Arg>,
    keys: KeysNeeded,
    run: fn(&Invocation) -> ExitCode,
}

const SUBCOMMANDS: &[Subcommand] = &[healthcheck::SUBCOMMAND, doctor::SUBCOMMAND, top::SUBCOMMAND];

/// What a subcommand was given.
struct Invocation {
    config: Config,
    /// What the user should know of the settings.
    warnings: Vec<String>,
    /// Its own flags.
    flags: ArgMatches,
}

/// Does what the arguments ask for; `args` starts with the program's name.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    match try_run(args, environment) {
        Ok(code) => code,
        // Prints help and version, too, and knows their exit codes.
        Err(ConfigError::Usage(usage)) => {
            let _ = usage.print();
            ExitCode::from(u8::try_from(usage.exit_code()).unwrap_or(u8::MAX))
        }
        Err(error) => fail(&error),
    }
}

fn try_run(
    args: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<ExitCode, ConfigError> {
    let mut matches = command().try_get_matches_from(args).map_err(ConfigError::Usage)?;
    let asked = matches.remove_subcommand();
    let known = asked.and_then(|(name, flags)| Some((SUBCOMMANDS.iter().find(|known| known.name == name)?, flags)));
    let Some((subcommand, mut flags)) = known else {
        return Ok(serve::run(config::from_flags(&mut matches, environment, KeysNeeded::Always)?));
    };
    let Loaded { config, warnings } = config::from_flags(&mut flags, environment, subcommand.keys)?;
    Ok((subcommand.run)(&Invocation { config, warnings, flags }))
}

fn command() -> Command {
    let subcommand = |known: &Subcommand| Command::new(known.name).about(known.about).args((known.flags)());
    config::command().subcommands(SUBCOMMANDS.iter().map(subcommand)).disable_help_subcommand(true)
}

fn fail(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("sfumato: {error}");
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        command().debug_assert();
    }

    #[test]
    fn settings_are_taken_before_and_after_a_subcommand() {
        for args in [["sfumato", "--port", "1", "healthcheck"], ["sfumato", "healthcheck", "--port", "1"]] {
            let mut matches = command().try_get_matches_from(args).unwrap();
            let (name, mut flags) = matches.remove_subcommand().unwrap();
            let loaded = config::from_flags(&mut flags, [], KeysNeeded::IfServing).unwrap();
            assert_eq!((name.as_str(), loaded.config.http.port), ("healthcheck", 1), "{args:?}");
        }
        assert!(command().try_get_matches_from(["sfumato", "healthchek"]).is_err(), "no such subcommand");
    }

    #[test]
    fn help_names_every_subcommand() {
        let help = command().render_help().to_string();
        for known in SUBCOMMANDS {
            assert!(help.contains(known.name) && help.contains(known.about), "{} is not in\n{help}", known.name);
        }
    }
}
