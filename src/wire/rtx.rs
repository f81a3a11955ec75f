//! Retransmitted packets (RFC 4588, section 4): the original, made again in place.
//!
//! What always holds: bytes of any length give the original or a reason why there is none; nothing is copied but the header.

use super::bytes::be_u16;
use super::ids::{PayloadType, Ssrc};
use super::rtp::{Header, RtpError};

/// The original sequence number, in front of the original payload.
const ORIGINAL_SEQUENCE_BYTES: usize = 2;

/// Why no original comes out of a retransmitted packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoOriginal {
    /// There is nothing in it but padding: a sender probes its path with such packets.
    OnlyPadding,
    Malformed,
}

impl From<RtpError> for NoOriginal {
    fn from(_: RtpError) -> NoOriginal {
        NoOriginal::Malformed
    }
}

/// The sequence number of the packet that is sent again. `header` is the retransmitted packet's, `packet` the whole of it.
pub fn original_sequence(header: &Header, packet: &[u8]) -> Result<u16, NoOriginal> {
    let payload = header.payload(packet)?;
    match be_u16(payload, 0) {
        Some(sequence) if payload.len() > ORIGINAL_SEQUENCE_BYTES => Ok(sequence),
        _ => Err(NoOriginal::OnlyPadding),
    }
}

/// Makes the original of a retransmitted packet: its payload stays where it is, the header moves up to it and gets the stream's own
/// payload type, sequence number and SSRC. Extensions and padding are the retransmission's.
pub fn restore<'a>(
    header: &Header,
    packet: &'a mut [u8],
    payload_type: PayloadType,
    ssrc: Ssrc,
) -> Result<(Header, &'a mut [u8]), NoOriginal> {
    let sequence_number = original_sequence(header, packet)?;
    packet.copy_within(..header.len, ORIGINAL_SEQUENCE_BYTES);
    let original = packet.get_mut(ORIGINAL_SEQUENCE_BYTES..).ok_or(NoOriginal::Malformed)?;
    let [s0, s1] = sequence_number.to_be_bytes();
    let [i0, i1, i2, i3] = ssrc.0.to_be_bytes();
    let [_, type_byte, sequence0, sequence1, _, _, _, _, ssrc0, ssrc1, ssrc2, ssrc3, ..] = original else {
        return Err(NoOriginal::Malformed);
    };
    *type_byte = (*type_byte & 0x80) | (payload_type.0 & 0x7f);
    (*sequence0, *sequence1) = (s0, s1);
    (*ssrc0, *ssrc1, *ssrc2, *ssrc3) = (i0, i1, i2, i3);
    let mut restored = *header;
    (restored.payload_type, restored.sequence_number, restored.ssrc) = (payload_type, sequence_number, ssrc);
    Ok((restored, original))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::rtp::HeaderWriter;

    const MEDIA: (PayloadType, Ssrc) = (PayloadType(96), Ssrc(0xaabb_ccdd));

    fn writer(marker: bool, elements: &[(u8, &[u8])], media: bool) -> HeaderWriter {
        let (payload_type, sequence, ssrc) =
            if media { (MEDIA.0, 65_535, MEDIA.1) } else { (PayloadType(97), 7, Ssrc(1)) };
        let mut writer = HeaderWriter::new(marker, payload_type, sequence, 123_456, ssrc);
        elements.iter().for_each(|(id, value)| assert!(writer.extension(*id, value)));
        writer
    }

    #[test]
    fn the_original_comes_out_whatever_its_extensions_and_length() {
        let long = [7; 40];
        let elements: [&[(u8, &[u8])]; 4] = [&[], &[(1, b"0")], &[(3, &[1, 2, 3]), (9, b"q")], &[(20, &long)]];
        for (elements, marker) in elements.into_iter().flat_map(|e| [(e, false), (e, true)]) {
            for len in 1..1_200 {
                let payload: Vec<u8> = (0..len).map(|n| n as u8).collect();
                let original = [writer(marker, elements, true).finish(), &payload].concat();
                let mut packet = [writer(marker, elements, false).finish(), &[255, 255], &payload].concat();
                let header = Header::parse(&packet).unwrap();
                let (restored, packet) = restore(&header, &mut packet, MEDIA.0, MEDIA.1).unwrap();
                assert_eq!(packet, original);
                let read = Header::parse(packet).unwrap();
                assert_eq!(format!("{restored:?}"), format!("{read:?}"));
                assert_eq!(restored.payload(packet).unwrap(), payload);
            }
        }
    }

    #[test]
    fn padding_stays_behind_the_original_and_alone_is_no_original() {
        let sealed = |payload: &[u8]| {
            let mut packet = writer(true, &[(1, b"0")], false).finish().to_vec();
            packet[0] |= 0x20;
            packet.extend(payload);
            packet
        };
        let mut packet = sealed(&[1, 2, 9, 9, 0, 0, 3]);
        let header = Header::parse(&packet).unwrap();
        let (restored, packet) = restore(&header, &mut packet, MEDIA.0, MEDIA.1).unwrap();
        assert_eq!((restored.sequence_number, restored.payload(packet)), (0x0102, Ok([9, 9].as_slice())));
        for (payload, reason) in [
            (&[][..], NoOriginal::Malformed),
            (&[0, 0, 0, 4], NoOriginal::OnlyPadding),
            (&[1, 0, 2], NoOriginal::OnlyPadding),
            (&[1, 2, 0, 2], NoOriginal::OnlyPadding),
            (&[1, 2, 9, 5], NoOriginal::Malformed),
            (&[1, 2, 9, 0], NoOriginal::Malformed),
        ] {
            let mut packet = sealed(payload);
            let header = Header::parse(&packet).unwrap();
            assert_eq!(restore(&header, &mut packet, MEDIA.0, MEDIA.1).err(), Some(reason), "{payload:?}");
        }
    }

    #[test]
    fn random_bytes_of_every_length_give_an_original_or_none() {
        use rand::{RngCore, SeedableRng, rngs::StdRng};
        let (mut random, mut originals, mut none) = (StdRng::seed_from_u64(6), 0, 0);
        for len in 12..1_500 {
            for _ in 0..10 {
                let mut packet = vec![0; len];
                random.fill_bytes(&mut packet);
                packet[0] = 0x80 | (packet[0] & 0x3f);
                let Ok(header) = Header::parse(&packet) else { continue };
                match restore(&header, &mut packet, MEDIA.0, MEDIA.1) {
                    Ok((restored, packet)) => {
                        assert_eq!(packet.len(), len - 2);
                        assert!(!restored.payload(packet).unwrap().is_empty());
                        originals += 1;
                    }
                    Err(_) => none += 1,
                }
            }
        }
        assert!(originals > 1_000 && none > 100, "{originals} {none}");
    }
}
