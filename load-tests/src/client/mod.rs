//! One client's media: ICE as the controlling agent, DTLS-SRTP, the streams it sends and receives, its RTCP.
//!
//! What always holds: whatever a server sends ends in a counter, never in a panic; only what was decrypted is believed, but
//! for the RTP headers that are counted (RFC 3711 leaves them in the clear).

pub mod format;
pub mod ice;
pub mod payload;
pub mod port;
pub mod receive;
pub mod send;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngCore;
use sfumato::congestion::feedback::{ArrivalLog, FEEDBACK_INTERVAL};
use sfumato::transport::dtls::{COOKIE_BYTES, DtlsEvent, Session};
use sfumato::transport::srtp::Srtp;
use sfumato::transport::{Certificate, DtlsRole, Fingerprint};
use sfumato::wire::Ssrc;
use sfumato::wire::demux::{Protocol, classify};
use sfumato::wire::rtcp::{self, REPORTS_PER_BLOCK, Report, Writer};
use sfumato::wire::rtp::Header;

use crate::measure::Totals;
use crate::measure::delay::{Delays, Times};
use crate::time::Now;
use format::Kind;
use ice::{Credentials, Ice, Outcome};
use port::{BUFFERS, Buffers, Port};
use receive::{Arrival, ReceiveStream};
use send::{Publication, SendStream, Shape};

/// How often senders and receivers report.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Streams whose packets are decrypted; the server's SRTP, which is shared, keeps state for 64 of a peer.
const VERIFIED_STREAMS: usize = 60;
/// Streams one client counts; more are unexpected.
const STREAMS: usize = 4_096;
const CNAME: &str = "load";

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
    pub buffers: Buffers,
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
            buffers: Buffers::default(),
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

    /// Reads all that waits at the socket.
    pub fn receive(&mut self, shared: &mut Shared) {
        let mut buffers = std::mem::take(&mut shared.buffers);
        loop {
            let count = self.port.receive(&mut buffers);
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
        shared.buffers = buffers;
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

    fn on_rtp(&mut self, now: Now, arrived: Option<Duration>, packet: &mut [u8], shared: &mut Shared) {
        let totals = &mut shared.totals;
        let Ok(header) = Header::parse(packet) else {
            totals.unexpected += 1;
            return;
        };
        totals.packets += 1;
        totals.bytes += packet.len() as u64;
        self.note_arrival(now, &header, packet);
        let totals = &mut shared.totals;
        let Some(kind) = Kind::of(header.payload_type) else {
            let counter =
                if header.payload_type == format::RTX { &mut totals.retransmissions } else { &mut totals.unexpected };
            *counter += 1;
            return;
        };
        match kind {
            Kind::Audio => totals.audio_packets += 1,
            Kind::Video => totals.video_packets += 1,
        }
        let Some(place) = self.place(now, &header, kind, shared) else { return };
        let Some(stream) = self.streams.get_mut(place) else { return };
        let since_start = now.instant.saturating_duration_since(shared.start);
        match stream.accept(header.sequence_number, header.timestamp, since_start) {
            Arrival::Duplicate => {
                shared.totals.duplicates += 1;
                return;
            }
            Arrival::Late => shared.totals.late += 1,
            Arrival::InOrder => {}
        }
        shared.totals.received += 1;
        let sampled = self.verify_every > 0 && stream.received % u64::from(self.verify_every) == 0;
        if sampled && place < VERIFIED_STREAMS {
            self.verify(now, arrived, &header, kind, packet, shared);
        }
    }

    /// The packet's stream, a new one if need be.
    fn place(&mut self, now: Now, header: &Header, kind: Kind, shared: &mut Shared) -> Option<usize> {
        let ssrc = header.ssrc.0;
        if self.ssrcs.get(self.recent) == Some(&ssrc) {
            return Some(self.recent);
        }
        if let Some(place) = self.ssrcs.iter().position(|known| *known == ssrc) {
            self.recent = place;
            return Some(place);
        }
        if self.srtp.is_none() || self.ssrcs.len() >= STREAMS {
            shared.totals.unexpected += 1;
            return None;
        }
        if self.ssrcs.is_empty() {
            shared.joins.first_media.record(now.instant - self.started);
        }
        if kind == Kind::Video && !std::mem::replace(&mut self.has_video, true) {
            shared.joins.first_video.record(now.instant - self.started);
        }
        self.recent = self.ssrcs.len();
        self.ssrcs.push(ssrc);
        self.streams.push(ReceiveStream::new(ssrc, kind, header.sequence_number));
        Some(self.recent)
    }

    fn note_arrival(&mut self, now: Now, header: &Header, packet: &[u8]) {
        if !self.feedback {
            return;
        }
        let element = header.extensions(packet).find(|(id, _)| *id == format::TRANSPORT_CC);
        if let Some(&[high, low]) = element.map(|(_, value)| value) {
            let arrivals = self.arrivals.get_or_insert_with(|| ArrivalLog::new(now.instant));
            arrivals.arrived(now.instant, u16::from_be_bytes([high, low]), header.ssrc);
        }
    }

    /// Decrypts, and takes the delay from the stamp.
    fn verify(
        &mut self,
        now: Now,
        arrived: Option<Duration>,
        header: &Header,
        kind: Kind,
        packet: &mut [u8],
        shared: &mut Shared,
    ) {
        let Some(srtp) = &mut self.srtp else { return };
        let opened = srtp.inbound.open_rtp(now.instant, header.ssrc.0, header.sequence_number, header.len, packet);
        let Ok(plain) = opened.map(|len| packet.get(..len).unwrap_or_default()) else {
            shared.totals.unauthentic += 1;
            return;
        };
        shared.totals.verified += 1;
        let Some(stamp) = header.payload(plain).ok().and_then(|payload| payload::stamp(kind, payload)) else {
            shared.totals.damaged += 1;
            return;
        };
        let counter = shared.totals.by_encoding.get_mut(usize::from(stamp.encoding)).filter(|_| kind == Kind::Video);
        counter.into_iter().for_each(|counter| *counter += 1);
        let delays = &mut shared.delays;
        let Some(delay) = arrived.unwrap_or(now.unix).checked_sub(stamp.sent) else {
            delays.backwards += 1;
            return;
        };
        match kind {
            Kind::Audio => delays.audio.record(delay),
            Kind::Video => delays.video.record(delay),
        }
        delays.read.record(now.unix.saturating_sub(stamp.sent));
    }

    fn on_rtcp(&mut self, now: Now, packet: &mut [u8], shared: &mut Shared) {
        let Some(srtp) = &mut self.srtp else { return };
        let Ok(len) = srtp.inbound.open_rtcp(now.instant, packet) else {
            shared.totals.unauthentic += 1;
            return;
        };
        shared.totals.rtcp_received += 1;
        for report in rtcp::read(packet.get(..len).unwrap_or_default()) {
            match report {
                Report::Sender(info) => {
                    let stream = self.streams.iter_mut().find(|stream| stream.ssrc == info.ssrc.0);
                    stream.into_iter().for_each(|stream| stream.on_sender_report(now.instant, info.ntp));
                }
                Report::KeyframeRequest { media, .. } => {
                    shared.totals.keyframe_requests += 1;
                    let stream = self.sending.iter_mut().find(|stream| stream.ssrc() == media);
                    stream.into_iter().for_each(|stream| stream.keyframe_wanted = true);
                }
                _ => {}
            }
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

    fn send_feedback(&mut self, shared: &mut Shared) {
        let Some(arrivals) = &mut self.arrivals else { return };
        let mut compound = std::mem::take(&mut shared.compound);
        let mut feedbacks = Vec::new();
        while let Some(feedback) = arrivals.feedback(self.own_ssrc) {
            feedbacks.push(feedback);
        }
        for feedback in feedbacks {
            compound.clear();
            feedback.write(&mut compound);
            self.send_rtcp(&compound, shared);
        }
        shared.compound = compound;
    }

    /// A compound for each 31 streams received, with a sender report for each stream sent.
    fn send_reports(&mut self, now: Now, shared: &mut Shared) {
        let mut compound = std::mem::take(&mut shared.compound);
        let reports: Vec<_> = self.streams.iter_mut().map(|stream| stream.report(now.instant)).collect();
        let mut blocks = reports.chunks(REPORTS_PER_BLOCK);
        compound.clear();
        let mut writer = Writer { out: &mut compound };
        self.sending.iter().for_each(|stream| stream.report(now, &mut writer));
        writer.receiver_report(self.own_ssrc, blocks.next().unwrap_or_default());
        writer.cname(self.own_ssrc, CNAME);
        self.send_rtcp(&compound, shared);
        for block in blocks {
            compound.clear();
            let mut writer = Writer { out: &mut compound };
            writer.receiver_report(self.own_ssrc, block);
            writer.cname(self.own_ssrc, CNAME);
            self.send_rtcp(&compound, shared);
        }
        shared.compound = compound;
    }

    fn send_rtcp(&mut self, compound: &[u8], shared: &mut Shared) {
        let Some(srtp) = &mut self.srtp else { return };
        shared.scratch.clear();
        if srtp.outbound.seal_rtcp(compound, &mut shared.scratch).is_err() {
            shared.totals.send_errors += 1;
            return;
        }
        shared.totals.rtcp_sent += 1;
        let sealed = std::mem::take(&mut shared.scratch);
        self.transmit(&sealed, shared);
        shared.scratch = sealed;
    }

    /// Packets of its streams from their first to their highest.
    pub fn expected(&self) -> u64 {
        self.streams.iter().map(ReceiveStream::expected).sum()
    }

    pub fn streams(&self) -> usize {
        self.streams.len()
    }
}
