//! Opening sessions: who is let in with which offer, and what the others are told.

use axum::body::Bytes;
use futures_util::stream;

use super::*;
use crate::lifecycle::Shed;
use crate::limits;
use crate::negotiation::MediaKind;
use crate::room::command::Follow;
use crate::room::model::{Identity, JoinError, TrackSource};

#[tokio::test]
async fn a_publisher_is_created_with_what_its_token_says() {
    let mut house = house(&[]);
    let token = alice();
    let (created, guest) = open(&mut house, "/whip/den", &[("authorization", &token)], &published()).await;
    assert_eq!((created.status, created.body.as_str()), (StatusCode::CREATED, ANSWER));
    assert_eq!(created.header("content-type"), "application/sdp");
    assert_eq!(created.header("etag"), "\"serv\"");
    assert_eq!(created.header("accept-patch"), "application/trickle-ice-sdpfrag");
    let id = created.header("location").strip_prefix("/whip-sessions/").unwrap();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");

    let request = guest.request;
    assert_eq!((request.room.as_str(), request.identity.as_str(), request.name.as_str()), ("den", "alice", "Alice"));
    assert_eq!((request.metadata.as_str(), request.follow), ("m", None));
    assert_eq!(request.offer.unwrap().sdp, published());
    let grants = request.grants;
    assert!(grants.publish && !grants.subscribe && !grants.publish_data && !grants.hidden);
    let announced: Vec<_> = request.announcements.iter().map(|a| (a.client_id.as_str(), a.kind, a.source)).collect();
    let audio = ("audio-track", MediaKind::Audio, TrackSource::Microphone);
    assert_eq!(announced, [audio, ("video-track", MediaKind::Video, TrackSource::Camera)]);
    assert_eq!(house.counters.open_sessions(Protocol::Whip), 1);
}

#[tokio::test]
async fn a_player_is_hidden_follows_and_has_an_identity_of_its_own() {
    let mut house = house(&[]);
    let token = alice();
    let mut guests = Vec::new();
    for (path, whom) in [("/whep/den", None), ("/whep/den/b%C3%B6b", Some(Identity::new("böb")))] {
        let (created, guest) = open(&mut house, path, &[("authorization", &token)], &watched()).await;
        assert_eq!(created.status, StatusCode::CREATED);
        assert!(created.header("location").starts_with("/whep-sessions/"));
        let request = &guest.request;
        assert_eq!(request.follow, Some(Follow { publisher: whom }));
        let grants = &request.grants;
        assert!(!grants.publish && grants.subscribe && grants.hidden && request.announcements.is_empty());
        assert_ne!(request.identity.as_str(), "alice");
        guests.push(guest);
    }
    assert_ne!(guests[0].request.identity, guests[1].request.identity);
    assert_eq!(house.counters.open_sessions(Protocol::Whep), 2);
}

#[tokio::test]
async fn development_needs_no_token_but_checks_one() {
    let mut house = house(&["--dev"]);
    let (created, guest) = open(&mut house, "/whip/den?identity=carol", &[], &published()).await;
    assert_eq!(created.status, StatusCode::CREATED);
    assert_eq!((guest.request.identity.as_str(), guest.request.name.as_str()), ("carol", "carol"));
    let (_, guest) = open(&mut house, "/whip/den", &[], &published()).await;
    assert!(guest.request.identity.as_str().starts_with("whip-"));
    let refused = ask(&house, "POST", "/whip/den", &[SDP, ("authorization", "Bearer x")], published()).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn only_who_may_is_let_in() {
    let house = house(&[]);
    let with = |grants: Value| bearer(json!({"sub": "alice", "video": grants}));
    let no_camera = json!({"roomJoin": true, "room": "den", "canPublishSources": ["microphone"]});
    for (path, token, status, challenge) in [
        ("/whip/den", None, 401, "Bearer"),
        ("/whep/den", None, 401, "Bearer"),
        ("/whip/den", Some("Bearer nonsense".to_owned()), 401, "Bearer error=\"invalid_token\""),
        ("/whip/den", Some(with(json!({"room": "den"}))), 401, "Bearer error=\"invalid_token\""),
        ("/whip/other", Some(alice()), 403, "Bearer error=\"insufficient_scope\""),
        (
            "/whip/den",
            Some(with(json!({"roomJoin": true, "room": "den", "canPublish": false}))),
            403,
            "Bearer error=\"insufficient_scope\"",
        ),
        (
            "/whep/den",
            Some(with(json!({"roomJoin": true, "room": "den", "canSubscribe": false}))),
            403,
            "Bearer error=\"insufficient_scope\"",
        ),
        ("/whip/den", Some(with(no_camera)), 403, "Bearer error=\"insufficient_scope\""),
    ] {
        let mut headers = vec![SDP];
        headers.extend(token.as_deref().map(|token| ("authorization", token)));
        let refused = ask(&house, "POST", path, &headers, published()).await;
        assert_eq!(refused.status.as_u16(), status, "{path}: {refused:?}");
        assert_eq!(refused.header("www-authenticate"), challenge, "{path}");
        assert!(!refused.body.is_empty());
    }
    assert_eq!(house.counters.count_of_refused(Protocol::Whip, "403"), 3);
    assert_eq!(house.counters.count_of_refused(Protocol::Whep, "401"), 1);
}

#[tokio::test]
async fn an_offer_is_taken_as_a_whole_or_refused_for_its_reason() {
    let house = house(&["--dev"]);
    let two_videos = [("video", "sendonly", VP8), ("video", "sendonly", VP8)];
    let unknown = [("audio", "sendonly", OPUS), ("video", "sendonly", "theora/90000")];
    let lite = published().replacen("a=setup", "a=ice-lite\r\na=setup", 1);
    let unused = offer(&[("video", "sendonly", VP8)]).replace("m=video 9", "m=video 0");
    for (path, offer, status) in [
        ("/whip/den", "hello".to_owned(), 400),
        ("/whip/den", String::new(), 400),
        ("/whip/den", published().replace("a=mid:1", "a=mid:0"), 400),
        ("/whip/den", watched(), 422),
        ("/whep/den", published(), 422),
        ("/whip/den", offer(&[("audio", "inactive", OPUS)]), 422),
        ("/whip/den", unused, 422),
        ("/whip/den", lite, 422),
        ("/whip/den", offer(&two_videos), 406),
        ("/whip/den", offer(&unknown), 406),
        ("/whip/den", offer(&unknown[1..]), 406),
    ] {
        let refused = ask(&house, "POST", path, &[SDP], offer.clone()).await;
        assert_eq!(refused.status.as_u16(), status, "{path} {offer}: {refused:?}");
        assert!(!refused.body.is_empty());
    }
}

#[tokio::test]
async fn sections_offered_both_ways_are_taken() {
    let mut house = house(&["--dev"]);
    let both = offer(&[("audio", "sendrecv", OPUS), ("video", "sendrecv", VP8)]);
    for path in ["/whip/den", "/whep/den"] {
        assert_eq!(open(&mut house, path, &[], &both).await.0.status, StatusCode::CREATED);
    }
}

#[tokio::test]
async fn a_body_has_its_type_size_and_time() {
    let house = house(&["--dev"]);
    for headers in [vec![], vec![("content-type", "application/json")], vec![FRAGMENT]] {
        let refused = ask(&house, "POST", "/whip/den", &headers, published()).await;
        assert_eq!(refused.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{headers:?}");
    }
    let large = "x".repeat(limits::HTTP_BODY_BYTES + 1);
    assert_eq!(ask(&house, "POST", "/whip/den", &[SDP], large.clone()).await.status, StatusCode::PAYLOAD_TOO_LARGE);
    // The same without a length, and one byte less, which is read and found to be no offer.
    let pieces = |text: String| Body::from_stream(stream::iter([Ok::<_, std::io::Error>(Bytes::from(text))]));
    let chunked = ask(&house, "POST", "/whip/den", &[SDP], pieces(large.clone())).await;
    assert_eq!(chunked.status, StatusCode::PAYLOAD_TOO_LARGE);
    let fits = ask(&house, "POST", "/whip/den", &[SDP], pieces(large[1..].to_owned())).await;
    assert_eq!(fits.status, StatusCode::BAD_REQUEST);
    assert_eq!(ask(&house, "POST", "/whip/den", &[SDP], vec![0xff, 0xfe]).await.status, StatusCode::BAD_REQUEST);
    let with_parameter = [("content-type", "Application/SDP; charset=utf-8")];
    assert_eq!(ask(&house, "POST", "/whip/den", &with_parameter, "x").await.status, StatusCode::BAD_REQUEST);

    let house = house_of(ADMIT, &["--dev"], impatient());
    let stalled = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    assert_eq!(ask(&house, "POST", "/whip/den", &[SDP], stalled).await.status, StatusCode::REQUEST_TIMEOUT);
}

#[tokio::test]
async fn names_are_bounded() {
    let house = house(&["--dev"]);
    let long = "x".repeat(limits::NAME_BYTES + 1);
    for path in [format!("/whip/{long}"), format!("/whip/den?identity={long}"), format!("/whep/den/{long}")] {
        assert_eq!(ask(&house, "POST", &path, &[SDP], published()).await.status, StatusCode::BAD_REQUEST, "{path}");
    }
    assert_eq!(ask(&house, "POST", "/whip/den?identity=", &[SDP], published()).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn who_finds_no_place_is_told_when_to_try_again() {
    let token = alice();
    let headers = [SDP, ("authorization", token.as_str())];
    for welcome in [
        Welcome::Refuse(JoinError::RoomFull),
        Welcome::Refuse(JoinError::ServerFull),
        Welcome::Refuse(JoinError::ShuttingDown),
        Welcome::Gone,
        Welcome::Silent,
        // The room that the test plays never answers the offer.
        ADMIT,
    ] {
        let refused = ask(&house_of(welcome, &[], impatient()), "POST", "/whip/den", &headers, published()).await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(refused.header("retry-after").parse::<u32>().is_ok_and(|seconds| (1..=30).contains(&seconds)));
    }
    let closed = house(&["--room-auto-create=false"]);
    assert_eq!(ask(&closed, "POST", "/whip/den", &headers, published()).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn who_is_turned_away_is_so_before_the_offer_is_read() {
    for (reason, seconds) in [(Shed::Draining, 1..=5), (Shed::Busy, 10..=30)] {
        for path in ["/whip/den", "/whep/den"] {
            let house = house_of(Welcome::Shed(reason), &["--dev"], Bounds::default());
            let stalled = Body::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
            let refused = ask(&house, "POST", path, &[SDP], stalled).await;
            assert_eq!((refused.status, refused.body.trim()), (StatusCode::SERVICE_UNAVAILABLE, &*reason.to_string()));
            let after: u32 = refused.header("retry-after").parse().unwrap();
            assert!(seconds.contains(&after), "{after} s");
        }
    }
}

#[tokio::test]
async fn sessions_are_bounded_and_an_ended_one_makes_room() {
    let mut house = house_of(ADMIT, &["--dev"], Bounds { sessions: 1, ..Bounds::default() });
    let (created, guest) = open(&mut house, "/whip/den", &[], &published()).await;
    let refused = ask(&house, "POST", "/whep/den", &[SDP], watched()).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.header("retry-after").parse::<u32>().is_ok_and(|seconds| (5..=10).contains(&seconds)));
    drop(guest);
    session::gone(&house, created.header("location")).await;
    assert_eq!(open(&mut house, "/whep/den", &[], &watched()).await.0.status, StatusCode::CREATED);
}

#[tokio::test]
async fn an_offer_that_the_room_refuses_after_all_is_malformed() {
    let mut house = house(&["--dev"]);
    let router = house.router.clone();
    let posted = send(router, request("POST", "/whip/den", &[SDP], published()));
    let refused = async {
        let guest = house.guests.recv().await.unwrap();
        guest.events.send(Event::OfferRefused { id: 0, reason: "why".to_owned() }).await.unwrap();
    };
    let (answer, ()) = tokio::join!(posted, refused);
    assert_eq!((answer.status, answer.body.as_str()), (StatusCode::BAD_REQUEST, "why\n"));
    assert_eq!(house.counters.open_sessions(Protocol::Whip), 0);
}

#[tokio::test]
async fn endpoints_have_no_representation_and_no_other_method() {
    let house = house(&[]);
    for path in ["/whip/den", "/whep/den", "/whep/den/bob"] {
        for method in ["GET", "HEAD"] {
            let answer = ask(&house, method, path, &[], "").await;
            assert_eq!((answer.status, answer.body.as_str()), (StatusCode::NO_CONTENT, ""), "{method} {path}");
        }
        for method in ["PUT", "PATCH", "DELETE"] {
            let answer = ask(&house, method, path, &[], "").await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert!(answer.header("allow").contains("POST"));
        }
    }
}

#[tokio::test]
async fn pages_of_any_origin_may_ask_and_read_what_they_need() {
    let house = house(&["--dev"]);
    let origin = ("origin", "https://example.org");
    for path in ["/whip/den", "/whep/den", "/whip-sessions/x"] {
        let preflight = [origin, ("access-control-request-method", "POST")];
        let told = ask(&house, "OPTIONS", path, &preflight, "").await;
        assert_eq!(told.status, StatusCode::OK);
        assert_eq!(told.header("accept-post"), "application/sdp");
        assert_eq!(told.header("access-control-allow-origin"), "*");
        // The wildcard would leave it out.
        assert!(told.header("access-control-allow-headers").contains("authorization"));
        assert!(told.header("access-control-allow-methods").contains("PATCH"));
    }
    let refused = ask(&house, "POST", "/whip/den", &[origin], "").await;
    assert_eq!(refused.header("access-control-allow-origin"), "*");
    for name in ["location", "etag", "link", "accept-post", "retry-after"] {
        assert!(refused.header("access-control-expose-headers").contains(name), "{name}");
    }
    // Only once: browsers refuse an answer that has it twice.
    assert_eq!(refused.headers.get_all("access-control-allow-origin").iter().count(), 1);
}

#[tokio::test]
async fn configured_ice_servers_are_told_by_links() {
    let turn = "[{host: t.example, port: 443, protocol: tls, username: u, credential: 'c\"\\'}]";
    let flags = ["--dev", "--stun-servers", "a.example:3478,b.example:3478", "--turn-servers", turn];
    let (created, _guest) = open(&mut house(&flags), "/whip/den", &[], &published()).await;
    let links: Vec<&str> = created.headers.get_all("link").iter().map(|link| link.to_str().unwrap()).collect();
    let expected = [
        "<stun:a.example:3478>; rel=\"ice-server\"",
        "<stun:b.example:3478>; rel=\"ice-server\"",
        "<turns:t.example:443?transport=tcp>; rel=\"ice-server\"; username=\"u\"; credential=\"c\\\"\\\\\"; \
         credential-type=\"password\"",
    ];
    assert_eq!(links, expected);
}
