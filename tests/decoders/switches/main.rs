//! Drives coded pictures of three encodings through the server's rewriter with random switches, and writes what a receiver gives
//! to its decoder: the program behind `test_layer_switches.py`, which makes the pictures and decodes them.
//!
//! Time is virtual, one seed gives one run. The result is one line of JSON on standard output.

mod encoding;
mod forwarder;
mod network;
mod receiver;

use std::error::Error;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use sfumato::wire::codec::Codec;

use encoding::{Encoding, Sender};
use forwarder::{Fault, Forwarder, Wish};
use network::Network;
use receiver::{Origin, Picture, Receiver, Tally};

const FRAME_TIME: Duration = Duration::from_nanos(33_333_333);
/// Pictures at most for each switch that is asked for: a wish may wait for a keyframe.
const MOST_FRAMES_A_SWITCH: u32 = 40;
/// A new wish after up to so many frames.
const WISH_FRAMES: u32 = 6;
/// Those of VP8 and VP9.
const TEMPORAL_LAYERS: u8 = 3;
/// One wish of so many is to pause.
const PAUSE_EVERY: u32 = 25;

/// What happened, beside the receiver's tally.
#[derive(Default)]
struct Course {
    wishes: u32,
    /// The encoding that was forwarded became another one.
    switches: u32,
    pauses: u32,
    positions: u32,
    /// The highest temporal layer that is forwarded became another one, within an encoding.
    layer_changes: u32,
    /// Packets forwarded of an encoding that is not the one the server says is current.
    strays: u64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let options = options().get_matches();
    let codec = codec(required::<String>(&options, "codec")?)?;
    let inputs = options.get_many::<PathBuf>("input").ok_or("no input")?;
    let encodings = inputs.map(|path| Encoding::read(path)).collect::<Result<Vec<_>, _>>()?;
    let (course, receiver) = run(&options, codec, &encodings)?;
    let (pictures, tally) = receiver.finish()?;
    write(required::<PathBuf>(&options, "output")?, &pictures)?;
    report(&course, &tally, pictures.len());
    Ok(())
}

fn options() -> Command {
    Command::new("layer-switches")
        .arg(Arg::new("codec").long("codec").required(true).help("vp8, vp9, h264 or av1"))
        .arg(Arg::new("seed").long("seed").value_parser(value_parser!(u64)).default_value("1"))
        .arg(Arg::new("switches").long("switches").value_parser(value_parser!(u32)).default_value("500"))
        .arg(Arg::new("late").long("late").value_parser(value_parser!(f64)).default_value("0"))
        .arg(Arg::new("temporal").long("temporal").action(ArgAction::SetTrue).help("Wish for temporal layers too"))
        .arg(
            Arg::new("fault")
                .long("fault")
                .default_value("none")
                .help("none, no-keyframe, no-picture-ids or wrong-layers"),
        )
        .arg(Arg::new("output").required(true).value_parser(value_parser!(PathBuf)))
        .arg(Arg::new("input").required(true).num_args(1..).value_parser(value_parser!(PathBuf)))
}

fn required<'a, T: Clone + Send + Sync + 'static>(options: &'a ArgMatches, name: &str) -> Result<&'a T, String> {
    options.get_one(name).ok_or_else(|| format!("--{name} is missing"))
}

fn codec(name: &str) -> Result<Codec, String> {
    Ok(match name {
        "vp8" => Codec::Vp8,
        "vp9" => Codec::Vp9,
        "h264" => Codec::H264,
        "av1" => Codec::Av1,
        _ => return Err(format!("codec {name}?")),
    })
}

fn fault(name: &str) -> Result<Fault, String> {
    Ok(match name {
        "none" => Fault::None,
        "no-keyframe" => Fault::NoKeyframe,
        "no-picture-ids" => Fault::NoPictureIds,
        "wrong-layers" => Fault::WrongLayers,
        _ => return Err(format!("fault {name}?")),
    })
}

/// Sends frame after frame of all encodings, wishing at random, until there were enough switches.
fn run(options: &ArgMatches, codec: Codec, encodings: &[Encoding]) -> Result<(Course, Receiver), Box<dyn Error>> {
    let mut random = StdRng::seed_from_u64(*required(options, "seed")?);
    let (wanted, temporal) = (*required::<u32>(options, "switches")?, options.get_flag("temporal"));
    let start = Instant::now();
    let mut senders =
        encodings.iter().map(|encoding| Sender::new(codec, encoding, &mut random)).collect::<Result<Vec<_>, _>>()?;
    let fault = fault(required::<String>(options, "fault")?)?;
    let forwarder = Forwarder::new(codec, fault, start, &senders, &mut random).ok_or("no forwarder")?;
    let mut network = Network::new(*required(options, "late")?);
    let mut call =
        Call { start, forwarder, receiver: Receiver::new(codec), course: Course::default(), before: None, layer: None };
    let mut next_wish = 0;
    while call.course.switches < wanted && call.course.positions < wanted.saturating_mul(MOST_FRAMES_A_SWITCH) {
        let position = call.course.positions;
        if position >= next_wish {
            let wish = wish(&call.forwarder, encodings.len(), temporal, &mut call.course, &mut random);
            call.forwarder.select(wish);
            next_wish = position + random.random_range(1..=WISH_FRAMES);
        }
        for (encoding, (sender, source)) in senders.iter_mut().zip(encodings).enumerate() {
            let frame = source.at(position).ok_or("an empty encoding")?;
            network.send(position, Origin { position, encoding }, sender.packets(position, frame)?, &mut random);
        }
        for (origin, packet) in network.arrived(position) {
            call.forward(origin, &packet)?;
        }
        call.course.positions += 1;
    }
    Ok((call.course, call.receiver))
}

/// The server's part and the subscriber's, and what was seen of them.
struct Call {
    start: Instant,
    forwarder: Forwarder,
    receiver: Receiver,
    course: Course,
    /// The encoding that was forwarded last, and its highest temporal layer.
    before: Option<usize>,
    layer: Option<u8>,
}

impl Call {
    fn forward(&mut self, origin: Origin, packet: &[u8]) -> Result<(), Box<dyn Error>> {
        let now = self.start + FRAME_TIME * self.course.positions;
        let out = self.forwarder.handle(now, origin.encoding, packet)?;
        let (current, top) = (self.forwarder.current(), self.forwarder.temporal());
        if let Some(out) = out {
            self.course.strays += u64::from(current != Some(origin.encoding));
            self.receiver.handle(out, origin)?;
        }
        let known = top.is_some() && self.layer.is_some();
        self.course.layer_changes += u32::from(known && current == self.before && top != self.layer);
        self.layer = top;
        if current.is_some() && current != self.before {
            self.course.switches += u32::from(self.before.is_some());
            self.before = current;
        }
        Ok(())
    }
}

/// Another encoding than now or a pause, and any temporal layer; where these are asked for, half of the wishes are for them alone.
fn wish(
    forwarder: &Forwarder,
    encodings: usize,
    temporal: bool,
    course: &mut Course,
    random: &mut StdRng,
) -> Option<Wish> {
    course.wishes += 1;
    if random.random_ratio(1, PAUSE_EVERY) {
        course.pauses += 1;
        return None;
    }
    let top = if temporal { random.random_range(0..TEMPORAL_LAYERS) } else { TEMPORAL_LAYERS - 1 };
    if let Some(encoding) = forwarder.current().filter(|_| temporal && random.random_bool(0.5)) {
        return Some(Wish { encoding, temporal: top });
    }
    let others: Vec<usize> = (0..encodings).filter(|encoding| forwarder.current() != Some(*encoding)).collect();
    let encoding = *others.get(random.random_range(0..others.len().max(1)))?;
    Some(Wish { encoding, temporal: top })
}

/// For each picture: position, encoding, length, bytes.
fn write(path: &PathBuf, pictures: &[Picture]) -> Result<(), Box<dyn Error>> {
    let mut bytes = Vec::new();
    for Picture { origin, data } in pictures {
        bytes.extend(origin.position.to_be_bytes());
        bytes.push(u8::try_from(origin.encoding)?);
        bytes.extend(u32::try_from(data.len())?.to_be_bytes());
        bytes.extend(data);
    }
    Ok(std::fs::write(path, bytes)?)
}

fn report(course: &Course, tally: &Tally, pictures: usize) {
    let Course { wishes, switches, pauses, positions, layer_changes, strays } = course;
    let Tally { held_back, mixed, timestamps, picture_ids, duplicates, missing } = tally;
    println!(
        "{}",
        serde_json::json!({
            "wishes": wishes, "switches": switches, "pauses": pauses, "positions": positions,
            "layer_changes": layer_changes, "strays": strays,
            "pictures": pictures, "held_back": held_back, "mixed": mixed, "timestamps": timestamps,
            "picture_ids": picture_ids, "duplicates": duplicates, "missing": missing,
        })
    );
}
