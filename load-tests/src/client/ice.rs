//! The controlling side of ICE (RFC 8445) towards one known address: connectivity checks with nomination in the first one,
//! consent afterwards (RFC 7675), and answers to a full agent's own checks.
//!
//! What always holds: an address counts as valid only after an authenticated success response to a check of ours.

use std::time::{Duration, Instant};

use rtc_dtls::crypto_provider::RTCCryptoProvider;
use rtc_dtls::crypto_provider::providers::AwsLcRsProvider;
use rtc_stun::attributes::{
    ATTR_ICE_CONTROLLING, ATTR_PRIORITY, ATTR_USE_CANDIDATE, ATTR_USERNAME, AttrType, RawAttribute,
};
use rtc_stun::fingerprint::FINGERPRINT;
use rtc_stun::integrity::MessageIntegrity;
use rtc_stun::message::{
    BINDING_REQUEST, BINDING_SUCCESS, CLASS_REQUEST, CLASS_SUCCESS_RESPONSE, Message, Setter, TransactionId,
};

/// First retransmission of a check, doubled each time: on loopback an answer comes within microseconds.
const FIRST_RETRY: Duration = Duration::from_millis(20);
const SLOWEST_RETRY: Duration = Duration::from_millis(500);
/// Consent is asked for every 5 s (RFC 7675, section 5.1).
const CONSENT: Duration = Duration::from_secs(5);
/// A host candidate's priority (RFC 8445, section 5.1.2.1).
const PRIORITY: u32 = (126 << 24) | (65_535 << 8) | 255;

/// Username fragment and password of one side.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub ufrag: String,
    pub password: String,
}

/// What a STUN message led to.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Nothing,
    /// A check of ours succeeded for the first time from this address.
    Valid,
    Answer(Vec<u8>),
}

pub struct Ice {
    local: Credentials,
    remote: Credentials,
    tie_breaker: u64,
    transaction: TransactionId,
    retry: Duration,
    due: Instant,
    valid: bool,
    crypto: AwsLcRsProvider,
}

impl Ice {
    pub fn new(now: Instant, local: Credentials, remote: Credentials) -> Ice {
        Ice {
            local,
            remote,
            tie_breaker: rand::random(),
            transaction: TransactionId(rand::random()),
            retry: FIRST_RETRY,
            due: now,
            valid: false,
            crypto: AwsLcRsProvider::new(),
        }
    }

    pub fn due(&self) -> Instant {
        self.due
    }

    /// The local address changed: checks from the new one begin at once.
    pub fn moved(&mut self, now: Instant) {
        self.transaction = TransactionId(rand::random());
        (self.valid, self.retry, self.due) = (false, FIRST_RETRY, now);
    }

    /// The check that is due, if one is.
    pub fn poll(&mut self, now: Instant) -> Option<Vec<u8>> {
        if now < self.due {
            return None;
        }
        if self.valid {
            self.transaction = TransactionId(rand::random());
            self.due = now + CONSENT;
        } else {
            self.due = now + self.retry;
            self.retry = (self.retry * 2).min(SLOWEST_RETRY);
        }
        self.check()
    }

    fn check(&self) -> Option<Vec<u8>> {
        let username = format!("{}:{}", self.remote.ufrag, self.local.ufrag);
        let attributes: [(AttrType, &[u8]); 4] = [
            (ATTR_USERNAME, username.as_bytes()),
            (ATTR_PRIORITY, &PRIORITY.to_be_bytes()),
            (ATTR_ICE_CONTROLLING, &self.tie_breaker.to_be_bytes()),
            (ATTR_USE_CANDIDATE, &[]),
        ];
        let mut setters: Vec<Box<dyn Setter + '_>> = vec![Box::new(BINDING_REQUEST), Box::new(self.transaction)];
        setters.extend(attributes.map(|(kind, value)| Box::new(raw(kind, value)) as Box<dyn Setter>));
        self.sealed(setters, &self.remote.password)
    }

    /// Adds integrity and fingerprint, and encodes.
    fn sealed<'a>(&'a self, mut setters: Vec<Box<dyn Setter + 'a>>, password: &str) -> Option<Vec<u8>> {
        let crypto = self.crypto.crypto();
        setters.push(Box::new(MessageIntegrity::new_short_term_integrity_with_provider(password.to_owned(), crypto)));
        setters.push(Box::new(FINGERPRINT));
        let mut message = Message::new();
        message.build(&setters).ok()?;
        Some(message.raw)
    }

    pub fn handle(&mut self, datagram: &[u8]) -> Outcome {
        let mut message = Message { raw: datagram.to_vec(), ..Message::default() };
        if message.decode().is_err() {
            return Outcome::Nothing;
        }
        let is_request = message.typ.class == CLASS_REQUEST;
        let password = if is_request { &self.local.password } else { &self.remote.password };
        if MessageIntegrity::check(&mut message, password.as_bytes(), self.crypto.crypto()).is_err() {
            return Outcome::Nothing;
        }
        if is_request {
            let setters: Vec<Box<dyn Setter>> = vec![Box::new(BINDING_SUCCESS), Box::new(message.transaction_id)];
            return self.sealed(setters, &self.local.password).map_or(Outcome::Nothing, Outcome::Answer);
        }
        let succeeded = message.typ.class == CLASS_SUCCESS_RESPONSE && message.transaction_id == self.transaction;
        if !succeeded || self.valid {
            return Outcome::Nothing;
        }
        self.valid = true;
        self.due += CONSENT;
        Outcome::Valid
    }
}

fn raw(kind: AttrType, value: &[u8]) -> RawAttribute {
    RawAttribute { typ: kind, length: value.len() as u16, value: value.to_vec() }
}
