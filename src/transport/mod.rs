//! One participant's secure transport, sans-IO: ICE-lite (RFC 8445), DTLS 1.2 (RFC 6347), SRTP keys by
//! DTLS-SRTP (RFC 5764), SCTP data channels over DTLS (RFC 8831, RFC 8832).
//!
//! What always holds: nothing but an authenticated ICE check teaches an address or makes this side send; DTLS is read only
//! from an address that passed one; the peer's certificate matches the signalled fingerprint before any SRTP or data passes.

pub mod dtls;
pub mod ice;
pub mod sctp;
pub mod srtp;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rand::RngCore;

pub use dtls::{Certificate, DtlsRole, Fingerprint};
pub use ice::IceCredentials;

use crate::wire::rtp;

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
pub struct Transport {}

impl Transport {
    /// ICE credentials are drawn from `random`. `now` starts the connect timeout.
    pub fn new(now: Instant, certificate: Arc<Certificate>, random: &mut dyn RngCore) -> Transport {
        let _ = (now, certificate, random);
        todo!()
    }

    /// The current local credentials; the ufrag is unique enough to be the key of a demultiplexing table.
    pub fn local_ice(&self) -> &IceCredentials {
        todo!()
    }

    /// Takes the peer's parameters from its first or a later offer. Changed ICE credentials are an ICE restart: new local credentials are
    /// drawn (and [`local_ice`](Self::local_ice) changes), the old ones stay valid until a check arrives with the new ones. A change of
    /// fingerprint or role after the handshake began is refused with `false`.
    pub fn set_remote(&mut self, now: Instant, remote: RemoteParameters, random: &mut dyn RngCore) -> bool {
        let _ = (now, remote, random);
        todo!()
    }

    /// Whether SRTP keys exist.
    pub fn is_connected(&self) -> bool {
        todo!()
    }

    /// Where media goes now: the nominated address (the latest nomination wins: renomination is followed).
    pub fn remote_address(&self) -> Option<SocketAddr> {
        todo!()
    }

    /// A STUN message from anywhere, already found to carry this transport's ufrag or come from a learnt address.
    pub fn handle_stun(&mut self, now: Instant, from: SocketAddr, message: &[u8]) -> Result<(), DropReason> {
        let _ = (now, from, message);
        todo!()
    }

    /// A DTLS record from a learnt address. A ClientHello before nomination is kept, not dropped.
    pub fn handle_dtls(&mut self, now: Instant, from: SocketAddr, record: &[u8]) -> Result<(), DropReason> {
        let _ = (now, from, record);
        todo!()
    }

    /// Decrypts an SRTP packet in place and gives the length of the plain packet (header included).
    pub fn open_rtp(&mut self, now: Instant, header: &rtp::Header, packet: &mut [u8]) -> Result<usize, DropReason> {
        let _ = (now, header, packet);
        todo!()
    }

    /// Decrypts an SRTCP compound in place and gives the length of the plain compound.
    pub fn open_rtcp(&mut self, now: Instant, packet: &mut [u8]) -> Result<usize, DropReason> {
        let _ = (now, packet);
        todo!()
    }

    /// Seals header and payload into `out` (appended, no allocation when it has capacity) in one pass. `extended_sequence` is the packet's
    /// 64-bit extended sequence number, whose low 16 bits stand in `header`; its next 32 bits are the ROC.
    /// `prefix` (often empty) is payload that replaces the first bytes of the source's payload and is followed by `payload`.
    pub fn seal_rtp(
        &mut self,
        extended_sequence: u64,
        header: &[u8],
        prefix: &[u8],
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), DropReason> {
        let _ = (extended_sequence, header, prefix, payload, out);
        todo!()
    }

    /// Seals a compound packet into `out` (appended).
    pub fn seal_rtcp(&mut self, compound: &[u8], out: &mut Vec<u8>) -> Result<(), DropReason> {
        let _ = (compound, out);
        todo!()
    }

    /// Queues a message on an open channel. `false` when the channel is unknown or the queue is at `limits::DATA_QUEUE_BYTES`.
    pub fn send_message(&mut self, now: Instant, channel: u16, binary: bool, message: &[u8]) -> bool {
        let _ = (now, channel, binary, message);
        todo!()
    }

    /// Bytes queued or unacknowledged towards the peer on a channel.
    pub fn buffered(&self, channel: u16) -> usize {
        let _ = channel;
        todo!()
    }

    /// Sends close-notify; later events are ignored by the caller.
    pub fn close(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }

    pub fn poll_event(&mut self) -> Option<TransportEvent> {
        todo!()
    }

    pub fn poll_transmit(&mut self, now: Instant) -> Option<Datagram> {
        let _ = now;
        todo!()
    }

    /// When [`handle_timeout`](Self::handle_timeout) wants to be called next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        todo!()
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
        todo!()
    }
}
