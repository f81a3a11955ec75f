//! Random identifiers: a prefix that says of what, and twelve letters or digits (71 bits: collisions do not happen).

use rand::{Rng, RngCore};

use super::model::{ParticipantId, RoomId, TrackId};

const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const LENGTH: usize = 12;

fn draw(prefix: &str, random: &mut dyn RngCore) -> String {
    let mut id = String::with_capacity(prefix.len() + LENGTH);
    id.push_str(prefix);
    id.extend((0..LENGTH).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())])));
    id
}

pub fn room(random: &mut dyn RngCore) -> RoomId {
    RoomId::new(&draw("RM_", random))
}

pub fn participant(random: &mut dyn RngCore) -> ParticipantId {
    ParticipantId::new(&draw("PA_", random))
}

pub fn track(random: &mut dyn RngCore) -> TrackId {
    TrackId::new(&draw("TR_", random))
}

pub fn data_track(random: &mut dyn RngCore) -> TrackId {
    TrackId::new(&draw("DTR_", random))
}
