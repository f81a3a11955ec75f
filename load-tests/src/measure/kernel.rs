//! What the kernel dropped at UDP sockets because their buffers were full (`/proc/net/udp`, `/proc/net/udp6`): at the
//! generator's sockets it is the generator's fault, at others most likely the server's.

use std::collections::HashSet;
use std::fs;
use std::io;

use serde::Serialize;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Drops {
    /// At the sockets of the given ports.
    pub own: u64,
    /// At all others of the machine.
    pub others: u64,
}

impl Drops {
    pub fn read(own: &HashSet<u16>) -> io::Result<Drops> {
        let mut drops = Drops::default();
        for table in ["/proc/net/udp", "/proc/net/udp6"] {
            // A machine without IPv6 has no second table.
            let Ok(text) = fs::read_to_string(table) else { continue };
            drops.add(&text, own);
        }
        Ok(drops)
    }

    pub fn since(&self, earlier: &Drops) -> Drops {
        Drops { own: self.own.saturating_sub(earlier.own), others: self.others.saturating_sub(earlier.others) }
    }

    fn add(&mut self, table: &str, own: &HashSet<u16>) {
        for line in table.lines().skip(1) {
            let mut words = line.split_ascii_whitespace();
            let port = words.nth(1).and_then(|local| u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok());
            let drops = words.last().and_then(|count| count.parse::<u64>().ok());
            let (Some(port), Some(drops)) = (port, drops) else { continue };
            if own.contains(&port) {
                self.own += drops;
            } else {
                self.others += drops;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_told_apart_by_port() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            1: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 7\n\
            2: 0100007F:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0 5\n\
            3: nonsense\n";
        let mut drops = Drops::default();
        drops.add(table, &HashSet::from([0x1f90]));
        assert_eq!(drops, Drops { own: 7, others: 5 });
        assert_eq!(drops.since(&Drops { own: 2, others: 5 }), Drops { own: 5, others: 0 });
    }
}
