//! Who may publish or watch, what may be offered, and what the room is asked.
//!
//! What always holds: an offer is taken as a whole or not at all (RFC 9725, section 4.4.3); a player has an identity of its
//! own, so that one token serves many players and never puts out the participant it names.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::Protocol;
use super::refusal::Refusal;
use crate::limits;
use crate::negotiation::{MediaKind, OfferedSection, outline};
use crate::room::admission::source_allowed;
use crate::room::command::{Follow, JoinRequest, NoData, Offer};
use crate::room::model::*;
use crate::signalling::token::Claims;

/// What a request's address asks for.
pub(super) struct Asked {
    pub protocol: Protocol,
    pub room: String,
    /// Whom to watch.
    pub watched: Option<String>,
    /// How somebody without a token wants to be called; else a name is drawn.
    pub identity: Option<String>,
}

/// Checks the token's rights. `None` stands for development mode, in which no token is needed.
pub(super) fn authorize(claims: Option<&Claims>, asked: &Asked) -> Result<(), Refusal> {
    let names = [Some(&asked.room), asked.watched.as_ref(), asked.identity.as_ref()];
    if names.into_iter().flatten().any(|name| name.is_empty() || name.len() > limits::NAME_BYTES) {
        return Err(Refusal::Name);
    }
    let Some(claims) = claims else { return Ok(()) };
    match asked.protocol {
        _ if claims.room.as_str() != asked.room => Err(Refusal::Forbidden("it is for another room")),
        Protocol::Whip if !claims.grants.publish => Err(Refusal::Forbidden("publishing (video.canPublish)")),
        Protocol::Whep if !claims.grants.subscribe => Err(Refusal::Forbidden("watching (video.canSubscribe)")),
        _ => Ok(()),
    }
}

/// Who asks, as far as that is known before the offer is read: a player gets an identity of its own each time.
pub(super) fn who(claims: Option<&Claims>, asked: &Asked) -> (RoomName, Identity) {
    let given = claims.map(|claims| claims.identity.as_str()).or(asked.identity.as_deref());
    let identity = given.filter(|_| asked.protocol == Protocol::Whip).unwrap_or_default();
    (RoomName::new(&asked.room), Identity::new(identity))
}

/// What the room is asked, once token and offer are good.
pub(super) fn join_request(claims: Option<&Claims>, asked: &Asked, offer: String) -> Result<JoinRequest, Refusal> {
    let sections = outline(&offer)?;
    check_sections(asked.protocol, &sections)?;
    let grants = grants(claims, asked.protocol);
    let announcements = match asked.protocol {
        Protocol::Whip => sections.iter().map(announcement).collect(),
        Protocol::Whep => Vec::new(),
    };
    if announcements.iter().any(|announcement: &Announcement| !source_allowed(&grants, announcement.source)) {
        return Err(Refusal::Forbidden("camera or microphone (video.canPublishSources)"));
    }
    let follow = match asked.protocol {
        Protocol::Whip => None,
        Protocol::Whep => Some(Follow { publisher: asked.watched.as_deref().map(Identity::new) }),
    };
    let identity = identity(claims, asked);
    Ok(JoinRequest {
        room: RoomName::new(&asked.room),
        name: claims.map(|claims| claims.name.clone()).filter(|name| !name.is_empty()).unwrap_or(identity.clone()),
        identity: Identity::new(&identity),
        metadata: claims.map(|claims| claims.metadata.clone()).unwrap_or_default(),
        attributes: claims.map_or(BTreeMap::new(), |claims| claims.attributes.clone()),
        grants,
        auto_subscribe: false,
        auto_subscribe_data: false,
        follow,
        offer: Some(Offer { id: 0, sdp: offer }),
        announcements,
        opaque: Bytes::new(),
        data_protocol: Arc::new(NoData),
    })
}

/// RFC 9725, sections 4.2 and 4.4.2; the draft for players says the same the other way round.
fn check_sections(protocol: Protocol, sections: &[OfferedSection]) -> Result<(), Refusal> {
    let direction = |section: &OfferedSection| match protocol {
        Protocol::Whip => section.sends,
        Protocol::Whep => section.receives,
    };
    if sections.is_empty() {
        return Err(Refusal::Unprocessable("the offer has no audio or video section".to_owned()));
    }
    if !sections.iter().all(direction) {
        let wanted = match protocol {
            Protocol::Whip => "sendonly",
            Protocol::Whep => "recvonly",
        };
        return Err(Refusal::Unprocessable(format!("every audio and video section must be {wanted} or sendrecv")));
    }
    for kind in [MediaKind::Audio, MediaKind::Video] {
        if sections.iter().filter(|section| section.kind == kind).count() > 1 {
            return Err(Refusal::NotAcceptable("at most one audio and one video section are served"));
        }
    }
    if !sections.iter().all(|section| section.served) {
        return Err(Refusal::NotAcceptable("a section has no codec that is forwarded"));
    }
    Ok(())
}

fn announcement(section: &OfferedSection) -> Announcement {
    let source = match section.kind {
        MediaKind::Audio => TrackSource::Microphone,
        MediaKind::Video => TrackSource::Camera,
    };
    Announcement {
        client_id: section.track_id.clone(),
        kind: section.kind,
        source,
        muted: false,
        layers: Vec::new(),
        opaque: Bytes::new(),
        mime_type: None,
        backup: None,
    }
}

/// The token's word on what it may, cut down to what the protocol does.
fn grants(claims: Option<&Claims>, protocol: Protocol) -> Grants {
    let given = claims.map(|claims| &claims.grants);
    let plays = protocol == Protocol::Whep;
    Grants {
        publish: !plays,
        publish_sources: given.map(|grants| grants.publish_sources.clone()).unwrap_or_default(),
        publish_data: false,
        subscribe: plays,
        update_own_metadata: false,
        hidden: plays || given.is_some_and(|grants| grants.hidden),
        recorder: plays && given.is_some_and(|grants| grants.recorder),
        agent: false,
    }
}

fn identity(claims: Option<&Claims>, asked: &Asked) -> String {
    let given = claims.map(|claims| claims.identity.as_str()).or(asked.identity.as_deref());
    match (asked.protocol, given) {
        (Protocol::Whip, Some(given)) => given.to_owned(),
        (protocol, _) => format!("{}-{:016x}", protocol.name(), rand::random::<u64>()),
    }
}
