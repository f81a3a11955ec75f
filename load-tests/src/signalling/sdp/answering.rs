//! Answers to a server that offers what is to be received (RFC 8829, section 5.3), as in WHEP's mode with the server's offer.
//!
//! What always holds: an answer takes of each section what an offer of ours would have asked for, under the same numbers, and
//! rejects a section that has none of it (RFC 3264, section 6).

use sfumato::transport::{DtlsRole, Fingerprint};

use super::{Answer, AnsweredSection, audio_format, line, video_format};
use crate::client::format::{self, Kind};
use crate::client::ice::Credentials;

/// An answer to `offer` by one that only receives.
pub struct Answering<'a> {
    /// `o=` line: a number of the session.
    pub session: u64,
    pub credentials: &'a Credentials,
    pub fingerprint: &'a Fingerprint,
    pub offer: &'a Answer,
}

impl Answering<'_> {
    pub fn write(&self) -> String {
        let sections = &self.offer.sections;
        let mut text = String::with_capacity(1_024 + 1_024 * sections.len());
        let mids: Vec<&str> = sections.iter().filter(|s| s.is_readable()).map(|s| s.mid.as_str()).collect();
        let (session, group) = (self.session, mids.join(" "));
        line(&mut text, format_args!("v=0\r\no=- {session} 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0"));
        line(&mut text, format_args!("a=group:BUNDLE {group}"));
        line(&mut text, format_args!("a=extmap-allow-mixed\r\na=msid-semantic: WMS"));
        sections.iter().for_each(|section| self.section(&mut text, section));
        text
    }

    fn section(&self, text: &mut String, section: &AnsweredSection) {
        let name = section.kind.map_or("application", Kind::name);
        let mid = &section.mid;
        let Some(kind) = section.kind.filter(|_| section.is_readable()) else {
            line(text, format_args!("m={name} 0 UDP/TLS/RTP/SAVPF 0\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=inactive"));
            return;
        };
        let formats = section.known_formats().iter().map(u8::to_string).collect::<Vec<_>>().join(" ");
        let Credentials { ufrag, password } = self.credentials;
        let setup = if self.offer.role == DtlsRole::Client { "active" } else { "passive" };
        line(text, format_args!("m={name} 9 UDP/TLS/RTP/SAVPF {formats}\r\nc=IN IP4 0.0.0.0"));
        line(text, format_args!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\na=ice-options:trickle"));
        line(text, format_args!("a=fingerprint:{}\r\na=setup:{setup}\r\na=mid:{mid}", self.fingerprint));
        for (id, uri) in section.known_extensions() {
            line(text, format_args!("a=extmap:{id} {uri}"));
        }
        line(text, format_args!("a=recvonly\r\na=rtcp-mux\r\na=rtcp-rsize"));
        let described = if kind == Kind::Audio { audio_format() } else { video_format() };
        described
            .lines()
            .filter(|l| section.has_offered(l))
            .for_each(|described| line(text, format_args!("{described}")));
    }
}

impl AnsweredSection {
    /// There is a format that this tool receives.
    fn is_readable(&self) -> bool {
        let media = [format::OPUS.0, format::VP8.0];
        !self.rejected && self.known_formats().iter().any(|format| media.contains(format))
    }

    /// Of the offered formats those that this tool receives: the media's own first.
    fn known_formats(&self) -> Vec<u8> {
        let known = match self.kind {
            Some(Kind::Audio) => vec![format::OPUS.0],
            Some(Kind::Video) => vec![format::VP8.0, format::RTX.0],
            None => Vec::new(),
        };
        known.into_iter().filter(|format| self.formats.contains(format)).collect()
    }

    /// Whether a line about a format is of an offered one, and one about feedback was offered too.
    fn has_offered(&self, line: &str) -> bool {
        if let Some(feedback) = line.strip_prefix("a=rtcp-fb:") {
            return self.feedback.iter().any(|offered| offered == feedback);
        }
        let of = line.split_once(':').and_then(|(_, rest)| rest.split(' ').next()?.parse::<u8>().ok());
        of.is_some_and(|format| self.formats.contains(&format))
    }

    /// Of the offered header extensions those that this tool knows by the same number.
    fn known_extensions(&self) -> impl Iterator<Item = (u8, &'static str)> {
        let known = self.kind.map_or(&[][..], Kind::extensions).iter().copied();
        known.filter(|(id, uri)| {
            self.extensions.iter().zip(&self.extension_names).any(|(i, name)| i == id && name == uri)
        })
    }

    /// Packets are numbered as this tool reads the numbers.
    pub fn offers_numbers(&self) -> bool {
        self.transport_cc && self.known_extensions().any(|(id, _)| id == format::TRANSPORT_CC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sfumato::transport::Certificate;

    /// As servers offer to subscribers: numbers of their own beside the publisher's.
    const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE a v d\r\na=ice-lite\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:a\r\na=sendonly\r\na=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\n\
        a=fingerprint:sha-256 AB:CD\r\na=setup:actpass\r\na=rtpmap:111 opus/48000/2\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:v\r\na=sendonly\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n\
        a=extmap:5 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d\r\n";

    fn answered(offer: &str) -> String {
        let offer = Answer::read(offer).unwrap();
        let credentials = Credentials { ufrag: "mine".to_owned(), password: "p".repeat(24) };
        let certificate = Certificate::generate();
        let fingerprint = certificate.fingerprint();
        Answering { session: 7, credentials: &credentials, fingerprint, offer: &offer }.write()
    }

    #[test]
    fn what_is_known_is_taken_under_the_offered_numbers() {
        let answer = Answer::read(&answered(OFFER)).unwrap();
        assert_eq!((answer.remote.ufrag.as_str(), answer.role), ("mine", DtlsRole::Server), "it is active");
        let (audio, video) = (answer.section("a").unwrap(), answer.section("v").unwrap());
        assert!(audio.receives && video.receives && !video.sends);
        assert_eq!((audio.extensions.as_slice(), audio.formats.as_slice()), (&[format::MID][..], &[111][..]));
        assert_eq!(video.feedback, ["96 nack", "96 nack pli"], "what was offered, and no more");
        assert!(video.repairs_loss());
        assert!(video.extensions.is_empty(), "a number that means something else here");
    }

    #[test]
    fn what_is_not_known_is_rejected_in_its_place() {
        let answer = answered(&OFFER.replace("96 97", "98"));
        let sections = Answer::read(&answer).unwrap().sections;
        let rejected: Vec<bool> = sections.iter().map(|section| section.rejected).collect();
        assert_eq!(rejected, [false, true, true]);
        assert!(answer.contains("a=group:BUNDLE a\r\n"), "{answer}");
    }

    #[test]
    fn packets_are_numbered_only_by_the_number_this_tool_reads() {
        let numbered = |id: u8| {
            let offer = OFFER.replace("a=extmap:5 http", &format!("a=rtcp-fb:96 transport-cc\r\na=extmap:{id} http"));
            let video = Answer::read(&offer).unwrap().section("v").unwrap().clone();
            video.offers_numbers()
        };
        assert!(numbered(format::TRANSPORT_CC) && !numbered(5));
    }
}
