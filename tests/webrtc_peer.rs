//! The whole server against a third, independent WebRTC stack (crate `webrtc`): one peer publishes synthetic Opus and
//! VP8, another subscribes, and every packet is checked for number, time and bytes. Each scenario runs on one shard, and with
//! publisher and subscriber on two: there is no difference to be seen.

#![allow(clippy::panic, reason = "a test stops where it is wrong")]

#[macro_use]
mod support;

use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use livekit_protocol::participant_info::State;
use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::{DataPacket, ParticipantInfo, UserPacket, data_packet};
use sfumato::media::catch_up::JOIN_REACH;
use support::eventually;
use support::media::{check_opus, check_vp8, in_order, keyframes};
use support::peer::publish::{AUDIO_CID, VIDEO_CID};
use support::peer::{Peer, Role};
use support::server::Server;

/// Two seconds of audio.
const AUDIO_PACKETS: usize = 100;
/// Two seconds of video.
const VIDEO_PACKETS: usize = 60;

scenarios!(
    a_subscriber_gets_every_packet_of_a_publisher_unchanged,
    a_keyframe_request_reaches_the_publisher_when_a_subscriber_joins_and_when_one_asks,
    a_data_message_arrives_stamped_with_who_sent_it,
    leaving_removes_the_participant_and_what_was_forwarded,
    video_lost_on_the_way_from_a_publisher_comes_again_as_rtx,
    video_lost_on_the_way_from_a_publisher_comes_again_as_it_was,
);

async fn a_subscriber_gets_every_packet_of_a_publisher_unchanged(server: &mut Server) {
    let publisher = Peer::join(server, "media", "publisher", Role::Publisher).await;
    let sids = published(&publisher).await;
    let subscriber = Peer::join(server, "media", "subscriber", Role::Subscriber).await;
    let (audio, video) = (subscriber.track(false).await, subscriber.track(true).await);
    audio.more(AUDIO_PACKETS).await;
    video.more(VIDEO_PACKETS).await;

    for (continuity, what) in [(check_opus(&audio.packets()), "audio"), (check_vp8(&video.packets()), "video")] {
        assert_eq!(continuity.missing, 0, "{what}: {continuity:?}");
    }
    let publisher_sid = publisher.sid().await;
    for (track, sid) in [(&audio, &sids[0]), (&video, &sids[1])] {
        let stream = &track.stream_id;
        assert!(stream.starts_with(&publisher_sid), "the stream {stream} names the participant {publisher_sid}");
        assert!(stream.ends_with(sid.as_str()), "the stream {stream} names the track {sid}");
    }
    assert!(server.metric("sfumato_rtp_packets_received_total") >= (AUDIO_PACKETS + VIDEO_PACKETS) as u64);
    assert_eq!(server.metric("sfumato_participants"), 2);
    server.assert_alive();
}

async fn video_lost_on_the_way_from_a_publisher_comes_again_as_rtx(server: &mut Server) {
    lose_and_recover(server, Role::RepairingPublisher).await;
    assert!(server.metric("sfumato_rtx_packets_received_total") >= server.metric("sfumato_packets_recovered_total"));
}

async fn video_lost_on_the_way_from_a_publisher_comes_again_as_it_was(server: &mut Server) {
    lose_and_recover(server, Role::RelayedPublisher).await;
    assert_eq!(server.metric("sfumato_rtx_packets_received_total"), 0);
}

/// Every fifth packet of video is lost, of those sent again too: the subscriber gets all of them, and nobody asks for a keyframe.
async fn lose_and_recover(server: &mut Server, role: Role) {
    let publisher = Peer::join(server, "loss", "publisher", role).await;
    published(&publisher).await;
    let subscriber = Peer::join(server, "loss", "subscriber", Role::Subscriber).await;
    let video = subscriber.track(true).await;
    video.more(10).await;
    let on_joining = publisher.keyframe_requests.load(SeqCst);
    video.request_keyframe().await;
    requests(&publisher, on_joining + 1).await;
    video.more(10).await;
    let requests_before = publisher.keyframe_requests.load(SeqCst);
    let Some(relay) = &publisher.relay else { panic!("the publisher is not relayed") };
    relay.lose_video(5);
    video.more(2 * VIDEO_PACKETS).await;
    relay.lose_video(0);
    video.more(10).await;
    eventually("what was lost", async || match check_vp8(&in_order(&video.packets())).missing {
        0 => Ok(()),
        missing => Err(format!("{missing} packets are missing")),
    })
    .await;
    let (lost, recovered) = (u64::from(relay.lost()), server.metric("sfumato_packets_recovered_total"));
    assert!(lost >= 20 && recovered * 10 >= lost * 7, "{recovered} of {lost}: the rest were lost when sent again");
    assert_eq!(publisher.keyframe_requests.load(SeqCst), requests_before);
    assert_eq!(server.metric("sfumato_packets_given_up_total"), 0);
    server.assert_alive();
}

async fn a_keyframe_request_reaches_the_publisher_when_a_subscriber_joins_and_when_one_asks(server: &mut Server) {
    let publisher = Peer::join(server, "keyframes", "publisher", Role::Publisher).await;
    published(&publisher).await;
    // The keyframe that the publisher began with would do for one who joins sooner.
    tokio::time::sleep(JOIN_REACH + Duration::from_millis(100)).await;
    let subscriber = Peer::join(server, "keyframes", "subscriber", Role::Subscriber).await;
    let video = subscriber.track(true).await;
    let on_joining = requests(&publisher, 1).await;
    assert_eq!(keyframes(&video.packets()), 1, "one keyframe starts the stream");

    video.request_keyframe().await;
    requests(&publisher, on_joining + 1).await;
    eventually("the second keyframe", async || {
        let count = keyframes(&video.packets());
        if count >= 2 { Ok(()) } else { Err(format!("{count} keyframes")) }
    })
    .await;
    check_vp8(&video.packets());
    server.assert_alive();
}

async fn a_data_message_arrives_stamped_with_who_sent_it(server: &mut Server) {
    let sender = Peer::join(server, "data", "sender", Role::Subscriber).await;
    let receiver = Peer::join(server, "data", "receiver", Role::Subscriber).await;
    let message = UserPacket {
        payload: b"hello from another stack".to_vec(),
        topic: Some("greeting".to_owned()),
        ..Default::default()
    };
    let packet = DataPacket {
        // A lie that the server must correct.
        participant_identity: "receiver".to_owned(),
        value: Some(data_packet::Value::User(message.clone())),
        ..Default::default()
    };
    sender.send_reliable(&packet).await;

    let arrived =
        eventually("the data message", async || receiver.data_packets().first().cloned().ok_or("none".to_owned()))
            .await;
    assert_eq!(arrived.participant_identity, "sender");
    assert_eq!(arrived.participant_sid, sender.sid().await);
    let Some(data_packet::Value::User(user)) = arrived.value else {
        panic!("another kind of packet arrived: {arrived:?}");
    };
    assert_eq!((user.payload, user.topic), (message.payload, message.topic));

    // What follows shows that nothing was doubled and nothing came back to the sender.
    receiver.send_reliable(&packet).await;
    eventually("the answer", async || sender.data_packets().first().cloned().ok_or("none".to_owned())).await;
    assert_eq!((sender.data_packets().len(), receiver.data_packets().len()), (1, 1));
    server.assert_alive();
}

async fn leaving_removes_the_participant_and_what_was_forwarded(server: &mut Server) {
    let publisher = Peer::join(server, "leaving", "publisher", Role::Publisher).await;
    published(&publisher).await;
    let subscriber = Peer::join(server, "leaving", "subscriber", Role::Subscriber).await;
    subscriber.track(true).await.more(1).await;
    subscriber.track(false).await.more(1).await;
    assert_eq!(sending_sections(&subscriber.negotiated().sdp), 2);
    assert_eq!(server.metric("sfumato_subscriptions"), 2);

    publisher.leave().await;
    let left = |response: &Response| match response {
        Response::Update(update) => update.participants.iter().find(|one| is_gone(one, "publisher")).cloned(),
        _ => None,
    };
    subscriber.signal.find("the update that the publisher left", 0, left).await;
    eventually("the sections going inactive", async || {
        let negotiated = subscriber.negotiated();
        match sending_sections(&negotiated.sdp) {
            0 => Ok(()),
            count => Err(format!("{count} sections send after {} answers", negotiated.answers)),
        }
    })
    .await;
    for (metric, due) in [("sfumato_participants", 1), ("sfumato_tracks", 0), ("sfumato_subscriptions", 0)] {
        assert_eq!(server.metric(metric), due, "{metric}");
    }
    // Nothing is forwarded any more, and a newcomer does not see who left.
    let sent = server.metric("sfumato_rtp_packets_sent_total");
    let late = Peer::join(server, "leaving", "late", Role::Subscriber).await;
    let others: Vec<String> = late.signal.join().await.other_participants.into_iter().map(|one| one.identity).collect();
    assert_eq!(others, ["subscriber"]);
    assert_eq!(server.metric("sfumato_rtp_packets_sent_total"), sent);
    server.assert_alive();
}

/// The server's identifiers of the published audio and video, once the server has told both.
async fn published(publisher: &Peer) -> [String; 2] {
    let sid_of = async |cid: &str| {
        let of_cid = |response: &Response| match response {
            Response::TrackPublished(published) if published.cid == cid => published.track.clone(),
            _ => None,
        };
        publisher.signal.find("the track being published", 0, of_cid).await.sid
    };
    [sid_of(AUDIO_CID).await, sid_of(VIDEO_CID).await]
}

/// Waits until the publisher has been asked for `count` keyframes and tells how many it was.
async fn requests(publisher: &Peer, count: u32) -> u32 {
    eventually("a keyframe request at the publisher", async || {
        let have = publisher.keyframe_requests.load(SeqCst);
        if have >= count { Ok(have) } else { Err(format!("{have} of {count}")) }
    })
    .await
}

fn is_gone(participant: &ParticipantInfo, identity: &str) -> bool {
    participant.identity == identity && participant.state() == State::Disconnected
}

/// Media sections of an answer in which the server sends.
fn sending_sections(sdp: &str) -> usize {
    sdp.lines().filter(|line| ["a=sendonly", "a=sendrecv"].contains(line)).count()
}
