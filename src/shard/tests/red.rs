//! Scenarios of redundant audio (RFC 2198): passed on where both sides have it, stripped where the subscriber lacks it.

use super::*;

const RED: u8 = 63;
const OPUS: u8 = 111;

/// An offer of one audio section in these formats: RED, where there is one, and the Opus it carries.
fn audio(direction: &str, red: Option<u8>, opus: u8) -> Offer {
    let formats: Vec<String> = red.into_iter().chain([opus]).map(|payload_type| payload_type.to_string()).collect();
    let video = offer(direction).sdp;
    let (session, _) = video.split_once("m=video").unwrap();
    let transport = video.split_once("a=ice-ufrag").unwrap().1.split_once("a=rtpmap").unwrap().0;
    let redundancy =
        red.map_or(String::new(), |red| format!("a=rtpmap:{red} red/48000/2\r\na=fmtp:{red} {opus}/{opus}\r\n"));
    let sdp = format!(
        "{session}m=audio 9 UDP/TLS/RTP/SAVPF {}\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=rtcp-mux\r\na={direction}\r\n\
         a=ice-ufrag{transport}a=rtpmap:{opus} opus/48000/2\r\n{redundancy}",
        formats.join(" ")
    );
    Offer { id: 1, sdp }
}

fn listener(identity: &str, red: Option<u8>, opus: u8) -> JoinRequest {
    JoinRequest { offer: Some(audio("recvonly", red, opus)), ..request(identity, "recvonly", Vec::new()) }
}

fn speaker(red: Option<u8>) -> JoinRequest {
    let microphone = Announcement { kind: MediaKind::Audio, source: TrackSource::Microphone, ..camera() };
    JoinRequest {
        offer: Some(audio("sendonly", red, OPUS)),
        announcements: vec![microphone],
        ..request("anna", "sendonly", Vec::new())
    }
}

/// The formats and format parameters of what a participant is answered.
fn answered(events: &mut EventReceiver) -> (String, Vec<String>) {
    let told = std::iter::from_fn(|| events.try_recv().ok());
    let sdp = told.filter_map(|event| if let Event::Answer { sdp, .. } = event { Some(sdp) } else { None }).next();
    let sdp = sdp.unwrap();
    let formats = sdp.lines().find_map(|line| line.strip_prefix("m=audio 9 UDP/TLS/RTP/SAVPF ")).unwrap().to_owned();
    let parameters = sdp.lines().filter_map(|line| line.strip_prefix("a=fmtp:"));
    (formats, parameters.filter(|line| line.contains('/')).map(str::to_owned).collect())
}

/// One of Anna's packets.
fn spoken(world: &mut World, payload_type: u8, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut writer = HeaderWriter::new(false, PayloadType(payload_type), sequence, 960 * u32::from(sequence), Ssrc(70));
    assert!(writer.extension(1, b"0"));
    let (mut payload, mut packet) = (payload.to_vec(), vec![0; 200]);
    let plain = Plain::new(u64::from(sequence), writer.finish(), &mut payload);
    let len = world.anna.1.outbound.seal_rtp(plain, &mut packet).unwrap();
    packet.truncate(len);
    packet
}

/// What a participant receives: payload type and payload.
fn heard(shard: &mut Shard, now: Instant, to: &mut End) -> Vec<(u8, Vec<u8>)> {
    let batch = shard.outgoing();
    let mut heard = Vec::new();
    for transmit in batch.transmits().iter().filter(|transmit| transmit.route.to == to.0) {
        for datagram in batch.contents(transmit).chunks(transmit.segment) {
            let mut packet = datagram.to_vec();
            let header = Header::parse(&packet).unwrap();
            let opened = to.1.inbound.open_rtp(now, header.ssrc.0, header.sequence_number, header.len, &mut packet);
            packet.truncate(opened.unwrap());
            heard.push((header.payload_type.0, header.payload(&packet).unwrap().to_vec()));
        }
    }
    heard
}

#[test]
fn redundancy_passes_to_who_has_it_under_its_own_numbers_and_is_stripped_for_who_lacks_it() {
    let mut world = World::of(speaker(Some(RED)), listener("bert", Some(120), 96));
    let (mut cleos, mut cleo) = enter(&mut world.shard, world.now, 2, listener("cleo", None, 109), Connected::new(3));
    world.shard.outgoing().clear();
    assert_eq!(answered(&mut world.events[0]), ("63 111".to_owned(), vec!["63 111/111".to_owned()]));
    assert_eq!(answered(&mut world.events[1]), ("120 96".to_owned(), vec!["120 96/96".to_owned()]));
    assert_eq!(answered(&mut cleos), ("109".to_owned(), Vec::new()));

    // One redundant block of two bytes, 960 units before; then a packet that is not redundant.
    let redundant = [0x80 | OPUS, 0x0f, 0x00, 2, OPUS, 10, 11, 20, 30];
    let mut packets = [spoken(&mut world, RED, 1, &redundant), spoken(&mut world, OPUS, 2, &[40, 50])];
    world.receive(&mut packets);
    let rewritten = vec![0x80 | 96, 0x0f, 0x00, 2, 96, 10, 11, 20, 30];
    assert_eq!(heard(&mut world.shard, world.now, &mut world.bert), [(120, rewritten), (96, vec![40, 50])]);
    assert_eq!(heard(&mut world.shard, world.now, &mut cleo), [(109, vec![20, 30]), (109, vec![40, 50])]);
}

#[test]
fn a_publisher_without_redundancy_is_received_without_it() {
    let mut world = World::of(speaker(None), listener("bert", Some(120), 96));
    assert_eq!(answered(&mut world.events[1]).0, "96");
    let mut packets = [spoken(&mut world, OPUS, 1, &[40, 50])];
    world.receive(&mut packets);
    assert_eq!(heard(&mut world.shard, world.now, &mut world.bert), [(96, vec![40, 50])]);
}
