//! The whole server with publishers by WHIP and players by WHEP, of an independent WebRTC stack (crate `webrtc`): every
//! packet is checked for number, time and bytes, also across a change of publisher and an ICE restart.

#![allow(clippy::expect_used, reason = "a test stops where it is wrong")]

#[macro_use]
mod support;

use livekit_protocol::signal_response::Message as Response;
use livekit_protocol::{ParticipantInfo, TrackSource, TrackType};
use support::eventually;
use support::media::{Received, check_opus, check_vp8, in_order, parts};
use support::peer::{Peer, Role};
use support::server::Server;
use support::stream::Streamer;

/// A second of audio, and of video.
const AUDIO_PACKETS: usize = 50;
const VIDEO_PACKETS: usize = 30;

scenarios!(
    a_player_gets_every_packet_of_a_publisher_unchanged,
    clients_with_signalling_see_a_publisher_and_no_player,
    a_player_goes_on_with_the_next_publisher_in_the_same_stream,
    ice_restarts_at_both_ends_while_media_flows,
);

async fn a_player_gets_every_packet_of_a_publisher_unchanged(server: &mut Server) {
    let publisher = Streamer::publish(server, "/whip/stage?identity=singer").await;
    let player = Streamer::play(server, "/whep/stage").await;
    let (audio, video) = (player.track(false).await, player.track(true).await);
    audio.more(AUDIO_PACKETS).await;
    video.more(VIDEO_PACKETS).await;
    for (continuity, what) in [(check_opus(&audio.packets()), "audio"), (check_vp8(&video.packets()), "video")] {
        assert_eq!(continuity.missing, 0, "{what}: {continuity:?}");
    }
    assert_eq!(audio.stream_id, video.stream_id, "one stream, so that a player takes both together");

    let session = publisher.session.clone();
    publisher.end(server).await;
    assert_eq!(server.ask("GET", &session, &[], "").status, 404);
    assert_eq!(server.metric("sfumato_tracks"), 0);
    assert_eq!(server.metric("sfumato_http_sessions"), 1);
    player.end(server).await;
    assert_eq!(server.metric("sfumato_http_sessions"), 0);
    assert_eq!(server.metric("sfumato_participants"), 0);
    server.assert_alive();
}

async fn clients_with_signalling_see_a_publisher_and_no_player(server: &mut Server) {
    let early = Peer::join(server, "stage", "early", Role::Subscriber).await;
    let player = Streamer::play(server, "/whep/stage/singer").await;
    let publisher = Streamer::publish(server, "/whip/stage?identity=singer").await;
    let singer = early.signal.find("the publisher with both tracks", 0, |response| match response {
        Response::Update(update) => update.participants.iter().find(|one| one.tracks.len() == 2).cloned(),
        _ => None,
    });
    assert_singer(&singer.await);
    for (track, video) in [(early.track(false).await, false), (early.track(true).await, true)] {
        track.more(if video { VIDEO_PACKETS } else { AUDIO_PACKETS }).await;
        let continuity = if video { check_vp8(&track.packets()) } else { check_opus(&track.packets()) };
        assert_eq!(continuity.missing, 0, "{continuity:?}");
    }
    player.track(true).await.more(VIDEO_PACKETS).await;

    let late = Peer::join(server, "stage", "late", Role::Subscriber).await;
    let others = late.signal.join().await.other_participants;
    let mut identities: Vec<&str> = others.iter().map(|one| one.identity.as_str()).collect();
    identities.sort_unstable();
    assert_eq!(identities, ["early", "singer"]);
    publisher.end(server).await;
    server.assert_alive();
}

fn assert_singer(info: &ParticipantInfo) {
    assert_eq!((info.identity.as_str(), info.name.as_str()), ("singer", "singer"));
    let permission = info.permission.as_ref().expect("permissions are told");
    assert!(permission.can_publish && !permission.can_subscribe && !permission.hidden);
    let tracks: Vec<_> =
        info.tracks.iter().map(|track| (track.r#type(), track.source(), track.mime_type.as_str())).collect();
    let audio = (TrackType::Audio, TrackSource::Microphone, "audio/opus");
    assert_eq!(tracks, [audio, (TrackType::Video, TrackSource::Camera, "video/VP8")]);
}

async fn a_player_goes_on_with_the_next_publisher_in_the_same_stream(server: &mut Server) {
    let player = Streamer::play(server, "/whep/relay").await;
    let first = Streamer::publish(server, "/whip/relay?identity=first").await;
    let (audio, video) = (player.track(false).await, player.track(true).await);
    audio.more(AUDIO_PACKETS).await;
    video.more(VIDEO_PACKETS).await;
    // The second publishes while the first is watched, and speaks another protocol.
    let second = Peer::join(server, "relay", "second", Role::Publisher).await;
    video.more(VIDEO_PACKETS).await;
    assert_eq!((parts(&audio.packets(), false).len(), parts(&video.packets(), true).len()), (1, 1));

    first.end(server).await;
    goes_on(&[(&audio, false), (&video, true)], 2).await;
    second.leave().await;
    let third = Streamer::publish(server, "/whip/relay?identity=third").await;
    goes_on(&[(&audio, false), (&video, true)], 3).await;
    third.end(server).await;
    assert_eq!(server.metric("sfumato_subscriptions"), 0);
    server.assert_alive();
}

/// Waits until the streams have so many parts, the last of some length, and checks each.
async fn goes_on(tracks: &[(&support::peer::Track, bool)], count: usize) {
    for (track, video) in tracks {
        let parts = eventually("the next publisher's media", async || {
            let parts = parts(&track.packets(), *video);
            let last = parts.last().map_or(0, Vec::len);
            if parts.len() >= count && last >= VIDEO_PACKETS {
                Ok(parts)
            } else {
                Err(format!("{} parts", parts.len()))
            }
        })
        .await;
        assert_eq!(parts.len(), count);
        let check = |part: &Vec<Received>| if *video { check_vp8(part) } else { check_opus(part) };
        assert!(parts.iter().all(|part| check(part).missing == 0));
    }
}

async fn ice_restarts_at_both_ends_while_media_flows(server: &mut Server) {
    let mut publisher = Streamer::publish(server, "/whip/moving").await;
    let mut player = Streamer::play(server, "/whep/moving").await;
    let video = player.track(true).await;
    video.more(VIDEO_PACKETS).await;
    for streamer in [&mut publisher, &mut player] {
        let (tag, port) = (streamer.tag.clone(), streamer.media_port().await);
        let candidate = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
        assert_eq!(streamer.patch(server, &tag, candidate).status, 204);
        streamer.restart_ice(server).await;
        assert_ne!(streamer.tag, tag);
        assert_eq!(streamer.patch(server, &tag, candidate).status, 412, "the tag before the restart");
        assert_eq!(streamer.patch(server, &streamer.tag, candidate).status, 204);
        // Two seconds are longer than what was on its way; from another port media passes only after a check.
        video.more(2 * VIDEO_PACKETS).await;
        assert_ne!(streamer.media_port().await, port);
    }
    check_vp8(&in_order(&video.packets()));
    assert_eq!(server.metric("sfumato_http_ice_restarts_total"), 2);
    server.assert_alive();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ends_with_its_transport() {
    let mut server = Server::start();
    let publisher = Streamer::publish(&server, "/whip/brief").await;
    let session = publisher.session.clone();
    assert_eq!(server.ask("GET", &session, &[], "").status, 204);
    // DTLS says goodbye; the address is not asked.
    publisher.close().await;
    eventually("the end of the session", async || match server.ask("DELETE", &session, &[], "").status {
        404 => Ok(()),
        status => Err(format!("{status}")),
    })
    .await;
    assert_eq!(server.metric("sfumato_http_sessions"), 0);
    server.assert_alive();
}
