//! Which encoding of a simulcast source fits what a subscriber wants, among those that are flowing.

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

/// The encoding to forward, of `active` flags ordered low to high: the wanted one; while it does not flow the best below
/// it, else the lowest above it. `None` when nothing is wanted. With nothing flowing yet, the wanted one.
pub fn choose(wanted: Wanted, layers: &[Layer], active: &[bool]) -> Option<usize> {
    let ideal = ideal(wanted, layers, active.len())?;
    let flows = |index: &usize| active.get(*index).copied().unwrap_or(false);
    let below = (0..=ideal).rev().find(flows);
    let above = || (ideal + 1..active.len()).find(flows);
    Some(below.or_else(above).unwrap_or(ideal))
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
mod tests {
    use super::*;

    const LAYERS: [Layer; 3] = [
        Layer { quality: Quality::Low, width: 320, height: 180 },
        Layer { quality: Quality::Medium, width: 640, height: 360 },
        Layer { quality: Quality::High, width: 1280, height: 720 },
    ];
    const ALL: [bool; 3] = [true; 3];

    #[test]
    fn the_smallest_encoding_that_is_large_enough_is_chosen() {
        let size = |width, height| choose(Wanted::size(width, height), &LAYERS, &ALL);
        assert_eq!(size(160, 90), Some(0));
        assert_eq!(size(320, 180), Some(0));
        assert_eq!(size(321, 181), Some(1));
        assert_eq!(size(360, 640), Some(1), "portrait");
        assert_eq!(size(4000, 3000), Some(2));
    }

    #[test]
    fn an_encoding_that_does_not_flow_is_replaced_by_the_best_below_then_above() {
        let high = Wanted::quality(Quality::High);
        assert_eq!(choose(high, &LAYERS, &[true, true, false]), Some(1));
        assert_eq!(choose(Wanted::quality(Quality::Low), &LAYERS, &[false, true, true]), Some(1));
        assert_eq!(choose(high, &LAYERS, &[false; 3]), Some(2), "nothing flows yet");
    }

    #[test]
    fn two_encodings_serve_three_qualities_and_nothing_is_nothing() {
        let two = [true; 2];
        assert_eq!(choose(Wanted::quality(Quality::Medium), &LAYERS, &two), Some(1));
        assert_eq!(choose(Wanted::quality(Quality::High), &LAYERS, &two), Some(1));
        assert_eq!(choose(Wanted::NOTHING, &LAYERS, &ALL), None);
        assert_eq!(choose(Wanted::quality(Quality::High), &[], &[]), None);
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
