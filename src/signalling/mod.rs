//! The port every protocol adaptor uses, and the adaptors. Nothing outside an adaptor's folder knows its protocol's words.

pub mod livekit;
pub mod port;
