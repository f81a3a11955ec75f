//! Offers and answers as a browser writes them (RFC 8829, sections 5.2 and 5.3), and what is needed of the server's (section 5.11).
//!
//! What always holds: sections keep their place and mid from one offer to the next; every section offers what Chrome offers
//! for its kind, as far as it changes what a server does.

use std::fmt::Write;
use std::net::SocketAddr;
use std::str::FromStr;

use sfumato::transport::{DtlsRole, Fingerprint};

use crate::client::format::{self, Kind};
use crate::client::ice::Credentials;

mod answering;

pub use answering::Answering;

/// What a section is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    Send(SentTrack),
    Receive,
}

/// A track as offered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentTrack {
    /// `a=msid`'s track id, by which the server knows it again.
    pub id: String,
    /// Simulcast encodings low to high, each with its SSRC; a single one has no rid.
    pub encodings: Vec<(Option<String>, u32)>,
    /// SSRC of the retransmissions of a single encoding (RFC 4588, session-multiplexed by `FID`).
    pub repair: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    pub kind: Kind,
    pub usage: Use,
}

pub struct Offer<'a> {
    /// `o=` line: a number of the session, and one that grows with each offer.
    pub session: u64,
    pub version: u32,
    pub credentials: &'a Credentials,
    pub fingerprint: &'a Fingerprint,
    /// By mid: the index is the mid.
    pub sections: &'a [Section],
}

impl Offer<'_> {
    pub fn write(&self) -> String {
        let mut text = String::with_capacity(1_024 + 1_024 * self.sections.len());
        let mids: Vec<String> = (0..self.sections.len()).map(|mid| mid.to_string()).collect();
        let (session, version, group) = (self.session, self.version, mids.join(" "));
        line(&mut text, format_args!("v=0\r\no=- {session} {version} IN IP4 127.0.0.1\r\ns=-\r\nt=0 0"));
        line(&mut text, format_args!("a=group:BUNDLE {group}"));
        line(&mut text, format_args!("a=extmap-allow-mixed\r\na=msid-semantic: WMS"));
        for (mid, section) in mids.iter().zip(self.sections) {
            self.section(&mut text, mid, section);
        }
        text
    }

    fn section(&self, text: &mut String, mid: &str, section: &Section) {
        let (name, formats) = match section.kind {
            Kind::Audio => ("audio", format::OPUS.0.to_string()),
            Kind::Video => ("video", format!("{} {}", format::VP8.0, format::RTX.0)),
        };
        let Credentials { ufrag, password } = self.credentials;
        line(
            text,
            format_args!("m={name} 9 UDP/TLS/RTP/SAVPF {formats}\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0"),
        );
        line(text, format_args!("a=ice-ufrag:{ufrag}\r\na=ice-pwd:{password}\r\na=ice-options:trickle"));
        line(text, format_args!("a=fingerprint:{}\r\na=setup:actpass\r\na=mid:{mid}", self.fingerprint));
        let simulcast = matches!(&section.usage, Use::Send(track) if track.encodings.len() > 1);
        for (id, uri) in section.kind.extensions() {
            line(text, format_args!("a=extmap:{id} {uri}"));
        }
        match &section.usage {
            Use::Send(track) => line(text, format_args!("a=sendonly\r\na=msid:- {}", track.id)),
            Use::Receive => line(text, format_args!("a=recvonly")),
        }
        line(text, format_args!("a=rtcp-mux\r\na=rtcp-rsize"));
        match section.kind {
            Kind::Audio => line(text, format_args!("{}", audio_format())),
            Kind::Video => line(text, format_args!("{}", video_format())),
        }
        if let Use::Send(track) = &section.usage {
            if simulcast { simulcast_lines(text, track) } else { ssrc_lines(text, track) }
        }
    }
}

fn audio_format() -> String {
    let opus = format::OPUS.0;
    format!("a=rtpmap:{opus} opus/48000/2\r\na=rtcp-fb:{opus} transport-cc\r\na=fmtp:{opus} minptime=10;useinbandfec=1")
}

fn video_format() -> String {
    let (vp8, rtx) = (format::VP8.0, format::RTX.0);
    let feedback = ["goog-remb", "transport-cc", "ccm fir", "nack", "nack pli"];
    let feedback = feedback.map(|message| format!("a=rtcp-fb:{vp8} {message}")).join("\r\n");
    format!("a=rtpmap:{vp8} VP8/90000\r\n{feedback}\r\na=rtpmap:{rtx} rtx/90000\r\na=fmtp:{rtx} apt={vp8}")
}

fn simulcast_lines(text: &mut String, track: &SentTrack) {
    let rids: Vec<&str> = track.encodings.iter().filter_map(|(rid, _)| rid.as_deref()).collect();
    for rid in &rids {
        line(text, format_args!("a=rid:{rid} send"));
    }
    line(text, format_args!("a=simulcast:send {}", rids.join(";")));
}

fn ssrc_lines(text: &mut String, track: &SentTrack) {
    if let (Some((_, ssrc)), Some(repair)) = (track.encodings.first(), track.repair) {
        line(text, format_args!("a=ssrc-group:FID {ssrc} {repair}"));
    }
    for ssrc in track.encodings.iter().map(|(_, ssrc)| ssrc).chain(&track.repair) {
        line(text, format_args!("a=ssrc:{ssrc} cname:load\r\na=ssrc:{ssrc} msid:- {}", track.id));
    }
}

fn line(text: &mut String, content: std::fmt::Arguments<'_>) {
    // A String takes everything.
    let _ = write!(text, "{content}\r\n");
}

/// What an answer, or a server's offer, says of one section.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnsweredSection {
    /// None of what is neither audio nor video.
    pub kind: Option<Kind>,
    pub mid: String,
    pub rejected: bool,
    /// The server takes what is sent here.
    pub receives: bool,
    /// The server sends here.
    pub sends: bool,
    /// Ids of the header extensions it uses, and their names.
    pub extensions: Vec<u8>,
    pub extension_names: Vec<String>,
    pub rids: Vec<String>,
    /// `a=rtcp-fb` as written: payload type and message.
    pub feedback: Vec<String>,
    /// It agrees to transport-wide feedback.
    pub transport_cc: bool,
    /// It agrees to negative acknowledgements (RFC 4585, section 6.2.1).
    pub nack: bool,
    /// Payload types it uses.
    pub formats: Vec<u8>,
    /// SSRCs it sends under, and pairs of those and their retransmissions' (`a=ssrc-group:FID`).
    pub ssrcs: Vec<u32>,
    pub repairs: Vec<(u32, u32)>,
}

impl AnsweredSection {
    /// Transport-wide feedback is agreed on.
    pub fn numbers_packets(&self) -> bool {
        self.transport_cc && self.extensions.contains(&format::TRANSPORT_CC)
    }

    /// Retransmissions in a stream of their own are agreed on.
    pub fn repairs_loss(&self) -> bool {
        self.nack && self.formats.contains(&format::RTX.0)
    }
}

/// What is needed of the server's description: of an answer, or of an offer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub remote: Credentials,
    pub fingerprints: Vec<Fingerprint>,
    /// The role this side takes.
    pub role: DtlsRole,
    /// UDP candidates in the answer's order.
    pub candidates: Vec<SocketAddr>,
    pub sections: Vec<AnsweredSection>,
}

impl Answer {
    /// An error names what is missing.
    pub fn read(sdp: &str) -> Result<Answer, String> {
        let lines = || sdp.lines().map(str::trim_end);
        let value = |name: &str| lines().find_map(|line| attribute(line, name));
        let needed = |name: &'static str| value(name).ok_or(format!("the answer has no a={name}"));
        let role = match needed("setup")? {
            "active" => DtlsRole::Server,
            _ => DtlsRole::Client,
        };
        let mut fingerprints: Vec<Fingerprint> = Vec::new();
        for fingerprint in lines().filter_map(|line| Fingerprint::from_str(attribute(line, "fingerprint")?).ok()) {
            if !fingerprints.contains(&fingerprint) {
                fingerprints.push(fingerprint);
            }
        }
        Ok(Answer {
            remote: Credentials { ufrag: needed("ice-ufrag")?.to_owned(), password: needed("ice-pwd")?.to_owned() },
            fingerprints,
            role,
            candidates: lines().filter_map(|line| candidate(attribute(line, "candidate")?)).collect(),
            sections: sections(sdp),
        })
    }

    pub fn section(&self, mid: &str) -> Option<&AnsweredSection> {
        self.sections.iter().find(|section| section.mid == mid && !section.rejected)
    }
}

/// The value of `a=name:value`.
fn attribute<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':')
}

/// The address of a UDP candidate (RFC 8839, section 5.1), trickled or in a description.
pub fn candidate(value: &str) -> Option<SocketAddr> {
    let mut words = value.split_ascii_whitespace().skip(2);
    let is_udp = words.next()?.eq_ignore_ascii_case("udp");
    let (ip, port) = (words.nth(1)?, words.next()?);
    is_udp.then(|| Some(SocketAddr::new(ip.parse().ok()?, port.parse().ok()?)))?
}

fn sections(sdp: &str) -> Vec<AnsweredSection> {
    let mut sections: Vec<AnsweredSection> = Vec::new();
    for line in sdp.lines().map(str::trim_end) {
        if let Some(media) = line.strip_prefix("m=") {
            let mut words = media.split_ascii_whitespace();
            let kind = words.next().and_then(Kind::named);
            let rejected = words.next() == Some("0");
            let formats = words.skip(1).filter_map(|word| word.parse().ok()).collect();
            sections.push(AnsweredSection { kind, rejected, formats, ..AnsweredSection::default() });
        } else if let Some(section) = sections.last_mut() {
            read_line(section, line);
        }
    }
    sections
}

fn read_line(section: &mut AnsweredSection, line: &str) {
    match line {
        "a=sendrecv" => (section.sends, section.receives) = (true, true),
        "a=sendonly" => section.sends = true,
        "a=recvonly" => section.receives = true,
        _ => {}
    }
    if let Some(mid) = attribute(line, "mid") {
        section.mid = mid.to_owned();
    } else if let Some(extension) = attribute(line, "extmap") {
        let mut words = extension.split_ascii_whitespace();
        let id = words.next().and_then(|word| word.split('/').next()?.parse::<u8>().ok());
        if let Some((id, name)) = id.zip(words.next()) {
            section.extensions.push(id);
            section.extension_names.push(name.to_owned());
        }
    } else if let Some(rid) = attribute(line, "rid") {
        section.rids.extend(rid.split_once(' ').map(|(rid, _)| rid.to_owned()));
    } else if let Some(feedback) = attribute(line, "rtcp-fb") {
        section.transport_cc |= feedback.ends_with(" transport-cc");
        section.nack |= feedback.ends_with(" nack");
        section.feedback.push(feedback.to_owned());
    } else if let Some(group) = attribute(line, "ssrc-group") {
        let mut words = group.split_ascii_whitespace();
        let is_repair = words.next() == Some("FID");
        let mut next = || words.next().and_then(|word| word.parse().ok());
        section.repairs.extend(next().zip(next()).filter(|_| is_repair));
    } else if let Some(source) = attribute(line, "ssrc") {
        let ssrc = source.split(' ').next().and_then(|word| word.parse().ok());
        section.ssrcs.extend(ssrc.filter(|ssrc| !section.ssrcs.contains(ssrc)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sfumato::transport::Certificate;
    use sfumato::wire::Ssrc;

    const ANSWER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=ice-lite\r\n\
        a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=ice-ufrag:abcd\r\n\
        a=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 AB:CD\r\na=setup:passive\r\n\
        a=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=recvonly\r\n\
        a=candidate:1 1 udp 2130706431 127.0.0.1 7882 typ host\r\na=candidate:2 1 tcp 1 127.0.0.1 7881 typ host tcptype passive\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:1\r\na=sendonly\r\na=extmap:3/sendonly x\r\na=rtcp-fb:96 transport-cc\r\n\
        a=rtcp-fb:96 nack\r\na=ssrc-group:FID 7 8\r\na=ssrc:7 cname:a\r\na=ssrc:7 msid:a b\r\na=ssrc:8 cname:a\r\n\
        a=fingerprint:sha-256 AB:CD\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=inactive\r\n";

    #[test]
    fn an_answer_tells_the_transport_and_each_section() {
        let answer = Answer::read(ANSWER).unwrap();
        assert_eq!((answer.remote.ufrag.as_str(), answer.role), ("abcd", DtlsRole::Client));
        assert_eq!(answer.fingerprints.len(), 1, "named twice, kept once");
        assert_eq!(answer.candidates, ["127.0.0.1:7882".parse::<SocketAddr>().unwrap()], "only UDP");
        let audio = answer.section("0").unwrap();
        assert_eq!((audio.receives, audio.sends, audio.extensions.as_slice()), (true, false, &[4][..]));
        let video = answer.section("1").unwrap();
        assert_eq!((video.receives, video.sends, video.transport_cc), (false, true, true));
        assert_eq!(video.extensions, [3]);
        assert!(video.repairs_loss() && !audio.repairs_loss());
        assert_eq!((video.ssrcs.as_slice(), video.repairs.as_slice()), (&[7, 8][..], &[(7, 8)][..]));
        assert!(answer.section("2").is_none(), "rejected");
    }

    #[test]
    fn an_answer_without_a_transport_is_refused_by_name() {
        assert!(Answer::read("v=0\r\n").unwrap_err().contains("setup"));
        assert!(Answer::read("a=setup:active\r\n").unwrap_err().contains("ice-ufrag"));
    }

    /// The server's own reader is the judge of what is offered.
    #[test]
    fn a_server_reads_the_offer_as_meant() {
        use sfumato::negotiation::{MediaKind, Session};
        let credentials = Credentials { ufrag: "abcd".to_owned(), password: "0123456789012345678901".to_owned() };
        let certificate = Certificate::generate();
        let rid = |rid: &str| Some(rid.to_owned());
        let track = |id: &str, encodings| Use::Send(SentTrack { id: id.to_owned(), encodings, repair: None });
        let sections = [
            Section { kind: Kind::Audio, usage: track("mic", vec![(None, 5)]) },
            Section { kind: Kind::Video, usage: track("cam", vec![(rid("q"), 6), (rid("h"), 7)]) },
            Section { kind: Kind::Video, usage: Use::Receive },
        ];
        let fingerprint = certificate.fingerprint();
        let offer = Offer { session: 7, version: 1, credentials: &credentials, fingerprint, sections: &sections };
        let mut session = Session::new(1);
        let remote = session.apply_offer(&offer.write()).unwrap();
        assert_eq!(remote.ice.ufrag, "abcd");
        let read = session.sections();
        assert_eq!(
            read.iter().map(|s| s.kind).collect::<Vec<_>>(),
            [MediaKind::Audio, MediaKind::Video, MediaKind::Video]
        );
        assert_eq!(read[0].remote.as_ref().unwrap().track_id, "mic");
        assert_eq!(read[0].remote.as_ref().unwrap().ssrcs[0].0.0, 5);
        assert_eq!(read[1].remote.as_ref().unwrap().encodings.len(), 2);
        assert!(read[2].remote.is_none() && read[2].peer_receives);
        let track = SentTrack { id: "cam".to_owned(), encodings: vec![(None, 6)], repair: Some(9) };
        let sections = [Section { kind: Kind::Video, usage: Use::Send(track) }];
        let offer = Offer { session: 7, version: 1, credentials: &credentials, fingerprint, sections: &sections };
        let mut session = Session::new(1);
        session.apply_offer(&offer.write()).unwrap();
        let ssrcs = &session.sections()[0].remote.as_ref().unwrap().ssrcs;
        assert_eq!(ssrcs[..], [(Ssrc(6), Some(Ssrc(9)))]);
    }
}
