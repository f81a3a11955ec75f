//! Big-endian reads that cannot fail but by saying so: every other reader of this module is built on them.

pub(crate) fn be_u16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn be_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

pub(crate) fn be_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_past_the_end_is_none() {
        let bytes = [0, 1, 2, 3, 4, 5, 6, 7];
        assert_eq!(be_u16(&bytes, 6), Some(0x0607));
        assert_eq!(be_u16(&bytes, 7), None);
        assert_eq!(be_u32(&bytes, 4), Some(0x0405_0607));
        assert_eq!(be_u32(&bytes, 5), None);
        assert_eq!(be_u64(&bytes, 0), Some(0x0001_0203_0405_0607));
        assert_eq!(be_u64(&bytes, usize::MAX), None);
    }
}
