//! What the server tells of itself: counters, Prometheus text, logs.

pub mod counters;
pub mod logs;
pub mod prometheus;
