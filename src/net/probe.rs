//! What UDP on this machine does, tried out on sockets of their own: for `doctor`, never while forwarding.
//!
//! What always holds: every wait ends within [`PATIENCE`]; what is sent goes to the address that was asked about, or loopback.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use quinn_udp::{Transmit, UdpSocketState};

use super::udp::SOCKET_BUFFER;

/// For a datagram to come round.
const PATIENCE: Duration = Duration::from_millis(500);
/// Sent to tell whether it arrives.
const PROBE_BYTES: usize = 16;
/// A datagram of a run that tries out segmentation.
const SEGMENT_BYTES: usize = 1000;

/// Kernel buffers of a UDP socket, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Buffers {
    pub wanted: usize,
    pub receive: usize,
    pub send: usize,
}

/// What a socket as the server's is granted.
pub fn buffers() -> io::Result<Buffers> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    let state = UdpSocketState::new((&socket).into())?;
    // Less than asked for is what is looked for here.
    let _ = state.set_recv_buffer_size((&socket).into(), SOCKET_BUFFER);
    let _ = state.set_send_buffer_size((&socket).into(), SOCKET_BUFFER);
    // The kernel keeps and tells twice the number, for its own use (socket(7)).
    let (receive, send) = (state.recv_buffer_size((&socket).into())?, state.send_buffer_size((&socket).into())?);
    Ok(Buffers { wanted: SOCKET_BUFFER, receive: receive / 2, send: send / 2 })
}

/// Whether runs of datagrams cross the kernel's border at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Offload {
    /// Segmentation offload (GSO): a run was sent and came in parts.
    pub send: bool,
    /// Receive offload (GRO): the kernel takes the option.
    pub receive: bool,
}

pub fn offload() -> io::Result<Offload> {
    let (sender, receiver) = (UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?, UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?);
    let state = UdpSocketState::new((&sender).into())?;
    receiver.set_read_timeout(Some(PATIENCE))?;
    let run = [7; 2 * SEGMENT_BYTES];
    let destination = receiver.local_addr()?;
    let transmit = Transmit { destination, ecn: None, contents: &run, segment_size: Some(SEGMENT_BYTES), src_ip: None };
    let sent = state.max_gso_segments() > 1 && state.try_send((&sender).into(), &transmit).is_ok();
    let mut part = [0; 2 * SEGMENT_BYTES];
    let mut whole_part = || receiver.recv(&mut part).is_ok_and(|count| count == SEGMENT_BYTES);
    Ok(Offload { send: sent && whole_part() && whole_part(), receive: state.gro_segments() > 1 })
}

/// Whether a datagram to `to` arrives at this machine: at its port, or where that is taken at any other.
pub fn reaches_itself(to: SocketAddr) -> io::Result<bool> {
    let wildcard: IpAddr = if to.is_ipv6() { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    let receiver = match UdpSocket::bind((wildcard, to.port())) {
        Err(error) if error.kind() == ErrorKind::AddrInUse => UdpSocket::bind((wildcard, 0)),
        bound => bound,
    }?;
    receiver.set_read_timeout(Some(PATIENCE))?;
    let probe: [u8; PROBE_BYTES] = rand::random();
    let sender = UdpSocket::bind((wildcard, 0))?;
    sender.send_to(&probe, SocketAddr::new(to.ip(), receiver.local_addr()?.port()))?;
    let start = std::time::Instant::now();
    let mut received = [0; PROBE_BYTES];
    // Others may send to the same port.
    while start.elapsed() < PATIENCE {
        match receiver.recv(&mut received) {
            Ok(_) if received == probe => return Ok(true),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(false),
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_reached_also_when_the_port_is_taken() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        assert!(reaches_itself("127.0.0.1:0".parse().unwrap()).unwrap());
        assert!(reaches_itself(taken.local_addr().unwrap()).unwrap());
    }

    #[test]
    fn nobody_answers_for_a_foreign_address() {
        // TEST-NET-1 (RFC 5737); without a route it is an error.
        assert!(!reaches_itself("192.0.2.1:9".parse().unwrap()).unwrap_or(false));
    }

    #[test]
    fn some_buffer_is_granted_and_never_more_than_wanted() {
        let Buffers { wanted, receive, send } = buffers().unwrap();
        assert!((1..=wanted).contains(&receive) && (1..=wanted).contains(&send), "{receive} {send} of {wanted}");
    }

    #[test]
    fn offload_is_told_as_the_socket_has_it() {
        let found = offload().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let state = UdpSocketState::new((&socket).into()).unwrap();
        assert_eq!(found.receive, state.gro_segments() > 1);
        assert!(!found.send || state.max_gso_segments() > 1);
    }
}
