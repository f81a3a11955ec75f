//! What the server tells about itself: logs here; metrics stand where they are counted and are rendered for Prometheus.

pub mod logs;
