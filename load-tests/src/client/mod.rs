//! One client's media: ICE as the controlling agent, DTLS-SRTP, the streams it sends and receives, its RTCP.
//!
//! What always holds: whatever a server sends ends in a counter, never in a panic; only what was decrypted is believed, but
//! for the RTP headers that are counted (RFC 3711 leaves them in the clear).

pub mod format;
pub mod ice;
mod packets;
pub mod payload;
pub mod port;
pub mod receive;
mod reports;
pub mod send;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngCore;
use sfumato::congestion::feedback::{ArrivalLog, FEEDBACK_INTERVAL};
use sfumato::transport::dtls::{COOKIE_BYTES, DtlsEvent, Session};
use sfumato::transport::srtp::{Profile, Srtp};
use sfumato::transport::{Certificate, DtlsRole, Fingerprint};
use sfumato::wire::Ssrc;
use sfumato::wire::demux::{Protocol, classify};

use crate::measure::Totals;
use crate::measure::delay::{Delays, Times};
use crate::time::Now;
use format::Kind;
use ice::{Credentials, Ice, Outcome};
use port::{BUFFERS, Buffers, Port};
use receive::ReceiveStream;
use send::{Publication, SendStream, Shape};

/// How often senders and receivers report.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// What signalling found out about a connection.
pub struct Setup {
    /// When signalling's first byte was about to leave.
    pub started: Instant,
    pub server: SocketAddr,
    pub local: Credentials,
    pub remote: Credentials,
    pub fingerprints: Vec<Fingerprint>,
    /// This side's.
    pub role: DtlsRole,
    pub publications: Vec<Publication>,
    /// Transport-wide feedback is negotiated; it is sent once numbered packets arrive.
    pub feedback: bool,
    /// Every so many-th packet of a stream is decrypted; 0 is none.
    pub verify_every: u32,
}

/// From signalling's first byte.
#[derive(Clone, Default)]
pub struct Joins {
    pub connected: Times,
    pub first_media: Times,
    pub first_video: Times,
}

/// What clients share.
pub struct Shared {
    pub start: Instant,
    pub certificate: Arc<Certificate>,
    pub totals: Totals,
    pub delays: Delays,
    pub joins: Joins,
    scratch: Vec<u8>,
    compound: Vec<u8>,
}

impl Shared {
    pub fn new(certificate: Arc<Certificate>) -> Shared {
        Shared {
            start: Instant::now(),
            certificate,
            totals: Totals::default(),
            delays: Delays::default(),
            joins: Joins::default(),
            scratch: Vec::with_capacity(65_536),
            compound: Vec::with_capacity(2_048),
        }
    }
}

pub struct Client {
    pub port: Port,
    started: Instant,
    ice: Ice,
    dtls: Session,
    role: DtlsRole,
    srtp: Option<Srtp>,
    failed: bool,
    publications: Vec<Publication>,
    sending: Vec<SendStream>,
    transport_sequence: u16,
    ssrcs: Vec<u32>,
    streams: Vec<ReceiveStream>,
    /// Where the last packet's stream is: packets come in runs.
    recent: usize,
    verify_every: u32,
    has_video: bool,
    own_ssrc: Ssrc,
    reports_due: Instant,
    feedback: bool,
    /// There is one once a numbered packet arrived.
    arrivals: Option<ArrivalLog>,
    feedback_due: Instant,
}

impl Client {
    pub fn new(now: Now, setup: Setup, certificate: &Arc<Certificate>) -> io::Result<Client> {
        let mut cookie = [0; COOKIE_BYTES];
        rand::rng().fill_bytes(&mut cookie);
        let own_ssrc = setup.publications.first().map_or_else(rand::random, |publication| publication.ssrc);
        Ok(Client {
            port: Port::bind(setup.server)?,
            started: setup.started,
            ice: Ice::new(now.instant, setup.local, setup.remote),
            dtls: Session::new(setup.role, Arc::clone(certificate), setup.fingerprints, cookie),
            role: setup.role,
            srtp: None,
            failed: false,
            publications: setup.publications,
            sending: Vec::new(),
            transport_sequence: rand::random(),
            ssrcs: Vec::new(),
            streams: Vec::new(),
            recent: 0,
            verify_every: setup.verify_every,
            has_video: false,
            own_ssrc: Ssrc(own_ssrc),
            reports_due: now.instant + REPORT_INTERVAL,
            feedback: setup.feedback,
            arrivals: None,
            feedback_due: now.instant + FEEDBACK_INTERVAL,
        })
    }

    /// Reads all that waits at the socket, by way of `buffers`.
    pub fn receive(&mut self, buffers: &mut Buffers, shared: &mut Shared) {
        loop {
            let count = self.port.receive(buffers);
            let now = Now::read();
            shared.totals.receive_calls += 1;
            for run in buffers.runs(count) {
                let arrived = run.arrived;
                run.bytes.chunks_mut(run.stride).for_each(|datagram| self.handle(now, arrived, datagram, shared));
            }
            if count < BUFFERS {
                break;
            }
        }
    }

    fn handle(&mut self, now: Now, arrived: Option<Duration>, datagram: &mut [u8], shared: &mut Shared) {
        match classify(datagram) {
            Some(Protocol::Rtp) => self.on_rtp(now, arrived, datagram, shared),
            Some(Protocol::Rtcp) => self.on_rtcp(now, datagram, shared),
            Some(Protocol::Stun) => self.on_stun(now, datagram, shared),
            Some(Protocol::Dtls) => {
                if self.dtls.handle(now.instant, datagram).is_err() {
                    shared.totals.unexpected += 1;
                }
                self.drain_dtls(now, shared);
            }
            None => shared.totals.unexpected += 1,
        }
    }

    fn on_stun(&mut self, now: Now, datagram: &[u8], shared: &mut Shared) {
        match self.ice.handle(datagram) {
            Outcome::Nothing => {}
            Outcome::Answer(answer) => self.transmit(&answer, shared),
            Outcome::Valid => {
                if self.role == DtlsRole::Client {
                    self.dtls.start(now.instant);
                }
                self.drain_dtls(now, shared);
            }
        }
    }

    fn drain_dtls(&mut self, now: Now, shared: &mut Shared) {
        while let Some(event) = self.dtls.poll_event() {
            match event {
                DtlsEvent::Connected { profile, material } => {
                    self.srtp = Srtp::new(profile, &material, self.role == DtlsRole::Client);
                    shared.joins.connected.record(now.instant - self.started);
                    shared.totals.connected += 1;
                    shared.totals.aes_gcm += u64::from(profile == Profile::AeadAes128Gcm);
                    let publications = std::mem::take(&mut self.publications);
                    self.sending = publications.into_iter().map(|p| SendStream::new(now.instant, p)).collect();
                }
                DtlsEvent::Data(_) => {}
                DtlsEvent::Closed | DtlsEvent::FingerprintMismatch => {
                    self.end(shared);
                    shared.totals.failed += 1;
                }
            }
        }
        while let Some(datagram) = self.dtls.poll_transmit() {
            self.transmit(&datagram, shared);
        }
    }

    /// Nothing is sent any more, and it counts as connected no longer.
    fn end(&mut self, shared: &mut Shared) {
        if self.srtp.take().is_some() {
            shared.totals.connected -= 1;
        }
        self.failed = true;
        self.sending.clear();
    }

    /// Says goodbye; what was counted stays in the totals.
    pub fn leave(&mut self, now: Now, shared: &mut Shared) {
        self.dtls.close(now.instant);
        while let Some(datagram) = self.dtls.poll_transmit() {
            self.transmit(&datagram, shared);
        }
        self.end(shared);
        shared.totals.expected += self.expected();
    }

    fn transmit(&self, datagram: &[u8], shared: &mut Shared) {
        if self.port.send(datagram, datagram.len()).is_err() {
            shared.totals.send_errors += 1;
        }
    }

    /// Changes what it sends of a kind.
    pub fn reshape(&mut self, kind: Kind, shape: Shape) {
        self.sending.iter_mut().for_each(|stream| stream.reshape(kind, shape));
    }

    /// When [`on_timeout`](Self::on_timeout) wants to be called next.
    pub fn due(&self) -> Instant {
        let mut due = self.ice.due();
        if let Some(dtls) = self.dtls.poll_timeout() {
            due = due.min(dtls);
        }
        if self.srtp.is_some() {
            due = due.min(self.reports_due);
            if self.arrivals.is_some() {
                due = due.min(self.feedback_due);
            }
        }
        self.sending.iter().map(SendStream::due).fold(due, Instant::min)
    }

    pub fn on_timeout(&mut self, now: Now, shared: &mut Shared) {
        if let Some(check) = self.ice.poll(now.instant).filter(|_| !self.failed) {
            self.transmit(&check, shared);
        }
        if self.dtls.poll_timeout().is_some_and(|due| due <= now.instant) {
            self.dtls.handle_timeout(now.instant);
            self.drain_dtls(now, shared);
        }
        self.send_media(now, shared);
        if self.srtp.is_none() {
            return;
        }
        if self.arrivals.is_some() && self.feedback_due <= now.instant {
            self.feedback_due = now.instant + FEEDBACK_INTERVAL;
            self.send_feedback(shared);
        }
        if self.reports_due <= now.instant {
            self.reports_due = now.instant + REPORT_INTERVAL;
            self.send_reports(now, shared);
        }
    }

    fn send_media(&mut self, now: Now, shared: &mut Shared) {
        let Some(srtp) = &mut self.srtp else { return };
        let Shared { scratch, totals, .. } = shared;
        let mut errors = 0;
        for stream in self.sending.iter_mut().filter(|stream| stream.due() <= now.instant) {
            let port = &self.port;
            let emit = |run: &[u8], segment: usize| errors += u64::from(port.send(run, segment).is_err());
            stream.send(now, &mut srtp.outbound, &mut self.transport_sequence, scratch, totals, emit);
        }
        totals.send_errors += errors;
    }

    /// Packets of its streams from their first to their highest.
    pub fn expected(&self) -> u64 {
        self.streams.iter().map(ReceiveStream::expected).sum()
    }

    pub fn streams(&self) -> usize {
        self.streams.len()
    }
}
