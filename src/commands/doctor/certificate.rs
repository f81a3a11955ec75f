//! The certificate of the public port: read as the server reads it, judged as clients will.

use std::time::Duration;

use super::report::Finding;
use crate::api::tls::{CertificateFacts, Contents};
use crate::config::Config;

const CHECK: &str = "certificate";

pub(super) enum Found {
    None { development: bool },
    Unusable(String),
    Chain(CertificateFacts),
}

pub(super) fn find(config: &Config) -> Found {
    let Some(files) = &config.tls else { return Found::None { development: config.development } };
    let pair = Contents::read(files).and_then(|contents| contents.parse(files));
    pair.map_or_else(|error| Found::Unusable(error.to_string()), |pair| Found::Chain(pair.facts))
}

/// `now` is Unix time.
pub(super) fn judge(found: &Found, now: Duration) -> Finding {
    match found {
        Found::None { development: true } => {
            Finding::ok(CHECK, "none: browsers on this machine do without for localhost")
        }
        Found::None { development: false } => Finding::warn(
            CHECK,
            "none: browsers give cameras to pages of https:// and of localhost alone",
            "give one with --tls-cert and --tls-key, or let a proxy with one stand in front",
        ),
        Found::Unusable(error) => Finding::fail(CHECK, error.clone(), "the server does not start with these files"),
        Found::Chain(facts) => judge_chain(facts, i64::try_from(now.as_secs()).unwrap_or(i64::MAX)),
    }
}

fn judge_chain(facts: &CertificateFacts, now: i64) -> Finding {
    let names = facts.names.join(", ");
    if facts.names.is_empty() {
        let advice = "have it issued with its DNS name as a subject alternative name: clients read no other";
        return Finding::fail(CHECK, "names nobody", advice);
    }
    if now < facts.not_before {
        return Finding::fail(CHECK, format!("of {names} is not valid yet"), "wait, or set the machine's clock right");
    }
    if let Some(warning) = CertificateFacts::expiry_warning(facts.not_after, now) {
        let renew = "renew it; a running server takes new files by itself";
        return match now >= facts.not_after {
            true => Finding::fail(CHECK, format!("of {names}: {warning}"), renew),
            false => Finding::warn(CHECK, format!("of {names}: {warning}"), renew),
        };
    }
    if !facts.in_order {
        let advice = "write the server's own certificate first, then each issuer's (RFC 5246, section 7.4.2)";
        return Finding::warn(CHECK, format!("of {names}: the chain is not in order"), advice);
    }
    if facts.self_signed {
        let advice = "clients refuse it until they are told to trust it: have it issued by an authority they know";
        return Finding::warn(CHECK, format!("of {names} is self-signed"), advice);
    }
    if facts.certificates == 1 {
        let advice = "clients that do not know its issuer refuse it: give the full chain (fullchain.pem)";
        return Finding::warn(CHECK, format!("of {names} stands alone, without its issuer's"), advice);
    }
    let days = facts.not_after.saturating_sub(now) / 86_400;
    Finding::ok(CHECK, format!("of {names}, {} in the chain, good for {days} days, fits its key", facts.certificates))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::report::Verdict::{self, *};

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const DAY: i64 = 86_400;

    fn sound() -> CertificateFacts {
        let now = NOW.as_secs() as i64;
        let names = vec!["sfu.example".to_owned()];
        CertificateFacts {
            not_before: now,
            not_after: now + 60 * DAY,
            names,
            certificates: 2,
            in_order: true,
            self_signed: false,
        }
    }

    fn verdict(change: impl FnOnce(&mut CertificateFacts)) -> Verdict {
        let mut facts = sound();
        change(&mut facts);
        judge(&Found::Chain(facts), NOW).verdict
    }

    #[test]
    fn a_chain_is_judged_as_clients_will() {
        assert_eq!(verdict(|_| ()), Ok);
        assert_eq!(verdict(|facts| facts.names.clear()), Fail);
        assert_eq!(verdict(|facts| facts.not_before += 1), Fail);
        assert_eq!(verdict(|facts| facts.not_after = facts.not_before), Fail);
        assert_eq!(verdict(|facts| facts.not_after -= 47 * DAY), Warn);
        assert_eq!(verdict(|facts| facts.in_order = false), Warn);
        assert_eq!(verdict(|facts| facts.self_signed = true), Warn);
        assert_eq!(verdict(|facts| facts.certificates = 1), Warn);
    }

    #[test]
    fn without_one_it_matters_who_is_to_come() {
        assert_eq!(judge(&Found::None { development: true }, NOW).verdict, Ok);
        assert_eq!(judge(&Found::None { development: false }, NOW).verdict, Warn);
        assert_eq!(judge(&Found::Unusable("key.pem: no key".to_owned()), NOW).verdict, Fail);
    }
}
