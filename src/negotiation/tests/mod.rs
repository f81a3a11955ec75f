//! Whole negotiations: offers captured from Chromium 156, Firefox 153 and webrtc-rs 0.21.1 (fixtures/), and small made ones.
//!
//! Each browser's three offers are of one session: 1 publishes a simulcast camera and offers to receive, 2 stops the camera and
//! has grown by two sections, 3 publishes another camera in the freed slot.

mod answers;
mod hostile;
mod refusals;
mod reoffers;

use rtc_sdp::description::media::MediaDescription;
use rtc_sdp::description::session::SessionDescription;

use super::parse::{has, parse, value, values};
use super::*;
use crate::transport::DtlsRole;

const CHROMIUM: [&str; 3] = [
    include_str!("../fixtures/chromium-1-publish.sdp"),
    include_str!("../fixtures/chromium-2-stop.sdp"),
    include_str!("../fixtures/chromium-3-reuse.sdp"),
];
const FIREFOX: [&str; 3] = [
    include_str!("../fixtures/firefox-1-publish.sdp"),
    include_str!("../fixtures/firefox-2-stop.sdp"),
    include_str!("../fixtures/firefox-3-reuse.sdp"),
];
const WEBRTC_RS: &str = include_str!("../fixtures/webrtc-rs-receive.sdp");

/// The sessions to which the captured offers belong.
fn captured_sessions() -> [Vec<&'static str>; 3] {
    [CHROMIUM.to_vec(), FIREFOX.to_vec(), vec![WEBRTC_RS]]
}

fn local() -> LocalParameters {
    LocalParameters {
        ice: IceCredentials { ufrag: "locl".to_owned(), pwd: "0123456789abcdefghijkl".to_owned() },
        fingerprint: Fingerprint { hash: "sha-256".to_owned(), digest: vec![0xab; 32] },
        candidates: vec!["192.0.2.1:7882".parse().unwrap(), "[2001:db8::1]:7882".parse().unwrap()],
    }
}

/// A track whose identifiers and SSRC carry `n`.
fn track(n: u32, codecs: &[Codec]) -> LocalTrack {
    LocalTrack {
        stream_id: format!("stream{n}"),
        track_id: format!("track{n}"),
        cname: "cname".to_owned(),
        ssrc: Ssrc(n),
        rtx: Some(Ssrc(1_000 + n)),
        codecs: codecs.to_vec(),
    }
}

fn mid(text: &str) -> Mid {
    Mid::new(text).unwrap()
}

fn section<'a>(session: &'a Session, of: &str) -> &'a Section {
    session.sections().iter().find(|s| s.mid == mid(of)).unwrap()
}

/// A session with this offer applied.
fn applied(offer: &str) -> Session {
    let mut session = Session::new(7);
    session.apply_offer(offer).unwrap();
    session
}

/// Answers, checks the answer against the offer, and gives it parsed.
fn answered(session: &mut Session, offer: &str) -> SessionDescription {
    let answer = parse(&session.answer(&local())).unwrap();
    check_answer(&parse(offer).unwrap(), &answer);
    answer
}

/// The answer's section with this mid.
fn answer_section<'a>(answer: &'a SessionDescription, of: &str) -> &'a MediaDescription {
    answer.media_descriptions.iter().find(|m| value(&m.attributes, "mid") == Some(of)).unwrap()
}

/// The first direction attribute; without one the session's or the default holds, and any answer may be right.
fn direction(media: &MediaDescription) -> &str {
    let names = ["sendrecv", "sendonly", "recvonly", "inactive"];
    let named = media.attributes.iter().find(|a| names.contains(&a.key.as_str()));
    named.map_or("sendrecv", |a| &a.key)
}

/// What holds of every answer to every offer.
fn check_answer(offer: &SessionDescription, answer: &SessionDescription) {
    assert_eq!(offer.media_descriptions.len(), answer.media_descriptions.len());
    let mut used = Vec::new();
    for (offered, answered) in offer.media_descriptions.iter().zip(&answer.media_descriptions) {
        assert_eq!(offered.media_name.media, answered.media_name.media);
        assert_eq!(offered.media_name.protos, answered.media_name.protos);
        assert_eq!(value(&offered.attributes, "mid"), value(&answered.attributes, "mid"));
        assert!(!answered.media_name.formats.is_empty(), "an m-line without a format cannot be parsed");
        if answered.media_name.port.value != 0 {
            used.push(value(&answered.attributes, "mid").unwrap().to_owned());
            check_used_section(offered, answered);
        }
    }
    let group = values(&answer.attributes, "group").find(|g| g.starts_with("BUNDLE"));
    if let Some(group) = group {
        assert_eq!(group.split(' ').skip(1).collect::<Vec<_>>(), used);
    } else {
        assert!(used.len() <= 1);
    }
    // Candidates stand in the first section in use, and in the first that is not inactive.
    let in_use = || answer.media_descriptions.iter().filter(|m| m.media_name.port.value != 0);
    let first_active = in_use().position(|m| !has(&m.attributes, "inactive"));
    let expected = |index: usize| index == 0 || Some(index) == first_active;
    for (index, section) in in_use().enumerate() {
        assert_eq!(has(&section.attributes, "candidate"), expected(index), "section {index}");
    }
}

fn check_used_section(offered: &MediaDescription, answered: &MediaDescription) {
    let rejected = offered.media_name.port.value == 0 && !has(&offered.attributes, "bundle-only");
    assert!(!rejected, "a rejected section stays rejected");
    for key in ["ice-ufrag", "ice-pwd", "fingerprint", "setup"] {
        assert!(has(&answered.attributes, key), "{key}");
    }
    if answered.media_name.media == "application" {
        return;
    }
    assert!(has(&answered.attributes, "rtcp-mux"));
    let mut formats = offered.media_name.formats.iter();
    for format in &answered.media_name.formats {
        assert!(formats.any(|f| f == format), "{format} is not offered, or not in this order");
    }
    let rtpmaps: Vec<_> = values(&answered.attributes, "rtpmap").filter_map(|r| r.split(' ').next()).collect();
    assert_eq!(rtpmaps, answered.media_name.formats);
    let may = match direction(offered) {
        "sendonly" => &["recvonly", "inactive"][..],
        "recvonly" => &["sendonly", "inactive"],
        "inactive" => &["inactive"],
        _ => &["sendrecv", "sendonly", "recvonly", "inactive"],
    };
    assert!(may.contains(&direction(answered)));
    let sends = direction(answered).starts_with("send");
    assert_eq!(sends, has(&answered.attributes, "msid"));
    assert_eq!(sends, has(&answered.attributes, "ssrc"));
}

/// A made offer: every section bundled, transport attributes at the session level.
fn offer(sections: &[String]) -> String {
    let mids: Vec<&str> = sections.iter().filter_map(|s| s.split("a=mid:").nth(1)?.lines().next()).collect();
    format!(
        "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {}\r\na=ice-ufrag:remo\r\n\
         a=ice-pwd:0123456789abcdefghijkl\r\na=fingerprint:sha-256 {}\r\na=setup:actpass\r\n{}",
        mids.join(" "),
        ["CD"; 32].join(":"),
        sections.concat()
    )
}

/// A video section with VP8 and H.264.
fn video(mid: &str, direction: &str) -> String {
    format!(
        "m=video 9 UDP/TLS/RTP/SAVPF 96 102\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na={direction}\r\na=rtcp-mux\r\n\
         a=rtpmap:96 VP8/90000\r\na=rtpmap:102 H264/90000\r\na=fmtp:102 packetization-mode=1\r\n"
    )
}

/// An audio section with Opus.
fn audio(mid: &str, direction: &str) -> String {
    format!(
        "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na={direction}\r\na=rtcp-mux\r\n\
         a=rtpmap:111 opus/48000/2\r\n"
    )
}

fn data(mid: &str) -> String {
    format!(
        "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=mid:{mid}\r\na=sctp-port:5000\r\n"
    )
}

/// The section with port 0.
fn rejected(section: &str) -> String {
    section.replacen(" 9 ", " 0 ", 1)
}
