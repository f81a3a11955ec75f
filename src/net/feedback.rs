//! A second socket at a port, to which the kernel brings transport-wide feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01) and nothing else: every viewer sends ten a second, none of which is in a hurry, and
//! a thread that is woken by each pays more for waking up than for reading it.
//!
//! What always holds: which socket a datagram comes to is a matter of cost alone, since both are read and handled alike; where the kernel
//! refuses there is one socket. The first is bound alone, so a port that is taken is noticed.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use nix::libc::{BPF_ABS, BPF_ALU, BPF_AND, BPF_B, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, sock_filter, sock_fprog};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::AttachReusePortCbpf;
use socket2::SockRef;

use crate::wire::rtcp::packet_type::{FORMAT_TRANSPORT_CC, TRANSPORT_FEEDBACK};

/// Which of the sockets, in the order they were bound.
const FIRST: u32 = 0;
const SECOND: u32 = 1;
/// Of an RTCP packet's first byte (RFC 3550, section 6.4.1): all but whether it is padded.
const BUT_PADDING: u32 = 0b1101_1111;
const VERSION: u32 = 0b1000_0000;

/// Binds the second socket beside `first`.
pub(super) fn bind_beside(first: &UdpSocket) -> io::Result<UdpSocket> {
    let address = first.local_addr()?;
    SockRef::from(first).set_reuse_port(true)?;
    let second = share(address).and_then(|second| steer(&second).map(|()| second));
    if second.is_err() {
        // Nobody else may bind here then.
        SockRef::from(first).set_reuse_port(false)?;
    }
    second
}

fn share(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = super::udp::open(address)?;
    socket.set_reuse_port(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// Has the kernel choose between the sockets of a port by a program (SO_ATTACH_REUSEPORT_CBPF, socket(7)): it sees the datagram's payload,
/// of which SRTCP leaves the first eight bytes readable (RFC 3711, section 3.4). One that is too short goes to the first.
fn steer(socket: &UdpSocket) -> io::Result<()> {
    const fn step(code: u32, jt: u8, jf: u8, k: u32) -> sock_filter {
        sock_filter { code: code as u16, jt, jf, k }
    }
    let (format, kind) = (u32::from(FORMAT_TRANSPORT_CC), u32::from(TRANSPORT_FEEDBACK));
    let mut program = [
        step(BPF_LD | BPF_B | BPF_ABS, 0, 0, 0),
        step(BPF_ALU | BPF_AND | BPF_K, 0, 0, BUT_PADDING),
        step(BPF_JMP | BPF_JEQ | BPF_K, 0, 3, VERSION | format),
        step(BPF_LD | BPF_B | BPF_ABS, 0, 0, 1),
        step(BPF_JMP | BPF_JEQ | BPF_K, 0, 1, kind),
        step(BPF_RET | BPF_K, 0, 0, SECOND),
        step(BPF_RET | BPF_K, 0, 0, FIRST),
    ];
    let program = sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    setsockopt(socket, AttachReusePortCbpf, &program).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::udp::open;
    use std::time::Duration;

    /// Both sockets at a port of `ip`, and one that sends there.
    fn sockets(ip: &str) -> (UdpSocket, UdpSocket, UdpSocket) {
        let address = SocketAddr::new(ip.parse().unwrap(), 0);
        let first = open(address).unwrap();
        first.bind(&address.into()).unwrap();
        let first = UdpSocket::from(first);
        let second = bind_beside(&first).unwrap();
        let sender = UdpSocket::bind(address).unwrap();
        sender.connect(first.local_addr().unwrap()).unwrap();
        for socket in [&first, &second] {
            socket.set_nonblocking(false).unwrap();
            socket.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        }
        (first, second, sender)
    }

    fn next(socket: &UdpSocket) -> Option<Vec<u8>> {
        let mut bytes = [0; 64];
        socket.recv(&mut bytes).ok().map(|count| bytes[..count].to_vec())
    }

    #[test]
    fn only_transport_wide_feedback_comes_to_the_second_socket() {
        // A machine may lack IPv6.
        let there = |ip: &&str| *ip == "127.0.0.1" || UdpSocket::bind((*ip, 0)).is_ok();
        for ip in ["127.0.0.1", "::1"].into_iter().filter(there) {
            let (first, second, sender) = sockets(ip);
            let feedback: [&[u8]; 2] = [&[0x8f, 205, 0, 4, 1, 2, 3, 4], &[0xaf, 205]];
            // A NACK, an application's message, a receiver report, RTP, STUN, DTLS, another version, and what is too short.
            let other: [&[u8]; 10] = [
                &[0x81, 205, 0, 3],
                &[0x8f, 206, 0, 3],
                &[0x81, 201, 0, 7],
                &[0x90, 0x6f, 0, 1],
                &[0, 1, 0, 0],
                &[22, 254, 253, 0],
                &[0x4f, 205, 0, 4],
                &[0x8f],
                &[205, 0x8f],
                &[],
            ];
            for datagram in feedback.iter().chain(&other) {
                sender.send(datagram).unwrap();
            }
            for expected in feedback {
                assert_eq!(next(&second).as_deref(), Some(expected), "{ip}");
            }
            for expected in other {
                assert_eq!(next(&first).as_deref(), Some(expected), "{ip}");
            }
            assert_eq!((next(&first), next(&second)), (None, None), "{ip}");
        }
    }

    #[test]
    fn a_port_with_two_sockets_is_taken_for_others() {
        let (first, _second, _) = sockets("127.0.0.1");
        assert_eq!(UdpSocket::bind(first.local_addr().unwrap()).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
