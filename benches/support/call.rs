//! A call without sockets: one publisher and many subscribers on one shard, each with real ICE, DTLS and SRTP.

#![allow(clippy::expect_used, reason = "a call that does not come about ends the benchmark")]

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rtc_dtls::crypto_provider::RTCCryptoProvider;
use rtc_dtls::crypto_provider::providers::AwsLcRsProvider;
use rtc_stun::attributes::{ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME, RawAttribute};
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{BINDING_REQUEST, Message as Stun, Setter, TransactionId};
use sfumato::clock::WallClock;
use sfumato::negotiation::MediaKind;
use sfumato::room::RoomConfig;
use sfumato::room::command::{JoinRequest, Offer};
use sfumato::room::event::Event;
use sfumato::room::model::{Announcement, Grants, Identity, RoomName, TrackSource};
use sfumato::shard::directory::Directory;
use sfumato::shard::event_queue::{EventReceiver, event_queue};
use sfumato::shard::leg::ShardId;
use sfumato::shard::mailbox::{Message, SeatId};
use sfumato::shard::milestones::JoinWatch;
use sfumato::shard::{Arrival, Shard, ShardConfig};
use sfumato::signalling::livekit::LivekitData;
use sfumato::transport::Certificate;
use sfumato::transport::dtls::{COOKIE_BYTES, DtlsEvent, DtlsRole, Session};
use sfumato::transport::srtp::{Plain, Srtp};
use sfumato::wire::demux::{Protocol, classify};
use sfumato::wire::rtp::Header;

use crate::support;

/// Rounds of delivery a handshake may take.
const ROUNDS: usize = 50;

pub struct Call {
    pub shard: Shard,
    pub now: Instant,
    publisher: SocketAddr,
    srtp: Srtp,
    sequence: u64,
    _events: Vec<EventReceiver>,
}

struct Client {
    dtls: Session,
    srtp: Option<Srtp>,
}

impl Call {
    /// A publisher whose camera `subscribers` others receive; the first keyframe has passed.
    pub fn new(subscribers: usize) -> Call {
        let (now, certificate) = (Instant::now(), Arc::new(Certificate::generate()));
        let mut shard = shard(now);
        let (mut clients, mut events) = (HashMap::new(), Vec::new());
        for number in 0..=subscribers {
            let (sender, mut receiver) = event_queue(8_192);
            let request = Box::new(request(number, &certificate));
            let (seat, watch) = (SeatId(number as u64), JoinWatch::new(now));
            shard.handle_message(now, Message::Join { seat, request, events: sender, watch });
            let answer = answer(&mut receiver);
            let fingerprint = line(&answer, "a=fingerprint:").parse().expect("a fingerprint");
            let cookie = [0; COOKIE_BYTES];
            let mut dtls = Session::new(DtlsRole::Client, certificate.clone(), vec![fingerprint], cookie);
            let check = check(line(&answer, "a=ice-ufrag:"), line(&answer, "a=ice-pwd:"));
            deliver(&mut shard, now, address(number), check);
            dtls.start(now);
            clients.insert(address(number), Client { dtls, srtp: None });
            events.push(receiver);
        }
        connect(&mut shard, now, &mut clients);
        let publisher = clients.remove(&address(0)).and_then(|client| client.srtp).expect("the publisher connected");
        let mut call = Call { shard, now, publisher: address(0), srtp: publisher, sequence: 0, _events: events };
        let mut first = call.sealed(1);
        assert_eq!(call.forward(&mut first), subscribers, "everybody receives");
        call
    }

    /// The publisher's next packets, as they are on the wire.
    pub fn sealed(&mut self, count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|_| self.sealed_packet()).collect()
    }

    fn sealed_packet(&mut self) -> Vec<u8> {
        let mut packet = support::video(self.sequence, support::VIDEO_BYTES);
        let header_len = Header::parse(&packet).expect("a packet").len;
        let (header, payload) = packet.split_at_mut(header_len);
        let mut out = vec![0; 2_048];
        let len = self.srtp.outbound.seal_rtp(Plain::new(self.sequence, header, payload), &mut out).expect("sealed");
        out.truncate(len);
        self.sequence += 1;
        out
    }

    /// Hands one batch to the shard, 40 ms after the last, and gives how many datagrams it sends for it.
    pub fn forward(&mut self, packets: &mut [Vec<u8>]) -> usize {
        self.now += Duration::from_millis(40);
        for packet in packets {
            self.shard.handle_datagram(self.now, arrival(self.publisher), packet);
        }
        self.shard.outgoing().clear();
        let mut sent = 0;
        while self.shard.forward(self.now) {
            sent += self.shard.outgoing().transmits().iter().map(|run| run.datagrams()).sum::<usize>();
            self.shard.outgoing().clear();
        }
        sent
    }

    /// A datagram from an address nobody has authenticated from.
    pub fn stranger_sends(&mut self, datagram: &mut [u8]) {
        self.shard.handle_datagram(self.now, arrival(SocketAddr::from(([198, 51, 100, 1], 9))), datagram);
    }
}

fn shard(now: Instant) -> Shard {
    let counters = Arc::default();
    Shard::new(ShardConfig {
        id: ShardId(0),
        room: RoomConfig {
            empty_timeout: Duration::from_secs(300),
            departure_timeout: Duration::from_secs(20),
            max_participants: 0,
        },
        certificate: Arc::new(Certificate::generate()),
        candidates: vec![SocketAddr::from(([192, 0, 2, 1], 7882))],
        wall: WallClock::new(now, Duration::from_secs(1_800_000_000)),
        random: Box::new(StdRng::seed_from_u64(3)),
        directory: Arc::new(Directory::new(vec![Arc::clone(&counters)])),
        counters,
        room_spread: None,
        record_headers: false,
    })
}

fn address(number: usize) -> SocketAddr {
    let [_, high, low, port] = (number as u32).to_be_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, high, low)), 1_000 + u16::from(port))
}

fn arrival(from: SocketAddr) -> Arrival {
    Arrival { from, socket: 0, local_ip: None }
}

fn deliver(shard: &mut Shard, now: Instant, from: SocketAddr, mut datagram: Vec<u8>) {
    shard.handle_datagram(now, arrival(from), &mut datagram);
}

/// The offers of the first, who publishes, and of the others, who receive.
fn request(number: usize, certificate: &Certificate) -> JoinRequest {
    let direction = if number == 0 { "sendonly" } else { "recvonly" };
    let fingerprint = certificate.fingerprint();
    let sdp = format!(
        "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
         m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtcp-mux\r\na={direction}\r\n\
         a=ice-ufrag:remo\r\na=ice-pwd:0123456789abcdefghijkl\r\na=fingerprint:{fingerprint}\r\na=setup:actpass\r\n\
         a=msid:s cam\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=extmap:13 urn:3gpp:video-orientation\r\n\
         a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\na=rtpmap:96 VP8/90000\r\n"
    );
    let camera = Announcement {
        client_id: "cam".to_owned(),
        kind: MediaKind::Video,
        source: TrackSource::Camera,
        muted: false,
        layers: Vec::new(),
        opaque: Bytes::new(),
        mime_type: None,
        backup: None,
    };
    JoinRequest {
        room: RoomName::new("bench"),
        identity: Identity::new(&format!("participant {number}")),
        name: String::new(),
        metadata: String::new(),
        attributes: BTreeMap::new(),
        grants: Grants {
            publish: true,
            publish_sources: Vec::new(),
            publish_data: false,
            subscribe: true,
            update_own_metadata: false,
            hidden: false,
            recorder: false,
            agent: false,
        },
        auto_subscribe: true,
        auto_subscribe_data: false,
        follow: None,
        offer: Some(Offer { id: 1, sdp }),
        announcements: if number == 0 { vec![camera] } else { Vec::new() },
        opaque: Bytes::new(),
        data_protocol: Arc::new(LivekitData),
    }
}

fn answer(events: &mut EventReceiver) -> String {
    while let Ok(event) = events.try_recv() {
        if let Event::Answer { sdp, .. } = event {
            return sdp;
        }
    }
    String::new()
}

fn line<'a>(sdp: &'a str, start: &str) -> &'a str {
    sdp.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_default()
}

/// A connectivity check that nominates (RFC 8445, section 8.1.1).
fn check(ufrag: &str, password: &str) -> Vec<u8> {
    let raw = |typ, value: &[u8]| RawAttribute { typ, length: value.len() as u16, value: value.to_vec() };
    let provider = AwsLcRsProvider::new();
    let setters: Vec<Box<dyn Setter>> = vec![
        Box::new(BINDING_REQUEST),
        Box::new(TransactionId([7; 12])),
        Box::new(raw(ATTR_USERNAME, format!("{ufrag}:remo").as_bytes())),
        Box::new(raw(ATTR_PRIORITY, &[0, 0, 0, 1])),
        Box::new(raw(ATTR_ICE_CONTROLLING, &[1; 8])),
        Box::new(raw(ATTR_USE_CANDIDATE, &[])),
        Box::new(MessageIntegrity::new_short_term_integrity_with_provider(password.to_owned(), provider.crypto())),
    ];
    let mut message = Stun::new();
    message.build(&setters).expect("a check");
    message.raw
}

/// Carries the handshakes of all clients to their end.
fn connect(shard: &mut Shard, now: Instant, clients: &mut HashMap<SocketAddr, Client>) {
    for _ in 0..ROUNDS {
        for (address, client) in clients.iter_mut() {
            while let Some(datagram) = client.dtls.poll_transmit() {
                deliver(shard, now, *address, datagram);
            }
        }
        let batch = shard.outgoing();
        for run in batch.transmits() {
            let Some(client) = clients.get_mut(&run.route.to) else { continue };
            for datagram in batch.contents(run).chunks(run.segment) {
                if classify(datagram) == Some(Protocol::Dtls) {
                    let _ = client.dtls.handle(now, datagram);
                }
            }
        }
        batch.clear();
        for client in clients.values_mut() {
            while let Some(event) = client.dtls.poll_event() {
                if let DtlsEvent::Connected { profile, material } = event {
                    client.srtp = Srtp::new(profile, &material, true);
                }
            }
        }
    }
}
