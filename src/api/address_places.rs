//! How much one client address has open, so that no single one takes all there is.
//!
//! What always holds: an address is remembered only while it has something open; a network of 64 bits counts as one address
//! with IPv6, since a host chooses the rest as it likes (RFC 8981). Loopback is exempt: what comes from there is this machine's
//! own, a proxy that is not named as one, or a load test.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::client_address::TooMany;

/// Bits of an IPv6 address that tell hosts' networks apart.
const NETWORK_BITS: u32 = 64;

/// Counts of places by address.
pub(super) struct AddressPlaces {
    /// 0: no limit.
    limit: u32,
    held: Mutex<HashMap<IpAddr, u32>>,
}

/// One place, given back when dropped.
pub(super) struct Place {
    places: Arc<AddressPlaces>,
    key: IpAddr,
}

impl AddressPlaces {
    pub fn new(limit: u32) -> Arc<Self> {
        Arc::new(Self { limit, held: Mutex::default() })
    }

    /// `None` for who is not counted. `address` is in canonical form.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Result<Option<Place>, TooMany> {
        if self.limit == 0 || address.is_loopback() {
            return Ok(None);
        }
        let key = key(address);
        let mut held = self.held();
        let count = held.entry(key).or_insert(0);
        if *count >= self.limit {
            return Err(TooMany);
        }
        *count += 1;
        Ok(Some(Place { places: self.clone(), key }))
    }

    fn held(&self) -> MutexGuard<'_, HashMap<IpAddr, u32>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.places.held().entry(self.key) {
            match entry.get().saturating_sub(1) {
                0 => drop(entry.remove()),
                left => *entry.get_mut() = left,
            }
        }
    }
}

fn key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << NETWORK_BITS)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_share_and_others_theirs() {
        let places = AddressPlaces::new(2);
        let (one, two) = (places.take(ip("192.0.2.1")).unwrap(), places.take(ip("192.0.2.1")).unwrap());
        assert!(one.is_some() && two.is_some());
        assert_eq!(places.take(ip("192.0.2.1")).err(), Some(TooMany));
        assert!(places.take(ip("192.0.2.2")).is_ok());
        drop(one);
        assert!(places.take(ip("192.0.2.1")).is_ok());
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let places = AddressPlaces::new(1);
        let _held = places.take(ip("2001:db8::1")).unwrap();
        assert_eq!(places.take(ip("2001:db8::ffff:1")).err(), Some(TooMany));
        assert!(places.take(ip("2001:db8:0:1::1")).is_ok());
    }

    #[test]
    fn loopback_is_exempt_and_the_limit_can_be_lifted() {
        let places = AddressPlaces::new(1);
        let held: Vec<_> = ["127.0.0.1", "127.0.0.1", "::1", "::1"].map(|text| places.take(ip(text))).into();
        assert!(held.iter().all(Result::is_ok));
        let lifted = AddressPlaces::new(0);
        let held: Vec<_> = (0..10).map(|_| lifted.take(ip("192.0.2.1"))).collect();
        assert!(held.iter().all(Result::is_ok));
    }

    #[test]
    fn nothing_is_remembered_of_who_has_gone() {
        let places = AddressPlaces::new(3);
        let held: Vec<_> = (0..100u32).map(|host| places.take(IpAddr::V4(host.into()))).collect();
        assert_eq!(places.held().len(), 100);
        drop(held);
        assert_eq!(places.held().len(), 0);
    }
}
