//! Codec matching: which offered payload types are forwarded, and what RTCP feedback is answered for them
//! (RFC 3264, section 6.1; RFC 3551; RFC 4585, section 4; RFC 4588 for `apt`).
//!
//! What always holds: payload types, their order and their format parameters are the offer's; RED stands only beside
//! the Opus it carries; a payload type that collides with RTCP on a multiplexed port is never accepted.

use rtc_sdp::description::media::MediaDescription;

use super::parse::values;
use super::{CodecDescription, MediaKind};
use crate::wire::PayloadType;
use crate::wire::codec::Codec;

/// A codec's media type registration.
struct Registration {
    codec: Codec,
    kind: MediaKind,
    name: &'static str,
    /// Hertz.
    clock_rate: u32,
    /// Channels as `a=rtpmap` writes them; 1 is left out there.
    channels: u8,
    /// The payload type RFC 3551 assigns, valid without `a=rtpmap`.
    fixed: Option<u8>,
}

const fn audio(codec: Codec, name: &'static str, clock_rate: u32, channels: u8, fixed: Option<u8>) -> Registration {
    Registration { codec, kind: MediaKind::Audio, name, clock_rate, channels, fixed }
}

const fn video(codec: Codec, name: &'static str) -> Registration {
    Registration { codec, kind: MediaKind::Video, name, clock_rate: 90_000, channels: 1, fixed: None }
}

/// What is forwarded.
const REGISTRATIONS: [Registration; 10] = [
    audio(Codec::Opus, "opus", 48_000, 2, None),
    audio(Codec::Red, "red", 48_000, 2, None),
    audio(Codec::Pcmu, "PCMU", 8_000, 1, Some(0)),
    audio(Codec::Pcma, "PCMA", 8_000, 1, Some(8)),
    // RFC 3551, section 4.5.2: G.722 samples at 16 kHz, yet its RTP clock is 8 kHz.
    audio(Codec::G722, "G722", 8_000, 1, Some(9)),
    video(Codec::Vp8, "VP8"),
    video(Codec::Vp9, "VP9"),
    video(Codec::H264, "H264"),
    video(Codec::H265, "H265"),
    video(Codec::Av1, "AV1"),
];

/// RTCP feedback answered where it is offered. What the server learns to do gets a line here.
const FEEDBACK: [(MediaKind, &str); 4] = [
    (MediaKind::Video, NACK),
    (MediaKind::Video, "nack pli"),
    (MediaKind::Video, "ccm fir"),
    (MediaKind::Video, "transport-cc"),
];
/// Generic NACK (RFC 4585, section 6.2.1). Audio goes without: what is retransmitted comes too late for its jitter buffer,
/// and redundant coding (RED) protects it at once.
const NACK: &str = "nack";

/// Payload types whose RTP packets look like RTCP when the marker bit is set (RFC 5761, section 4).
const COLLIDES_WITH_RTCP: std::ops::RangeInclusive<u8> = 64..=95;

/// The `a=rtpmap` value of a codec, without the payload type: `opus/48000/2`.
pub(super) fn encoding(codec: Codec) -> String {
    let Some(r) = REGISTRATIONS.iter().find(|r| r.codec == codec) else {
        return String::new();
    };
    match r.channels {
        1 => format!("{}/{}", r.name, r.clock_rate),
        channels => format!("{}/{}/{channels}", r.name, r.clock_rate),
    }
}

/// `a=rtpmap` and `a=fmtp` values of one section by payload type; the first line of each wins.
struct Formats<'a> {
    rtpmap: [Option<&'a str>; 128],
    fmtp: [Option<&'a str>; 128],
}

impl<'a> Formats<'a> {
    fn read(media: &'a MediaDescription) -> Formats<'a> {
        let mut formats = Formats { rtpmap: [None; 128], fmtp: [None; 128] };
        for (key, table) in [("rtpmap", &mut formats.rtpmap), ("fmtp", &mut formats.fmtp)] {
            for value in values(&media.attributes, key) {
                let Some((payload_type, rest)) = value.split_once(' ') else {
                    continue;
                };
                let slot = payload_type.parse::<u8>().ok().and_then(|p| table.get_mut(usize::from(p)));
                if let Some(slot) = slot {
                    slot.get_or_insert(rest.trim());
                }
            }
        }
        formats
    }

    fn registration(&self, kind: MediaKind, payload_type: u8) -> Option<&'static Registration> {
        let of_kind = || REGISTRATIONS.iter().filter(|r| r.kind == kind);
        let Some(rtpmap) = (*self.rtpmap.get(usize::from(payload_type))?).map(str::trim) else {
            return of_kind().find(|r| r.fixed == Some(payload_type));
        };
        let mut parts = rtpmap.split('/');
        let name = parts.next()?;
        let clock_rate = parts.next()?.parse::<u32>().ok()?;
        let channels = parts.next().map_or(Ok(1), str::parse::<u8>).ok()?;
        of_kind().find(|r| r.name.eq_ignore_ascii_case(name) && r.clock_rate == clock_rate && r.channels == channels)
    }

    /// The payload type that an RTX format repairs.
    fn repairs(&self, payload_type: u8) -> Option<u8> {
        let index = usize::from(payload_type);
        let name = (*self.rtpmap.get(index)?)?.split('/').next()?;
        let fmtp = (*self.fmtp.get(index)?)?;
        (name.eq_ignore_ascii_case("rtx")).then(|| parameter(fmtp, "apt")?.parse().ok())?
    }
}

/// The value of one `name=value` format parameter.
fn parameter<'a>(fmtp: &'a str, name: &str) -> Option<&'a str> {
    fmtp.split(';').filter_map(|p| p.trim().split_once('=')).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|p| p.1)
}

/// The section's codecs that are forwarded, in the offer's order.
pub(super) fn read(kind: MediaKind, media: &MediaDescription) -> Vec<CodecDescription> {
    let formats = Formats::read(media);
    let nack = offered_feedback(kind, media, NACK);
    let mut codecs: Vec<CodecDescription> = Vec::new();
    let offered = || media.media_name.formats.iter().filter_map(|f| f.parse::<u8>().ok());
    for payload_type in offered() {
        let known = codecs.iter().any(|c| c.payload_type.0 == payload_type);
        if payload_type > 127 || COLLIDES_WITH_RTCP.contains(&payload_type) || known {
            continue;
        }
        let Some(registration) = formats.registration(kind, payload_type) else {
            continue;
        };
        let fmtp = formats.fmtp.get(usize::from(payload_type)).copied().flatten().unwrap_or("");
        if is_forwarded(registration.codec, fmtp) {
            codecs.push(CodecDescription {
                payload_type: PayloadType(payload_type),
                codec: registration.codec,
                clock_rate: registration.clock_rate,
                fmtp: fmtp.to_owned(),
                nack: nack.get(usize::from(payload_type)) == Some(&true),
                rtx: None,
            });
        }
    }
    for rtx in offered().filter(|p| !COLLIDES_WITH_RTCP.contains(p)) {
        let repaired = formats.repairs(rtx).map(PayloadType);
        if let Some(codec) = codecs.iter_mut().find(|c| c.nack && Some(c.payload_type) == repaired) {
            codec.rtx.get_or_insert(PayloadType(rtx));
        }
    }
    drop_orphan_red(&mut codecs);
    codecs.shrink_to_fit();
    codecs
}

/// H.264's interleaved mode reorders packets (RFC 6184, section 5.7.2); nothing in WebRTC sends it.
fn is_forwarded(codec: Codec, fmtp: &str) -> bool {
    codec != Codec::H264 || matches!(parameter(fmtp, "packetization-mode"), None | Some("0" | "1"))
}

/// The codecs that a source can come in, in the offer's order.
pub(super) fn narrow(codecs: &[CodecDescription], to: &[Codec]) -> Vec<CodecDescription> {
    let mut codecs: Vec<_> = codecs.iter().filter(|c| to.contains(&c.codec)).cloned().collect();
    drop_orphan_red(&mut codecs);
    codecs
}

/// RED names the payload types it carries (`111/111`); it is worth something only beside Opus under that number.
fn drop_orphan_red(codecs: &mut Vec<CodecDescription>) {
    let opus: Vec<u8> = codecs.iter().filter(|c| c.codec == Codec::Opus).map(|c| c.payload_type.0).collect();
    codecs.retain(|c| {
        c.codec != Codec::Red || c.fmtp.split('/').all(|p| p.trim().parse().is_ok_and(|p: u8| opus.contains(&p)))
    });
}

/// The feedback messages offered for the accepted codecs that are also answered, as `a=rtcp-fb` writes them.
pub(super) fn read_feedback(
    kind: MediaKind,
    media: &MediaDescription,
    codecs: &[CodecDescription],
) -> Vec<(PayloadType, &'static str)> {
    let mut feedback = Vec::new();
    for (_, message) in FEEDBACK.iter().filter(|(k, _)| *k == kind) {
        let offered = offered_feedback(kind, media, message);
        let is_offered = |c: &&CodecDescription| offered.get(usize::from(c.payload_type.0)) == Some(&true);
        feedback.extend(codecs.iter().filter(is_offered).map(|c| (c.payload_type, *message)));
    }
    feedback.shrink_to_fit();
    feedback
}

/// The payload types a feedback message is offered for; `*` stands for all. None where it is not answered for this kind.
fn offered_feedback(kind: MediaKind, media: &MediaDescription, message: &str) -> [bool; 128] {
    let mut offered = [false; 128];
    if !FEEDBACK.contains(&(kind, message)) {
        return offered;
    }
    for value in values(&media.attributes, "rtcp-fb") {
        match value.split_once(' ') {
            Some(("*", m)) if m.trim() == message => offered.fill(true),
            Some((target, m)) if m.trim() == message => {
                let slot = target.parse().ok().and_then(|p: usize| offered.get_mut(p));
                slot.into_iter().for_each(|slot| *slot = true);
            }
            _ => {}
        }
    }
    offered
}

/// The format parameters answered for a codec. They say what this side wants to receive: Opus with discontinuous
/// transmission (RFC 7587, section 6.1), which spares every subscriber the packets of silence.
pub(super) fn answered_parameters(codec: &CodecDescription, received: bool) -> String {
    if !received || codec.codec != Codec::Opus || parameter(&codec.fmtp, "usedtx").is_some() {
        return codec.fmtp.clone();
    }
    match codec.fmtp.as_str() {
        "" => "usedtx=1".to_owned(),
        offered => format!("{offered};usedtx=1"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A section with these formats and attributes (`key:value`).
    fn media(formats: &str, attributes: &[&str]) -> MediaDescription {
        let mut media = MediaDescription::default();
        media.media_name.formats = formats.split(' ').map(str::to_owned).collect();
        attributes.iter().fold(media, |media, a| {
            let (key, value) = a.split_once(':').unwrap();
            media.with_value_attribute(key.to_owned(), value.to_owned())
        })
    }

    fn numbers(codecs: &[CodecDescription]) -> Vec<u8> {
        codecs.iter().map(|c| c.payload_type.0).collect()
    }

    #[test]
    fn the_offers_order_and_numbers_stay() {
        let media = media(
            "63 9 111 0 13 110",
            &[
                "rtpmap:111 opus/48000/2",
                "fmtp:111 minptime=10;useinbandfec=1",
                "rtpmap:63 red/48000/2",
                "fmtp:63 111/111",
                "rtpmap:9 G722/8000",
                "rtpmap:13 CN/8000",
                "rtpmap:110 telephone-event/48000",
            ],
        );
        let codecs = read(MediaKind::Audio, &media);
        assert_eq!(numbers(&codecs), [63, 9, 111, 0], "PCMU needs no rtpmap, CN and telephone-event are not forwarded");
        assert_eq!(codecs[2].fmtp, "minptime=10;useinbandfec=1");
    }

    #[test]
    fn red_without_its_opus_is_dropped() {
        let red = ["rtpmap:63 red/48000/2", "fmtp:63 111/111"];
        assert!(read(MediaKind::Audio, &media("63 111", &red)).is_empty());
        let other = [red[0], "fmtp:63 96/96", "rtpmap:111 opus/48000/2"];
        assert_eq!(numbers(&read(MediaKind::Audio, &media("63 111", &other))), [111]);
        let unsaid = [red[0], "rtpmap:111 opus/48000/2"];
        assert_eq!(numbers(&read(MediaKind::Audio, &media("63 111", &unsaid))), [111]);
    }

    #[test]
    fn narrowing_to_red_alone_leaves_nothing() {
        let all = ["rtpmap:63 red/48000/2", "fmtp:63 111/111", "rtpmap:111 opus/48000/2"];
        let codecs = read(MediaKind::Audio, &media("63 111", &all));
        assert_eq!(numbers(&codecs), [63, 111]);
        assert!(narrow(&codecs, &[Codec::Red]).is_empty());
        assert_eq!(numbers(&narrow(&codecs, &[Codec::Opus])), [111]);
    }

    #[test]
    fn rtx_is_remembered_by_its_apt_and_not_a_codec() {
        let media = media(
            "96 97 98 99 127",
            &[
                "rtcp-fb:* nack",
                "rtpmap:96 VP8/90000",
                "rtpmap:97 rtx/90000",
                "fmtp:97 apt=96",
                "rtpmap:98 VP9/90000",
                "fmtp:98 profile-id=2",
                "rtpmap:99 rtx/90000",
                "fmtp:99 rtx-time=200;apt=98",
                "rtpmap:127 ulpfec/90000",
            ],
        );
        let codecs = read(MediaKind::Video, &media);
        assert_eq!(numbers(&codecs), [96, 98]);
        assert_eq!(codecs[0].rtx, Some(PayloadType(97)));
        assert_eq!(codecs[1].rtx, Some(PayloadType(99)));
    }

    #[test]
    fn the_interleaved_mode_of_h264_is_not_forwarded() {
        let media = media(
            "102 104 106 108",
            &[
                "rtpmap:102 H264/90000",
                "rtpmap:104 h264/90000",
                "fmtp:104 packetization-mode=0;profile-level-id=42e01f",
                "rtpmap:106 H264/90000",
                "fmtp:106 profile-level-id=640c1f;packetization-mode=1",
                "rtpmap:108 H264/90000",
                "fmtp:108 packetization-mode=2",
            ],
        );
        assert_eq!(numbers(&read(MediaKind::Video, &media)), [102, 104, 106]);
    }

    #[test]
    fn a_wrong_clock_or_channel_count_is_another_codec() {
        let wrong = media(
            "96 97 98 111 112",
            &[
                "rtpmap:96 VP8/48000",
                "rtpmap:97 VP8",
                "rtpmap:98 VP8/90000/x",
                "rtpmap:111 opus/48000",
                "rtpmap:112 opus/48000/1",
            ],
        );
        assert!(read(MediaKind::Video, &wrong).is_empty());
        assert!(read(MediaKind::Audio, &wrong).is_empty());
    }

    #[test]
    fn numbers_that_collide_with_rtcp_or_do_not_fit_are_left_out() {
        let numbers_offered = ["63", "64", "72", "95", "96", "128", "300", "x", "-1"];
        let lines: Vec<String> = numbers_offered.iter().map(|n| format!("rtpmap:{n} VP8/90000")).collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let codecs = read(MediaKind::Video, &media(&numbers_offered.join(" "), &lines));
        assert_eq!(numbers(&codecs), [63, 96]);
    }

    #[test]
    fn a_format_listed_twice_counts_once() {
        let codecs = read(MediaKind::Video, &media("96 96", &["rtpmap:96 VP8/90000", "rtpmap:96 AV1/90000"]));
        assert_eq!(numbers(&codecs), [96]);
        assert_eq!(codecs[0].codec, Codec::Vp8);
    }

    #[test]
    fn only_feedback_that_is_served_is_answered() {
        let media = media(
            "96",
            &[
                "rtpmap:96 VP8/90000",
                "rtcp-fb:96 goog-remb",
                "rtcp-fb:96 transport-cc",
                "rtcp-fb:96 ccm fir",
                "rtcp-fb:96 nack",
                "rtcp-fb:96 nack pli",
                "rtcp-fb:97 nack pli",
                "rtcp-fb:999 nack pli",
            ],
        );
        let codecs = read(MediaKind::Video, &media);
        let vp8 = PayloadType(96);
        let served = [(vp8, "nack"), (vp8, "nack pli"), (vp8, "ccm fir"), (vp8, "transport-cc")];
        assert_eq!(read_feedback(MediaKind::Video, &media, &codecs), served);
        assert!(read_feedback(MediaKind::Audio, &media, &codecs).is_empty());
    }

    #[test]
    fn feedback_for_all_formats_is_feedback_for_each() {
        let media = media("96 98", &["rtpmap:96 VP8/90000", "rtpmap:98 VP9/90000", "rtcp-fb:* nack pli"]);
        let feedback = read_feedback(MediaKind::Video, &media, &read(MediaKind::Video, &media));
        assert_eq!(feedback, [(PayloadType(96), "nack pli"), (PayloadType(98), "nack pli")]);
    }

    #[test]
    fn opus_is_asked_for_with_dtx_only_where_it_is_received() {
        let opus = |fmtp: &str| CodecDescription {
            payload_type: PayloadType(111),
            codec: Codec::Opus,
            clock_rate: 48_000,
            fmtp: fmtp.to_owned(),
            nack: false,
            rtx: None,
        };
        assert_eq!(answered_parameters(&opus("minptime=10;stereo=1"), true), "minptime=10;stereo=1;usedtx=1");
        assert_eq!(answered_parameters(&opus(""), true), "usedtx=1");
        assert_eq!(answered_parameters(&opus("usedtx=0"), true), "usedtx=0");
        assert_eq!(answered_parameters(&opus("minptime=10"), false), "minptime=10");
    }
}
