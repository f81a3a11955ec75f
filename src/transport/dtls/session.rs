//! One association: what arrives is put in order, checked against bounds and handed to the state machine a whole flight at a
//! time; what it answers is numbered, kept and sent again until the peer goes on.
//!
//! What always holds: a ClientHello without our cookie changes nothing (the cookie is one per association, so that a hello
//! forged with the peer's address cannot spoil the peer's own); plaintext alerts are never believed; whatever arrives before
//! keys exist, in whatever shape, leaves the association waiting for the right thing; of a handshake that is over nothing is kept but
//! the keys and our last flight.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::BytesMut;
use rtc_dtls::config::HandshakeConfig;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_dtls::state::State;
use rtc_shared::TransportProtocol;
use rtc_shared::error::Error;

use super::config::handshake_config;
use super::flight::Flight;
use super::provider::{COOKIE_BYTES, Provider};
use super::reassembly::{Message, Reassembly};
use super::record::{self, Fragment, Record, message};
use super::{Certificate, DtlsRole, Fingerprint};
use crate::transport::DropReason;
use crate::transport::srtp::Profile;

/// RFC 5764, section 4.2.
const EXPORTER_LABEL: &str = "EXTRACTOR-dtls_srtp";
/// Protected records that overtook the flight that lets us read them: the Finished, and the first data.
const HELD_RECORDS: usize = 8;
/// The state machine tells associations apart by address; here there is one, wherever it moves.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// What an association reports.
#[derive(Debug)]
pub enum DtlsEvent {
    /// The fingerprint matched; the exported keying material.
    Connected {
        profile: Profile,
        material: Vec<u8>,
    },
    Data(BytesMut),
    /// The peer said so, authenticated.
    Closed,
    FingerprintMismatch,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// As server, before a ClientHello with the cookie.
    AwaitHello,
    Handshake,
    Connected,
    /// The handshake cannot succeed any more, or the association is over.
    Ended,
}

pub struct Session {
    role: DtlsRole,
    certificate: Arc<Certificate>,
    fingerprints: Vec<Fingerprint>,
    cookie: [u8; COOKIE_BYTES],
    phase: Phase,
    /// Of the association, whatever machine it has: it counts the nonces.
    provider: Arc<Provider>,
    machine: Endpoint,
    mismatch: Arc<AtomicBool>,
    reassembly: Reassembly,
    change_cipher_spec: bool,
    held: Vec<Vec<u8>>,
    flight: Flight,
    /// The next record number of epoch 0 towards the state machine, and towards the peer.
    next_fed: u64,
    next_sent: u64,
    out: VecDeque<Vec<u8>>,
    events: VecDeque<DtlsEvent>,
    /// How often the library panicked over what the peer sent.
    pub(super) contained_panics: u32,
}

impl Session {
    pub fn new(
        role: DtlsRole,
        certificate: Arc<Certificate>,
        fingerprints: Vec<Fingerprint>,
        cookie: [u8; COOKIE_BYTES],
    ) -> Session {
        Session {
            role,
            certificate,
            fingerprints,
            cookie,
            phase: match role {
                DtlsRole::Server => Phase::AwaitHello,
                DtlsRole::Client => Phase::Handshake,
            },
            provider: Arc::new(Provider::new(cookie)),
            machine: Endpoint::new(PEER, TransportProtocol::UDP, None),
            mismatch: Arc::default(),
            reassembly: Reassembly::starting_at(match role {
                DtlsRole::Server => 1,
                DtlsRole::Client => 0,
            }),
            change_cipher_spec: false,
            held: Vec::new(),
            flight: Flight::default(),
            next_fed: 0,
            next_sent: 0,
            out: VecDeque::new(),
            events: VecDeque::new(),
            contained_panics: 0,
        }
    }

    /// As client: sends the ClientHello.
    pub fn start(&mut self, now: Instant) {
        let config = self.config(&Profile::PREFERENCE);
        let started = config.and_then(|config| self.machine.connect(now, PEER, config, None));
        if started.is_err() {
            self.phase = Phase::Ended;
        }
        self.send_flight(now, true);
    }

    pub fn is_over(&self) -> bool {
        self.phase == Phase::Ended
    }

    pub fn handle(&mut self, now: Instant, datagram: &[u8]) -> Result<(), DropReason> {
        let mut outcome = Err(DropReason::Dtls);
        for record in record::records(datagram) {
            let taken = match (self.phase, record.epoch, record.content) {
                (Phase::Ended, _, _) => Err(DropReason::Dtls),
                (_, 0, record::HANDSHAKE) => self.on_handshake(now, record.body, datagram.len()),
                (Phase::Handshake, 0, record::CHANGE_CIPHER_SPEC) => {
                    self.change_cipher_spec = true;
                    Ok(())
                }
                (Phase::Handshake, 1, _) => self.hold(&record),
                (Phase::Connected, 1, record::ALERT | record::APPLICATION_DATA) => {
                    self.feed(now, record.raw).map_err(|()| DropReason::Dtls)
                }
                // Plaintext alerts above all; and there is no second handshake.
                _ => Err(DropReason::Dtls),
            };
            outcome = outcome.or(taken);
            self.advance(now);
        }
        outcome
    }

    /// Sends application data; false when there is no association to send it on.
    pub fn send(&mut self, now: Instant, data: &[u8]) -> bool {
        let sent = self.phase == Phase::Connected && self.machine.write(now, PEER, data).is_ok();
        let datagrams = self.outgoing();
        self.out.extend(datagrams);
        sent
    }

    /// Sends close_notify where the peer can authenticate it.
    pub fn close(&mut self, now: Instant) {
        if self.phase == Phase::Connected && self.machine.close(now).is_ok() {
            let datagrams = self.outgoing();
            self.out.extend(datagrams);
        }
        self.phase = Phase::Ended;
    }

    pub fn poll_event(&mut self) -> Option<DtlsEvent> {
        self.events.pop_front()
    }

    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Handshake => self.flight.due(),
            _ => None,
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if self.phase == Phase::Handshake {
            let again = self.flight.on_timeout(now);
            self.send_again(again);
        }
    }

    fn on_handshake(&mut self, now: Instant, body: &[u8], question: usize) -> Result<(), DropReason> {
        let mut outcome = Err(DropReason::Dtls);
        for fragment in record::fragments(body) {
            let taken = match (self.role, self.phase) {
                (_, Phase::Ended) => Err(DropReason::Dtls),
                (DtlsRole::Server, Phase::AwaitHello) => self.on_hello(&fragment, question),
                _ if fragment.sequence < self.reassembly.next() => self.on_repeat(now, &fragment),
                (role, Phase::Handshake) if is_expected(role, fragment.kind) => self.reassembly.add(fragment),
                _ => Err(DropReason::Dtls),
            };
            outcome = outcome.or(taken);
        }
        outcome
    }

    /// Without a cookie, a hello is answered with the cookie and forgotten; with it, it is kept.
    fn on_hello(&mut self, fragment: &Fragment<'_>, question: usize) -> Result<(), DropReason> {
        if fragment.kind != message::CLIENT_HELLO {
            return Err(DropReason::Dtls);
        }
        if fragment.sequence == 0 && fragment.offset == 0 {
            let answer = record::hello_verify_request(self.next_sent, &self.cookie);
            if answer.len() > question {
                return Err(DropReason::Dtls);
            }
            // Not more than one: the queue must not grow with hellos before it is polled.
            if self.out.is_empty() {
                self.next_sent += 1;
                self.out.push_back(answer);
            }
            return Ok(());
        }
        let is_ours = fragment.offset == 0 && self.has_cookie(fragment);
        if is_ours || (fragment.offset > 0 && self.reassembly.has_begun()) {
            return self.reassembly.add(*fragment);
        }
        Err(DropReason::Dtls)
    }

    fn has_cookie(&self, fragment: &Fragment<'_>) -> bool {
        fragment.sequence == 1
            && fragment.kind == message::CLIENT_HELLO
            && record::hello_cookie(fragment.body) == Some(&self.cookie)
    }

    /// The peer repeats its flight: ours was lost.
    fn on_repeat(&mut self, now: Instant, fragment: &Fragment<'_>) -> Result<(), DropReason> {
        let asks_for_flight = match (self.role, self.phase) {
            (DtlsRole::Server, Phase::Handshake) => self.has_cookie(fragment),
            (DtlsRole::Server, Phase::Connected) => fragment.kind == message::CLIENT_KEY_EXCHANGE,
            (DtlsRole::Client, Phase::Handshake) => fragment.kind == message::SERVER_HELLO_DONE,
            _ => false,
        };
        if !asks_for_flight {
            return Err(DropReason::Dtls);
        }
        let again = self.flight.on_repeat(now);
        self.send_again(again);
        Ok(())
    }

    fn hold(&mut self, record: &Record<'_>) -> Result<(), DropReason> {
        if self.held.len() >= HELD_RECORDS {
            return Err(DropReason::HandshakeTooLong);
        }
        if !self.held.iter().any(|held| held == record.raw) {
            self.held.push(record.raw.to_vec());
        }
        Ok(())
    }

    /// Goes on as far as what arrived allows.
    fn advance(&mut self, now: Instant) {
        if self.phase == Phase::AwaitHello {
            let hello = self.reassembly.run().next();
            if let Some((_, Some(hello))) = hello {
                self.accept_hello(now, &hello);
            }
        } else if self.phase == Phase::Handshake
            && let Some(count) = self.complete_flight()
        {
            let messages = self.reassembly.take(count);
            self.feed_flight(now, &messages);
        }
    }

    /// Starts the state machine as server. It insists on making the cookie exchange itself: it is shown the hello without
    /// cookie first, and its provider makes it answer with the cookie that the peer already has.
    fn accept_hello(&mut self, now: Instant, hello: &[u8]) {
        let spent = std::mem::replace(&mut self.reassembly, Reassembly::starting_at(1)).take(1);
        let offered: Vec<u16> = record::hello_srtp_profiles(hello).into_iter().flatten().collect();
        let profile = Profile::PREFERENCE.into_iter().find(|profile| offered.contains(&profile.id()));
        let (Some(profile), Some(first)) = (profile, record::hello_without_cookie(hello)) else {
            return;
        };
        let Ok(config) = self.config(&[profile]) else {
            return;
        };
        self.machine = Endpoint::new(PEER, TransportProtocol::UDP, Some(config));
        self.next_fed = 0;
        let mut datagram = Vec::new();
        record::write_message(&mut datagram, self.feed_number(), message::CLIENT_HELLO, 0, &first);
        let greeted = self.feed(now, &datagram);
        let verify = self.outgoing();
        let same_cookie = verify.iter().any(|datagram| datagram.ends_with(&self.cookie));
        datagram.clear();
        for hello in &spent {
            record::write_message(&mut datagram, self.feed_number(), hello.kind, hello.sequence, &hello.body);
        }
        if greeted.is_ok() && same_cookie && self.feed(now, &datagram).is_ok() {
            self.phase = Phase::Handshake;
            self.reassembly = Reassembly::starting_at(2);
            self.send_flight(now, true);
        } else {
            // An alert that says why; another hello may come.
            let alerts = self.outgoing();
            self.out.extend(alerts);
        }
    }

    /// How many messages to hand over, once they are a whole flight.
    fn complete_flight(&self) -> Option<usize> {
        let run: Vec<_> = self.reassembly.run().collect();
        let kinds: Vec<u8> = run.iter().map(|(kind, _)| *kind).collect();
        let has_finished = self.change_cipher_spec && self.held.iter().any(|held| is_handshake(held));
        let complete = match self.role {
            DtlsRole::Client => match kinds.as_slice() {
                [message::HELLO_VERIFY_REQUEST, ..] => return Some(1),
                [.., message::SERVER_HELLO_DONE] => true,
                kinds => kinds.is_empty() && has_finished,
            },
            DtlsRole::Server => {
                let certificate = run.iter().find(|(kind, _)| *kind == message::CERTIFICATE);
                // An empty list is three bytes of zero length; then nothing is verified, and the machine refuses.
                let has_certificate = matches!(certificate, Some((_, Some(body))) if body.len() > 3);
                let keys = match kinds.as_slice() {
                    [.., message::CERTIFICATE_VERIFY] => true,
                    [.., message::CLIENT_KEY_EXCHANGE] => !has_certificate,
                    _ => false,
                };
                keys && has_finished
            }
        };
        complete.then_some(kinds.len())
    }

    /// Hands a whole flight over in one datagram, with ChangeCipherSpec and Finished where they end it.
    fn feed_flight(&mut self, now: Instant, messages: &[Message]) {
        let mut datagram = Vec::new();
        for message in messages {
            let number = self.feed_number();
            record::write_message(&mut datagram, number, message.kind, message.sequence, &message.body);
        }
        let mut data = Vec::new();
        if self.change_cipher_spec {
            record::write_change_cipher_spec(&mut datagram, self.feed_number());
            let held = std::mem::take(&mut self.held);
            let (finished, rest): (Vec<_>, Vec<_>) = held.into_iter().partition(|held| is_handshake(held));
            datagram.extend(finished.concat());
            data = rest;
        }
        if self.feed(now, &datagram).is_err() {
            let alerts = self.outgoing();
            self.out.extend(alerts);
            self.phase = Phase::Ended;
            if self.mismatch.load(Ordering::Relaxed) {
                self.events.push_back(DtlsEvent::FingerprintMismatch);
            }
            return;
        }
        let is_connected = self.phase == Phase::Connected;
        self.send_flight(now, !is_connected);
        if is_connected {
            self.settle(now);
        }
        for record in data.iter().filter(|_| is_connected) {
            // An error ends the association by itself.
            let _ = self.feed(now, record);
        }
    }

    /// Hands records to the state machine and takes its events.
    fn feed(&mut self, now: Instant, records: &[u8]) -> Result<(), ()> {
        // The library parses what the peer wrote. Should it ever panic there, this association alone is lost.
        let datagram = BytesMut::from(records);
        let outcome = catch_unwind(AssertUnwindSafe(|| self.machine.read(now, PEER, None, datagram)));
        self.contained_panics += u32::from(outcome.is_err());
        let Ok(Ok(events)) = outcome else {
            if self.phase == Phase::Connected {
                // After the handshake only an authenticated record can be an error: the peer's fatal alert.
                self.end();
            }
            return Err(());
        };
        for event in events {
            match event {
                EndpointEvent::HandshakeComplete => self.on_complete()?,
                EndpointEvent::ApplicationData(data) => self.events.push_back(DtlsEvent::Data(data)),
                EndpointEvent::PeerClosed => {
                    let reply = self.outgoing();
                    self.out.extend(reply);
                    self.end();
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn end(&mut self) {
        self.phase = Phase::Ended;
        self.events.push_back(DtlsEvent::Closed);
    }

    fn on_complete(&mut self) -> Result<(), ()> {
        let state = self.machine.get_connection_state(PEER).ok_or(())?;
        let profile = match state.srtp_protection_profile() {
            SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => Profile::AeadAes128Gcm,
            SrtpProtectionProfile::Srtp_Aes128_Cm_Hmac_Sha1_80 => Profile::Aes128CmHmacSha1_80,
            _ => return Err(()),
        };
        // The machine verified it when the certificate came; nothing leaves without it.
        let certificate = state.peer_certificates.first().ok_or(())?;
        if !self.fingerprints.iter().any(|fingerprint| fingerprint.matches(certificate)) {
            return Err(());
        }
        let material = state.export_keying_material(EXPORTER_LABEL, &[], profile.keying_material_bytes());
        let material = material.map_err(|_| ())?.into_bytes();
        self.phase = Phase::Connected;
        self.events.push_back(DtlsEvent::Connected { profile, material });
        Ok(())
    }

    /// Goes on with a machine that has the keys alone. The one that did the handshake keeps all its messages and the peer's certificate,
    /// some 9 KB, for as long as the association lasts; one that would not begin anew is kept.
    fn settle(&mut self, now: Instant) {
        if let Ok(machine) = self.established(now) {
            self.machine = machine;
        }
        self.reassembly = Reassembly::starting_at(self.reassembly.next());
        self.fingerprints = Vec::new();
        self.out.shrink_to_fit();
    }

    /// A machine with the keys of the present one.
    fn established(&self, now: Instant) -> Result<Endpoint, Error> {
        let keys = self.machine.get_connection_state(PEER).ok_or(Error::ErrConnClosed)?.marshal_binary()?;
        let mut state = State::new(Arc::clone(&self.provider) as _, self.role == DtlsRole::Client);
        state.unmarshal_binary(&keys)?;
        state.peer_certificates = Vec::new();
        let mut machine = Endpoint::new(PEER, TransportProtocol::UDP, None);
        machine.connect(now, PEER, Arc::clone(&self.certificate.established), Some(state))?;
        Ok(machine)
    }

    fn config(&self, profiles: &[Profile]) -> Result<Arc<HandshakeConfig>, Error> {
        let (mismatch, provider) = (Arc::clone(&self.mismatch), Arc::clone(&self.provider));
        handshake_config(self.role, &self.certificate, self.fingerprints.clone(), provider, profiles, mismatch)
    }

    fn feed_number(&mut self) -> u64 {
        let number = self.next_fed;
        self.next_fed += 1;
        number
    }

    /// What the state machine wants sent.
    fn outgoing(&mut self) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        while let Some(transmit) = self.machine.poll_transmit() {
            let mut datagram = transmit.message.to_vec();
            record::renumber(&mut datagram, &mut self.next_sent);
            datagrams.push(datagram);
        }
        datagrams
    }

    fn send_flight(&mut self, now: Instant, awaits_answer: bool) {
        let datagrams = self.outgoing();
        self.out.extend(datagrams.iter().cloned());
        self.flight = Flight::new(now, datagrams, awaits_answer);
    }

    fn send_again(&mut self, datagrams: Vec<Vec<u8>>) {
        for mut datagram in datagrams {
            record::renumber(&mut datagram, &mut self.next_sent);
            self.out.push_back(datagram);
        }
    }
}

/// Whether the peer of a side in this role sends such messages after its hello: others are forged.
fn is_expected(role: DtlsRole, kind: u8) -> bool {
    use message::*;
    match role {
        DtlsRole::Server => matches!(kind, CERTIFICATE | CLIENT_KEY_EXCHANGE | CERTIFICATE_VERIFY),
        DtlsRole::Client => matches!(
            kind,
            HELLO_VERIFY_REQUEST
                | SERVER_HELLO
                | CERTIFICATE
                | SERVER_KEY_EXCHANGE
                | CERTIFICATE_REQUEST
                | SERVER_HELLO_DONE
        ),
    }
}

/// Whether a protected record is a handshake record: the Finished.
fn is_handshake(raw: &[u8]) -> bool {
    raw.first() == Some(&record::HANDSHAKE)
}
