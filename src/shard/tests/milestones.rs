//! Joins from the request to the first picture, with real checks and handshakes: what is noted when, what is counted, and who is told.
//! On one shard, and where the participant is hosted on another than its room's home.

use std::sync::LazyLock;

use tokio::sync::oneshot;

use super::legs::{ANNA, BERT, CLEO, Legs};
use super::*;
use crate::room::command::Command;
use crate::room::model::{Quality, Wanted};
use crate::shard::milestones::{JoinOutcome, JoinReport, MEDIA_PATIENCE};
use crate::telemetry::histogram::Snapshot;
use crate::transport::dtls::{COOKIE_BYTES, DtlsEvent, DtlsRole, Session};
use crate::transport::tests::nomination;
use crate::wire::demux::{Protocol, classify};

static CERTIFICATE: LazyLock<Arc<Certificate>> = LazyLock::new(|| Arc::new(Certificate::generate()));

/// Steps a handshake may take.
const STEPS: usize = 20;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// With the fingerprint of the clients here.
fn described(mut request: JoinRequest) -> JoinRequest {
    let nobodys = format!("sha-256 {}", ["AB"; 32].join(":"));
    if let Some(offer) = &mut request.offer {
        offer.sdp = offer.sdp.replace(&nobodys, &CERTIFICATE.fingerprint().to_string());
    }
    request
}

/// A participant's client: what it sends from where, and what the watcher of its join is told.
struct Caller {
    seat: SeatId,
    address: SocketAddr,
    dtls: Option<Session>,
    srtp: Option<Srtp>,
    report: oneshot::Receiver<JoinReport>,
}

impl Caller {
    /// Asks to join, 5 ms before the room hears of it.
    fn ask(legs: &mut Legs, seat: SeatId, request: JoinRequest) -> Caller {
        Caller::ask_as_it_is(legs, seat, described(request))
    }

    fn ask_as_it_is(legs: &mut Legs, seat: SeatId, request: JoinRequest) -> Caller {
        let (watch, report) = JoinWatch::observed(legs.now);
        legs.after(ms(5));
        legs.ask_to_join_watched(request, watch);
        let address = SocketAddr::from(([198, 51, 100, 9], 100 + seat.0 as u16));
        Caller { seat, address, dtls: None, srtp: None, report }
    }

    fn send(&self, legs: &mut Legs, datagram: Vec<u8>) {
        legs.receive(self.seat, self.address, &mut [datagram]);
    }

    fn check(&self, legs: &mut Legs) {
        let (shard, key) = legs.place(self.seat);
        let check = nomination(legs.shards[shard].peers[key].transport.local_ice(), "remo");
        self.send(legs, check);
    }

    /// Takes what its shard sent to it.
    fn take(&mut self, legs: &mut Legs) {
        let now = legs.now;
        for shard in &mut legs.shards {
            let batch = shard.outgoing();
            for run in batch.transmits().iter().filter(|run| run.route.to == self.address) {
                let datagrams = batch.contents(run).chunks(run.segment);
                for datagram in datagrams.filter(|datagram| classify(datagram) == Some(Protocol::Dtls)) {
                    let _ = self.dtls.as_mut().map(|dtls| dtls.handle(now, datagram));
                }
            }
        }
        while let Some(event) = self.dtls.as_mut().and_then(Session::poll_event) {
            if let DtlsEvent::Connected { profile, material } = event {
                self.srtp = Srtp::new(profile, &material, true);
            }
        }
    }

    /// Sends the first flight.
    fn greet(&mut self, legs: &mut Legs) {
        let (shard, _) = legs.place(self.seat);
        let fingerprint = legs.shards[shard].certificate.fingerprint().clone();
        let mut dtls = Session::new(DtlsRole::Client, CERTIFICATE.clone(), vec![fingerprint], [0; COOKIE_BYTES]);
        dtls.start(legs.now);
        self.dtls = Some(dtls);
        self.talk(legs);
    }

    fn talk(&mut self, legs: &mut Legs) {
        while let Some(datagram) = self.dtls.as_mut().and_then(Session::poll_transmit) {
            self.send(legs, datagram);
        }
    }

    /// Carries the handshake to its end.
    fn shake_hands(&mut self, legs: &mut Legs) {
        for _ in 0..STEPS {
            self.take(legs);
            legs.discard_sent();
            self.talk(legs);
        }
    }

    /// 40 ms to the first check, 20 more to the first flight, 30 more to the last.
    fn connect(&mut self, legs: &mut Legs) {
        legs.after(ms(40));
        self.check(legs);
        legs.after(ms(20));
        self.greet(legs);
        legs.after(ms(30));
        self.shake_hands(legs);
        assert!(self.srtp.is_some(), "connected");
    }

    /// A packet of its camera.
    fn film(&mut self, legs: &mut Legs, sequence: u16, keyframe: bool) {
        let mut end = (self.address, self.srtp.take().expect("connected"));
        let packet = sealed(&mut end, Ssrc(77), sequence, keyframe, 500);
        self.srtp = Some(end.1);
        self.send(legs, packet);
    }

    /// Milestones in milliseconds since it asked.
    fn told(&mut self) -> Option<(JoinOutcome, [Option<u64>; 8], u64)> {
        let report = self.report.try_recv().ok()?;
        assert!(report.room.as_str().starts_with("RM_") && report.participant.as_str().starts_with("PA_"));
        let all = report.milestones;
        let since = |at: Instant| (at - all.asked).as_millis() as u64;
        let milestones = [
            Some(all.let_in),
            all.answered,
            all.checked,
            all.greeted,
            all.connected,
            all.received,
            all.forwarded,
            all.pictured,
        ];
        Some((report.outcome, milestones.map(|at| at.map(since)), since(all.told)))
    }
}

/// Outcomes of ICE and of DTLS that are not 0.
fn outcomes(legs: &Legs) -> Vec<(String, u64)> {
    let each = |counters: &Arc<ShardCounters>| {
        let ice = counters.ice.iter().map(|(label, count)| (format!("ice {label}"), count)).collect::<Vec<_>>();
        let dtls = counters.dtls.iter().map(|(label, count)| (format!("dtls {label}"), count)).collect::<Vec<_>>();
        [ice, dtls].concat()
    };
    let mut sums: Vec<(String, u64)> = Vec::new();
    for (label, count) in legs.shards.iter().flat_map(|shard| each(&shard.counters)) {
        match sums.iter_mut().find(|(known, _)| *known == label) {
            Some((_, sum)) => *sum += count,
            None => sums.push((label, count)),
        }
    }
    sums.retain(|(_, count)| *count > 0);
    sums
}

fn counted(labels: &[(&str, u64)]) -> Vec<(String, u64)> {
    labels.iter().map(|(label, count)| ((*label).to_owned(), *count)).collect()
}

/// How many were observed, and their sum in milliseconds.
fn observed(legs: &Legs, histogram: fn(&ShardCounters) -> Snapshot) -> (u64, u64) {
    let snapshots: Vec<Snapshot> = legs.shards.iter().map(|shard| histogram(&shard.counters)).collect();
    let sum: f64 = snapshots.iter().map(|snapshot| snapshot.sum).sum();
    (snapshots.iter().map(Snapshot::count).sum(), (sum * 1e3).round() as u64)
}

const JOINS: fn(&ShardCounters) -> Snapshot = |c| c.join_duration.snapshot();
const FIRST_MEDIA: fn(&ShardCounters) -> Snapshot = |c| c.first_media_duration.snapshot();
const FIRST_FRAMES: fn(&ShardCounters) -> Snapshot = |c| c.first_frame_duration.snapshot();

/// Anna, who films.
fn filming(legs: &mut Legs) -> Caller {
    let mut anna = Caller::ask(legs, ANNA, request("anna", "sendonly", vec![camera()]));
    anna.connect(legs);
    assert_eq!(anna.told(), None, "her media is awaited");
    legs.after(ms(10));
    anna.film(legs, 1, true);
    anna
}

#[test]
fn a_join_is_noted_from_the_request_to_the_first_picture_on_its_home_and_elsewhere() {
    for shards in [1, 2] {
        let mut legs = Legs::new(shards);
        let mut anna = filming(&mut legs);
        let media = [Some(5), Some(5), Some(45), Some(65), Some(95), Some(105), None, None];
        assert_eq!(anna.told(), Some((JoinOutcome::Connected, media, 105)));

        let mut bert = Caller::ask(&mut legs, BERT, request("bert", "recvonly", Vec::new()));
        assert_eq!(legs.place(BERT).0, shards - 1);
        legs.after(ms(5));
        anna.film(&mut legs, 2, true);
        bert.connect(&mut legs);
        assert_eq!(bert.told(), None, "the first picture is awaited");
        legs.after(ms(60));
        let media = [Some(5), Some(5), Some(50), Some(70), Some(100), None, Some(160), Some(160)];
        assert_eq!(bert.told(), Some((JoinOutcome::Connected, media, 160)), "{shards} shards");

        assert_eq!(outcomes(&legs), counted(&[("ice connected", 2), ("dtls connected", 2)]));
        assert_eq!(observed(&legs, JOINS), (2, 95 + 100));
        assert_eq!(observed(&legs, FIRST_MEDIA), (1, 160));
        assert_eq!(observed(&legs, FIRST_FRAMES), (1, 155), "since the subscription began");
        // No second of anything.
        anna.film(&mut legs, 3, true);
        assert_eq!((observed(&legs, FIRST_MEDIA).0, observed(&legs, FIRST_FRAMES).0), (1, 1));
    }
}

#[test]
fn a_participant_from_whom_no_check_comes_is_an_ice_timeout() {
    for shards in [1, 2] {
        let mut legs = Legs::new(shards);
        let _anna = filming(&mut legs);
        let mut bert = Caller::ask(&mut legs, BERT, request("bert", "recvonly", Vec::new()));
        legs.after(limits::CONNECT_TIMEOUT - ms(1));
        assert_eq!(bert.told(), None, "there is time yet");
        legs.after(ms(1));
        let (outcome, milestones, _) = bert.told().expect("told when it is over");
        assert_eq!((outcome, milestones[1], milestones[2]), (JoinOutcome::IceTimedOut, Some(5), None));
        let counted = outcomes(&legs);
        assert!(counted.contains(&("ice timed_out".to_owned(), 1)), "{counted:?}");
        assert!(!counted.iter().any(|(label, _)| label.ends_with("abandoned")), "once alone: {counted:?}");
    }
}

#[test]
fn a_handshake_that_does_not_end_is_a_failure_of_dtls() {
    let mut legs = Legs::new(1);
    let mut anna = Caller::ask(&mut legs, ANNA, request("anna", "sendonly", vec![camera()]));
    anna.check(&mut legs);
    anna.greet(&mut legs);
    legs.after(limits::CONNECT_TIMEOUT);
    let (outcome, milestones, _) = anna.told().expect("told when it is over");
    assert_eq!((outcome, milestones[3], milestones[4]), (JoinOutcome::DtlsFailed, Some(5), None));
    assert_eq!(outcomes(&legs), counted(&[("ice connected", 1), ("dtls failed", 1)]));
    assert_eq!(observed(&legs, JOINS).0, 0);
}

#[test]
fn another_certificate_than_announced_is_a_mismatch_at_once() {
    let mut legs = Legs::new(1);
    let mut anna = Caller::ask_as_it_is(&mut legs, ANNA, request("anna", "sendonly", vec![camera()]));
    anna.check(&mut legs);
    anna.greet(&mut legs);
    anna.shake_hands(&mut legs);
    assert_eq!(anna.told().map(|(outcome, ..)| outcome), Some(JoinOutcome::FingerprintMismatch));
    assert_eq!(outcomes(&legs), counted(&[("ice connected", 1), ("dtls fingerprint_mismatch", 1)]));
}

#[test]
fn who_leaves_early_is_told_of_as_far_as_it_came() {
    let mut legs = Legs::new(1);
    let leave = |legs: &mut Legs, seat| legs.tell_home(Message::Gone { seat });
    let mut anna = Caller::ask(&mut legs, ANNA, request("anna", "sendonly", vec![camera()]));
    leave(&mut legs, ANNA);
    assert_eq!(anna.told().map(|(outcome, ..)| outcome), Some(JoinOutcome::Abandoned));
    assert_eq!(outcomes(&legs), counted(&[("ice abandoned", 1)]));

    let mut bert = Caller::ask(&mut legs, BERT, request("bert", "recvonly", Vec::new()));
    bert.check(&mut legs);
    leave(&mut legs, BERT);
    assert_eq!(bert.told().map(|(outcome, ..)| outcome), Some(JoinOutcome::Abandoned));
    assert_eq!(outcomes(&legs), counted(&[("ice connected", 1), ("ice abandoned", 1), ("dtls abandoned", 1)]));

    let silent = JoinRequest { offer: None, ..request("cleo", "recvonly", Vec::new()) };
    let mut cleo = Caller::ask(&mut legs, CLEO, silent);
    legs.after(limits::CONNECT_TIMEOUT);
    assert_eq!(cleo.told().map(|(outcome, ..)| outcome), Some(JoinOutcome::Abandoned), "never had an answer");
    assert_eq!(outcomes(&legs).len(), 3, "so ICE was not tried");
}

#[test]
fn consent_that_expires_is_a_loss() {
    let mut legs = Legs::new(1);
    let _anna = filming(&mut legs);
    legs.after(limits::CONSENT_TIMEOUT);
    assert_eq!(outcomes(&legs), counted(&[("ice connected", 1), ("ice lost", 1), ("dtls connected", 1)]));
}

#[test]
fn one_with_nothing_to_see_is_told_of_when_it_is_connected_and_its_first_media_is_not_measured() {
    let mut legs = Legs::new(1);
    // The first in the room, who receives.
    let viewing = described(request("viewer", "recvonly", Vec::new()));
    let again = viewing.offer.clone().expect("an offer");
    let mut viewer = Caller::ask_as_it_is(&mut legs, ANNA, viewing);
    viewer.connect(&mut legs);
    let (outcome, milestones, told) = viewer.told().expect("nothing is awaited");
    assert_eq!((outcome, milestones[6], told), (JoinOutcome::Connected, None, 95));

    let mut anna = Caller::ask(&mut legs, BERT, request("anna", "sendonly", vec![camera()]));
    anna.connect(&mut legs);
    anna.film(&mut legs, 1, true);
    legs.tell_home(Message::Command { seat: ANNA, command: Command::Offer(again) });
    legs.after(ms(200));
    anna.film(&mut legs, 2, true);
    assert!(legs.sum(|c| c.packets_out.get()) > 0, "it sees her");
    assert_eq!(observed(&legs, FIRST_MEDIA).0, 0, "the wait was for her");
    assert_eq!(observed(&legs, FIRST_FRAMES).0, 1, "the picture's wait is another matter");
}

#[test]
fn media_that_does_not_come_is_not_waited_for_for_ever() {
    let mut legs = Legs::new(1);
    let mut anna = Caller::ask(&mut legs, ANNA, request("anna", "sendonly", vec![camera()]));
    anna.connect(&mut legs);
    for _ in 0..3 {
        assert_eq!(anna.told(), None);
        legs.after(MEDIA_PATIENCE / 3);
        anna.check(&mut legs);
    }
    legs.after(reports::REPORT_INTERVAL);
    let (outcome, milestones, _) = anna.told().expect("told without it");
    assert_eq!((outcome, milestones[5]), (JoinOutcome::Connected, None));
}

#[test]
fn the_first_picture_of_a_muted_track_or_one_that_was_hidden_meanwhile_is_not_measured() {
    let mut legs = Legs::new(1);
    let muted = Announcement { muted: true, ..camera() };
    let mut anna = Caller::ask(&mut legs, ANNA, request("anna", "sendonly", vec![muted]));
    anna.connect(&mut legs);
    let mut bert = Caller::ask(&mut legs, BERT, request("bert", "recvonly", Vec::new()));
    bert.connect(&mut legs);
    legs.after(Duration::from_secs(3));
    anna.film(&mut legs, 1, true);
    legs.after(ms(60));
    let sent = legs.sum(|c| c.packets_out.get());
    assert!(sent > 0, "it was unmuted, and he sees her");
    assert_eq!(observed(&legs, FIRST_FRAMES).0, 0, "muted when it began");

    let mut cleo = Caller::ask(&mut legs, CLEO, request("cleo", "recvonly", Vec::new()));
    let (shard, key) = legs.place(ANNA);
    let track = legs.shards[shard].rooms[legs.shards[shard].peers[key].room].sources[0].track.clone();
    for wanted in [Wanted::NOTHING, Wanted::quality(Quality::High)] {
        let command = Command::Want { tracks: vec![track.clone()], wanted };
        legs.tell_home(Message::Command { seat: CLEO, command });
    }
    cleo.connect(&mut legs);
    anna.film(&mut legs, 2, true);
    legs.after(ms(60));
    assert!(legs.sum(|c| c.packets_out.get()) > sent + 1, "she sees her, too");
    assert_eq!(observed(&legs, FIRST_FRAMES).0, 0, "hidden in between");
}
