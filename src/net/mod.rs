//! The only place that touches sockets of the media port: UDP with segmentation and receive offload where the kernel has it.

pub mod addresses;
pub mod drops;
mod feedback;
pub mod probe;
pub mod udp;
