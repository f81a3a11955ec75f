//! What the server tells of itself: counters, Prometheus text, logs, traces.

pub mod counters;
pub mod histogram;
pub mod logs;
pub mod outcomes;
pub mod process;
pub mod prometheus;
pub mod quality;
pub mod traces;
pub mod traffic;
