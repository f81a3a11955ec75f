//! A deterministic world around the server's real core: virtual time, links with faults, and model clients that encode, send,
//! buffer, repair and decode as real ones do. ARCHITECTURE of it: [`world`] owns time and order, [`client`] the models,
//! [`cases`] what is asked and the bars it is judged by.
//!
//! What always holds: after the one reading of the clock that virtual time is counted from, nothing here reads another; all
//! randomness that touches a trace comes from one seed.

pub mod cases;
pub mod client;
pub mod outcome;
pub mod plots;
pub mod rmcat;
pub mod series;
pub mod trace;
pub mod world;
