//! The secure transport of a model client: ICE as the controlling agent, DTLS, SRTP, of the load generator's parts.
//!
//! What always holds: sans-IO; what is to be sent is left in `out`.

use std::sync::Arc;
use std::time::Instant;

use rand::RngCore;
use rand::rngs::StdRng;
use sfumato::transport::dtls::{COOKIE_BYTES, DtlsEvent, Session};
use sfumato::transport::srtp::Srtp;
use sfumato::transport::{Certificate, DtlsRole};
use sfumato_load::client::ice::{Credentials, Ice, Outcome};
use sfumato_load::signalling::sdp::Answer;

pub struct Connection {
    ice: Ice,
    dtls: Session,
    role: DtlsRole,
    started: bool,
    pub srtp: Option<Srtp>,
}

impl Connection {
    pub fn new(
        now: Instant,
        random: &mut StdRng,
        certificate: &Arc<Certificate>,
        local: Credentials,
        answer: &Answer,
    ) -> Connection {
        let mut cookie = [0; COOKIE_BYTES];
        random.fill_bytes(&mut cookie);
        Connection {
            ice: Ice::new(now, local, answer.remote.clone()),
            dtls: Session::new(answer.role, Arc::clone(certificate), answer.fingerprints.clone(), cookie),
            role: answer.role,
            started: false,
            srtp: None,
        }
    }

    pub fn handle_stun(&mut self, now: Instant, datagram: &[u8], out: &mut Vec<Vec<u8>>) {
        match self.ice.handle(datagram) {
            Outcome::Nothing => {}
            Outcome::Answer(answer) => out.push(answer),
            Outcome::Valid => {
                if self.role == DtlsRole::Client && !std::mem::replace(&mut self.started, true) {
                    self.dtls.start(now);
                }
                self.drain_dtls(out);
            }
        }
    }

    pub fn handle_dtls(&mut self, now: Instant, datagram: &[u8], out: &mut Vec<Vec<u8>>) {
        // What is malformed or late is dropped; the session says what it makes of the rest.
        let _ = self.dtls.handle(now, datagram);
        self.drain_dtls(out);
    }

    fn drain_dtls(&mut self, out: &mut Vec<Vec<u8>>) {
        while let Some(event) = self.dtls.poll_event() {
            match event {
                DtlsEvent::Connected { profile, material } => {
                    self.srtp = Srtp::new(profile, &material, self.role == DtlsRole::Client);
                }
                DtlsEvent::Data(_) => {}
                DtlsEvent::Closed | DtlsEvent::FingerprintMismatch => self.srtp = None,
            }
        }
        out.extend(std::iter::from_fn(|| self.dtls.poll_transmit()));
    }

    /// The network changed under the client: it checks from its new address at once.
    pub fn moved(&mut self, now: Instant) {
        self.ice.moved(now);
    }

    pub fn due(&self) -> Instant {
        let ice = self.ice.due();
        self.dtls.poll_timeout().map_or(ice, |dtls| dtls.min(ice))
    }

    pub fn on_timeout(&mut self, now: Instant, out: &mut Vec<Vec<u8>>) {
        out.extend(self.ice.poll(now));
        if self.dtls.poll_timeout().is_some_and(|due| due <= now) {
            self.dtls.handle_timeout(now);
            self.drain_dtls(out);
        }
    }
}
