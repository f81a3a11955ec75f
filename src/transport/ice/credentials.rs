//! Credentials (RFC 8445, section 5.3) and the generations of them that ICE restarts make.

use aws_lc_rs::hmac;
use rand::RngCore;

use super::stun::{self, Message};

/// 72 bits: unguessable enough to be the key of a demultiplexing table. RFC 8445 asks for at least 24.
const UFRAG_CHARS: usize = 12;
/// 144 bits; RFC 8445 asks for at least 128.
const PASSWORD_CHARS: usize = 24;
/// `ice-char` of RFC 8839, section 5.4: six bits each.
const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Username fragment and password (RFC 8445, section 5.3).
#[derive(Clone, PartialEq, Eq)]
pub struct IceCredentials {
    pub ufrag: String,
    pub pwd: String,
}

impl std::fmt::Debug for IceCredentials {
    /// Without the password, so that no log ever holds it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceCredentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

/// One set of credentials of both sides.
pub(super) struct Generation {
    pub number: u32,
    pub local: IceCredentials,
    /// Unknown until the peer's description arrives; its checks may overtake it (RFC 8445, section 7.3).
    pub remote: Option<IceCredentials>,
}

impl Generation {
    pub fn draw(number: u32, random: &mut dyn RngCore) -> Generation {
        let local = IceCredentials { ufrag: token(UFRAG_CHARS, random), pwd: token(PASSWORD_CHARS, random) };
        Generation { number, local, remote: None }
    }

    /// The key of MESSAGE-INTEGRITY in what the peer sends and in the answers. Made anew for each check, of which there are some in ten
    /// seconds: the library's takes 1.4 KB.
    pub fn key(&self) -> hmac::Key {
        stun::key(&self.local.pwd)
    }

    /// Whether the message's USERNAME is `local:remote` and its MESSAGE-INTEGRITY made with the local password. The cheap
    /// comparison comes first.
    pub fn authenticates(&self, message: &Message<'_>) -> bool {
        message.username.is_some_and(|username| self.is_named(username)) && message.is_authentic(&self.key())
    }

    fn is_named(&self, username: &[u8]) -> bool {
        let rest = username.strip_prefix(self.local.ufrag.as_bytes());
        let Some(remote) = rest.and_then(|rest| rest.strip_prefix(b":")) else {
            return false;
        };
        match &self.remote {
            Some(credentials) => credentials.ufrag.as_bytes() == remote,
            None => true,
        }
    }
}

fn token(chars: usize, random: &mut dyn RngCore) -> String {
    let mut bytes = vec![0; chars];
    random.fill_bytes(&mut bytes);
    bytes.iter().filter_map(|byte| ALPHABET.get(usize::from(byte & 63))).map(|char| char::from(*char)).collect()
}
