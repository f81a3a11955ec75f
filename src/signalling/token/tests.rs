//! Tokens good and bad, minted and refreshed.

use super::*;

pub const SECRET: &str = "0123456789abcdef0123456789abcdef";

pub fn keys() -> ApiKeys {
    ApiKeys::from([("app".to_owned(), Secret::new(SECRET))])
}

/// Signs any claims; `iss`, `exp` and `nbf` are added where they are missing.
pub fn token(mut claims: Value) -> String {
    let now = unix_now().as_secs();
    for (name, value) in [("iss", json!("app")), ("exp", json!(now + 600)), ("nbf", json!(now))] {
        claims.as_object_mut().unwrap().entry(name).or_insert(value);
    }
    signed(&claims, Algorithm::HS256, SECRET)
}

fn signed(claims: &Value, algorithm: Algorithm, secret: &str) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

pub fn join_claims() -> Value {
    json!({"sub": "alice", "video": {"roomJoin": true, "room": "den"}})
}

fn with(pointer: &str, value: Value) -> String {
    let mut claims = join_claims();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    claims.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value);
    token(claims)
}

fn refusal(token: &str) -> TokenError {
    verify(token, &keys()).unwrap_err()
}

#[test]
fn a_plain_token_allows_all_but_changing_metadata() {
    let claims = verify(&token(join_claims()), &keys()).unwrap();
    assert_eq!((claims.room.as_str(), claims.identity.as_str()), ("den", "alice"));
    let expected = Grants {
        publish: true,
        publish_sources: vec![],
        publish_data: true,
        subscribe: true,
        update_own_metadata: false,
        hidden: false,
        recorder: false,
        agent: false,
    };
    assert_eq!(claims.grants, expected);
    assert!(!claims.subscribe_metrics);
    assert_eq!(claims.kind, "");
}

#[test]
fn every_claim_is_read() {
    let token = token(json!({
        "sub": "bot", "name": "Bot", "metadata": "m", "attributes": {"a": "b"},
        "kind": "agent", "kindDetails": ["cloud_agent", "unheard_of"],
        "roomConfig": {"name": "kept"},
        "video": {
            "roomJoin": true, "room": "den", "canPublish": true, "canSubscribe": false, "canPublishData": false,
            "canPublishSources": ["camera", "screen_share_audio", "smell"], "canUpdateOwnMetadata": true,
            "canSubscribeMetrics": true, "hidden": true, "recorder": true, "somethingNew": {"x": 1}
        },
    }));
    let claims = verify(&token, &keys()).unwrap();
    assert_eq!((claims.name.as_str(), claims.metadata.as_str()), ("Bot", "m"));
    assert_eq!(claims.attributes["a"], "b");
    assert_eq!(claims.kind, "agent");
    assert_eq!(claims.kind_details, ["cloud_agent", "unheard_of"]);
    let sources = vec![TrackSource::Camera, TrackSource::ScreenShareAudio, TrackSource::Unknown];
    let expected = Grants {
        publish: true,
        publish_sources: sources,
        publish_data: false,
        subscribe: false,
        update_own_metadata: true,
        hidden: true,
        recorder: true,
        agent: true,
    };
    assert_eq!(claims.grants, expected);
    assert!(claims.subscribe_metrics);
}

#[test]
fn data_follows_publishing_unless_said() {
    let publish_data = |token: String| verify(&token, &keys()).unwrap().grants.publish_data;
    assert!(!publish_data(with("/video/canPublish", json!(false))));
    assert!(publish_data(with("/video/canPublish", json!(true))));
}

#[test]
fn bad_tokens_are_refused_each_for_its_reason() {
    let now = unix_now().as_secs();
    let stripped = |mut claims: Value, name: &str| {
        claims.as_object_mut().unwrap().remove(name);
        claims.as_object_mut().unwrap().insert("iss".to_owned(), json!("app"));
        signed(&claims, Algorithm::HS256, SECRET)
    };
    let good = token(join_claims());
    let (head, signature) = good.rsplit_once('.').unwrap();
    let cases = [
        (String::new(), TokenError::Missing),
        ("nonsense".to_owned(), TokenError::Malformed),
        ("a.b.c".to_owned(), TokenError::Malformed),
        (format!("{head}."), TokenError::Signature),
        (format!("{head}.{}", "A".repeat(signature.len())), TokenError::Signature),
        (signed(&json!({"iss": "app", "exp": now + 9}), Algorithm::HS384, SECRET), TokenError::Algorithm),
        (signed(&json!({"iss": "app", "exp": now + 9}), Algorithm::HS256, "another"), TokenError::Signature),
        (with("/iss", json!("foreign")), TokenError::UnknownKey),
        (with("/iss", json!(["app"])), TokenError::UnknownKey),
        (with("/exp", json!(now - 61)), TokenError::Expired),
        (with("/nbf", json!(now + 120)), TokenError::NotYet),
        (with("/exp", json!("tomorrow")), TokenError::NoExpiry),
        (stripped(join_claims(), "exp"), TokenError::NoExpiry),
        (token(json!({"sub": "alice"})), TokenError::NoJoin),
        (with("/video/roomJoin", json!(false)), TokenError::NoJoin),
        (with("/video", json!(7)), TokenError::Malformed),
        (with("/sub", json!("")), TokenError::NoIdentity),
        (with("/video/room", json!("")), TokenError::NoRoom),
        (with("/sub", json!("i".repeat(limits::NAME_BYTES + 1))), TokenError::TooLong("identity")),
        (with("/video/room", json!("r".repeat(limits::NAME_BYTES + 1))), TokenError::TooLong("room")),
        (with("/name", json!("n".repeat(limits::NAME_BYTES + 1))), TokenError::TooLong("name")),
        ("x".repeat(limits::TOKEN_BYTES + 1), TokenError::TooLong("text")),
    ];
    for (token, expected) in cases {
        assert_eq!(refusal(&token), expected, "{token}");
    }
}

#[test]
fn an_unsigned_token_is_refused() {
    use base64::Engine;
    let encode = |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let claims =
        json!({"iss": "app", "sub": "a", "exp": unix_now().as_secs() + 60, "video": {"roomJoin": true, "room": "r"}});
    let token = format!("{}.{}.", encode(json!({"alg": "none"})), encode(claims));
    assert!(matches!(refusal(&token), TokenError::Algorithm | TokenError::Malformed));
}

#[test]
fn clocks_may_be_a_minute_apart() {
    let now = unix_now().as_secs();
    assert!(verify(&with("/exp", json!(now - 30)), &keys()).is_ok());
    assert!(verify(&with("/nbf", json!(now + 30)), &keys()).is_ok());
}

#[test]
fn every_truncation_and_mutation_of_a_token_is_refused() {
    let good = token(join_claims());
    for end in 0..good.len() {
        assert!(verify(&good[..end], &keys()).is_err(), "{end}");
    }
    let (mut changed, last) = (good.clone().into_bytes(), good.len() - 1);
    // The last character holds bits beyond the signature.
    for index in 0..last {
        let before = changed[index];
        changed[index] = if before == b'A' { b'B' } else { b'A' };
        let text = String::from_utf8(changed.clone()).unwrap();
        assert!(verify(&text, &keys()).is_err(), "{index}");
        changed[index] = before;
    }
}

#[test]
fn a_minted_token_verifies_and_a_refreshed_one_says_the_same_for_longer() {
    let request = TokenRequest { room: "den", identity: "bob", name: "Bob", life: Duration::from_secs(60) };
    let minted = mint("app", &Secret::new(SECRET), &request, unix_now()).unwrap();
    let claims = verify(&minted, &keys()).unwrap();
    assert_eq!((claims.room.as_str(), claims.identity.as_str(), claims.name.as_str()), ("den", "bob", "Bob"));
    assert!(claims.grants.update_own_metadata);

    let refreshed = verify(&refreshed(&claims.renewal, &keys(), unix_now()).unwrap(), &keys()).unwrap();
    let all = |claims: &Claims| serde_json::from_str::<Value>(&claims.renewal.claims).unwrap();
    assert!(all(&refreshed)["exp"].as_u64() > all(&claims)["exp"].as_u64());
    assert_eq!(refreshed.grants, claims.grants);
    assert_eq!(all(&refreshed)["video"], all(&claims)["video"]);
}

#[test]
fn the_bearer_of_a_header_is_found_and_compared_as_a_whole() {
    let headers = |value: &'static str| HeaderMap::from_iter([(AUTHORIZATION, value.parse().unwrap())]);
    for (value, expected) in
        [("Bearer abc", Some("abc")), ("bearer  abc ", Some("abc")), ("Basic abc", None), ("abc", None)]
    {
        assert_eq!(bearer(&headers(value)), expected, "{value}");
    }
    assert_eq!(bearer(&HeaderMap::new()), None);
    assert!(is_same("abc", "abc") && !is_same("abc", "abd") && !is_same("abc", "ab") && !is_same("", "a"));
}

#[test]
fn who_may_look_into_rooms_says_the_grant() {
    let admin = |grants: Value| verify_admin(&token(json!({ "video": grants })), &keys());
    let (den, attic) = (RoomName::new("den"), RoomName::new("attic"));
    let sees = |admin: Admin| [None, Some(&den), Some(&attic)].map(|room| admin.may_see(room));
    assert_eq!(sees(admin(json!({ "roomList": true })).unwrap()), [true; 3]);
    assert_eq!(sees(admin(json!({ "roomAdmin": true })).unwrap()), [true; 3]);
    assert_eq!(sees(admin(json!({ "roomAdmin": true, "room": "den" })).unwrap()), [false, true, false]);
    assert_eq!(sees(admin(json!({ "roomAdmin": true, "roomList": true, "room": "den" })).unwrap()), [true; 3]);
    assert_eq!(verify_admin(&token(join_claims()), &keys()), Err(TokenError::NoAdmin));
    assert_eq!(verify_admin("", &keys()), Err(TokenError::Missing));
    assert_eq!([TokenError::NoAdmin, TokenError::Missing].map(TokenError::status), [403, 401]);
}

#[test]
fn a_minted_administrators_token_opens_all_rooms_and_joins_none() {
    let minted = mint_admin("app", &Secret::new(SECRET), unix_now(), Duration::from_secs(60)).unwrap();
    assert!(verify_admin(&minted, &keys()).unwrap().may_see(None));
    assert_eq!(refusal(&minted), TokenError::NoJoin);
}
