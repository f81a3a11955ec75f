//! A value told to many: kept once, however many hear of it, with the form that an adaptor gave it first.
//!
//! What always holds: the form belongs to the value; a change of the value forgets it.

use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

/// Cheap to clone: what a thousand participants are told costs a thousand pointers, and one encoding.
pub struct Shared<T>(Arc<Inner<T>>);

struct Inner<T> {
    value: T,
    encoded: OnceLock<(&'static str, Bytes)>,
}

impl<T> Shared<T> {
    pub fn new(value: T) -> Shared<T> {
        Shared(Arc::new(Inner { value, encoded: OnceLock::new() }))
    }

    /// The value in the form of one protocol, made at the first call and kept. A second protocol's is made at every call: so
    /// far one alone tells many of its participants the same.
    pub fn encoded(&self, protocol: &'static str, encode: impl FnOnce(&T) -> Bytes) -> Bytes {
        match self.0.encoded.get() {
            Some((kept, bytes)) if *kept == protocol => bytes.clone(),
            Some(_) => encode(&self.0.value),
            None => self.0.encoded.get_or_init(|| (protocol, encode(&self.0.value))).1.clone(),
        }
    }
}

impl<T: Clone> Shared<T> {
    /// For a change: whoever was told keeps the value as it was.
    pub fn make_mut(&mut self) -> &mut T {
        let inner = Arc::make_mut(&mut self.0);
        inner.encoded.take();
        &mut inner.value
    }
}

impl<T: Clone> Clone for Inner<T> {
    fn clone(&self) -> Self {
        Inner { value: self.value.clone(), encoded: OnceLock::new() }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Shared(self.0.clone())
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: PartialEq> PartialEq for Shared<T> {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.value == other.0.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.value.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(text: &String) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    #[test]
    fn a_form_is_made_once_for_all_that_share_the_value_and_anew_after_a_change() {
        let mut made = 0;
        let mut first = Shared::new("a".to_owned());
        let second = first.clone();
        for shared in [&first, &second, &first] {
            let bytes = shared.encoded("p", |text| {
                made += 1;
                encode(text)
            });
            assert_eq!(bytes, "a");
        }
        assert_eq!(made, 1);
        first.make_mut().push('b');
        assert_eq!((first.as_str(), second.as_str()), ("ab", "a"));
        assert_eq!(first.encoded("p", encode), "ab");
        assert_eq!(second.encoded("p", |_| Bytes::new()), "a");
    }

    #[test]
    fn a_change_of_a_value_that_nobody_else_holds_forgets_its_form_too() {
        let mut alone = Shared::new("a".to_owned());
        assert_eq!(alone.encoded("p", encode), "a");
        alone.make_mut().push('b');
        assert_eq!(alone.encoded("p", encode), "ab");
    }

    #[test]
    fn one_protocol_is_never_given_the_form_of_another() {
        let shared = Shared::new("a".to_owned());
        assert_eq!(shared.encoded("one", |_| Bytes::from_static(b"1")), "1");
        assert_eq!(shared.encoded("two", |_| Bytes::from_static(b"2")), "2");
        assert_eq!(shared.encoded("one", |_| Bytes::from_static(b"3")), "1");
    }
}
