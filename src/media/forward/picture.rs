//! Counters inside video payloads that must go on across a switch and over what is withheld: picture id and TL0PICIDX of VP8 (RFC 7741,
//! section 4.2) and VP9 (RFC 9628, section 4.2), and the dependency descriptor's frame number (AV1 RTP specification, appendix A).
//!
//! What always holds: the first frame after a switch follows the newest before it. Between two switches the distance of two frames'
//! counters is the publisher's, but for VP8's picture ids, which have no gap where pictures were withheld. With one encoding
//! and nothing withheld nothing is ever changed.
//!
//! Why the codecs differ: a VP8 receiver takes a gap in the picture ids for pictures that are missing, and waits for them before
//! it decodes a frame above temporal layer 0. VP9's references count in picture ids (P_DIFF, or the places in a group of
//! pictures) and the dependency descriptor's in frame numbers: there a gap says nothing, and a distance everything.

use crate::wire::codec::{PayloadDescriptor, PayloadInfo};

/// One counter of some width, of which nothing is left out.
#[derive(Clone, Copy, Default, Debug)]
struct Counter {
    /// Added to inputs, modulo the width.
    offset: u16,
    newest: Option<u16>,
}

impl Counter {
    fn map(&mut self, place: Place, input: u16, mask: u16) -> u16 {
        if let (Place::Switch, Some(newest)) = (place, self.newest) {
            self.offset = newest.wrapping_add(1).wrapping_sub(input) & mask;
        }
        let output = input.wrapping_add(self.offset) & mask;
        if place != Place::Late {
            self.newest = Some(output);
        }
        output
    }
}

/// VP8's picture ids: a counter that closes up over what was withheld.
#[derive(Clone, Copy, Default, Debug)]
struct PictureIds {
    counter: Counter,
    /// Highest input so far.
    highest: u16,
    /// Bit n: the picture n before `highest` was withheld. Late packets come within some pictures, not 64.
    withheld: u64,
}

impl PictureIds {
    fn map(&mut self, place: Place, input: u16, mask: u16) -> u16 {
        if place == Place::Switch {
            (self.highest, self.withheld) = (input, 0);
            return self.counter.map(place, input, mask);
        }
        if input == self.highest || self.advance(input, mask) {
            return self.counter.map(place, input, mask);
        }
        // What was withheld after this picture has moved the offset since.
        let behind = self.highest.wrapping_sub(input) & mask;
        let since = self.withheld & 1u64.checked_shl(behind.into()).map_or(u64::MAX, |bit| bit - 1);
        self.counter.map(Place::Late, input.wrapping_add(since.count_ones() as u16), mask)
    }

    /// A packet of a withheld picture. One that comes when later pictures are out leaves its gap.
    fn withhold(&mut self, input: u16, mask: u16) {
        if self.advance(input, mask) {
            self.withheld |= 1;
            self.counter.offset = self.counter.offset.wrapping_sub(1) & mask;
        }
    }

    /// Whether the picture is later than all before.
    fn advance(&mut self, input: u16, mask: u16) -> bool {
        let ahead = input.wrapping_sub(self.highest) & mask;
        let later = ahead != 0 && ahead <= mask / 2;
        if later {
            self.withheld = self.withheld.checked_shl(ahead.into()).unwrap_or(0);
            self.highest = input;
        }
        later
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

/// What one packet's counters become.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counters {
    /// In the width of the packet's own; without meaning where it has none.
    pub picture_id: u16,
    pub tl0_pic_idx: u8,
    /// Added to the dependency descriptor's frame number.
    pub frame_offset: u16,
}

impl Counters {
    /// Whether a packet's descriptor has others.
    pub fn change(&self, descriptor: &PayloadDescriptor) -> bool {
        let differ = |id: Option<u16>, tl0: Option<u8>| {
            id.is_some_and(|id| id != self.picture_id) || tl0.is_some_and(|tl0| tl0 != self.tl0_pic_idx)
        };
        match descriptor {
            PayloadDescriptor::None => false,
            PayloadDescriptor::Vp8(vp8) => differ(vp8.picture_id, vp8.tl0_pic_idx),
            PayloadDescriptor::Vp9(vp9) => differ(vp9.picture_id, vp9.tl0_pic_idx),
        }
    }

    /// A packet's descriptor with these counters.
    pub fn apply(&self, descriptor: PayloadDescriptor) -> PayloadDescriptor {
        let (id, tl0) = (|_| self.picture_id, |_| self.tl0_pic_idx);
        match descriptor {
            PayloadDescriptor::None => PayloadDescriptor::None,
            PayloadDescriptor::Vp8(mut vp8) => {
                (vp8.picture_id, vp8.tl0_pic_idx) = (vp8.picture_id.map(id), vp8.tl0_pic_idx.map(tl0));
                PayloadDescriptor::Vp8(vp8)
            }
            PayloadDescriptor::Vp9(mut vp9) => {
                (vp9.picture_id, vp9.tl0_pic_idx) = (vp9.picture_id.map(id), vp9.tl0_pic_idx.map(tl0));
                PayloadDescriptor::Vp9(vp9)
            }
        }
    }
}

#[derive(Clone, Copy, Default, Debug)]
pub struct PictureMap {
    picture_id: PictureIds,
    tl0_pic_idx: Counter,
    frame_number: Counter,
}

impl PictureMap {
    /// What the subscriber should see of a packet that is forwarded.
    pub fn map(&mut self, place: Place, info: &PayloadInfo) -> Counters {
        let mut counters = Counters::default();
        let tl0 = match &info.descriptor {
            PayloadDescriptor::None => None,
            PayloadDescriptor::Vp8(vp8) => {
                if let Some(id) = vp8.picture_id {
                    counters.picture_id = self.picture_id.map(place, id, id_mask(vp8.long_picture_id));
                }
                vp8.tl0_pic_idx
            }
            PayloadDescriptor::Vp9(vp9) => {
                if let Some(id) = vp9.picture_id {
                    counters.picture_id = self.picture_id.counter.map(place, id, id_mask(vp9.long_picture_id));
                }
                vp9.tl0_pic_idx
            }
        };
        if let Some(index) = tl0 {
            counters.tl0_pic_idx = self.tl0_pic_idx.map(place, index.into(), 0xff) as u8;
        }
        if let Some(dependency) = &info.dependency {
            self.frame_number.map(place, dependency.frame_number, 0xffff);
        }
        counters.frame_offset = self.frame_number.offset;
        counters
    }

    /// A packet is withheld on purpose.
    pub fn withhold(&mut self, info: &PayloadInfo) {
        if let PayloadDescriptor::Vp8(vp8) = &info.descriptor
            && let Some(id) = vp8.picture_id
        {
            self.picture_id.withhold(id, id_mask(vp8.long_picture_id));
        }
    }
}

fn id_mask(long: bool) -> u16 {
    if long { 0x7fff } else { 0x7f }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::codec::{Vp8Descriptor, Vp9Descriptor};

    fn vp8(picture_id: u16, tl0: u8, long: bool) -> PayloadInfo {
        let descriptor = PayloadDescriptor::Vp8(Vp8Descriptor {
            picture_id: Some(picture_id),
            long_picture_id: long,
            tl0_pic_idx: Some(tl0),
            ..Vp8Descriptor::default()
        });
        PayloadInfo { descriptor, ..PayloadInfo::default() }
    }

    fn counters(map: &mut PictureMap, place: Place, info: &PayloadInfo) -> (u16, u8) {
        let counters = map.map(place, info);
        assert_eq!(counters.change(&info.descriptor), counters.apply(info.descriptor) != info.descriptor);
        (counters.picture_id, counters.tl0_pic_idx)
    }

    #[test]
    fn the_first_encoding_is_left_as_it_is() {
        let mut map = PictureMap::default();
        for (place, id) in [(Place::Switch, 300), (Place::Newest, 301), (Place::Late, 299)] {
            let info = vp8(id, 7, true);
            let counters = map.map(place, &info);
            assert_eq!(counters.apply(info.descriptor), info.descriptor);
            assert!(!counters.change(&info.descriptor));
        }
    }

    #[test]
    fn counters_go_on_after_a_switch_and_wrap_at_their_width() {
        let mut map = PictureMap::default();
        map.map(Place::Switch, &vp8(0x7ffe, 255, true));
        assert_eq!(counters(&mut map, Place::Switch, &vp8(5, 9, true)), (0x7fff, 0));
        assert_eq!(counters(&mut map, Place::Newest, &vp8(6, 10, true)), (0, 1));
        assert_eq!(counters(&mut map, Place::Late, &vp8(5, 9, true)), (0x7fff, 0));
        assert_eq!(counters(&mut map, Place::Switch, &vp8(77, 77, true)), (1, 2));
    }

    #[test]
    fn seven_bit_picture_ids_wrap_at_128() {
        let mut map = PictureMap::default();
        map.map(Place::Switch, &vp8(126, 0, false));
        assert_eq!(map.map(Place::Switch, &vp8(3, 0, false)).picture_id, 127);
        assert_eq!(map.map(Place::Newest, &vp8(4, 0, false)).picture_id, 0);
    }

    #[test]
    fn a_late_packet_does_not_set_the_counters_back() {
        let mut map = PictureMap::default();
        map.map(Place::Switch, &vp8(10, 1, true));
        map.map(Place::Newest, &vp8(12, 3, true));
        map.map(Place::Late, &vp8(11, 2, true));
        assert_eq!(counters(&mut map, Place::Switch, &vp8(900, 50, true)), (13, 4));
    }

    #[test]
    fn withheld_vp8_pictures_leave_no_gap_and_late_ones_keep_their_place() {
        let mut map = PictureMap::default();
        assert_eq!(map.map(Place::Switch, &vp8(0x7fff, 1, true)).picture_id, 0x7fff);
        map.withhold(&vp8(1, 1, true)); // picture 0 is missing still
        map.withhold(&vp8(1, 1, true));
        assert_eq!(map.map(Place::Newest, &vp8(2, 1, true)).picture_id, 1);
        map.withhold(&vp8(3, 1, true));
        assert_eq!(map.map(Place::Newest, &vp8(4, 2, true)).picture_id, 2);
        assert_eq!(map.map(Place::Late, &vp8(0, 1, true)).picture_id, 0);
        assert_eq!(map.map(Place::Late, &vp8(2, 1, true)).picture_id, 1);
        assert_eq!(map.map(Place::Newest, &vp8(5, 2, true)).picture_id, 3);
        assert_eq!(map.map(Place::Switch, &vp8(700, 9, true)).picture_id, 4);
    }

    #[test]
    fn a_picture_withheld_too_late_leaves_its_gap() {
        let mut map = PictureMap::default();
        map.map(Place::Switch, &vp8(10, 1, false));
        assert_eq!(map.map(Place::Newest, &vp8(12, 1, false)).picture_id, 12);
        map.withhold(&vp8(11, 1, false));
        assert_eq!(map.map(Place::Newest, &vp8(13, 1, false)).picture_id, 13);
    }

    #[test]
    fn vp9_keeps_the_distances_that_its_references_count_in() {
        let vp9 = |id| PayloadInfo {
            descriptor: PayloadDescriptor::Vp9(Vp9Descriptor {
                picture_id: Some(id),
                long_picture_id: true,
                ..Vp9Descriptor::default()
            }),
            ..PayloadInfo::default()
        };
        let mut map = PictureMap::default();
        map.map(Place::Switch, &vp9(500));
        assert_eq!(map.map(Place::Switch, &vp9(20)).picture_id, 501);
        map.withhold(&vp9(21));
        assert_eq!(map.map(Place::Newest, &vp9(22)).picture_id, 503);
    }
}
