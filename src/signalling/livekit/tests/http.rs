//! Who may open a signalling connection, and what the others are told.

use std::sync::atomic::Ordering::SeqCst;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::json;
use tower::ServiceExt;

use super::*;
use crate::lifecycle::Shed;
use crate::limits;

async fn ask(router: &Router, path: &str, headers: &[(&str, &str)]) -> (StatusCode, HeaderMap, String) {
    let mut request = Request::builder().uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (parts.status, parts.headers, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_good_token_validates_by_header_and_by_query() {
    let house = house(ADMIT, &[]);
    let token = good_token();
    let bearer = format!("Bearer {token}");
    for (path, headers) in [
        ("/rtc/v1/validate".to_owned(), vec![("Authorization", bearer.as_str())]),
        (format!("/rtc/v1/validate?access_token={token}"), vec![]),
        (format!("/rtc/v1/validate?access_token={token}&join_request={}&new=1", good_join()), vec![]),
    ] {
        let (status, headers, body) = ask(&house.router, &path, &headers).await;
        assert_eq!((status, body.as_str()), (StatusCode::OK, "success"));
        assert_eq!(headers["access-control-allow-origin"], "*");
    }
}

#[tokio::test]
async fn refusals_have_a_status_and_a_reason() {
    let house = house(ADMIT, &[]);
    let token = good_token();
    let nameless = token::tests::token(json!({"video": {"roomJoin": true, "room": "den"}}));
    let foreign = token::tests::token(json!({"iss": "other", "sub": "a"}));
    let setting = encode(&proto::JoinRequest { metadata: "m".into(), ..said() }.encode_to_vec(), Compression::None);
    for (query, status, reason) in [
        (String::new(), 401, "no access token"),
        ("access_token=x".to_owned(), 401, "not a JSON Web Token"),
        (format!("access_token={foreign}"), 401, "no API key"),
        (format!("access_token={nameless}"), 400, "no identity"),
        (format!("access_token={token}&join_request=!"), 400, "base64url"),
        (format!("access_token={token}&join_request={setting}"), 401, "canUpdateOwnMetadata"),
        (format!("access_token={token}&access_token={token}"), 400, "query"),
    ] {
        for path in ["/rtc/v1", "/rtc/v1/validate"] {
            let (given, headers, body) = ask(&house.router, &format!("{path}?{query}"), &[]).await;
            assert_eq!(given.as_u16(), status, "{path} {query}: {body}");
            assert!(body.contains(reason), "{path}: {body:?} lacks {reason:?}");
            assert_eq!(headers["access-control-allow-origin"], "*");
        }
    }
    // Only the WebSocket address needs these.
    let (status, _, body) = ask(&house.router, &format!("/rtc/v1?access_token={token}"), &[]).await;
    assert_eq!((status, body.as_str()), (StatusCode::BAD_REQUEST, "join_request is missing"));
    let path = format!("/rtc/v1?access_token={token}&join_request={}", good_join());
    assert_eq!(ask(&house.router, &path, &[]).await.0, StatusCode::UPGRADE_REQUIRED);
    assert_eq!(house.counters.refused.with_label_values(&["401"]).get(), 8);
    assert_eq!(house.counters.refused.with_label_values(&["426"]).get(), 1);
}

#[tokio::test]
async fn without_auto_create_there_is_no_room() {
    let house = house(ADMIT, &["--room-auto-create=false"]);
    let (status, _, body) = ask(&house.router, &format!("/rtc/v1/validate?access_token={}", good_token()), &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("requested room does not exist"));
    // Who has no right to join hears nothing of rooms.
    assert_eq!(ask(&house.router, "/rtc/v1/validate", &[]).await.0, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn the_protocol_of_two_connections_is_refused_without_a_loop() {
    let house = house(ADMIT, &[]);
    let (status, _, body) = ask(&house.router, "/rtc?access_token=x", &[]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(body.contains("/rtc/v1"));
    let (status, headers, body) = ask(&house.router, "/rtc/validate?access_token=x", &[]).await;
    // Clients in browsers repeat for ever on a 404 here.
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.contains("single peer connection"));
    assert_eq!(headers["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn a_browser_learns_why_its_websocket_was_refused_and_a_bad_token_is_the_worse_fault() {
    let house = house(Welcome::Shed(Shed::Busy), &[]);
    let path = format!("/rtc/v1/validate?access_token={}", good_token());
    let (status, headers, body) = ask(&house.router, &path, &[]).await;
    assert_eq!((status, body), (StatusCode::SERVICE_UNAVAILABLE, Shed::Busy.to_string()));
    assert!(headers.contains_key("retry-after"));
    assert_eq!(house.shed.load(SeqCst), 0, "the refusal of the WebSocket is the one that counts");
    for path in ["/rtc/v1?access_token=x", "/rtc/v1/validate?access_token=x"] {
        let (status, headers, _) = ask(&house.router, path, &[]).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "to try again is in vain");
        assert!(!headers.contains_key("retry-after"));
    }
    assert_eq!(house.shed.load(SeqCst), 0);
}

#[tokio::test]
async fn development_hands_out_tokens_that_let_in() {
    let house = house(ADMIT, &["--dev"]);
    let (status, headers, body) =
        ask(&house.router, "/dev/token?room=my%20den&identity=al&name=Al", &[("Host", "localhost:4000")]).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers["cache-control"], "no-store");
    let given: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((&given["room"], &given["identity"]), (&json!("my den"), &json!("al")));
    assert_eq!(given["url"], "ws://localhost:4000");
    let claims = token::verify(given["token"].as_str().unwrap(), &token::tests::keys()).unwrap();
    assert_eq!((claims.room.as_str(), claims.identity.as_str(), claims.name.as_str()), ("my den", "al", "Al"));
    let path = format!("/rtc/v1/validate?access_token={}", given["token"].as_str().unwrap());
    assert_eq!(ask(&house.router, &path, &[]).await.2, "success");

    let secure = [("Host", "a.example"), ("X-Forwarded-Proto", "https")];
    let (_, _, body) = ask(&house.router, "/dev/token?room=r", &secure).await;
    let given: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(given["url"], "wss://a.example");
    assert!(given["identity"].as_str().unwrap().starts_with("guest-"));
}

#[tokio::test]
async fn bad_questions_for_tokens_are_answered_400_and_none_outside_development() {
    let development = house(ADMIT, &["--dev"]);
    let long = "x".repeat(limits::NAME_BYTES + 1);
    for (query, reason) in [
        (String::new(), "room"),
        (format!("room={long}"), "`room` is longer"),
        (format!("room=r&identity={long}"), "`identity` is longer"),
        ("room=r&room=s".to_owned(), "room"),
    ] {
        let (status, _, body) = ask(&development.router, &format!("/dev/token?{query}"), &[]).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
        assert!(body.contains(reason), "{body}");
    }
    let production = house(ADMIT, &[]);
    assert_eq!(ask(&production.router, "/dev/token?room=r", &[]).await.0, StatusCode::NOT_FOUND);
}
