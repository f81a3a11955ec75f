//! What can be forwarded of a source, from the least to all, with what each takes: the rungs between which a subscriber's share of
//! bandwidth chooses (encodings of simulcast, RFC 8853; spatial and temporal layers where an encoding has some).
//!
//! What always holds: rungs ascend, and each takes more than the one below.

use std::time::Instant;

use super::layer_rates::Rate;
use super::layers::{ALL_LAYERS, Flow, Flowing, Layer, Selection};
use super::scalability::SPATIAL_LAYERS;
use crate::congestion::bitrate::Bitrate;
use crate::wire::codec::Layer as LayerId;

/// A rung that saves less than this, of the one above, is no help.
const WORTH_IT: f64 = 0.95;
/// Bits a second for each pixel of a picture, where a stream began just now: between what encoders begin with and what they come to.
const ASSUMED_BITS_PER_PIXEL: f64 = 1.5;
/// Pixels of the lowest encoding where sizes are not known; each next has four times as many.
const ASSUMED_PIXELS: u32 = 320 * 180;

/// One of the ways to forward a source.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Rung {
    pub selection: Selection,
    /// Its place among those that differ from it in temporal layers alone: 0 is the lowest.
    pub temporal: u8,
    pub rate: Rate,
}

/// All rungs of a source's encodings, ordered low to high; what does not flow is none.
pub fn ladder(now: Instant, announced: &[Layer], encodings: &[impl Flowing], rungs: &mut Vec<Rung>) {
    rungs.clear();
    let flows = encodings.iter().map(Flowing::flow);
    for (index, flow) in flows.enumerate().filter(|(_, flow)| flow.active) {
        if encodings.len() > 1 {
            let size = announced.get(index).filter(|_| announced.len() == encodings.len());
            let size = size.map(|layer| (layer.width, layer.height));
            picture(now, Selection::all(index), &flow, size, index, rungs);
            continue;
        }
        let count = flow.scalability.spatial_layers();
        for spatial in (0..count.min(SPATIAL_LAYERS)).filter(|spatial| count == 1 || flow.scalability.flows(*spatial)) {
            let said = announced.get(spatial).filter(|_| announced.len() == count);
            let size = flow.scalability.size(spatial).or(said.map(|layer| (layer.width, layer.height)));
            let all = spatial + 1 == count;
            let layers = LayerId { spatial: if all { ALL_LAYERS.spatial } else { spatial as u8 }, ..ALL_LAYERS };
            picture(now, Selection { encoding: index, layers }, &flow, size, spatial, rungs);
        }
    }
}

/// The rungs of one encoding or spatial layer, which is the `nth` of its source.
fn picture(
    now: Instant,
    selection: Selection,
    flow: &Flow<'_>,
    size: Option<(u32, u32)>,
    nth: usize,
    rungs: &mut Vec<Rung>,
) {
    let count = flow.scalability.temporal_layers().max(1);
    let pixels = match size {
        Some((width, height)) if width > 0 && height > 0 => width.saturating_mul(height),
        _ => ASSUMED_PIXELS.saturating_mul(1 << (2 * nth.min(3))),
    };
    for temporal in 0..count {
        let all = temporal + 1 == count;
        let layers = LayerId { temporal: if all { ALL_LAYERS.temporal } else { temporal }, ..selection.layers };
        let share = f64::from(temporal + 1) / f64::from(count);
        let assumed = || Rate::even(Bitrate::from_bps(u64::from(pixels)).scaled(ASSUMED_BITS_PER_PIXEL * share));
        let rate = flow.rates.rate(now, layers).unwrap_or_else(assumed);
        rungs.push(Rung { selection: Selection { layers, ..selection }, temporal, rate });
    }
}

/// Appends the rungs of `ladder` that serve somebody for whom `top` is best: of each picture size all pictures wanted and half of
/// them, of the lowest fewer still.
pub fn options(ladder: &[Rung], top: Selection, options: &mut Vec<Rung>) {
    let begin = options.len();
    let Some(lowest) = ladder.first() else { return };
    let mut last: Option<&Rung> = None;
    let mut taken = 0;
    for rung in ladder.iter().rev().filter(|rung| rung.serves(top)) {
        let same_picture = last.is_some_and(|last| last.picture() == rung.picture());
        taken = if same_picture { taken + 1 } else { 1 };
        let cheaper = last.is_none_or(|last| rung.rate.sustained < last.rate.sustained.scaled(WORTH_IT));
        if (taken <= 2 || rung.picture() == lowest.picture()) && cheaper {
            options.push(*rung);
            last = Some(rung);
        }
    }
    if let Some(pushed) = options.get_mut(begin..) {
        pushed.reverse();
    }
}

impl Rung {
    /// Its encoding and spatial layer.
    fn picture(&self) -> (usize, u8) {
        (self.selection.encoding, self.selection.layers.spatial)
    }

    /// Whether it is no more than what is best. The lowest of each picture size is, however few pictures are wanted.
    fn serves(&self, top: Selection) -> bool {
        let few = self.temporal == 0 || self.selection.layers.temporal <= top.layers.temporal;
        self.picture() <= (top.encoding, top.layers.spatial) && few
    }

    /// What orders rungs.
    pub fn order(&self) -> (usize, u8, u8) {
        let Selection { encoding, layers } = self.selection;
        (encoding, layers.spatial, layers.temporal)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::media::layer_rates::LayerRates;
    use crate::media::layers::tests::LAYERS;
    use crate::media::scalability::Scalability;
    use crate::wire::codec::{PayloadDescriptor, PayloadInfo, Vp8Descriptor};

    fn at(encoding: usize, temporal: u8) -> Selection {
        Selection { encoding, layers: LayerId { spatial: 7, temporal } }
    }

    fn rung(encoding: usize, temporal: u8, place: u8, kbps: u64) -> Rung {
        Rung { selection: at(encoding, temporal), temporal: place, rate: Rate::even(Bitrate::from_kbps(kbps)) }
    }

    fn chosen(ladder: &[Rung], top: Selection) -> Vec<(usize, u8)> {
        let mut found = vec![rung(9, 9, 9, 9)];
        options(ladder, top, &mut found);
        found.drain(1..).map(|rung| (rung.selection.encoding, rung.selection.layers.temporal)).collect()
    }

    /// Three encodings of three temporal layers each.
    fn three_by_three() -> Vec<Rung> {
        [(0, 100), (1, 400), (2, 1_600)]
            .into_iter()
            .flat_map(|(encoding, kbps)| {
                [(0, 4), (1, 6), (7, 10)].map(|(temporal, tenths)| {
                    rung(encoding, temporal, if temporal == 7 { 2 } else { temporal }, kbps * tenths / 10)
                })
            })
            .collect()
    }

    #[test]
    fn below_what_is_best_are_half_the_pictures_then_smaller_ones_and_of_the_smallest_fewer_still() {
        let all = [(0, 0), (0, 1), (0, 7), (1, 1), (1, 7), (2, 1), (2, 7)];
        assert_eq!(chosen(&three_by_three(), at(2, 7)), all);
        assert_eq!(chosen(&three_by_three(), at(1, 7)), all[..5]);
        assert_eq!(chosen(&three_by_three(), at(0, 7)), all[..3]);
    }

    #[test]
    fn where_fewer_pictures_are_wanted_none_has_more() {
        assert_eq!(chosen(&three_by_three(), at(2, 1)), [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]);
        let mut plain_low = three_by_three();
        plain_low.splice(..3, [rung(0, 7, 0, 100)]);
        assert_eq!(chosen(&plain_low, at(2, 0)), [(0, 7), (1, 0), (2, 0)], "an encoding without layers serves too");
    }

    #[test]
    fn a_rung_that_takes_no_less_than_a_better_one_is_left_out() {
        let ladder = [rung(0, 7, 0, 150), rung(1, 7, 0, 500), rung(2, 7, 0, 510)];
        assert_eq!(chosen(&ladder, at(2, 7)), [(0, 7), (2, 7)]);
        assert_eq!(chosen(&[], at(2, 7)), []);
    }

    #[test]
    fn what_flows_makes_rungs_and_what_is_not_measured_is_taken_by_its_size() {
        let (start, mut scalability, mut rates) = (Instant::now(), Scalability::default(), LayerRates::default());
        scalability.replace(start, 1, 2);
        for n in 0..100u32 {
            let descriptor = Vp8Descriptor { temporal_id: Some((n % 2) as u8), ..Vp8Descriptor::default() };
            let info = PayloadInfo { descriptor: PayloadDescriptor::Vp8(descriptor), ..PayloadInfo::default() };
            rates.observe(start + n * Duration::from_millis(10), &info, 976, 1, 2);
        }
        let (plain, unknown) = (Scalability::default(), LayerRates::default());
        let flows = [
            Flow { active: true, scalability: &scalability, rates: &rates },
            Flow { active: false, scalability: &plain, rates: &unknown },
            Flow { active: true, scalability: &plain, rates: &unknown },
        ];
        let mut rungs = Vec::new();
        ladder(start + Duration::from_secs(1), &LAYERS, &flows, &mut rungs);
        let seen: Vec<_> =
            rungs.iter().map(|rung| (rung.selection, rung.rate.sustained.bps().div_ceil(1_000))).collect();
        assert_eq!(seen, [(at(0, 0), 400), (at(0, 7), 800), (at(2, 7), 1_383)]);
        ladder(start, &[], &flows[2..], &mut rungs);
        assert_eq!(rungs.len(), 1);
        assert_eq!(rungs[0].rate.sustained, Bitrate::from_bps(86_400));
    }

    #[test]
    fn of_one_encoding_each_spatial_layer_that_flows_makes_rungs() {
        let start = Instant::now();
        let mut scalability = Scalability::default();
        scalability.replace(start, 3, 1);
        let flows = [Flow { active: true, scalability: &scalability, rates: &LayerRates::default() }];
        let mut rungs = Vec::new();
        ladder(start, &LAYERS, &flows, &mut rungs);
        let spatial: Vec<_> = rungs.iter().map(|rung| rung.selection.layers.spatial).collect();
        assert_eq!(spatial, [0, 1, 7]);
        let mut found = Vec::new();
        options(&rungs, Selection { encoding: 0, layers: LayerId { spatial: 1, temporal: 7 } }, &mut found);
        assert_eq!(found, rungs[..2]);
    }
}
