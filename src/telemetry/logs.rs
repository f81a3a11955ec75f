//! Tracing set-up: events go to standard error, filtered by `RUST_LOG`, else by the configured level.
//!
//! What always holds: at `info` and above no address, identity or name of a user is logged; rooms' and participants' own
//! ids (`RM_…`, `PA_…`) may be. Other crates' events show from `warn` on only, because theirs may name addresses;
//! those of DTLS and SCTP from `error` on, because any peer's packets would write them.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::config::{LogLevel, Logs};

/// Installs the subscriber for the whole process. A second call changes nothing.
pub fn init(logs: &Logs) {
    let filter = filter(std::env::var(EnvFilter::DEFAULT_ENV).ok().as_deref(), logs.level);
    // Colours are for people: a file or a collector would keep their codes.
    let coloured = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(coloured).with_writer(std::io::stderr);
    let installed = match logs.json {
        true => builder.json().try_init(),
        false => builder.with_target(false).try_init(),
    };
    if let Err(error) = installed {
        tracing::debug!(%error, "tracing is set up already");
    }
}

/// `RUST_LOG`'s directives where it has any; those that do not parse are left out.
fn filter(directives: Option<&str>, level: LogLevel) -> EnvFilter {
    match directives.filter(|text| !text.trim().is_empty()) {
        Some(directives) => EnvFilter::new(directives),
        None => EnvFilter::new(default_directives(level)),
    }
}

fn default_directives(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "warn,rtc_dtls=error,rtc_sctp=error,sfumato=info",
        LogLevel::Debug => "warn,rtc_dtls=error,rtc_sctp=error,sfumato=debug",
        LogLevel::Trace => "warn,rtc_dtls=error,rtc_sctp=error,sfumato=trace",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_and_an_empty_one_does_not() {
        assert_eq!(filter(Some("debug"), LogLevel::Error).to_string(), "debug");
        assert_eq!(filter(Some(" "), LogLevel::Error).to_string(), "error");
        assert_eq!(filter(None, LogLevel::Info).max_level_hint(), Some(tracing::level_filters::LevelFilter::INFO));
    }
}
