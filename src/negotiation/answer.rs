//! The answer's text (RFC 8829, section 5.3; RFC 8843, section 7.3; RFC 8839 for ICE-lite).
//!
//! What always holds: the m-lines mirror the offer's in number, order, media and protocol; a section in use lists at least
//! one codec; a rejected one has port 0 and is in no BUNDLE group; nothing but offered values and checked local tokens is written.

use std::net::SocketAddr;

use rtc_sdp::description::common::{Address, Attribute, ConnectionInformation};
use rtc_sdp::description::media::{MediaDescription, MediaName, RangedPort};
use rtc_sdp::description::session::{Origin, SessionDescription, TimeDescription};

use super::offer::{Content, Direction, MediaAttributes, Offer, Slot};
use super::transport_attributes::setup;
use super::{LocalParameters, LocalTrack, Section, codecs, simulcast};
use crate::limits;
use crate::transport::DtlsRole;
use crate::wire::PayloadType;

/// The placeholder port of a section whose addresses are candidates (RFC 8840, section 4.1.1).
const DISCARD_PORT: isize = 9;
/// SCTP port inside DTLS; any would do, all implementations use this one.
const SCTP_PORT: u16 = 5000;

/// What the answer's `o=` line says.
pub(super) struct Identity {
    pub id: u64,
    pub version: u64,
}

/// Writes the answer to `offer`.
pub(super) fn write(identity: Identity, offer: &Offer, role: DtlsRole, local: &LocalParameters) -> String {
    let transport = Transport { offer, role, local };
    let mut description = session_level(identity, offer);
    description.media_descriptions = offer.slots.iter().map(|slot| section(slot, offer, &transport)).collect();
    // BUNDLE's first section is where candidates belong (RFC 8843, section 7.3.1). Some stacks do not read those of an
    // inactive section, so the first one in which something may flow repeats them.
    let (mut told, mut told_where_active) = (false, false);
    for (slot, media) in offer.slots.iter().zip(&mut description.media_descriptions) {
        let active = media.attributes.iter().all(|attribute| attribute.key != "inactive");
        if !slot.is_rejected() && (!told || (active && !told_where_active)) {
            media.attributes.extend(candidates(&local.candidates));
            told = true;
            told_where_active |= active;
        }
    }
    description.marshal()
}

fn session_level(identity: Identity, offer: &Offer) -> SessionDescription {
    let mut attributes = vec![flag("ice-lite")];
    let mids = offer.slots.iter().filter(|s| !s.is_rejected()).filter_map(|s| s.mid);
    let group = mids.fold("BUNDLE".to_owned(), |group, mid| format!("{group} {mid}"));
    if offer.bundle {
        attributes.push(attribute("group", group));
    }
    if offer.allow_mixed {
        attributes.push(flag("extmap-allow-mixed"));
    }
    attributes.push(attribute("msid-semantic", "WMS *"));
    SessionDescription {
        origin: Origin {
            username: "-".to_owned(),
            session_id: identity.id,
            session_version: identity.version,
            network_type: "IN".to_owned(),
            address_type: "IP4".to_owned(),
            unicast_address: "127.0.0.1".to_owned(),
        },
        session_name: "-".to_owned(),
        time_descriptions: vec![TimeDescription::default()],
        attributes,
        ..SessionDescription::default()
    }
}

fn section(slot: &Slot, offer: &Offer, transport: &Transport) -> MediaDescription {
    let mut media = m_line(slot);
    media.attributes.extend(slot.mid.map(|mid| attribute("mid", mid)));
    match &slot.content {
        Content::Rejected => media.attributes.push(flag(Direction::Inactive.name())),
        Content::Data => {
            media.attributes.extend(transport.attributes());
            media.attributes.push(attribute("sctp-port", SCTP_PORT));
            media.attributes.push(attribute("max-message-size", limits::DATA_MESSAGE_BYTES));
        }
        Content::Media(detail) => {
            media.attributes.extend(transport.attributes());
            if let Some(section) = offer.sections.iter().find(|s| Some(s.mid) == slot.mid) {
                fill(&mut media, section, detail);
            }
        }
    }
    media
}

fn m_line(slot: &Slot) -> MediaDescription {
    let formats = match slot.content {
        Content::Media(_) => Vec::new(),
        Content::Data | Content::Rejected => slot.line.formats.split_ascii_whitespace().map(str::to_owned).collect(),
    };
    let port = if slot.is_rejected() { 0 } else { DISCARD_PORT };
    MediaDescription {
        media_name: MediaName {
            media: slot.line.media.clone(),
            port: RangedPort { value: port, range: None },
            protos: slot.line.proto.split('/').map(str::to_owned).collect(),
            formats,
        },
        connection_information: Some(ConnectionInformation {
            network_type: "IN".to_owned(),
            address_type: "IP4".to_owned(),
            address: Some(Address { address: "0.0.0.0".to_owned(), ttl: None, range: None }),
        }),
        ..MediaDescription::default()
    }
}

/// What every section in use repeats. RFC 8843 asks for it in the first only; some stacks look for it in each.
struct Transport<'a> {
    offer: &'a Offer,
    role: DtlsRole,
    local: &'a LocalParameters,
}

impl Transport<'_> {
    fn attributes(&self) -> Vec<Attribute> {
        let ice = &self.local.ice;
        let mut attributes = vec![attribute("ice-ufrag", &ice.ufrag), attribute("ice-pwd", &ice.pwd)];
        if !self.offer.ice_options.is_empty() {
            attributes.push(attribute("ice-options", self.offer.ice_options.join(" ")));
        }
        attributes.push(attribute("fingerprint", &self.local.fingerprint));
        attributes.push(attribute("setup", setup(self.role)));
        attributes
    }
}

/// Host candidates in the order given, all for component 1 (RTCP is multiplexed), and their end.
fn candidates(addresses: &[SocketAddr]) -> Vec<Attribute> {
    let line = |(index, address): (usize, &SocketAddr)| {
        let local_preference = u32::from(u16::MAX).saturating_sub(u32::try_from(index).unwrap_or(u32::MAX));
        // RFC 8445, section 5.1.2.1: type preference 126 for host candidates, component 1.
        let priority = (126 << 24) | (local_preference << 8) | 255;
        let foundation = index.saturating_add(1);
        attribute("candidate", format!("{foundation} 1 udp {priority} {} {} typ host", address.ip(), address.port()))
    };
    addresses.iter().enumerate().map(line).chain([flag("end-of-candidates")]).collect()
}

/// Codecs, extensions, direction and tracks of an audio or video section.
fn fill(media: &mut MediaDescription, section: &Section, detail: &MediaAttributes) {
    let receives = section.remote.is_some();
    // A peer that sends in the same section may go on with every codec; else only the source's can arrive.
    let codecs = match &section.local {
        Some(track) if !receives => codecs::narrow(&section.codecs, &track.codecs),
        _ => section.codecs.clone(),
    };
    let formats = codecs.iter().flat_map(|c| [Some(c.payload_type), c.rtx]).flatten();
    media.media_name.formats = formats.map(|payload_type| payload_type.0.to_string()).collect();
    let lines = &mut media.attributes;
    lines.extend(detail.extensions.iter().map(|m| {
        let direction = m.direction.map(|d| format!("/{}", d.name())).unwrap_or_default();
        attribute("extmap", format!("{}{direction} {}", m.id, m.extension.uri()))
    }));
    if detail.allow_mixed {
        lines.push(flag("extmap-allow-mixed"));
    }
    lines.push(flag(Direction::of(section.local.is_some(), receives).name()));
    lines.push(flag("rtcp-mux"));
    if detail.reduced_size {
        lines.push(flag("rtcp-rsize"));
    }
    for codec in &codecs {
        let number = codec.payload_type.0;
        lines.push(attribute("rtpmap", format!("{number} {}", codecs::encoding(codec.codec))));
        let feedback = detail.feedback.iter().filter(|(p, _)| *p == codec.payload_type);
        lines.extend(feedback.map(|(_, message)| attribute("rtcp-fb", format!("{number} {message}"))));
        let parameters = codecs::answered_parameters(codec, receives);
        if !parameters.is_empty() {
            lines.push(attribute("fmtp", format!("{number} {parameters}")));
        }
        if let Some(PayloadType(rtx)) = codec.rtx {
            lines.push(attribute("rtpmap", format!("{rtx} rtx/{}", codec.clock_rate)));
            lines.push(attribute("fmtp", format!("{rtx} apt={number}")));
        }
    }
    if let Some((rids, simulcast)) = simulcast::answer(&detail.encodings) {
        lines.extend(rids.into_iter().map(|rid| attribute("rid", rid)));
        lines.push(attribute("simulcast", simulcast));
    }
    let repaired = codecs.iter().any(|codec| codec.rtx.is_some());
    lines.extend(section.local.iter().flat_map(|track| sent_track(track, repaired)));
}

/// `a=msid` (RFC 8830), and `a=ssrc` (RFC 5576) so that packets are known before they carry a mid; with the SSRC of the
/// retransmissions where the track is `repaired` (RFC 4588, section 8.8).
fn sent_track(track: &LocalTrack, repaired: bool) -> Vec<Attribute> {
    let msid = format!("{} {}", token(&track.stream_id), token(&track.track_id));
    let repair = track.rtx.filter(|_| repaired);
    let mut lines = vec![attribute("msid", &msid)];
    lines.extend(repair.map(|rtx| attribute("ssrc-group", format!("FID {} {}", track.ssrc.0, rtx.0))));
    for ssrc in [Some(track.ssrc), repair].into_iter().flatten() {
        lines.push(attribute("ssrc", format!("{} cname:{}", ssrc.0, token(&track.cname))));
        lines.push(attribute("ssrc", format!("{} msid:{msid}", ssrc.0)));
    }
    lines
}

/// Identifiers may come from other participants: whatever could end the word or the line is replaced.
fn token(text: &str) -> String {
    if text.is_empty() {
        return "-".to_owned();
    }
    text.chars().map(|c| if c.is_ascii_graphic() { c } else { '_' }).collect()
}

fn attribute(key: &str, value: impl ToString) -> Attribute {
    Attribute::new(key.to_owned(), Some(value.to_string()))
}

fn flag(key: &str) -> Attribute {
    Attribute::new(key.to_owned(), None)
}
