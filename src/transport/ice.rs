//! ICE-lite (RFC 8445, RFC 7675).
/// Username fragment and password (RFC 8445, section 5.3).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct IceCredentials {
    pub ufrag: String,
    pub pwd: String,
}

/// The local ufrag (before the colon of USERNAME) of a Binding request, read without checking integrity: the key to find whose transport it is
/// for. `None` for anything else. No allocation.
pub fn local_ufrag(message: &[u8]) -> Option<&str> {
    todo!("{}", message.len())
}
