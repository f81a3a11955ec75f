//! Many real clients in one process, and what of them other tests share: their session descriptions, packets, payloads, and
//! a model of the links they are behind.

pub mod client;
pub mod engine;
pub mod error;
pub mod link;
pub mod measure;
pub mod options;
pub mod progress;
pub mod relay;
pub mod report;
pub mod run;
pub mod scenario;
pub mod signalling;
pub mod suite;
pub mod target;
pub mod targets;
#[cfg(test)]
mod tests;
pub mod time;
