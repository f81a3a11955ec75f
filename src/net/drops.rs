//! Datagrams that the kernel dropped at our own UDP sockets, because nobody read them in time: `/proc/net/udp` and `/proc/net/udp6`
//! (proc_pid_net(5)), where each socket is found by its inode. Read when somebody asks, never by a shard.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::UdpSocket;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;

/// Fields of a line, by their place.
const INODE: usize = 9;
const DROPS: usize = 12;

/// The number under which the kernel lists a socket.
pub fn inode(socket: &UdpSocket) -> io::Result<u64> {
    let descriptor = OwnedFd::from(socket.try_clone()?);
    Ok(File::from(descriptor).metadata()?.ino())
}

/// Datagrams dropped at these sockets since each was opened; `None` where the kernel does not tell.
pub fn dropped(inodes: &BTreeSet<u64>) -> Option<u64> {
    let tables = ["/proc/net/udp", "/proc/net/udp6"].map(|path| File::open(path).ok());
    // A machine without IPv6 lacks the second.
    let tables: Vec<File> = tables.into_iter().flatten().collect();
    let found: Vec<u64> = tables.into_iter().flat_map(|table| drops_in(BufReader::new(table), inodes)).collect();
    // Sockets of another network namespace are not listed.
    (found.len() == inodes.len()).then(|| found.iter().sum())
}

fn drops_in(table: impl BufRead, inodes: &BTreeSet<u64>) -> Vec<u64> {
    let of_line = |line: String| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let inode: u64 = fields.get(INODE)?.parse().ok()?;
        let drops = fields.get(DROPS)?.parse().ok()?;
        inodes.contains(&inode).then_some(drops)
    };
    table.lines().map_while(Result::ok).filter_map(of_line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_read_of_the_sockets_that_are_meant() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
             \x20 303: 00000000:1ECA 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1001 2 0000000000000000 7\n\
             \x20 304: 00000000:1ECB 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1002 2 0000000000000000 9\n\
             \x20 305: 00000000:1ECC 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1003 2 0000000000000000 5\n\
             garbage\n";
        assert_eq!(drops_in(table.as_bytes(), &BTreeSet::from([1001, 1003])), [7, 5]);
    }

    #[test]
    fn a_socket_that_nobody_reads_drops_and_is_found() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let inodes = BTreeSet::from([inode(&socket).unwrap()]);
        assert_eq!(dropped(&inodes), Some(0));
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        // Far more than the largest default buffer of a socket holds.
        for _ in 0..2_000 {
            sender.send_to(&[0; 8_192], socket.local_addr().unwrap()).unwrap();
        }
        assert!(dropped(&inodes).unwrap() > 0);
        assert_eq!(dropped(&BTreeSet::from([0])), None, "no such socket");
    }
}
