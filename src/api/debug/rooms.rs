//! The answers about rooms, put together from what their homes and the hosts of their participants say.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Value, json};

use super::series::columns;
use super::{Inspector, Refusal};
use crate::room::model::RoomName;
use crate::room::participant::ParticipantKey;
use crate::shard::inspect::{MemberSnapshot, PeerSnapshot, Question, RoomSummary, Traffic};
use crate::shard::leg::RoomKey;

/// A page of the list of rooms, those with the most participants first.
pub(super) async fn list(inspector: &Inspector, from: usize, most: usize) -> Value {
    let lists = inspector.ask(inspector.shards(), |_, answer| Question::Rooms { most: from + most, answer }).await;
    let total: usize = lists.given.iter().map(|(_, list)| list.total).sum();
    let mut rooms: Vec<RoomSummary> = lists.given.into_iter().flat_map(|(_, list)| list.rooms).collect();
    rooms.sort_by(|a, b| b.participants.cmp(&a.participants).then_with(|| a.name.cmp(&b.name)));
    let page: Vec<RoomSummary> = rooms.into_iter().skip(from).take(most).collect();
    let (traffic, silent) = traffic(inspector, &page).await;
    let unanswered: BTreeSet<usize> = lists.unanswered.into_iter().chain(silent).collect();
    let rooms: Vec<Value> = page.iter().map(|room| summary(room, &traffic)).collect();
    json!({ "rooms": rooms, "total": total, "offset": from, "unanswered_shards": unanswered })
}

/// One room with a page of its participants, in the order of their joining.
pub(super) async fn detail(inspector: &Inspector, name: &RoomName, from: usize) -> Result<Value, Refusal> {
    let home = inspector.home(name)?;
    let asked = inspector.ask([home], |_, answer| Question::Room { name: name.clone(), from, answer }).await;
    let Some((_, snapshot)) = asked.given.into_iter().next() else {
        return Err(Refusal::Unanswered(asked.unanswered));
    };
    let snapshot = snapshot.ok_or(Refusal::NoRoom)?;
    let rooms = [snapshot.room.clone()];
    let (peers, traffic) =
        tokio::join!(peers(inspector, snapshot.room.key, &snapshot.members), traffic(inspector, &rooms));
    let unanswered: BTreeSet<usize> = peers.1.into_iter().chain(traffic.1).collect();
    let participants: Vec<Value> = snapshot.members.iter().map(|member| participant(member, &peers.0)).collect();
    Ok(json!({
        "room": summary(&snapshot.room, &traffic.0),
        "participants": participants,
        "total_participants": snapshot.room.participants,
        "offset": from,
        "unanswered_shards": unanswered,
    }))
}

/// What the hosts of these know of them, and the hosts that did not say.
async fn peers(
    inspector: &Inspector,
    room: RoomKey,
    members: &[MemberSnapshot],
) -> (HashMap<ParticipantKey, PeerSnapshot>, Vec<usize>) {
    let mut hosted: BTreeMap<usize, Vec<ParticipantKey>> = BTreeMap::new();
    for member in members {
        hosted.entry(member.shard).or_default().push(member.key);
    }
    let question = |shard, answer| {
        let participants = hosted.get(&shard).cloned().unwrap_or_default();
        Question::Participants { room, participants, answer }
    };
    let answers = inspector.ask(hosted.keys().copied().collect::<Vec<_>>(), question).await;
    let peers = answers.given.into_iter().flat_map(|(_, peers)| peers);
    (peers.map(|peer| (peer.key, peer)).collect(), answers.unanswered)
}

/// What passes through all shards of some rooms, and the shards that did not say.
async fn traffic(inspector: &Inspector, rooms: &[RoomSummary]) -> (HashMap<RoomKey, Traffic>, Vec<usize>) {
    let hosts: BTreeSet<usize> = rooms.iter().flat_map(|room| room.shards.iter().copied()).collect();
    let keys: Vec<RoomKey> = rooms.iter().map(|room| room.key).collect();
    let answers = inspector.ask(hosts, |_, answer| Question::Traffic { rooms: keys.clone(), answer }).await;
    let mut sums: HashMap<RoomKey, Traffic> = HashMap::new();
    for traffic in answers.given.into_iter().flat_map(|(_, traffic)| traffic) {
        let sum = sums.entry(traffic.room).or_insert(Traffic { received_bitrate: 0, sent_bitrate: 0, ..traffic });
        sum.received_bitrate += traffic.received_bitrate;
        sum.sent_bitrate += traffic.sent_bitrate;
    }
    (sums, answers.unanswered)
}

fn summary(room: &RoomSummary, traffic: &HashMap<RoomKey, Traffic>) -> Value {
    let traffic = traffic.get(&room.key);
    let rates = json!({
        "received_bitrate_bps": traffic.map(|traffic| traffic.received_bitrate),
        "sent_bitrate_bps": traffic.map(|traffic| traffic.sent_bitrate),
    });
    joined(json!(room), rates)
}

/// `media` is null where the host did not answer.
fn participant(member: &MemberSnapshot, peers: &HashMap<ParticipantKey, PeerSnapshot>) -> Value {
    let media = peers.get(&member.key).map(|peer| joined(json!(peer), json!({ "series": columns(&peer.samples) })));
    joined(json!(member), json!({ "media": media }))
}

/// One object with the members of two.
fn joined(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}
