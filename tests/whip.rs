//! The whole server with publishers by WHIP and players by WHEP, of an independent WebRTC stack (crate `webrtc`): every
//! packet is checked for number, time and bytes, also across a change of publisher and an ICE restart.

mod support;

use support::media::{check_opus, check_vp8};
use support::server::Server;
use support::stream::Streamer;

/// A second of audio, and of video.
const AUDIO_PACKETS: usize = 50;
const VIDEO_PACKETS: usize = 30;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_player_gets_every_packet_of_a_publisher_unchanged() {
    let mut server = Server::start();
    let publisher = Streamer::publish(&server, "/whip/stage?identity=singer").await;
    let player = Streamer::play(&server, "/whep/stage").await;
    let (audio, video) = (player.track(false).await, player.track(true).await);
    audio.more(AUDIO_PACKETS).await;
    video.more(VIDEO_PACKETS).await;
    for (continuity, what) in [(check_opus(&audio.packets()), "audio"), (check_vp8(&video.packets()), "video")] {
        assert_eq!(continuity.missing, 0, "{what}: {continuity:?}");
    }
    assert_eq!(audio.stream_id, video.stream_id, "one stream, so that a player takes both together");

    let session = publisher.session.clone();
    publisher.end(&server).await;
    assert_eq!(server.ask("GET", &session, &[], "").status, 404);
    assert_eq!(server.metric("sfumato_tracks"), 0);
    assert_eq!(server.metric("sfumato_http_sessions"), 1);
    player.end(&server).await;
    assert_eq!(server.metric("sfumato_http_sessions"), 0);
    assert_eq!(server.metric("sfumato_participants"), 0);
    server.assert_alive();
}
