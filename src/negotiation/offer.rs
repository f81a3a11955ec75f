//! One offer, read: its m-lines with what each is used for (RFC 3264, RFC 8829, section 5.10).
//!
//! What always holds: reading changes nothing; a section in use has a mid no other has, and media in use has a codec.

use rtc_sdp::description::common::Attribute;
use rtc_sdp::description::media::MediaDescription;
use rtc_sdp::description::session::SessionDescription;

use super::extensions::{self, Mapping};
use super::parse::{has, malformed};
use super::simulcast::{self, Encoding};
use super::transport_attributes::{self as transport, Levels};
use super::{MediaKind, OfferError, Section, codecs, track};
use crate::transport::{DtlsRole, RemoteParameters};
use crate::wire::{Mid, PayloadType};

/// `a=sendrecv` and its relatives, from the view of whoever writes the description.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub fn of(sends: bool, receives: bool) -> Direction {
        match (sends, receives) {
            (true, true) => Direction::SendRecv,
            (true, false) => Direction::SendOnly,
            (false, true) => Direction::RecvOnly,
            (false, false) => Direction::Inactive,
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }

    pub fn from_name(name: &str) -> Option<Direction> {
        let all = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
        all.into_iter().find(|d| d.name() == name)
    }

    pub fn sends(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::SendOnly)
    }

    pub fn receives(self) -> bool {
        matches!(self, Direction::SendRecv | Direction::RecvOnly)
    }

    /// The section's direction, else the session's, else sendrecv (RFC 8866, section 6.7).
    pub fn read(section: &[Attribute], session: &[Attribute]) -> Direction {
        let on = |level: &[Attribute]| level.iter().find_map(|a| Direction::from_name(&a.key));
        on(section).or_else(|| on(session)).unwrap_or(Direction::SendRecv)
    }
}

/// An m-line as offered: what the answer's must mirror. Kept for as long as the session, so in few pieces.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MediaLine {
    pub media: String,
    /// `UDP/TLS/RTP/SAVPF`
    pub proto: String,
    /// By blanks; empty where the codecs of a section tell.
    pub formats: String,
}

/// What an answer needs of a section beside what [`Section`] tells.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct MediaAttributes {
    pub feedback: Vec<(PayloadType, &'static str)>,
    pub extensions: Vec<Mapping>,
    pub encodings: Vec<Encoding>,
    /// `a=rtcp-rsize` (RFC 5506) is offered.
    pub reduced_size: bool,
    /// `a=extmap-allow-mixed` is offered in the section.
    pub allow_mixed: bool,
}

/// What an m-line is used for.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Content {
    /// By either side: port 0, or something that is not forwarded.
    Rejected,
    Data,
    Media(MediaAttributes),
}

/// One m-line and its use.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Slot {
    pub line: MediaLine,
    /// Present on every slot in use.
    pub mid: Option<Mid>,
    pub content: Content,
}

impl Slot {
    pub fn is_rejected(&self) -> bool {
        self.content == Content::Rejected
    }
}

/// An offer that can be served.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Offer {
    /// One per m-line, in order.
    pub slots: Vec<Slot>,
    /// The media sections in use, in order.
    pub sections: Vec<Section>,
    /// `None` when no section is in use.
    pub transport: Option<RemoteParameters>,
    pub ice_options: Vec<&'static str>,
    /// The offer has a BUNDLE group.
    pub bundle: bool,
    /// `a=extmap-allow-mixed` is offered at the session level.
    pub allow_mixed: bool,
}

impl Offer {
    pub fn has_data(&self) -> bool {
        self.slots.iter().any(|s| s.content == Content::Data)
    }

    /// Takes the offer as one in which the peer sends nothing.
    pub fn decline_media(&mut self) {
        self.sections.iter_mut().for_each(|section| section.remote = None);
        for slot in &mut self.slots {
            if let Content::Media(media) = &mut slot.content {
                media.encodings.clear();
            }
        }
    }

    /// `role` is the DTLS role this side holds from an earlier offer.
    pub fn read(description: &SessionDescription, role: Option<DtlsRole>) -> Result<Offer, OfferError> {
        let mut slots: Vec<Slot> = Vec::with_capacity(description.media_descriptions.len());
        let mut sections = Vec::new();
        let mut used = Vec::new();
        let mut unserved = None;
        for media in &description.media_descriptions {
            let data_taken = slots.iter().any(|s| s.content == Content::Data);
            let (slot, section) = read_slot(media, &description.attributes, data_taken)?;
            if slot.mid.is_some() && slots.iter().any(|s| s.mid == slot.mid) {
                return Err(malformed("two sections have one mid"));
            }
            if slot.is_rejected() && wants_to_send(media, &description.attributes) {
                unserved = unserved.or(slot.mid);
            }
            if !slot.is_rejected() {
                used.push((slot.mid.ok_or(OfferError::Missing("mid"))?, media.attributes.as_slice()));
            }
            slots.push(slot);
            sections.extend(section);
        }
        sections.shrink_to_fit();
        // One section in vain is refused alone (RFC 3264, section 6); an offer that publishes in vain as a whole.
        if let Some(mid) = unserved.filter(|_| !sections.iter().any(|section: &Section| section.remote.is_some())) {
            return Err(OfferError::NoCommonCodec(mid.to_string()));
        }
        let (mids, attributes): (Vec<Mid>, Vec<&[Attribute]>) = used.into_iter().unzip();
        let bundle = transport::read_bundle(&description.attributes);
        transport::check_bundle(bundle.as_deref(), &mids)?;
        let levels = Levels { session: &description.attributes, sections: attributes };
        let transport = if mids.is_empty() { None } else { Some(transport::read(&levels, role)?) };
        Ok(Offer {
            slots,
            sections,
            transport,
            ice_options: transport::read_ice_options(&levels),
            bundle: bundle.is_some(),
            allow_mixed: has(&description.attributes, "extmap-allow-mixed"),
        })
    }
}

/// What an m-line asks for, by its media and protocol.
pub(super) enum Asked {
    Media(MediaKind),
    Data,
    Unknown,
}

pub(super) fn asked(media: &MediaDescription) -> Asked {
    let name = &media.media_name;
    let proto = name.protos.join("/");
    // RFC 8829, section 5.1.2 lists what must be taken as UDP/TLS/RTP/SAVPF.
    let rtp = matches!(
        proto.as_str(),
        "UDP/TLS/RTP/SAVPF"
            | "UDP/TLS/RTP/SAVP"
            | "TCP/DTLS/RTP/SAVPF"
            | "TCP/DTLS/RTP/SAVP"
            | "RTP/SAVPF"
            | "RTP/SAVP"
    );
    let sctp = matches!(proto.as_str(), "UDP/DTLS/SCTP" | "TCP/DTLS/SCTP");
    match name.media.as_str() {
        "audio" if rtp => Asked::Media(MediaKind::Audio),
        "video" if rtp => Asked::Media(MediaKind::Video),
        "application" if sctp && name.formats == ["webrtc-datachannel"] => Asked::Data,
        _ => Asked::Unknown,
    }
}

/// RFC 8843, section 6: port 0 with bundle-only is a section in use.
pub(super) fn is_unused(media: &MediaDescription) -> bool {
    media.media_name.port.value == 0 && !has(&media.attributes, "bundle-only")
}

/// The peer wants to send audio or video here.
fn wants_to_send(media: &MediaDescription, session: &[Attribute]) -> bool {
    let in_use = matches!(asked(media), Asked::Media(_)) && !is_unused(media);
    in_use && Direction::read(&media.attributes, session).sends()
}

fn read_slot(
    media: &MediaDescription,
    session: &[Attribute],
    data_taken: bool,
) -> Result<(Slot, Option<Section>), OfferError> {
    let attributes = &media.attributes;
    let name = &media.media_name;
    let mid = transport::read_mid(attributes)?;
    let used = match asked(media) {
        _ if is_unused(media) => None,
        Asked::Unknown => None,
        Asked::Data if data_taken => None,
        Asked::Data => Some((Content::Data, None)),
        Asked::Media(kind) => read_media(kind, media, session, mid)?.map(|(m, s)| (Content::Media(m), Some(s))),
    };
    let (content, section) = used.unwrap_or((Content::Rejected, None));
    let formats = if section.is_some() { String::new() } else { name.formats.join(" ") };
    let line = MediaLine { media: name.media.clone(), proto: name.protos.join("/"), formats };
    Ok((Slot { line, mid, content }, section))
}

/// Reads an audio or video section; `None` when it has no codec that is forwarded.
fn read_media(
    kind: MediaKind,
    media: &MediaDescription,
    session: &[Attribute],
    mid: Option<Mid>,
) -> Result<Option<(MediaAttributes, Section)>, OfferError> {
    let mid = mid.ok_or(OfferError::Missing("mid"))?;
    let attributes = &media.attributes;
    let direction = Direction::read(attributes, session);
    let codecs = codecs::read(kind, media);
    if codecs.is_empty() {
        return Ok(None);
    }
    transport::check_rtcp_mux(attributes)?;
    let (mappings, extensions) = extensions::read(kind, direction, media);
    let sends_video = direction.sends() && kind == MediaKind::Video;
    let encodings = if sends_video { simulcast::read(media, &codecs)? } else { Vec::new() };
    let remote = if direction.sends() {
        let mut track = track::read(media)?;
        track.encodings = encodings.iter().map(|e| e.description).collect();
        Some(track)
    } else {
        None
    };
    let detail = MediaAttributes {
        feedback: codecs::read_feedback(kind, media, &codecs),
        extensions: mappings,
        encodings,
        reduced_size: has(attributes, "rtcp-rsize"),
        allow_mixed: has(attributes, "extmap-allow-mixed"),
    };
    let section = Section { mid, kind, codecs, extensions, remote, peer_receives: direction.receives(), local: None };
    Ok(Some((detail, section)))
}
