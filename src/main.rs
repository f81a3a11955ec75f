//! The program; `commands` knows what it can be asked to do.

use std::process::ExitCode;

fn main() -> ExitCode {
    sfumato::commands::run(std::env::args_os(), std::env::vars_os())
}
