//! API keys: that there are some, and that they are not those everybody knows. Their length is a matter of the settings, which
//! refuse short secrets.

use super::report::Finding;
use crate::config::{Config, SECRET_CHARS};

const CHECK: &str = "keys";

pub(super) fn judge(config: &Config) -> Finding {
    let open = |ip: &std::net::IpAddr| !ip.is_loopback();
    match config.keys.len() {
        _ if config.development && config.http.bind.iter().any(open) => Finding::fail(
            CHECK,
            "development mode hands a token to everybody who can reach this machine",
            "leave out --dev, and set keys",
        ),
        _ if config.development => Finding::ok(CHECK, "development mode: publicly known, on loopback alone"),
        0 => {
            Finding::fail(CHECK, "none, so nobody could join", "set `keys` in the file, or SFUMATO_KEYS='KEY: SECRET'")
        }
        count => Finding::ok(CHECK, format!("{count}, with secrets of at least {SECRET_CHARS} characters")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::report::Verdict;
    use crate::config::KeysNeeded;

    fn verdict(flags: &[&str]) -> Verdict {
        let mut matches = crate::config::command().try_get_matches_from(["sfumato"].iter().chain(flags)).unwrap();
        judge(&crate::config::from_flags(&mut matches, [], KeysNeeded::IfServing).unwrap().config).verdict
    }

    #[test]
    fn known_keys_are_for_loopback_and_none_are_for_nobody() {
        assert_eq!(verdict(&["--keys", "app: 0123456789abcdef0123456789abcdef"]), Verdict::Ok);
        assert_eq!(verdict(&[]), Verdict::Fail);
        assert_eq!(verdict(&["--dev"]), Verdict::Ok);
        assert_eq!(verdict(&["--dev", "--bind", "127.0.0.1,::1"]), Verdict::Ok);
        assert_eq!(verdict(&["--dev", "--bind", "0.0.0.0"]), Verdict::Fail);
    }
}
