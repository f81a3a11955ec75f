//! Congestion control: what is told to publishers so that they find their rate.
//!
//! Estimating the way to subscribers is later work.

pub mod feedback;
