//! Segmentation and receive offload of UDP: whether many datagrams cross into the kernel and out of it in one call.

use super::report::Finding;
use crate::net::probe::{self, Offload};

const CHECK: &str = "udp offload";

pub(super) fn find() -> Result<Offload, String> {
    probe::offload().map_err(|error| error.to_string())
}

pub(super) fn judge(found: &Result<Offload, String>) -> Finding {
    let advice =
        "each datagram costs a call of its own: use Linux 5.0 or newer, without a sandbox that emulates its network";
    match found {
        Ok(Offload { send: true, receive: true }) => Finding::ok(CHECK, "GSO and GRO work"),
        Ok(Offload { send: false, receive: true }) => Finding::warn(CHECK, "GSO does not work", advice),
        Ok(Offload { send: true, receive: false }) => Finding::warn(CHECK, "GRO is not to be had", advice),
        Ok(Offload { send: false, receive: false }) => Finding::warn(CHECK, "neither GSO nor GRO works", advice),
        Err(error) => {
            Finding::warn(CHECK, format!("unknown: {error}"), "see sfumato_udp_gso_segments of the running server")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::report::Verdict;

    #[test]
    fn what_is_lacking_is_named() {
        let judged = |send, receive| judge(&Ok(Offload { send, receive }));
        assert_eq!(judged(true, true).verdict, Verdict::Ok);
        assert!(judged(false, true).found.contains("GSO") && judged(false, true).verdict == Verdict::Warn);
        assert!(judged(true, false).found.contains("GRO") && judged(true, false).verdict == Verdict::Warn);
        assert_eq!(judged(false, false).verdict, Verdict::Warn);
        assert!(judge(&Err("refused".to_owned())).found.contains("unknown"));
    }
}
