//! The peer's DTLS: `dimpl`, which shares nothing with the implementation under test, or `rtc-dtls` as it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use aws_lc_rs::digest;
use bytes::BytesMut;
use dimpl::{Dtls, Output, SrtpProfile};
use rtc_dtls::config::{ClientAuthType, ConfigBuilder};
use rtc_dtls::crypto_provider::RTCCryptoProvider;
use rtc_dtls::crypto_provider::providers::AwsLcRsProvider;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile;
use rtc_shared::TransportProtocol;

use crate::transport::srtp::Profile;
use crate::transport::{DtlsRole, Fingerprint};

/// What the peer's side has seen.
#[derive(Default)]
pub struct Seen {
    pub keys: Option<(Profile, Vec<u8>)>,
    pub data: Vec<Vec<u8>>,
    pub closed: bool,
    pub failed: bool,
}

enum Machine {
    Dimpl(Box<Dtls>),
    Rtc(Box<Endpoint>),
}

pub struct DtlsPeer {
    machine: Machine,
    pub role: DtlsRole,
    certificate: Vec<u8>,
    pub seen: Seen,
    out: Vec<Vec<u8>>,
    timeout: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Library {
    Dimpl,
    Rtc,
}

const US: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

impl DtlsPeer {
    /// `role` is the peer's own.
    pub fn new(library: Library, role: DtlsRole, now: Instant, srtp: &[Profile]) -> DtlsPeer {
        let (machine, certificate) = match library {
            Library::Dimpl => dimpl_machine(role, now),
            Library::Rtc => rtc_machine(role, now, srtp),
        };
        let mut peer = DtlsPeer { machine, role, certificate, seen: Seen::default(), out: Vec::new(), timeout: None };
        peer.collect();
        peer
    }

    pub fn fingerprint(&self, hash: &str) -> Fingerprint {
        let algorithm = match hash {
            "sha-1" => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            "sha-384" => &digest::SHA384,
            "sha-512" => &digest::SHA512,
            _ => &digest::SHA256,
        };
        Fingerprint { hash: hash.to_owned(), digest: digest::digest(algorithm, &self.certificate).as_ref().to_vec() }
    }

    pub fn handle(&mut self, now: Instant, datagram: &[u8]) {
        match &mut self.machine {
            Machine::Dimpl(dtls) => {
                let outcome = dtls.handle_timeout(now).and_then(|()| dtls.handle_packet(datagram));
                self.seen.failed |= outcome.is_err();
            }
            Machine::Rtc(endpoint) => match endpoint.read(now, US, None, BytesMut::from(datagram)) {
                Err(_) => self.seen.failed = true,
                Ok(events) => {
                    for event in events {
                        self.seen.take(endpoint, event);
                    }
                }
            },
        }
        self.collect();
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.machine {
            Machine::Dimpl(dtls) => self.seen.failed |= dtls.handle_timeout(now).is_err(),
            Machine::Rtc(endpoint) => {
                // An error: too many repetitions.
                self.seen.failed |=
                    endpoint.get_connection_state(US).is_some() && endpoint.handle_timeout(US, now).is_err();
            }
        }
        self.collect();
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        match &self.machine {
            Machine::Dimpl(_) => self.timeout,
            Machine::Rtc(endpoint) => endpoint.poll_timeout(&US),
        }
    }

    pub fn send(&mut self, now: Instant, data: &[u8]) {
        match &mut self.machine {
            Machine::Dimpl(dtls) => drop(dtls.send_application_data(data)),
            Machine::Rtc(endpoint) => drop(endpoint.write(now, US, data)),
        }
        self.collect();
    }

    pub fn close(&mut self, now: Instant) {
        match &mut self.machine {
            Machine::Dimpl(dtls) => dtls.close().unwrap(),
            Machine::Rtc(endpoint) => endpoint.close(now).unwrap(),
        }
        self.collect();
    }

    pub fn poll_transmit(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.out)
    }

    fn collect(&mut self) {
        match &mut self.machine {
            Machine::Rtc(endpoint) => {
                while let Some(transmit) = endpoint.poll_transmit() {
                    self.out.push(transmit.message.to_vec());
                }
            }
            Machine::Dimpl(dtls) => {
                let mut buffer = vec![0; 4096];
                loop {
                    match dtls.poll_output(&mut buffer) {
                        Output::Packet(packet) => self.out.push(packet.to_vec()),
                        Output::Timeout(at) => {
                            self.timeout = Some(at);
                            return;
                        }
                        Output::KeyingMaterial(material, profile) => {
                            let profile = match profile {
                                SrtpProfile::AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
                                SrtpProfile::AES128_CM_SHA1_80 => Profile::Aes128CmHmacSha1_80,
                                other => panic!("{other:?} was never offered"),
                            };
                            self.seen.keys = Some((profile, material.to_vec()));
                        }
                        Output::ApplicationData(data) => self.seen.data.push(data.to_vec()),
                        Output::CloseNotify => self.seen.closed = true,
                        _ => {}
                    }
                }
            }
        }
    }
}

impl Seen {
    fn take(&mut self, endpoint: &Endpoint, event: EndpointEvent) {
        match event {
            EndpointEvent::HandshakeComplete => {
                let state = endpoint.get_connection_state(US).unwrap();
                let profile = match state.srtp_protection_profile() {
                    SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm => Profile::AeadAes128Gcm,
                    _ => Profile::Aes128CmHmacSha1_80,
                };
                let len = profile.keying_material_bytes();
                let material = state.export_keying_material("EXTRACTOR-dtls_srtp", &[], len).unwrap();
                self.keys = Some((profile, material.into_bytes()));
            }
            EndpointEvent::ApplicationData(data) => self.data.push(data.to_vec()),
            EndpointEvent::PeerClosed => self.closed = true,
            _ => {}
        }
    }
}

fn dimpl_machine(role: DtlsRole, now: Instant) -> (Machine, Vec<u8>) {
    let certificate = dimpl::certificate::generate_self_signed_certificate().unwrap();
    let encoded = certificate.certificate.clone();
    let config = dimpl::Config::builder()
        .flight_start_rto(std::time::Duration::from_millis(50))
        .flight_retries(12)
        .build()
        .unwrap();
    let mut dtls = Dtls::new_12(Arc::new(config), certificate, now);
    dtls.set_active(role == DtlsRole::Client);
    dtls.handle_timeout(now).unwrap();
    (Machine::Dimpl(Box::new(dtls)), encoded)
}

fn rtc_machine(role: DtlsRole, now: Instant, srtp: &[Profile]) -> (Machine, Vec<u8>) {
    let provider: Arc<dyn RTCCryptoProvider> = Arc::new(AwsLcRsProvider::new());
    let names = vec!["peer".to_owned()];
    let certificate = rtc_dtls::crypto::Certificate::generate_self_signed(names, provider.crypto()).unwrap();
    let encoded = certificate.certificate[0].to_vec();
    let config = ConfigBuilder::default()
        .with_crypto_provider(provider)
        .with_certificates(vec![certificate])
        .with_srtp_protection_profiles(srtp.iter().map(|profile| profile.id().into()).collect())
        .with_client_auth(ClientAuthType::RequireAnyClientCert)
        .with_insecure_skip_verify(true)
        .build(role == DtlsRole::Client, None)
        .unwrap();
    let config = Arc::new(config);
    let mut endpoint = match role {
        DtlsRole::Client => Endpoint::new(US, TransportProtocol::UDP, None),
        DtlsRole::Server => Endpoint::new(US, TransportProtocol::UDP, Some(config.clone())),
    };
    if role == DtlsRole::Client {
        endpoint.connect(now, US, config, None).unwrap();
    }
    (Machine::Rtc(Box::new(endpoint)), encoded)
}
