//! Sessions that are open: trickle, ICE restart, their end, and who may ask for these.

use super::*;
use crate::limits;
use crate::room::command::Command;
use crate::room::model::LeaveReason;
use crate::transport::IceCredentials;

const CANDIDATE: &str = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n";
const CREDENTIALS: &str = "a=ice-ufrag:next\r\na=ice-pwd:abcdefghijkl0123456789\r\n";

/// Waits until a session is known no more.
pub async fn gone(house: &House, session: &str) {
    for _ in 0..1_000 {
        if ask(house, "GET", session, &[], "").await.status == StatusCode::NOT_FOUND {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{session} is still known");
}

/// Plays the room for one request to restart ICE.
async fn restart(guest: &mut Guest, local: &str) -> Option<Command> {
    let command = guest.commands.recv().await;
    let local = IceCredentials { ufrag: local.to_owned(), pwd: "p".repeat(22) };
    guest.events.send(Event::IceRestarted(local)).await.unwrap();
    command
}

#[tokio::test]
async fn candidates_are_taken_for_the_present_ice_only() {
    let mut house = house(&["--dev"]);
    let (created, _guest) = open(&mut house, "/whip/den", &[], &published()).await;
    let session = created.header("location");
    assert_eq!(ask(&house, "GET", session, &[], "").await.status, StatusCode::NO_CONTENT);
    for (headers, body, status) in [
        (vec![FRAGMENT, ("if-match", "\"serv\"")], CANDIDATE, 204),
        (vec![FRAGMENT, ("if-match", "*")], "", 204),
        (vec![FRAGMENT], CANDIDATE, 428),
        (vec![FRAGMENT, ("if-match", "\"older\"")], CANDIDATE, 412),
        (vec![FRAGMENT, ("if-match", "W/\"serv\"")], CANDIDATE, 412),
        (vec![SDP, ("if-match", "\"serv\"")], CANDIDATE, 415),
        (vec![FRAGMENT, ("if-match", "\"serv\"")], "a=candidate:nonsense", 400),
        (vec![FRAGMENT, ("if-match", "\"serv\"")], "nonsense", 400),
    ] {
        let answer = ask(&house, "PATCH", session, &headers, body).await;
        assert_eq!(answer.status.as_u16(), status, "{headers:?} {body:?}: {answer:?}");
        assert_eq!(answer.headers.get("etag"), None);
        assert_eq!(answer.body.is_empty(), status == 204);
    }
    let large = "x".repeat(limits::HTTP_BODY_BYTES + 1);
    let refused = ask(&house, "PATCH", session, &[FRAGMENT, ("if-match", "*")], large).await;
    assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn new_credentials_restart_ice_and_change_the_tag() {
    let mut house = house(&["--dev"]);
    let (created, mut guest) = open(&mut house, "/whip/den", &[], &published()).await;
    let session = created.header("location");
    let fragment = format!("{CREDENTIALS}{CANDIDATE}");
    let patched = ask(&house, "PATCH", session, &[FRAGMENT, ("if-match", "*")], fragment.clone());
    let (restarted, command) = tokio::join!(patched, restart(&mut guest, "anew"));
    let remote = IceCredentials { ufrag: "next".to_owned(), pwd: "abcdefghijkl0123456789".to_owned() };
    assert_eq!(command, Some(Command::RestartIce(remote)));
    assert_eq!(restarted.status, StatusCode::OK);
    assert_eq!(restarted.header("etag"), "\"anew\"");
    assert_eq!(restarted.header("content-type"), "application/trickle-ice-sdpfrag");
    for line in ["a=ice-lite\r\n", "a=ice-ufrag:anew\r\n", "a=ice-pwd:pppp", "a=candidate:1 1 udp", "a=mid:0\r\n"] {
        assert!(restarted.body.contains(line), "{line} in {}", restarted.body);
    }

    // The tag of before is stale, and the same credentials again are a trickle.
    let stale = ask(&house, "PATCH", session, &[FRAGMENT, ("if-match", "\"serv\"")], CANDIDATE).await;
    assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    let patched = ask(&house, "PATCH", session, &[FRAGMENT, ("if-match", "\"anew\"")], fragment);
    let (trickled, _) = tokio::join!(patched, self::restart(&mut guest, "anew"));
    assert_eq!(trickled.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_room_that_does_not_restart_keeps_its_session() {
    let mut house = house_of(ADMIT, &["--dev"], impatient());
    let (created, _guest) = open(&mut house, "/whip/den", &[], &published()).await;
    let session = created.header("location");
    let refused = ask(&house, "PATCH", session, &[FRAGMENT, ("if-match", "*")], CREDENTIALS).await;
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ask(&house, "GET", session, &[], "").await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn deleting_makes_the_participant_leave_whatever_the_tag() {
    let mut house = house(&["--dev"]);
    let (created, mut guest) = open(&mut house, "/whep/den", &[], &watched()).await;
    let session = created.header("location");
    // The other protocol's session of that name does not exist.
    let other = session.replace("whep", "whip");
    assert_eq!(ask(&house, "DELETE", &other, &[], "").await.status, StatusCode::NOT_FOUND);
    let left = async {
        let command = guest.commands.recv().await;
        guest.events.send(Event::Removed(LeaveReason::ClientLeft)).await.unwrap();
        command
    };
    let (ended, command) = tokio::join!(ask(&house, "DELETE", session, &[("if-match", "\"x\"")], ""), left);
    assert_eq!((ended.status, ended.body.as_str()), (StatusCode::OK, ""));
    assert_eq!(command, Some(Command::Leave(LeaveReason::ClientLeft)));
    for method in ["GET", "DELETE"] {
        assert_eq!(ask(&house, method, session, &[], "").await.status, StatusCode::NOT_FOUND, "{method}");
    }
    let late = ask(&house, "PATCH", session, &[FRAGMENT, ("if-match", "*")], "").await;
    assert_eq!(late.status, StatusCode::NOT_FOUND);
    assert_eq!(house.counters.open_sessions(Protocol::Whep), 0);
    assert_eq!(house.counters.count_of_refused(Protocol::Whep, "404"), 3);
}

#[tokio::test]
async fn a_participant_that_is_gone_takes_its_session_along() {
    let mut house = house(&["--dev"]);
    let (created, mut guest) = open(&mut house, "/whip/den", &[], &published()).await;
    guest.events.send(Event::Removed(LeaveReason::TransportFailed)).await.unwrap();
    gone(&house, created.header("location")).await;
    assert_eq!(guest.commands.recv().await, None, "the place is given up");

    // Also in the middle of a restart.
    let (created, mut guest) = open(&mut house, "/whip/den", &[], &published()).await;
    let session = created.header("location");
    let patched = ask(&house, "PATCH", session, &[FRAGMENT, ("if-match", "*")], CREDENTIALS);
    let removed = async {
        guest.commands.recv().await;
        guest.events.send(Event::Removed(LeaveReason::ServerShutdown)).await.unwrap();
    };
    assert_eq!(tokio::join!(patched, removed).0.status, StatusCode::NOT_FOUND);
    assert_eq!(house.counters.open_sessions(Protocol::Whip), 0);
}

#[tokio::test]
async fn a_session_listens_to_its_owner_alone() {
    let mut house = house(&[]);
    let token = alice();
    let (created, mut guest) = open(&mut house, "/whip/den", &[("authorization", &token)], &published()).await;
    let session = created.header("location");
    let bob = bearer(json!({"sub": "bob", "video": {"roomJoin": true, "room": "den"}}));
    let elsewhere = bearer(json!({"sub": "alice", "video": {"roomJoin": true, "room": "attic"}}));
    for (given, status) in [(None, 401), (Some("Bearer x"), 401), (Some(bob.as_str()), 403), (Some(&elsewhere), 403)] {
        let headers: Vec<_> = given.map(|given| ("authorization", given)).into_iter().collect();
        let patch = [headers.as_slice(), &[FRAGMENT, ("if-match", "*")]].concat();
        for answer in
            [ask(&house, "DELETE", session, &headers, "").await, ask(&house, "PATCH", session, &patch, "").await]
        {
            assert_eq!(answer.status.as_u16(), status, "{given:?}");
            assert!(answer.headers.contains_key("www-authenticate"));
        }
    }
    // Another token of the same participant's will do.
    let renewed = bearer(json!({"sub": "alice", "name": "A", "video": {"roomJoin": true, "room": "den"}}));
    let patch = [FRAGMENT, ("if-match", "*"), ("authorization", &renewed)];
    assert_eq!(ask(&house, "PATCH", session, &patch, "").await.status, StatusCode::NO_CONTENT);
    let left = async {
        guest.commands.recv().await;
        drop(guest);
    };
    let owned = [("authorization", token.as_str())];
    let (ended, ()) = tokio::join!(ask(&house, "DELETE", session, &owned, ""), left);
    assert_eq!(ended.status, StatusCode::OK);
}

#[tokio::test]
async fn sessions_have_no_other_method() {
    let mut house = house(&["--dev"]);
    let (created, _guest) = open(&mut house, "/whip/den", &[], &published()).await;
    for method in ["POST", "PUT"] {
        let answer = ask(&house, method, created.header("location"), &[], "").await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method}");
        assert!(answer.header("allow").contains("PATCH"));
    }
    assert_eq!(ask(&house, "HEAD", created.header("location"), &[], "").await.status, StatusCode::NO_CONTENT);
}
