//! Where a session's ICE is at: its entity tag, and the fragments that tell the client of a restart (RFC 9725, section 4.3;
//! RFC 8840, section 4.4; RFC 9110, section 13.1.1).
//!
//! What always holds: the tag is strong and changes with every restart, as it is the server's username fragment.

use crate::transport::IceCredentials;

/// The ICE of one session, as its client was told last.
pub(super) struct IceSession {
    ufrag: String,
    /// What a fragment says before and after the credentials; the same in each, as the answer had it.
    before: Vec<String>,
    after: Vec<String>,
}

impl IceSession {
    /// From the answer. `None` when it has no credentials.
    pub fn new(answer: &str) -> Option<IceSession> {
        let (session, media) = answer.split_once("\r\nm=").unwrap_or((answer, ""));
        // BUNDLE's first section carries the transport; a rejected one carries nothing.
        let mut sections = media.split("\r\nm=");
        let section = sections.find(|section| attribute(section, "ice-ufrag:").is_some())?;
        let lines_of = |part: &str, kept: &[&str]| -> Vec<String> {
            let lines = part.lines().filter(|line| kept.iter().any(|kept| line.starts_with(kept)));
            lines.map(str::to_owned).collect()
        };
        let mut before = lines_of(session, &["a=ice-lite", "a=group:BUNDLE"]);
        before.push(format!("m={}", section.lines().next().unwrap_or_default()));
        before.extend(lines_of(section, &["a=mid:", "a=ice-options:"]));
        let after = lines_of(section, &["a=candidate:", "a=end-of-candidates"]);
        Some(IceSession { ufrag: attribute(section, "ice-ufrag:")?.to_owned(), before, after })
    }

    /// The value of the `ETag` header.
    pub fn tag(&self) -> String {
        format!("\"{}\"", self.ufrag)
    }

    /// Whether an `If-Match` header lets a request pass. The quoted asterisk stands in RFC 9725's example.
    pub fn matches(&self, if_match: &str) -> bool {
        let tag = self.tag();
        // A weak tag never matches where a strong one is asked for; the tag itself holds no comma.
        if_match.split(',').map(str::trim).any(|given| given == "*" || given == "\"*\"" || given == tag)
    }

    /// Takes the server's credentials after a request that may have restarted ICE. Gives the fragment to tell the client
    /// where it did.
    pub fn restarted(&mut self, local: &IceCredentials) -> Option<String> {
        if local.ufrag == self.ufrag {
            return None;
        }
        self.ufrag.clone_from(&local.ufrag);
        let credentials = [format!("a=ice-ufrag:{}", local.ufrag), format!("a=ice-pwd:{}", local.pwd)];
        let lines = self.before.iter().chain(&credentials).chain(&self.after);
        Some(lines.fold(String::new(), |text, line| text + line + "\r\n"))
    }
}

fn attribute<'a>(section: &'a str, name: &str) -> Option<&'a str> {
    section.lines().find_map(|line| line.strip_prefix("a=")?.strip_prefix(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-lite\r\na=group:BUNDLE 1\r\n\
        m=audio 0 UDP/TLS/RTP/SAVPF 0\r\na=inactive\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789abcdefghijkl\r\n\
        a=ice-options:trickle\r\na=sendonly\r\na=candidate:1 1 udp 2130706431 192.0.2.1 7882 typ host\r\n\
        a=end-of-candidates\r\n";

    #[test]
    fn the_tag_is_matched_strongly() {
        let ice = IceSession::new(ANSWER).unwrap();
        assert_eq!(ice.tag(), "\"abcd\"");
        for passes in ["\"abcd\"", "*", "\"*\"", "\"x\", \"abcd\""] {
            assert!(ice.matches(passes), "{passes}");
        }
        for stale in ["", "\"abc\"", "abcd", "W/\"abcd\"", "\"x\",\"y\""] {
            assert!(!ice.matches(stale), "{stale}");
        }
    }

    #[test]
    fn a_restart_is_told_with_what_the_answer_said() {
        let mut ice = IceSession::new(ANSWER).unwrap();
        let local = |ufrag: &str| IceCredentials { ufrag: ufrag.to_owned(), pwd: "p".repeat(22) };
        assert_eq!(ice.restarted(&local("abcd")), None);
        let told = "a=ice-lite\r\na=group:BUNDLE 1\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n\
            a=ice-options:trickle\r\na=ice-ufrag:efgh\r\na=ice-pwd:pppppppppppppppppppppp\r\n\
            a=candidate:1 1 udp 2130706431 192.0.2.1 7882 typ host\r\na=end-of-candidates\r\n";
        assert_eq!(ice.restarted(&local("efgh")).as_deref(), Some(told));
        assert!(ice.matches("\"efgh\"") && !ice.matches("\"abcd\""));
    }

    #[test]
    fn an_answer_without_credentials_is_no_session() {
        assert!(IceSession::new("v=0\r\n").is_none());
        assert!(IceSession::new("").is_none());
    }
}
