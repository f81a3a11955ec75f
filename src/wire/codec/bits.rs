//! Bits of a header extension, most significant first (AV1 RTP specification, appendix A.4.1).
//!
//! What always holds: a read past the end is `None`, a write past the end is `None` and changes nothing behind it.

/// Reads bits.
#[derive(Clone, Copy, Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// Bits read so far.
    position: usize,
}

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8]) -> BitReader<'a> {
        BitReader { bytes, position: 0 }
    }

    pub fn position(&self) -> usize {
        self.position
    }

    /// Bits that are left.
    pub fn left(&self) -> usize {
        (8 * self.bytes.len()).saturating_sub(self.position)
    }

    /// f(1)
    pub fn flag(&mut self) -> Option<bool> {
        let byte = *self.bytes.get(self.position / 8)?;
        let bit = byte >> (7 - self.position % 8) & 1;
        self.position += 1;
        Some(bit == 1)
    }

    /// f(n) of at most 32 bits.
    pub fn bits(&mut self, count: usize) -> Option<u32> {
        let mut value = 0;
        for _ in 0..count {
            value = (value << 1) | u32::from(self.flag()?);
        }
        Some(value)
    }

    /// ns(n): a number below `values`, of which the lower ones take a bit less. `values` is 1 to 64.
    pub fn below(&mut self, values: u32) -> Option<u32> {
        let width = u32::BITS - values.leading_zeros();
        let short = (1u32 << width).checked_sub(values)?;
        let value = self.bits(usize::try_from(width.checked_sub(1)?).ok()?)?;
        if value < short {
            return Some(value);
        }
        Some((value << 1) - short + u32::from(self.flag()?))
    }

    pub fn skip(&mut self, count: usize) -> Option<()> {
        self.position = self.position.checked_add(count).filter(|end| *end <= 8 * self.bytes.len())?;
        Some(())
    }
}

/// Writes bits over bytes, which are zero where nothing was written yet.
#[derive(Debug)]
pub struct BitWriter<'a> {
    bytes: &'a mut [u8],
    position: usize,
}

impl<'a> BitWriter<'a> {
    pub fn new(bytes: &'a mut [u8]) -> BitWriter<'a> {
        bytes.fill(0);
        BitWriter { bytes, position: 0 }
    }

    /// Bytes that were begun.
    pub fn len(&self) -> usize {
        self.position.div_ceil(8)
    }

    pub fn flag(&mut self, value: bool) -> Option<()> {
        let byte = self.bytes.get_mut(self.position / 8)?;
        *byte |= u8::from(value) << (7 - self.position % 8);
        self.position += 1;
        Some(())
    }

    /// The low `count` bits of a value.
    pub fn bits(&mut self, value: u32, count: usize) -> Option<()> {
        (0..count).rev().try_for_each(|bit| self.flag(value >> bit & 1 == 1))
    }

    /// As many bits as are taken from a reader.
    pub fn copy(&mut self, from: &mut BitReader<'_>, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| self.flag(from.flag()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_nothing_past_the_end() {
        let mut bytes = [0xff; 4];
        let mut writer = BitWriter::new(&mut bytes);
        writer.bits(5, 3).unwrap();
        writer.flag(true).unwrap();
        writer.bits(0x1234, 16).unwrap();
        assert_eq!(writer.len(), 3);
        assert_eq!(writer.bits(0, 13), None);
        let mut reader = BitReader::new(&bytes);
        assert_eq!((reader.bits(3), reader.flag(), reader.bits(16)), (Some(5), Some(true), Some(0x1234)));
        assert_eq!((reader.position(), reader.left()), (20, 12));
        assert_eq!((reader.skip(13), reader.bits(12), reader.flag()), (None, Some(0), None));
    }

    #[test]
    fn non_symmetric_numbers_are_read_as_the_specification_says() {
        // Of five values the first three take two bits: 00, 01, 10, 110, 111.
        let mut reader = BitReader::new(&[0b0001_1011, 0b0111_0000]);
        let read: Vec<_> = (0..5).map(|_| reader.below(5).unwrap()).collect();
        assert_eq!(read, [0, 1, 2, 3, 4]);
        assert_eq!(BitReader::new(&[]).below(1), Some(0), "one value takes no bit");
        assert_eq!(BitReader::new(&[]).below(2), None);
    }
}
