//! Which encoding of a source, and which layers of it, fit what a subscriber wants, among those that are flowing.

use super::layer_rates::LayerRates;
use super::scalability::{SPATIAL_LAYERS, Scalability};
use crate::wire::codec::Layer as LayerId;

/// The named qualities of a simulcast source.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Quality {
    Low,
    Medium,
    High,
}

/// How large a picture a subscriber wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Picture {
    /// Nothing is shown: send nothing, keep the subscription.
    Nothing,
    Quality(Quality),
    /// The size it is shown at, pixels.
    Size {
        width: u32,
        height: u32,
    },
}

/// What a subscriber wants of a video track.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    pub picture: Picture,
    /// Pictures per second that are enough; `None` for all there are.
    pub frame_rate: Option<u32>,
}

impl Wanted {
    pub const NOTHING: Wanted = Wanted { picture: Picture::Nothing, frame_rate: None };

    pub const fn quality(quality: Quality) -> Wanted {
        Wanted { picture: Picture::Quality(quality), frame_rate: None }
    }

    pub const fn size(width: u32, height: u32) -> Wanted {
        Wanted { picture: Picture::Size { width, height }, frame_rate: None }
    }
}

/// An announced encoding, pixels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Layer {
    pub quality: Quality,
    pub width: u32,
    pub height: u32,
}

/// An encoding of a source, and how much of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Selection {
    /// 0 is the lowest.
    pub encoding: usize,
    /// The highest layers; an encoding may have fewer.
    pub layers: LayerId,
}

impl Selection {
    /// An encoding with all its layers.
    pub const fn all(encoding: usize) -> Selection {
        Selection { encoding, layers: ALL_LAYERS }
    }
}

/// Above every layer there may be.
pub(super) const ALL_LAYERS: LayerId = LayerId { spatial: 7, temporal: 7 };

/// Pictures a second that are assumed of an encoding until they were counted.
const ASSUMED_FRAME_RATE: u32 = 30;

/// What there is of an encoding.
#[derive(Clone, Copy)]
pub struct Flow<'a> {
    /// Packets come.
    pub active: bool,
    pub scalability: &'a Scalability,
    pub rates: &'a LayerRates,
}

/// An encoding, of which it can be told what flows.
pub trait Flowing {
    fn flow(&self) -> Flow<'_>;
}

impl Flowing for Flow<'_> {
    fn flow(&self) -> Flow<'_> {
        *self
    }
}

/// How much of a source its subscriber's way takes.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Limit {
    /// All that is wanted.
    #[default]
    None,
    /// No more than this.
    UpTo(Selection),
    /// Not even the least.
    Nothing,
}

/// What to forward of `encodings`, ordered low to high: of simulcast the wanted encoding, of a single one the wanted spatial layer; and the
/// temporal layers that make up the wanted frame rate. What does not flow is replaced by the best below it, else the lowest above it.
/// `None` when nothing is wanted. With nothing flowing yet, the wanted one.
pub fn choose(wanted: Wanted, announced: &[Layer], encodings: &[impl Flowing]) -> Option<Selection> {
    choose_within(wanted, Limit::None, announced, encodings)
}

/// The same of what a limit leaves; where nothing below it flows, still the lowest above it.
pub fn choose_within(
    wanted: Wanted,
    limit: Limit,
    announced: &[Layer],
    encodings: &[impl Flowing],
) -> Option<Selection> {
    let most = match limit {
        Limit::None => Selection::all(usize::MAX),
        Limit::UpTo(selection) => selection,
        Limit::Nothing => return None,
    };
    let (encoding, spatial) = match encodings {
        [single] => (0, choose_spatial(wanted, most.layers.spatial, announced, single.flow().scalability)?),
        _ => {
            let flows = |index: usize| encodings.get(index).is_some_and(|encoding| encoding.flow().active);
            let ideal = ideal(wanted, announced, encodings.len())?;
            (best_flowing(ideal.min(most.encoding), encodings.len(), flows), ALL_LAYERS.spatial)
        }
    };
    let mut temporal = choose_temporal(wanted, encodings.get(encoding)?.flow().scalability);
    if (encoding, spatial) == (most.encoding, most.layers.spatial) {
        temporal = temporal.min(most.layers.temporal);
    }
    Some(Selection { encoding, layers: LayerId { spatial, temporal } })
}

fn best_flowing(ideal: usize, count: usize, flows: impl Fn(usize) -> bool) -> usize {
    let below = (0..=ideal).rev().find(|index| flows(*index));
    below.or_else(|| (ideal + 1..count).find(|index| flows(*index))).unwrap_or(ideal)
}

/// The highest spatial layer to forward. All there are when the highest is wanted, whatever their number: more may appear.
fn choose_spatial(wanted: Wanted, most: u8, announced: &[Layer], scalability: &Scalability) -> Option<u8> {
    let count = scalability.spatial_layers();
    let mut layers = [Layer { quality: Quality::High, width: 0, height: 0 }; SPATIAL_LAYERS];
    let layers = layers.get_mut(..count)?;
    for (spatial, layer) in layers.iter_mut().enumerate() {
        // The sizes of the stream are the truth; what was announced fits where there is one for each layer.
        let said = announced.get(spatial).filter(|_| announced.len() == count);
        match scalability.size(spatial) {
            Some((width, height)) => (layer.width, layer.height) = (width, height),
            None => *layer = *said.unwrap_or(layer),
        }
    }
    let ideal = ideal(wanted, layers, count)?.min(most.into());
    let chosen = best_flowing(ideal, count, |spatial| scalability.flows(spatial));
    Some(if chosen + 1 == count { ALL_LAYERS.spatial } else { chosen as u8 })
}

/// The lowest temporal layer that has enough pictures: each layer doubles their number.
fn choose_temporal(wanted: Wanted, scalability: &Scalability) -> u8 {
    let Some(wanted) = wanted.frame_rate else { return ALL_LAYERS.temporal };
    let full = scalability.frame_rate().unwrap_or(ASSUMED_FRAME_RATE);
    let highest = scalability.temporal_layers().saturating_sub(1);
    let enough = (0..highest).find(|temporal| full >> (highest - temporal) >= wanted);
    enough.unwrap_or(ALL_LAYERS.temporal)
}

/// The lowest quality of `layers`, ordered low to high, that serves what is wanted; `None` when nothing is. The publisher may
/// leave out whatever is above the highest of all subscribers'. Where nothing was announced, a size may need all there is.
pub fn lowest_quality(wanted: Wanted, layers: &[Layer]) -> Option<Quality> {
    match (wanted.picture, ideal(wanted, layers, layers.len())) {
        (Picture::Nothing, _) => None,
        (_, Some(index)) => layers.get(index).map(|layer| layer.quality),
        (Picture::Quality(quality), None) => Some(quality),
        (Picture::Size { .. }, None) => Some(Quality::High),
    }
}

/// The encoding that would be right if all flowed.
fn ideal(wanted: Wanted, layers: &[Layer], encodings: usize) -> Option<usize> {
    let highest = encodings.checked_sub(1)?;
    match wanted.picture {
        Picture::Nothing => None,
        Picture::Quality(Quality::Low) => Some(0),
        Picture::Quality(Quality::Medium) => Some(highest.min(1)),
        Picture::Quality(Quality::High) => Some(highest),
        Picture::Size { width, height } => {
            // The short side decides: a portrait video is as tall as a landscape one is wide.
            let short = width.min(height);
            let fits = layers.iter().take(encodings).position(|layer| layer.width.min(layer.height) >= short);
            Some(fits.unwrap_or(highest))
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::media::forward::Packet;
    use crate::wire::codec::{Codec, PayloadDescriptor, PayloadInfo, Vp9Descriptor};
    use crate::wire::rtp::{Header, HeaderWriter};
    use crate::wire::{PayloadType, Ssrc};

    pub const LAYERS: [Layer; 3] = [
        Layer { quality: Quality::Low, width: 320, height: 180 },
        Layer { quality: Quality::Medium, width: 640, height: 360 },
        Layer { quality: Quality::High, width: 1280, height: 720 },
    ];
    const ALL: [bool; 3] = [true; 3];
    const HIGH: Wanted = Wanted::quality(Quality::High);

    /// The chosen one of several encodings of one layer each.
    fn chosen(wanted: Wanted, layers: &[Layer], active: &[bool]) -> Option<usize> {
        let (scalability, rates) = Default::default();
        let flow = |active: &bool| Flow { active: *active, scalability: &scalability, rates: &rates };
        let flows: Vec<_> = active.iter().map(flow).collect();
        choose(wanted, layers, &flows).map(|selection| selection.encoding)
    }

    #[test]
    fn the_smallest_encoding_that_is_large_enough_is_chosen() {
        let size = |width, height| chosen(Wanted::size(width, height), &LAYERS, &ALL);
        assert_eq!(size(160, 90), Some(0));
        assert_eq!(size(320, 180), Some(0));
        assert_eq!(size(321, 181), Some(1));
        assert_eq!(size(360, 640), Some(1), "portrait");
        assert_eq!(size(4000, 3000), Some(2));
    }

    #[test]
    fn an_encoding_that_does_not_flow_is_replaced_by_the_best_below_then_above() {
        assert_eq!(chosen(HIGH, &LAYERS, &[true, true, false]), Some(1));
        assert_eq!(chosen(Wanted::quality(Quality::Low), &LAYERS, &[false, true, true]), Some(1));
        assert_eq!(chosen(HIGH, &LAYERS, &[false; 3]), Some(2), "nothing flows yet");
    }

    #[test]
    fn a_limit_takes_the_best_that_flows_within_it_and_the_lowest_that_flows_where_none_is() {
        let (scalability, rates) = Default::default();
        let flow = |active| Flow { active, scalability: &scalability, rates: &rates };
        let within = |limit, active: [bool; 3]| choose_within(HIGH, limit, &LAYERS, &active.map(flow));
        assert_eq!(within(Limit::UpTo(Selection::all(1)), ALL), Some(Selection::all(1)));
        assert_eq!(within(Limit::UpTo(Selection::all(1)), [true, false, true]), Some(Selection::all(0)));
        assert_eq!(within(Limit::UpTo(Selection::all(0)), [false, false, true]), Some(Selection::all(2)));
        assert_eq!(within(Limit::Nothing, ALL), None);
        let layers = LayerId { spatial: 7, temporal: 1 };
        let limit = Limit::UpTo(Selection { encoding: 1, layers });
        assert_eq!(within(limit, ALL), Some(Selection { encoding: 1, layers }));
        assert_eq!(within(limit, [true, false, false]), Some(Selection::all(0)), "of another encoding all layers");
    }

    #[test]
    fn two_encodings_serve_three_qualities_and_nothing_is_nothing() {
        let two = [true; 2];
        assert_eq!(chosen(Wanted::quality(Quality::Medium), &LAYERS, &two), Some(1));
        assert_eq!(chosen(HIGH, &LAYERS, &two), Some(1));
        assert_eq!(chosen(Wanted::NOTHING, &LAYERS, &ALL), None);
        assert_eq!(chosen(HIGH, &[], &[]), None);
    }

    #[test]
    fn of_one_encoding_the_spatial_layer_is_chosen() {
        let start = Instant::now();
        let mut scalability = Scalability::default();
        let layers = |wanted, announced: &[Layer], scalability: &Scalability| {
            let selection =
                choose(wanted, announced, &[Flow { active: true, scalability, rates: &LayerRates::default() }])
                    .unwrap();
            assert_eq!(selection.encoding, 0);
            selection.layers.spatial
        };
        assert_eq!(layers(Wanted::size(320, 180), &LAYERS, &scalability), 7, "no layers are known yet: all");
        for spatial in 0..3 {
            scalability.observe(start, &packet(spatial, 0, 0));
        }
        let low = Wanted::quality(Quality::Low);
        assert_eq!(layers(low, &[], &scalability), 0);
        assert_eq!(layers(Wanted::quality(Quality::Medium), &[], &scalability), 1);
        assert_eq!(layers(HIGH, &[], &scalability), 7);
        assert_eq!(layers(Wanted::size(500, 300), &LAYERS, &scalability), 1, "by the sizes that were announced");
        assert_eq!(
            layers(Wanted::size(500, 300), &LAYERS[..2], &scalability),
            7,
            "those of something else say nothing"
        );
        let later = start + Duration::from_secs(2);
        let rest = [0, 1].map(|spatial| scalability.observe(later, &packet(spatial, 0, 9)));
        assert_eq!(rest, [false; 2]);
        assert!(scalability.review() && !scalability.review());
        assert_eq!(layers(HIGH, &LAYERS, &scalability), 1, "the highest fell silent");
        scalability.observe(later, &packet(2, 0, 9));
        assert!(scalability.review());
        assert_eq!(layers(HIGH, &LAYERS, &scalability), 7);
    }

    #[test]
    fn the_frame_rate_is_that_of_the_lowest_temporal_layer_with_enough() {
        let start = Instant::now();
        let mut scalability = Scalability::default();
        let temporal = |rate, scalability: &Scalability| {
            let wanted = Wanted { frame_rate: rate, ..HIGH };
            choose(wanted, &[], &[Flow { active: true, scalability, rates: &LayerRates::default() }])
                .unwrap()
                .layers
                .temporal
        };
        assert_eq!(temporal(Some(5), &scalability), 7, "there are none to leave out");
        scalability.observe(start, &packet(0, 2, 0));
        assert_eq!([7, 8, 15, 16].map(|rate| temporal(Some(rate), &scalability)), [0, 1, 1, 7], "of 30, assumed");
        assert_eq!(temporal(None, &scalability), 7);
        for n in 1..=61 {
            scalability.observe(start, &packet(0, 0, n * 1_500));
        }
        assert_eq!(scalability.frame_rate(), Some(60));
        assert_eq!([7, 15, 16, 30, 31].map(|rate| temporal(Some(rate), &scalability)), [0, 0, 1, 1, 7]);
    }

    /// A packet of some layers.
    fn packet(spatial: u8, temporal: u8, timestamp: u32) -> Packet {
        let mut writer = HeaderWriter::new(true, PayloadType(96), 1, timestamp, Ssrc(1));
        let header = Header::parse(writer.finish()).unwrap();
        let layer = LayerId { spatial, temporal };
        let descriptor = PayloadDescriptor::Vp9(Vp9Descriptor { layer, ..Vp9Descriptor::default() });
        let info = PayloadInfo { descriptor, ..PayloadInfo::default() };
        Packet { encoding: 0, header, extended_sequence: 70_000, codec: Codec::Vp9, info, clock: None }
    }

    #[test]
    fn the_lowest_quality_that_serves_is_that_of_the_layer_that_would_be_chosen() {
        let of = |wanted| lowest_quality(wanted, &LAYERS);
        assert_eq!(of(Wanted::NOTHING), None);
        assert_eq!(of(Wanted::size(320, 180)), Some(Quality::Low));
        assert_eq!(of(Wanted::size(600, 400)), Some(Quality::High));
        assert_eq!(of(Wanted::quality(Quality::Medium)), Some(Quality::Medium));
        assert_eq!(lowest_quality(Wanted::quality(Quality::High), &LAYERS[..2]), Some(Quality::Medium));
        assert_eq!(lowest_quality(Wanted::quality(Quality::Low), &LAYERS[2..]), Some(Quality::High), "all there is");
        assert_eq!(lowest_quality(Wanted::quality(Quality::Low), &[]), Some(Quality::Low));
        assert_eq!(lowest_quality(Wanted::size(1, 1), &[]), Some(Quality::High), "sizes are not known");
    }
}
