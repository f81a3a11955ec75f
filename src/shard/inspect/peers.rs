//! Participants as the shard sees them that hosts them: what arrives of each encoding, and what is sent of each subscription.

use std::time::{Duration, Instant};

use serde::Serialize;

use super::super::leg::RoomKey;
use super::super::outbound::{Outbound, Subscription};
use super::super::peer::Peer;
use super::super::sessions::mime_type;
use super::super::source::{Encoding, Source};
use super::super::{RoomOnShard, Shard};
use super::rooms::kind;
use crate::congestion::bitrate::Bitrate;
use crate::limits;
use crate::media::layers::{Picture, Quality, Selection, Wanted};
use crate::media::receive::ReceiveStream;
use crate::recorder::series::Sample;
use crate::room::model::{ParticipantId, Rendition, TrackId};
use crate::room::participant::ParticipantKey;

/// Layers from this on stand for all there are.
const ALL_LAYERS: u8 = 7;

#[derive(Clone, Debug, Serialize)]
pub struct PeerSnapshot {
    #[serde(skip)]
    pub key: ParticipantKey,
    /// ICE, DTLS and SRTP are up.
    pub connected: bool,
    /// Since anything authenticated came from it.
    pub silent_ms: u64,
    /// Sections of its session.
    pub sections: usize,
    /// What the way to it takes; null where it does not tell.
    pub estimated_bitrate_bps: Option<u64>,
    /// Headers of its packets are recorded for so long still.
    pub recording_seconds: Option<u64>,
    pub published: Vec<SourceSnapshot>,
    pub subscriptions: Vec<SubscriptionSnapshot>,
    /// Further ones that are left out of this answer.
    pub subscriptions_omitted: usize,
    /// Subscriptions that wait for a section of its session.
    pub subscriptions_waiting: usize,
    #[serde(skip)]
    pub samples: Vec<Sample>,
}

#[derive(Clone, Debug, Serialize)]
pub struct SourceSnapshot {
    pub track: TrackId,
    pub rendition: &'static str,
    pub kind: &'static str,
    /// The first that was negotiated.
    pub mime_type: &'static str,
    /// Who receives it on this shard.
    pub subscribers_here: usize,
    /// Shards it is handed over to.
    pub handed_to_shards: Vec<usize>,
    /// Low to high.
    pub encodings: Vec<EncodingSnapshot>,
}

#[derive(Clone, Debug, Serialize)]
pub struct EncodingSnapshot {
    pub rid: Option<String>,
    /// `None` before the first packet, as all figures are 0.
    pub ssrc: Option<u32>,
    pub active: bool,
    /// Of the last second, whole RTP packets.
    pub bitrate_bps: u32,
    pub packets: u64,
    pub bytes: u64,
    /// Of the last report interval, 0 to 1, whether the packets came again or not.
    pub loss_ratio: f64,
    pub jitter_ms: f64,
    pub nacked_packets: u32,
    pub recovered_packets: u32,
    pub given_up_packets: u32,
    pub keyframes_asked: u32,
}

#[derive(Clone, Debug, Serialize)]
pub struct SubscriptionSnapshot {
    pub track: TrackId,
    pub publisher: ParticipantId,
    pub kind: &'static str,
    pub ssrc: u32,
    pub rtx_ssrc: Option<u32>,
    /// `nothing`, a quality, or a size in pixels.
    pub wanted: String,
    pub wanted_frame_rate: Option<u32>,
    pub chosen: Option<Chosen>,
    pub sent: Option<Chosen>,
    pub awaits_keyframe: bool,
    /// Of the last second, payload.
    pub bitrate_bps: u32,
    pub packets: u64,
    pub payload_bytes: u64,
    /// As the subscriber last reported.
    pub loss_ratio: f64,
    pub jitter_ms: f64,
    pub round_trip_time_ms: Option<f64>,
    pub nacked_packets: u32,
    pub retransmitted_packets: u32,
    pub keyframe_requests: u32,
    /// Seen from its requests for keyframes.
    pub freezes: u32,
    pub frozen_ms: u64,
    pub frozen_now: bool,
    /// The least that it is asked for.
    pub playout_delay_ms: Option<u64>,
    /// What its share of the subscriber's way leaves of what is wanted: `enough`, `less` or `nothing`.
    pub bandwidth: &'static str,
}

/// An encoding and its highest layers; null where all of them are meant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chosen {
    pub encoding: usize,
    pub rid: Option<String>,
    pub spatial_layer: Option<u8>,
    pub temporal_layer: Option<u8>,
}

impl Shard {
    /// Of these participants, with at most so many subscriptions in all.
    pub(in crate::shard) fn peer_snapshots(
        &self,
        now: Instant,
        room: RoomKey,
        participants: &[ParticipantKey],
        most: usize,
    ) -> Vec<PeerSnapshot> {
        let Some(entry) = self.by_key.get(&room).and_then(|place| self.rooms.get(*place)) else { return Vec::new() };
        let mut left = most;
        let hosted = participants.iter().take(limits::DEBUG_PARTICIPANTS).filter_map(|participant| {
            let peer = self.peers.get(*entry.participants.get(participant)?)?;
            Some((*participant, peer))
        });
        hosted.map(|(participant, peer)| peer_snapshot(now, entry, participant, peer, &mut left)).collect()
    }
}

fn peer_snapshot(
    now: Instant,
    entry: &RoomOnShard,
    key: ParticipantKey,
    peer: &Peer,
    left: &mut usize,
) -> PeerSnapshot {
    let subscriptions = subscriptions(entry, &peer.outbound, *left);
    *left -= subscriptions.len();
    let published = peer.inbound.sources().filter_map(|source| entry.sources.get(source));
    PeerSnapshot {
        key,
        connected: peer.transport.is_connected(),
        silent_ms: millis(now.saturating_duration_since(peer.transport.last_heard())),
        sections: peer.session.sections().len(),
        estimated_bitrate_bps: peer.estimate(now).map(Bitrate::bps),
        recording_seconds: peer.recorder.records_for(now).map(|time| time.as_secs()),
        published: published.map(source_snapshot).collect(),
        subscriptions_omitted: peer.outbound.subscriptions().count() - subscriptions.len(),
        subscriptions,
        subscriptions_waiting: peer.outbound.waiting.len(),
        samples: peer.recorder.series().iter().copied().collect(),
    }
}

fn source_snapshot(source: &Source) -> SourceSnapshot {
    SourceSnapshot {
        track: source.track.clone(),
        rendition: match source.rendition {
            Rendition::Primary => "primary",
            Rendition::Backup => "backup",
        },
        kind: kind(source.kind),
        mime_type: source.codecs.first().map_or("", |codec| mime_type(codec.codec)),
        subscribers_here: source.subscribers.len(),
        handed_to_shards: source.handed_to.iter().map(|shard| shard.0).collect(),
        encodings: source.encodings.iter().map(encoding_snapshot).collect(),
    }
}

fn encoding_snapshot(encoding: &Encoding) -> EncodingSnapshot {
    let stream = encoding.stream.as_ref();
    let tally = &encoding.tally;
    EncodingSnapshot {
        rid: encoding.rid.map(|rid| rid.to_string()),
        ssrc: stream.map(|stream| stream.ssrc().0),
        active: encoding.is_active(),
        bitrate_bps: tally.rate.bitrate(),
        packets: stream.map_or(0, ReceiveStream::packets),
        bytes: stream.map_or(0, ReceiveStream::bytes),
        loss_ratio: ratio(stream.map_or(0, ReceiveStream::fraction_lost)),
        jitter_ms: fractional_millis(stream.map_or(Duration::ZERO, ReceiveStream::jitter)),
        nacked_packets: tally.nacked,
        recovered_packets: tally.recovered,
        given_up_packets: tally.given_up,
        keyframes_asked: tally.keyframes_asked,
    }
}

fn subscriptions(entry: &RoomOnShard, outbound: &Outbound, most: usize) -> Vec<SubscriptionSnapshot> {
    let some = outbound.subscriptions().take(most);
    some.map(|subscription| subscription_snapshot(entry.sources.get(subscription.source), subscription)).collect()
}

fn subscription_snapshot(source: Option<&Source>, subscription: &Subscription) -> SubscriptionSnapshot {
    let (stream, tally) = (&subscription.stream, &subscription.tally);
    let freezes = subscription.freezes();
    SubscriptionSnapshot {
        track: subscription.track.clone(),
        publisher: source.map_or_else(|| subscription.publisher.clone(), |source| source.publisher_id.clone()),
        kind: source.map_or("", |source| kind(source.kind)),
        ssrc: stream.target().ssrc.0,
        rtx_ssrc: stream.rtx_ssrc().map(|ssrc| ssrc.0),
        wanted: wanted(subscription.wanted),
        wanted_frame_rate: subscription.wanted.frame_rate,
        chosen: stream.chosen().map(|selection| chosen(source, selection)),
        sent: stream.selected().map(|selection| chosen(source, selection)),
        awaits_keyframe: stream.awaits_keyframe().is_some(),
        bitrate_bps: tally.rate.bitrate(),
        packets: stream.packets(),
        payload_bytes: stream.bytes(),
        loss_ratio: ratio(stream.fraction_lost()),
        jitter_ms: fractional_millis(stream.jitter()),
        round_trip_time_ms: stream.round_trip_time().map(fractional_millis),
        nacked_packets: tally.nacked,
        retransmitted_packets: tally.retransmitted,
        keyframe_requests: tally.keyframe_requests,
        freezes: freezes.count,
        frozen_ms: millis(freezes.total),
        frozen_now: freezes.lasts,
        playout_delay_ms: stream.held_back().map(millis),
        bandwidth: subscription.share.given().label(),
    }
}

fn wanted(wanted: Wanted) -> String {
    match wanted.picture {
        Picture::Nothing => "nothing".to_owned(),
        Picture::Quality(Quality::Low) => "low".to_owned(),
        Picture::Quality(Quality::Medium) => "medium".to_owned(),
        Picture::Quality(Quality::High) => "high".to_owned(),
        Picture::Size { width, height } => format!("{width}x{height}"),
    }
}

fn chosen(source: Option<&Source>, selection: Selection) -> Chosen {
    let encoding = source.and_then(|source| source.encodings.get(selection.encoding));
    let layer = |layer: u8| (layer < ALL_LAYERS).then_some(layer);
    Chosen {
        encoding: selection.encoding,
        rid: encoding.and_then(|encoding| encoding.rid).map(|rid| rid.to_string()),
        spatial_layer: layer(selection.layers.spatial),
        temporal_layer: layer(selection.layers.temporal),
    }
}

/// Of 256ths, to a thousandth.
fn ratio(share: u8) -> f64 {
    (f64::from(share) / 256.0 * 1_000.0).round() / 1_000.0
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn fractional_millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 10_000.0).round() / 10.0
}
