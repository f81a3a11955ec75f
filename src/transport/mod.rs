//! One participant's secure transport, sans-IO: ICE-lite (RFC 8445), DTLS 1.2 (RFC 6347), SRTP keys by
//! DTLS-SRTP (RFC 5764), SCTP data channels over DTLS (RFC 8831, RFC 8832).
//!
//! What always holds: nothing but an authenticated ICE check teaches an address or makes this side send; DTLS is read only
//! from an address that passed one; the peer's certificate matches the signalled fingerprint before any SRTP or data passes.

pub mod dtls;
pub mod ice;
pub mod sctp;
pub mod srtp;

#[cfg(test)]
pub(crate) mod tests;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rand::RngCore;

pub use dtls::{Certificate, DtlsRole, Fingerprint};
pub use ice::IceCredentials;

use crate::limits;
use crate::wire::rtp;
use dtls::{COOKIE_BYTES, DtlsEvent, Session};
use ice::{Ice, IceEvent};
use sctp::Sctp;
use srtp::{Plain, Profile, Srtp};

/// What the peer's session description says about its transport.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RemoteParameters {
    pub ice: IceCredentials,
    /// All `a=fingerprint` values; the peer's certificate must match one with a known hash (RFC 8122).
    pub fingerprints: Vec<Fingerprint>,
    /// The role *this* side takes.
    pub role: DtlsRole,
}

/// Something that happened, picked up by [`Transport::poll_event`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TransportEvent {
    /// Datagrams from and to this address now belong to this transport (an authenticated check came from it).
    AddressLearnt(SocketAddr),
    /// An address was dropped from the table (bounded, expired or ICE restarted).
    AddressForgotten(SocketAddr),
    /// DTLS is done, the fingerprint matched, SRTP keys exist.
    Connected,
    /// The peer opened a data channel (RFC 8832).
    ChannelOpened(DataChannel),
    Message {
        channel: u16,
        binary: bool,
        message: Bytes,
    },
    ChannelClosed {
        channel: u16,
    },
    /// Terminal: consent expired, DTLS closed or failed, fingerprint mismatch.
    Closed(CloseReason),
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DataChannel {
    /// SCTP stream id.
    pub id: u16,
    pub label: String,
    pub ordered: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseReason {
    ConnectTimeout,
    ConsentExpired,
    DtlsClosed,
    DtlsFailed,
    FingerprintMismatch,
}

/// Why a datagram was dropped; each has a counter in telemetry.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DropReason {
    #[error("malformed STUN")]
    StunMalformed,
    #[error("STUN message integrity does not verify")]
    StunUnauthenticated,
    #[error("STUN of a kind that is not served")]
    StunUnexpected,
    #[error("address table full")]
    TooManyPaths,
    #[error("from an address without an authenticated check")]
    UnknownAddress,
    #[error("malformed or unexpected DTLS")]
    Dtls,
    #[error("handshake bytes over the bound")]
    HandshakeTooLong,
    #[error("no SRTP keys yet")]
    NotConnected,
    #[error("too short or malformed")]
    Malformed,
    #[error("SRTP authentication failed")]
    SrtpUnauthenticated,
    #[error("SRTP replayed or too old")]
    SrtpReplayed,
    #[error("too many streams")]
    TooManyStreams,
}

/// A datagram to send. Only control traffic (STUN, DTLS, SCTP) passes here; media is sealed by [`Transport::seal_rtp`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Datagram {
    pub to: SocketAddr,
    pub bytes: Vec<u8>,
}

/// One participant's transport.
pub struct Transport {
    certificate: Arc<Certificate>,
    ice: Ice,
    /// What the peer's description said about DTLS; it does not change once the handshake began.
    identity: Option<(Vec<Fingerprint>, DtlsRole)>,
    dtls: Option<Session>,
    /// DTLS that came before the peer's description, oldest first.
    early: Vec<Vec<u8>>,
    cookie: [u8; COOKIE_BYTES],
    srtp: Option<Srtp>,
    /// From the peer's first packet on: most who watch open no data channel.
    sctp: Option<Box<Sctp>>,
    events: VecDeque<TransportEvent>,
    answers: VecDeque<Datagram>,
    connect_deadline: Instant,
    /// When something authenticated came last.
    last_heard: Instant,
    is_closed: bool,
}

/// DTLS datagrams kept before the peer's description: a ClientHello in fragments, repeated once or twice.
const EARLY_DATAGRAMS: usize = 8;
/// STUN answers that wait to be sent. They are polled after each input; the bound only guards against a caller that is not.
const ANSWERS: usize = 64;

impl Transport {
    /// ICE credentials are drawn from `random`. `now` starts the connect timeout.
    pub fn new(now: Instant, certificate: Arc<Certificate>, random: &mut dyn RngCore) -> Transport {
        let mut cookie = [0; COOKIE_BYTES];
        random.fill_bytes(&mut cookie);
        Transport {
            certificate,
            ice: Ice::new(random),
            identity: None,
            dtls: None,
            early: Vec::new(),
            cookie,
            srtp: None,
            sctp: None,
            events: VecDeque::new(),
            answers: VecDeque::new(),
            connect_deadline: now + limits::CONNECT_TIMEOUT,
            last_heard: now,
            is_closed: false,
        }
    }

    /// The current local credentials; the ufrag is unique enough to be the key of a demultiplexing table.
    pub fn local_ice(&self) -> &IceCredentials {
        self.ice.local()
    }

    /// Takes the peer's parameters from its first or a later offer. Changed ICE credentials are an ICE restart: new local credentials are
    /// drawn (and [`local_ice`](Self::local_ice) changes), the old ones stay valid until a check arrives with the new ones. A change of
    /// fingerprint or role after the handshake began is refused with `false`.
    pub fn set_remote(&mut self, now: Instant, remote: RemoteParameters, random: &mut dyn RngCore) -> bool {
        let identity = (remote.fingerprints, remote.role);
        if self.dtls.is_some() && self.identity.as_ref() != Some(&identity) {
            return false;
        }
        self.ice.set_remote(remote.ice, random);
        self.identity = Some(identity);
        if self.ice.selected().is_some() {
            self.begin_dtls(now);
        }
        true
    }

    /// Restarts ICE for a peer that says nothing but its new credentials (RFC 8840, section 4.4). The same ones again change
    /// nothing. The local ones before and after are told by [`local_ice`](Self::local_ice).
    pub fn restart_ice(&mut self, remote: IceCredentials, random: &mut dyn RngCore) {
        self.ice.set_remote(remote, random);
    }

    /// Whether SRTP keys exist.
    pub fn is_connected(&self) -> bool {
        self.srtp.is_some() && !self.is_closed
    }

    /// When something authenticated came last.
    pub fn last_heard(&self) -> Instant {
        self.last_heard
    }

    /// Where media goes now: the nominated address (the latest nomination wins: renomination is followed).
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.ice.selected()
    }

    /// Whether an authenticated check came from this address, and it was not forgotten since.
    pub fn knows_address(&self, address: SocketAddr) -> bool {
        self.ice.knows(ice::canonical(address))
    }

    /// A STUN message from anywhere, already found to carry this transport's ufrag or come from a learnt address.
    pub fn handle_stun(&mut self, now: Instant, from: SocketAddr, message: &[u8]) -> Result<(), DropReason> {
        if self.is_closed {
            return Err(DropReason::NotConnected);
        }
        let from = ice::canonical(from);
        let mut changes = Vec::new();
        let answer = self.ice.handle(now, from, message, &mut changes)?;
        self.last_heard = now;
        self.report(changes);
        if self.answers.len() < ANSWERS {
            self.answers.push_back(Datagram { to: from, bytes: answer });
        }
        if self.ice.selected().is_some() {
            self.begin_dtls(now);
        }
        Ok(())
    }

    /// A DTLS record from a learnt address. A ClientHello before nomination is kept, not dropped.
    pub fn handle_dtls(&mut self, now: Instant, from: SocketAddr, record: &[u8]) -> Result<(), DropReason> {
        let from = ice::canonical(from);
        if self.is_closed {
            return Err(DropReason::NotConnected);
        }
        if !self.ice.knows(from) {
            return Err(DropReason::UnknownAddress);
        }
        let Some(dtls) = &mut self.dtls else {
            return self.keep_early(record);
        };
        let outcome = dtls.handle(now, record);
        if outcome.is_ok() {
            self.ice.prefer_until_nomination(from);
        }
        self.drain_dtls(now);
        outcome
    }

    /// Decrypts an SRTP packet in place and gives the length of the plain packet (header included).
    pub fn open_rtp(&mut self, now: Instant, header: &rtp::Header, packet: &mut [u8]) -> Result<usize, DropReason> {
        let inbound = &mut self.srtp.as_mut().ok_or(DropReason::NotConnected)?.inbound;
        let len = inbound.open_rtp(now, header.ssrc.0, header.sequence_number, header.len, packet)?;
        self.last_heard = now;
        Ok(len)
    }

    /// Decrypts an SRTCP compound in place and gives the length of the plain compound.
    pub fn open_rtcp(&mut self, now: Instant, packet: &mut [u8]) -> Result<usize, DropReason> {
        let inbound = &mut self.srtp.as_mut().ok_or(DropReason::NotConnected)?.inbound;
        let len = inbound.open_rtcp(now, packet)?;
        self.last_heard = now;
        Ok(len)
    }

    /// Seals a packet into the start of `out` in one pass and gives its length: at most `srtp::MAX_OVERHEAD_BYTES` more than
    /// header, payload and padding.
    ///
    /// Refused with `SrtpReplayed` when the number was sealed before on its SSRC, or lies behind the replay window.
    pub fn seal_rtp(&mut self, packet: Plain<'_>, out: &mut [u8]) -> Result<usize, DropReason> {
        self.srtp.as_mut().ok_or(DropReason::NotConnected)?.outbound.seal_rtp(packet, out)
    }

    /// Reads what sealing the next packet of an SSRC needs, and gives a number that follows from it.
    pub fn touch(&self, ssrc: crate::wire::Ssrc) -> u64 {
        self.srtp.as_ref().map_or(0, |srtp| srtp.outbound.touch(ssrc.0))
    }

    /// Seals a compound packet into `out` (appended).
    pub fn seal_rtcp(&mut self, compound: &[u8], out: &mut Vec<u8>) -> Result<(), DropReason> {
        let outbound = &mut self.srtp.as_mut().ok_or(DropReason::NotConnected)?.outbound;
        outbound.seal_rtcp(compound, out)
    }

    /// Queues a message on an open channel. `false` when the channel is unknown or the queue is at `limits::DATA_QUEUE_BYTES`.
    pub fn send_message(&mut self, now: Instant, channel: u16, binary: bool, message: &[u8]) -> bool {
        !self.is_closed && self.sctp.as_mut().is_some_and(|sctp| sctp.send(now, channel, binary, message))
    }

    /// Bytes queued or unacknowledged towards the peer on a channel.
    pub fn buffered(&self, channel: u16) -> usize {
        self.sctp.as_ref().map_or(0, |sctp| sctp.buffered(channel))
    }

    /// Sends close-notify; later events are ignored by the caller.
    pub fn close(&mut self, now: Instant) {
        if let Some(dtls) = &mut self.dtls {
            dtls.close(now);
        }
        self.shut();
    }

    pub fn poll_event(&mut self) -> Option<TransportEvent> {
        self.events.pop_front()
    }

    pub fn poll_transmit(&mut self, now: Instant) -> Option<Datagram> {
        if let Some(answer) = self.answers.pop_front() {
            return Some(answer);
        }
        let to = self.ice.selected()?;
        let dtls = self.dtls.as_mut()?;
        let mut bytes = dtls.poll_transmit();
        while bytes.is_none() && !self.is_closed {
            let packet = self.sctp.as_mut()?.poll_transmit(now)?;
            dtls.send(now, &packet);
            bytes = dtls.poll_transmit();
        }
        Some(Datagram { to, bytes: bytes? })
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.is_closed {
            return None;
        }
        let timers = [
            Some(self.liveness_deadline().0),
            self.ice.poll_timeout(),
            self.dtls.as_ref().and_then(Session::poll_timeout),
            self.sctp.as_ref().and_then(|sctp| sctp.poll_timeout()),
        ];
        timers.into_iter().flatten().min()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if self.is_closed {
            return;
        }
        let (deadline, reason) = self.liveness_deadline();
        if now >= deadline {
            return self.end(reason);
        }
        let mut changes = Vec::new();
        self.ice.handle_timeout(now, &mut changes);
        self.report(changes);
        if let Some(dtls) = &mut self.dtls {
            dtls.handle_timeout(now);
        }
        if let Some(sctp) = &mut self.sctp {
            sctp.handle_timeout(now, &mut self.events);
        }
    }

    /// When this transport is given up, and why.
    fn liveness_deadline(&self) -> (Instant, CloseReason) {
        if self.srtp.is_some() {
            return (self.last_heard + limits::CONSENT_TIMEOUT, CloseReason::ConsentExpired);
        }
        let failed = self.dtls.as_ref().is_some_and(Session::is_over);
        let reason = if failed { CloseReason::DtlsFailed } else { CloseReason::ConnectTimeout };
        (self.connect_deadline, reason)
    }

    /// Starts DTLS once the peer's description and an address are known.
    fn begin_dtls(&mut self, now: Instant) {
        let (None, Some((fingerprints, role))) = (&self.dtls, &self.identity) else {
            return;
        };
        let mut dtls = Session::new(*role, Arc::clone(&self.certificate), fingerprints.clone(), self.cookie);
        if *role == DtlsRole::Client {
            dtls.start(now);
        }
        for datagram in std::mem::take(&mut self.early) {
            // What does not fit is dropped like any other; its peer repeats what counts.
            let _ = dtls.handle(now, &datagram);
        }
        self.dtls = Some(dtls);
        self.drain_dtls(now);
    }

    fn keep_early(&mut self, record: &[u8]) -> Result<(), DropReason> {
        if self.early.len() >= EARLY_DATAGRAMS || record.len() > limits::DATAGRAM_BYTES {
            return Err(DropReason::HandshakeTooLong);
        }
        self.early.push(record.to_vec());
        Ok(())
    }

    /// Takes what DTLS reports.
    fn drain_dtls(&mut self, now: Instant) {
        while let Some(event) = self.dtls.as_mut().and_then(Session::poll_event) {
            match event {
                DtlsEvent::Connected { profile, material } => self.connect(now, profile, &material),
                DtlsEvent::Data(packet) => {
                    self.last_heard = now;
                    let sctp = self.sctp.get_or_insert_with(|| Box::new(Sctp::new()));
                    sctp.handle(now, packet.freeze(), &mut self.events);
                }
                DtlsEvent::Closed => self.end(CloseReason::DtlsClosed),
                DtlsEvent::FingerprintMismatch => self.end(CloseReason::FingerprintMismatch),
            }
        }
    }

    fn connect(&mut self, now: Instant, profile: Profile, material: &[u8]) {
        let is_client = self.identity.as_ref().is_some_and(|(_, role)| *role == DtlsRole::Client);
        self.srtp = Srtp::new(profile, material, is_client);
        if self.srtp.is_none() {
            return self.end(CloseReason::DtlsFailed);
        }
        self.last_heard = now;
        self.events.push_back(TransportEvent::Connected);
    }

    fn report(&mut self, changes: Vec<IceEvent>) {
        self.events.extend(changes.into_iter().map(|change| match change {
            IceEvent::Learnt(address) => TransportEvent::AddressLearnt(address),
            IceEvent::Forgotten(address) => TransportEvent::AddressForgotten(address),
        }));
    }

    fn end(&mut self, reason: CloseReason) {
        if !self.is_closed {
            self.shut();
            self.events.push_back(TransportEvent::Closed(reason));
        }
    }

    /// No more input, no more data; what DTLS still has to say goes out.
    fn shut(&mut self) {
        self.is_closed = true;
        self.srtp = None;
        self.answers.clear();
        self.early.clear();
    }
}
