//! Counters inside video payloads and extensions that must go on across a switch: VP8's picture id and TL0PICIDX (RFC 7741, section 4.2)
//! and the dependency descriptor's frame number (AV1 RTP specification, appendix A).
//!
//! What always holds: between two switches the distance of two frames' counters is the publisher's; the first frame after a switch
//! follows the newest before it. With one encoding nothing is ever changed.

use crate::wire::codec::Vp8Descriptor;

/// One counter of some width.
#[derive(Clone, Copy, Default, Debug)]
struct Counter {
    /// Added to inputs, modulo the width.
    offset: u16,
    newest: Option<u16>,
}

impl Counter {
    fn start(&mut self, input: u16, mask: u16) -> u16 {
        if let Some(newest) = self.newest {
            self.offset = newest.wrapping_add(1).wrapping_sub(input) & mask;
        }
        self.map(input, true, mask)
    }

    fn map(&mut self, input: u16, newest: bool, mask: u16) -> u16 {
        let output = input.wrapping_add(self.offset) & mask;
        if newest {
            self.newest = Some(output);
        }
        output
    }
}

/// How a packet stands in its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// First of another encoding.
    Switch,
    /// No later one was forwarded yet.
    Newest,
    Late,
}

#[derive(Clone, Copy, Default, Debug)]
pub struct PictureMap {
    picture_id: Counter,
    tl0_pic_idx: Counter,
    frame_number: Counter,
}

impl PictureMap {
    /// The descriptor with the counters the subscriber should see.
    pub fn vp8(&mut self, place: Place, descriptor: &Vp8Descriptor) -> Vp8Descriptor {
        let id_mask = if descriptor.long_picture_id { 0x7fff } else { 0x7f };
        Vp8Descriptor {
            picture_id: descriptor.picture_id.map(|id| apply(&mut self.picture_id, place, id, id_mask)),
            tl0_pic_idx: descriptor
                .tl0_pic_idx
                .map(|index| apply(&mut self.tl0_pic_idx, place, index.into(), 0xff) as u8),
            ..*descriptor
        }
    }

    /// The frame number the subscriber should see.
    pub fn frame_number(&mut self, place: Place, number: u16) -> u16 {
        apply(&mut self.frame_number, place, number, 0xffff)
    }
}

fn apply(counter: &mut Counter, place: Place, input: u16, mask: u16) -> u16 {
    match place {
        Place::Switch => counter.start(input, mask),
        Place::Newest => counter.map(input, true, mask),
        Place::Late => counter.map(input, false, mask),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(picture_id: u16, tl0: u8, long: bool) -> Vp8Descriptor {
        Vp8Descriptor {
            picture_id: Some(picture_id),
            long_picture_id: long,
            tl0_pic_idx: Some(tl0),
            ..Vp8Descriptor::default()
        }
    }

    fn counters(descriptor: Vp8Descriptor) -> (u16, u8) {
        (descriptor.picture_id.unwrap(), descriptor.tl0_pic_idx.unwrap())
    }

    #[test]
    fn the_first_encoding_is_left_as_it_is() {
        let mut map = PictureMap::default();
        for (place, id) in [(Place::Switch, 300), (Place::Newest, 301), (Place::Late, 299)] {
            let given = descriptor(id, 7, true);
            assert_eq!(map.vp8(place, &given), given);
        }
    }

    #[test]
    fn counters_go_on_after_a_switch_and_wrap_at_their_width() {
        let mut map = PictureMap::default();
        map.vp8(Place::Switch, &descriptor(0x7ffe, 255, true));
        assert_eq!(counters(map.vp8(Place::Switch, &descriptor(5, 9, true))), (0x7fff, 0));
        assert_eq!(counters(map.vp8(Place::Newest, &descriptor(6, 10, true))), (0, 1));
        assert_eq!(counters(map.vp8(Place::Late, &descriptor(5, 9, true))), (0x7fff, 0));
        assert_eq!(counters(map.vp8(Place::Switch, &descriptor(77, 77, true))), (1, 2));
    }

    #[test]
    fn seven_bit_picture_ids_wrap_at_128() {
        let mut map = PictureMap::default();
        map.vp8(Place::Switch, &descriptor(126, 0, false));
        assert_eq!(map.vp8(Place::Switch, &descriptor(3, 0, false)).picture_id, Some(127));
        assert_eq!(map.vp8(Place::Newest, &descriptor(4, 0, false)).picture_id, Some(0));
    }

    #[test]
    fn a_late_packet_does_not_set_the_counters_back() {
        let mut map = PictureMap::default();
        map.vp8(Place::Switch, &descriptor(10, 1, true));
        map.vp8(Place::Newest, &descriptor(12, 3, true));
        map.vp8(Place::Late, &descriptor(11, 2, true));
        assert_eq!(counters(map.vp8(Place::Switch, &descriptor(900, 50, true))), (13, 4));
    }

    #[test]
    fn frame_numbers_wrap_at_16_bits() {
        let mut map = PictureMap::default();
        assert_eq!(map.frame_number(Place::Switch, 0xffff), 0xffff);
        assert_eq!(map.frame_number(Place::Switch, 9), 0);
        assert_eq!(map.frame_number(Place::Newest, 10), 1);
    }
}
