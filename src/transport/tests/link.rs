//! A transport and its peer with a network between them that loses and delays, in virtual time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rtc_sctp::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier as Identifier, StreamEvent, max_payload_size_for_mtu,
};
use rtc_shared::TransportProtocol;

use super::dtls_peer::{DtlsPeer, Library};
use crate::transport::ice::{BINDING_REQUEST, BINDING_SUCCESS, StunMessage, StunWriter, stun_attribute, stun_key};
use crate::transport::srtp::{Profile, Srtp};
use crate::transport::{
    Certificate, DropReason, DtlsRole, Fingerprint, IceCredentials, RemoteParameters, Transport, TransportEvent,
};

pub static CERTIFICATE: LazyLock<Arc<Certificate>> = LazyLock::new(|| Arc::new(Certificate::generate()));

/// One way.
const DELAY: Duration = Duration::from_millis(20);

pub fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 7], port))
}

enum Packet {
    ToTransport(SocketAddr, Vec<u8>),
    ToPeer(Vec<u8>),
}

pub struct Link {
    pub now: Instant,
    pub start: Instant,
    pub transport: Transport,
    pub random: StdRng,
    pub ufrag: String,
    pub dtls: DtlsPeer,
    /// Where the peer sends from; it hears on every address.
    pub address: SocketAddr,
    pub sctp: SctpPeer,
    pub events: Vec<TransportEvent>,
    /// Of what the transport refused.
    pub refused: Vec<DropReason>,
    /// Datagrams to the peer: to which address, how long.
    pub sent: Vec<(SocketAddr, usize)>,
    /// Whether the n-th DTLS datagram of a direction is lost.
    pub loses: fn(usize) -> bool,
    to_peer: usize,
    to_transport: usize,
    wire: BTreeMap<(Instant, usize), Packet>,
    count: usize,
    /// Answers to checks that arrived and are authentic.
    pub answered: usize,
    pub peer_dtls_runs: bool,
}

pub struct Options {
    pub library: Library,
    /// The peer's role.
    pub role: DtlsRole,
    pub hashes: &'static [&'static str],
    pub srtp: &'static [Profile],
}

impl Default for Options {
    fn default() -> Options {
        Options { library: Library::Dimpl, role: DtlsRole::Client, hashes: &["sha-256"], srtp: &Profile::PREFERENCE }
    }
}

impl Link {
    pub fn new(options: Options) -> Link {
        let now = Instant::now() + Duration::from_secs(5);
        let mut random = StdRng::seed_from_u64(42);
        Link {
            now,
            start: now,
            transport: Transport::new(now, Arc::clone(&CERTIFICATE), &mut random),
            random,
            ufrag: "peer".to_owned(),
            dtls: DtlsPeer::new(options.library, options.role, now, options.srtp),
            address: address(1),
            sctp: SctpPeer::new(),
            events: Vec::new(),
            refused: Vec::new(),
            sent: Vec::new(),
            loses: |_| false,
            to_peer: 0,
            to_transport: 0,
            wire: BTreeMap::new(),
            count: 0,
            answered: 0,
            peer_dtls_runs: true,
        }
    }

    /// A link whose transport knows the peer's description.
    pub fn described(options: Options) -> Link {
        let hashes = options.hashes;
        let mut link = Link::new(options);
        let fingerprints = hashes.iter().map(|hash| link.dtls.fingerprint(hash)).collect();
        assert!(link.describe(fingerprints));
        link
    }

    /// A connected link.
    pub fn connected(options: Options) -> Link {
        let mut link = Link::described(options);
        link.nominate();
        link.run_until(|link| link.is_connected());
        link
    }

    pub fn parameters(&self, fingerprints: Vec<Fingerprint>) -> RemoteParameters {
        RemoteParameters {
            ice: IceCredentials { ufrag: self.ufrag.clone(), pwd: "password-of-the-peer-...".to_owned() },
            fingerprints,
            role: match self.dtls.role {
                DtlsRole::Client => DtlsRole::Server,
                DtlsRole::Server => DtlsRole::Client,
            },
        }
    }

    pub fn describe(&mut self, fingerprints: Vec<Fingerprint>) -> bool {
        let parameters = self.parameters(fingerprints);
        self.transport.set_remote(self.now, parameters, &mut self.random)
    }

    pub fn is_connected(&self) -> bool {
        self.transport.is_connected() && self.dtls.seen.keys.is_some()
    }

    /// A check with the current credentials.
    pub fn check_bytes(&self, extra: &[(u16, &[u8])]) -> Vec<u8> {
        self.check_bytes_with(&self.transport.local_ice().clone(), extra)
    }

    pub fn check_bytes_with(&self, local: &IceCredentials, extra: &[(u16, &[u8])]) -> Vec<u8> {
        let username = format!("{}:{}", local.ufrag, self.ufrag);
        let mut writer = StunWriter::new(BINDING_REQUEST, &[7; 12])
            .attribute(stun_attribute::USERNAME, username.as_bytes())
            .attribute(stun_attribute::ICE_CONTROLLING, &[1; 8])
            .attribute(stun_attribute::PRIORITY, &[1; 4]);
        for (kind, value) in extra {
            writer = writer.attribute(*kind, value);
        }
        writer.finish(&stun_key(&local.pwd))
    }

    pub fn check(&mut self) {
        let bytes = self.check_bytes(&[]);
        self.throw(self.address, bytes);
    }

    pub fn nominate(&mut self) {
        let bytes = self.check_bytes(&[(stun_attribute::USE_CANDIDATE, b"")]);
        self.throw(self.address, bytes);
    }

    pub fn throw(&mut self, from: SocketAddr, bytes: Vec<u8>) {
        self.put(Packet::ToTransport(from, bytes));
    }

    fn put(&mut self, packet: Packet) {
        self.count += 1;
        self.wire.insert((self.now + DELAY, self.count), packet);
    }

    /// Sends what both sides want sent.
    fn flush(&mut self) {
        while let Some(datagram) = self.transport.poll_transmit(self.now) {
            assert!(datagram.bytes.len() <= 1200, "{} bytes", datagram.bytes.len());
            self.sent.push((datagram.to, datagram.bytes.len()));
            let lost = is_lost(self.loses, &mut self.to_peer, &datagram.bytes);
            if !lost {
                self.put(Packet::ToPeer(datagram.bytes));
            }
        }
        while let Some(event) = self.transport.poll_event() {
            self.events.push(event);
        }
        if !self.peer_dtls_runs {
            return;
        }
        if self.dtls.seen.keys.is_some() {
            for packet in self.sctp.poll_transmit(self.now) {
                self.dtls.send(self.now, &packet);
            }
        }
        for bytes in self.dtls.poll_transmit() {
            let lost = is_lost(self.loses, &mut self.to_transport, &bytes);
            if !lost {
                self.put(Packet::ToTransport(self.address, bytes));
            }
        }
    }

    /// Goes on to the next thing that happens; false when nothing is to come before `until`.
    pub fn step(&mut self, until: Instant) -> bool {
        self.flush();
        let peer = self.peer_dtls_runs.then(|| self.dtls.poll_timeout()).flatten();
        let timers = [self.transport.poll_timeout(), peer, self.sctp.poll_timeout()];
        let packet = self.wire.keys().next().map(|(at, _)| *at);
        let Some(next) = timers.into_iter().flatten().chain(packet).min().filter(|at| *at <= until) else {
            self.now = until;
            return false;
        };
        self.now = self.now.max(next);
        while let Some(entry) = self.wire.first_entry().filter(|entry| entry.key().0 <= self.now) {
            let packet = entry.remove();
            self.deliver(packet);
        }
        self.transport.handle_timeout(self.now);
        if self.peer_dtls_runs {
            self.dtls.handle_timeout(self.now);
        }
        self.sctp.handle_timeout(self.now);
        self.flush();
        true
    }

    pub fn deliver_now(&mut self, from: SocketAddr, bytes: &[u8]) -> Result<(), DropReason> {
        match bytes.first() {
            Some(0..=3) => self.transport.handle_stun(self.now, from, bytes),
            _ => self.transport.handle_dtls(self.now, from, bytes),
        }
    }

    fn deliver(&mut self, packet: Packet) {
        match packet {
            Packet::ToTransport(from, bytes) => {
                if let Err(reason) = self.deliver_now(from, &bytes) {
                    self.refused.push(reason);
                }
            }
            Packet::ToPeer(bytes) if bytes.first() == Some(&1) => {
                let message = StunMessage::parse(&bytes).unwrap();
                let key = stun_key(&self.transport.local_ice().pwd);
                self.answered += usize::from(message.kind == BINDING_SUCCESS && message.is_authentic(&key));
            }
            Packet::ToPeer(bytes) => {
                self.dtls.handle(self.now, &bytes);
                for packet in std::mem::take(&mut self.dtls.seen.data) {
                    self.sctp.handle(self.now, packet);
                }
            }
        }
    }

    /// # Panics
    /// When it does not come true within 30 s of virtual time.
    pub fn run_until(&mut self, condition: impl Fn(&Link) -> bool) {
        let end = self.now + Duration::from_secs(30);
        while !condition(self) {
            assert!(self.step(end), "it did not come true; events: {:?}", self.events);
        }
    }

    pub fn run_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.step(end) {}
    }

    /// As [`run_for`](Self::run_for), with a check every few seconds that keeps consent.
    pub fn run_alive_for(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            self.check();
            self.run_for(Duration::from_secs(4).min(end - self.now));
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    /// The peer's SRTP session.
    pub fn peer_srtp(&self) -> Srtp {
        let (profile, material) = self.dtls.seen.keys.as_ref().unwrap();
        Srtp::new(*profile, material, self.dtls.role == DtlsRole::Client).unwrap()
    }
}

fn is_lost(loses: fn(usize) -> bool, count: &mut usize, bytes: &[u8]) -> bool {
    let is_dtls = bytes.first().is_some_and(|first| (20..64).contains(first));
    *count += usize::from(is_dtls);
    is_dtls && loses(*count)
}

/// The peer's SCTP, as client.
pub struct SctpPeer {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    pub connected: bool,
    /// Stream, identifier, bytes.
    pub received: Vec<(u16, Identifier, Bytes)>,
    pub closed: Vec<u16>,
}

const SCTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 5000);

impl SctpPeer {
    fn new() -> SctpPeer {
        let mut config = EndpointConfig::new();
        config.max_payload_size(max_payload_size_for_mtu(1150));
        SctpPeer {
            endpoint: Endpoint::new(SCTP, TransportProtocol::UDP, Arc::new(config), None),
            association: None,
            connected: false,
            received: Vec::new(),
            closed: Vec::new(),
        }
    }

    pub fn connect(&mut self, now: Instant) {
        self.association = Some(self.endpoint.connect(now, ClientConfig::default(), SCTP).unwrap());
    }

    pub fn association(&mut self) -> &mut Association {
        &mut self.association.as_mut().unwrap().1
    }

    /// DATA_CHANNEL_OPEN with a channel type of RFC 8832.
    pub fn open(&mut self, now: Instant, id: u16, kind: u8, parameter: u32, label: &str) {
        let mut open = vec![3, kind, 1, 0];
        open.extend(parameter.to_be_bytes());
        open.extend((label.len() as u16).to_be_bytes());
        open.extend([0; 2]);
        open.extend(label.as_bytes());
        let mut stream = self.association().open_stream(id, Identifier::Binary).unwrap();
        stream.write_with_ppi(now, &open, Identifier::Dcep).unwrap();
    }

    pub fn send(&mut self, now: Instant, id: u16, identifier: Identifier, message: &[u8]) {
        let mut stream = self.association().stream(id).unwrap();
        stream.write_with_ppi(now, message, identifier).unwrap();
    }

    fn poll_transmit(&mut self, now: Instant) -> Vec<Vec<u8>> {
        let mut packets = Vec::new();
        if let Some((_, association)) = &mut self.association {
            while let Some(transmit) = association.poll_transmit(now) {
                if let Payload::RawEncode(raw) = transmit.message {
                    packets.extend(raw.iter().map(|packet| packet.to_vec()));
                }
            }
        }
        packets
    }

    fn handle(&mut self, now: Instant, packet: Vec<u8>) {
        let event = self.endpoint.handle(now, SCTP, None, Bytes::from(packet));
        if let (Some((_, association)), Some((_, DatagramEvent::AssociationEvent(event)))) =
            (&mut self.association, event)
        {
            association.handle_event(event);
        }
        self.poll();
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.association.as_ref().and_then(|(_, association)| association.poll_timeout())
    }

    fn handle_timeout(&mut self, now: Instant) {
        if let Some((_, association)) = &mut self.association {
            association.handle_timeout(now);
        }
        self.poll();
    }

    fn poll(&mut self) {
        let Some((_, association)) = &mut self.association else {
            return;
        };
        while let Some(event) = association.poll() {
            match event {
                Event::Connected => self.connected = true,
                Event::AssociationLost { id, .. } => self.closed.push(id),
                Event::Stream(StreamEvent::Readable { id }) => {
                    let mut stream = association.stream(id).unwrap();
                    while let Ok(Some(chunks)) = stream.read_sctp() {
                        let message = chunks.to_payload(1 << 20).unwrap().freeze();
                        self.received.push((id, chunks.ppi, message));
                    }
                }
                _ => {}
            }
        }
    }
}
