//! The port every protocol adaptor uses, what several of them need, and the adaptors. Nothing outside an adaptor's folder knows its protocol's words.

pub mod livekit;
pub mod place;
pub mod port;
pub mod returning;
pub mod token;
pub mod whip;
