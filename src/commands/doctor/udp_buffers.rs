//! The kernel's buffers for a UDP socket: what the server asks for, and what it is granted.

use super::report::Finding;
use crate::net::probe::{self, Buffers};

const CHECK: &str = "udp buffers";

pub(super) fn find() -> Result<Buffers, String> {
    probe::buffers().map_err(|error| error.to_string())
}

pub(super) fn judge(found: &Result<Buffers, String>) -> Finding {
    let Buffers { wanted, receive, send } = match found {
        Ok(buffers) => buffers,
        Err(error) => return Finding::warn(CHECK, format!("unknown: {error}"), "see whether the server starts"),
    };
    let kib = |bytes: &usize| bytes / 1024;
    let told = format!("receive {} KiB, send {} KiB of {} KiB", kib(receive), kib(send), kib(wanted));
    let mut lacking = [("rmem_max", receive), ("wmem_max", send)].into_iter().filter(|(_, granted)| *granted < wanted);
    let settings: Vec<String> = lacking.by_ref().map(|(name, _)| format!("net.core.{name}={wanted}")).collect();
    match settings.is_empty() {
        true => Finding::ok(CHECK, told),
        false => Finding::warn(
            CHECK,
            format!("{told}: packets are lost when a shard is late"),
            format!("on the host: sysctl -w {}", settings.join(" ")),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::report::Verdict;

    #[test]
    fn less_than_wanted_is_told_with_the_setting_that_gives_more() {
        let judged = |receive, send| judge(&Ok(Buffers { wanted: 4096, receive, send }));
        assert_eq!(judged(4096, 8192).verdict, Verdict::Ok);
        let receive = judged(1024, 4096);
        assert_eq!(receive.verdict, Verdict::Warn);
        assert_eq!(receive.advice.as_deref(), Some("on the host: sysctl -w net.core.rmem_max=4096"));
        let both = judged(1024, 1024).advice.unwrap();
        assert!(both.contains("rmem_max") && both.contains("wmem_max"), "{both}");
        assert_eq!(judge(&Err("refused".to_owned())).verdict, Verdict::Warn);
    }
}
