//! A room at its home shard: its decisions, where its participants are hosted, and what their hosts report.
//!
//! What always holds: a participant has one host from join to farewell; of one participant at most one offer is with its
//! host, and a newer one replaces the one that waits.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use super::directory::Directory;
use super::event_queue::EventSender;
use super::leg::{OfferedSection, Order, Report, RoomKey, ShardId, SourceDescription};
use super::load::{Candidate, load, place};
use super::mailbox::SeatId;
use super::milestones::{Admission, JoinWatch};
use super::timers::Owner;
use super::{JOIN_PATIENCE, Shard};
use crate::recorder::Subject;
use crate::room::command::{Command, DataProtocol, JoinRequest, Offer};
use crate::room::event::Event;
use crate::room::model::{JoinError, ParticipantId, Rendition, RoomName, TrackId};
use crate::room::participant::ParticipantKey;
use crate::room::speakers::MeasuredLevel;
use crate::room::{Room, admission};

pub struct Home {
    pub key: RoomKey,
    pub state: Room,
    pub members: HashMap<ParticipantKey, Member>,
    /// How many of them each shard hosts; none that hosts nobody.
    hosts: BTreeMap<ShardId, usize>,
    pub sources: HashMap<(TrackId, Rendition), HomeSource>,
    /// Levels that each host reported last.
    levels: BTreeMap<ShardId, Vec<MeasuredLevel>>,
}

/// A participant, as its room's home knows it.
pub struct Member {
    pub host: ShardId,
    /// For logs.
    pub id: ParticipantId,
    seat: SeatId,
    pub data_protocol: Arc<dyn DataProtocol>,
    /// Sequence of the last reliable message it sent.
    last_sequence: u32,
    /// What the last offer sends.
    sections: Vec<OfferedSection>,
    offers: Offers,
}

/// A participant's offers on their way.
#[derive(Default)]
struct Offers {
    at_host: bool,
    next: Option<Offer>,
}

/// A publication whose media flows.
pub struct HomeSource {
    pub description: Arc<SourceDescription>,
    pub host: ShardId,
    /// Who receives it.
    pub subscribers: HashMap<ParticipantKey, ShardId>,
    /// Subscribers by shard, where that is not the publisher's: shards that packets are handed over to.
    pub mirrors: BTreeMap<ShardId, usize>,
}

impl Offers {
    /// Gives the offer if it may go to the host now.
    fn submit(&mut self, offer: Offer) -> Option<Offer> {
        if self.at_host {
            self.next = Some(offer);
            return None;
        }
        self.at_host = true;
        Some(offer)
    }

    /// The host is done with one. Gives the next.
    fn done(&mut self) -> Option<Offer> {
        self.at_host = false;
        let next = self.next.take()?;
        self.submit(next)
    }
}

impl Home {
    pub fn new(key: RoomKey, state: Room) -> Home {
        Home {
            key,
            state,
            members: HashMap::new(),
            hosts: BTreeMap::new(),
            sources: HashMap::new(),
            levels: BTreeMap::new(),
        }
    }

    pub fn host_of(&self, participant: ParticipantKey) -> Option<ShardId> {
        self.members.get(&participant).map(|member| member.host)
    }

    /// Those that host its participants.
    pub fn shards(&self) -> impl Iterator<Item = ShardId> {
        self.hosts.keys().copied()
    }

    /// True if nobody was hosted there before.
    fn insert(&mut self, participant: ParticipantKey, member: Member) -> bool {
        let count = self.hosts.entry(member.host).or_default();
        *count += 1;
        let first = *count == 1;
        self.members.insert(participant, member);
        first
    }

    fn remove(&mut self, participant: ParticipantKey) -> Option<Member> {
        let member = self.members.remove(&participant)?;
        if let Some(count) = self.hosts.get_mut(&member.host) {
            *count -= 1;
            if *count == 0 {
                self.hosts.remove(&member.host);
                self.levels.remove(&member.host);
            }
        }
        Some(member)
    }

    fn tell_hosts(&self, directory: &Directory) {
        directory.set_hosts(&self.state.info().name, self.hosts.keys().map(|host| host.0));
    }

    /// Participants that a shard hosts.
    pub fn hosted_by(&self, shard: ShardId) -> impl Iterator<Item = (RoomKey, ParticipantKey)> {
        self.members
            .iter()
            .filter(move |(_, member)| member.host == shard)
            .map(|(participant, _)| (self.key, *participant))
    }

    /// The section a publisher sends in.
    pub fn section(&self, publisher: ParticipantKey, mid: crate::wire::Mid) -> Option<&OfferedSection> {
        self.members.get(&publisher)?.sections.iter().find(|section| section.track.mid == mid)
    }

    fn levels_reported(&mut self, host: ShardId, levels: Vec<MeasuredLevel>) {
        if self.hosts.contains_key(&host) {
            self.levels.insert(host, levels);
        }
        let all: Vec<MeasuredLevel> = self.levels.values().flatten().copied().collect();
        self.state.levels_measured(&all);
    }
}

impl Shard {
    pub(super) fn join(
        &mut self,
        now: Instant,
        seat: SeatId,
        request: &JoinRequest,
        events: EventSender,
        watch: JoinWatch,
    ) {
        self.counters.joins.add(1);
        if let Err(error) = self.try_join(now, seat, request, &events, watch) {
            self.counters.joins_refused.add(1);
            let _ = events.try_send(Event::Refused(error));
        }
        self.directory.arrived(&request.room);
        if !self.by_name.contains_key(&request.room) {
            self.directory.release(&request.room);
        }
    }

    fn try_join(
        &mut self,
        now: Instant,
        seat: SeatId,
        request: &JoinRequest,
        events: &EventSender,
        watch: JoinWatch,
    ) -> Result<(), JoinError> {
        if self.draining {
            return Err(JoinError::ShuttingDown);
        }
        if !admission::join_within_limits(request) {
            return Err(JoinError::OverLimits);
        }
        let room = self.room_named(now, &request.room);
        let participant = ParticipantKey(usize::try_from(self.draw_serial()).unwrap_or(usize::MAX));
        let (host, at) = (self.place(room.serial), self.moment(now));
        let home = self.homes.get_mut(&room.serial).ok_or(JoinError::ServerFull)?;
        let joined = home.state.join(at, participant, request, self.random.as_mut());
        if joined.is_ok() {
            let admission = Admission {
                watch,
                let_in: now,
                room: home.state.info().id.clone(),
                participant: id_of(home, participant),
            };
            tracing::info!(room = %admission.room, participant = %admission.participant, "participant joined");
            let data_protocol = request.data_protocol.clone();
            let member = Member::new(host, admission.participant.clone(), seat, data_protocol.clone());
            if home.insert(participant, member) {
                home.tell_hosts(&self.directory);
            }
            self.by_seat.insert(seat, (room.serial, participant));
            let standing = request.follow.as_ref().map(|_| admission.participant.clone());
            let (name, identity) = (request.room.clone(), request.identity.clone());
            let subject = Subject { room: name, identity, id: admission.participant.clone() };
            let (events, admission) = (events.clone(), Box::new(admission));
            let order = Order::Host { participant, subject, events, data_protocol, standing, admission };
            self.order(now, host, room, order);
        }
        self.run_effects(now, room.serial);
        joined?;
        if let Some(offer) = &request.offer {
            self.submit_offer(now, room.serial, participant, offer.clone());
            self.run_effects(now, room.serial);
        }
        Ok(())
    }

    /// The shard for one more participant of a room.
    fn place(&self, serial: u64) -> ShardId {
        let hosts = self.homes.get(&serial).map(|home| &home.hosts);
        let candidates = self.directory.shards().iter().enumerate().filter_map(|(index, counters)| {
            let id = ShardId(index);
            let participants = hosts.and_then(|hosts| hosts.get(&id)).copied().unwrap_or(0);
            let usable = id == self.id || self.links.is_up(id);
            usable.then(|| Candidate { id, participants, load: load(counters, 0), busy: counters.busy_percent.get() })
        });
        place(self.id, self.room_spread, candidates)
    }

    fn room_named(&mut self, now: Instant, name: &RoomName) -> RoomKey {
        if let Some(serial) = self.by_name.get(name) {
            return RoomKey { home: self.id, serial: *serial };
        }
        let at = self.moment(now);
        let state = Room::new(name.clone(), self.config.clone(), at, self.random.as_mut());
        tracing::info!(room = %state.info().id, "room opened");
        let close_at = state.poll_timeout();
        let key = RoomKey { home: self.id, serial: self.draw_serial() };
        self.homes.insert(key.serial, Home::new(key, state));
        self.by_name.insert(name.clone(), key.serial);
        self.timers.arm(Owner::Room(key.serial), close_at);
        key
    }

    /// A number that this shard has not used before, for what its rooms consist of.
    pub(super) fn draw_serial(&mut self) -> u64 {
        self.last_serial += 1;
        self.last_serial
    }

    pub(super) fn command(&mut self, now: Instant, seat: SeatId, command: Command) {
        let Some((serial, participant)) = self.by_seat.get(&seat).copied() else {
            return;
        };
        match command {
            Command::Offer(offer) => self.submit_offer(now, serial, participant, offer),
            Command::RestartIce(remote) => {
                self.order_to(now, serial, participant, Order::RestartIce { participant, remote });
            }
            other => {
                if let Some(home) = self.homes.get_mut(&serial) {
                    home.state.command(now, participant, other, self.random.as_mut());
                }
            }
        }
        self.run_effects(now, serial);
    }

    fn submit_offer(&mut self, now: Instant, serial: u64, participant: ParticipantKey, offer: Offer) {
        let Some(home) = self.homes.get_mut(&serial) else { return };
        let room = home.key;
        let Some(member) = home.members.get_mut(&participant) else { return };
        if let Some(offer) = member.offers.submit(offer) {
            let host = member.host;
            let codecs = home.state.codec_preferences(participant);
            self.order(now, host, room, Order::Offer { participant, offer, codecs });
        }
    }

    /// Forgets a participant that is out of its room.
    pub(super) fn forget_member(&mut self, serial: u64, participant: ParticipantKey) {
        let Some(home) = self.homes.get_mut(&serial) else { return };
        if let Some(member) = home.remove(participant) {
            self.by_seat.remove(&member.seat);
            if !home.hosts.contains_key(&member.host) {
                home.tell_hosts(&self.directory);
            }
        }
    }

    /// Takes what a host reports; what the room decides of it is carried out by [`run_effects`](Self::run_effects).
    pub(super) fn take_report(&mut self, now: Instant, from: ShardId, serial: u64, report: Report) {
        let Some(home) = self.homes.get_mut(&serial) else { return };
        match report {
            Report::Offered { participant, sections } => self.offered(now, serial, participant, sections),
            Report::Receives { participant, codecs } => home.state.receives(now, participant, codecs),
            Report::Connected { participant } => home.state.connected(now, participant),
            Report::Left { participant, reason } => home.state.leave(now, participant, reason),
            Report::ForwardingFailed { subscriber, track, rendition } => {
                home.state.forwarding_failed(now, subscriber, &track, rendition);
            }
            Report::Flows { track, rendition } => home.state.flows(now, &track, rendition),
            Report::Data { participant, kind, message } => self.route_data(now, serial, participant, kind, &message),
            Report::Levels(levels) => home.levels_reported(from, levels),
            Report::Networks(networks) => home.state.networks_measured(&networks),
        }
    }

    fn offered(
        &mut self,
        now: Instant,
        serial: u64,
        participant: ParticipantKey,
        sections: Option<Vec<OfferedSection>>,
    ) {
        let Some(home) = self.homes.get_mut(&serial) else { return };
        let room = home.key;
        let Some(member) = home.members.get_mut(&participant) else { return };
        let host = member.host;
        if let Some(sections) = sections {
            let tracks = sections.iter().map(|section| section.track.clone()).collect();
            member.sections = sections;
            home.state.offered(now, participant, tracks);
        }
        let Some(member) = home.members.get_mut(&participant) else { return };
        if let Some(offer) = member.offers.done() {
            let codecs = home.state.codec_preferences(participant);
            self.order(now, host, room, Order::Offer { participant, offer, codecs });
        }
    }

    pub(super) fn room_timeout(&mut self, now: Instant, serial: u64) {
        let Some(home) = self.homes.get_mut(&serial) else { return };
        let due = home.state.handle_timeout(now);
        if due.close {
            return self.close_room(now, serial);
        }
        if due.levels || due.networks {
            let room = home.key;
            for host in home.hosts.keys().copied().collect::<Vec<_>>() {
                self.order(now, host, room, Order::Measure { levels: due.levels, networks: due.networks });
            }
        }
        self.run_effects(now, serial);
    }

    fn close_room(&mut self, now: Instant, serial: u64) {
        let Some(home) = self.homes.get(&serial) else { return };
        let name = home.state.info().name.clone();
        if !self.directory.release(&name) {
            self.timers.arm(Owner::Room(serial), now + JOIN_PATIENCE);
            return;
        }
        tracing::info!(room = %home.state.info().id, "room closed");
        self.homes.remove(&serial);
        self.by_name.remove(&name);
        self.count();
    }
}

impl Member {
    fn new(host: ShardId, id: ParticipantId, seat: SeatId, data_protocol: Arc<dyn DataProtocol>) -> Member {
        Member { host, id, seat, data_protocol, last_sequence: 0, sections: Vec::new(), offers: Offers::default() }
    }

    /// Whether a reliable message is new; 0 is a message without a sequence.
    pub fn is_new(&mut self, sequence: u32) -> bool {
        if sequence == 0 {
            return true;
        }
        let new = sequence > self.last_sequence;
        self.last_sequence = self.last_sequence.max(sequence);
        new
    }
}

/// Of somebody who is in the room.
fn id_of(home: &Home, participant: ParticipantKey) -> ParticipantId {
    home.state.participant(participant).map_or_else(|| ParticipantId::new(""), |there| there.info.id.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reliable_message_sent_again_after_a_reconnect_is_dropped_once_seen() {
        let request = crate::room::tests::request("anna", crate::room::tests::grants());
        let mut member = Member::new(ShardId(0), ParticipantId::new("PA_anna"), SeatId(0), request.data_protocol);
        assert!(member.is_new(1) && member.is_new(2));
        assert!(!member.is_new(2) && !member.is_new(1));
        assert!(member.is_new(0) && member.is_new(3));
    }

    #[test]
    fn of_the_offers_that_come_while_one_is_with_the_host_the_newest_waits() {
        let offer = |id| Offer { id, sdp: String::new() };
        let mut offers = Offers::default();
        assert_eq!(offers.submit(offer(1)), Some(offer(1)));
        assert_eq!(offers.submit(offer(2)), None);
        assert_eq!(offers.submit(offer(3)), None);
        assert_eq!(offers.done(), Some(offer(3)));
        assert_eq!(offers.done(), None);
        assert_eq!(offers.submit(offer(4)), Some(offer(4)));
    }
}
