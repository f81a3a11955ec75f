//! Congestion control: what is told to publishers so that they find their rate, and how much the way to each subscriber takes.

pub mod allocation;
pub mod bitrate;
pub mod estimator;
pub mod feedback;
pub mod pacer;
