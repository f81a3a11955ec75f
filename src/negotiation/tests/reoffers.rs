//! Later offers of one session: what stays, what goes, what comes.

use super::*;

#[test]
fn a_stopped_camera_goes_and_its_slot_is_used_again() {
    for offers in [CHROMIUM, FIREFOX] {
        let mut session = applied(offers[0]);
        assert!(section(&session, "1").remote.is_some());
        session.apply_offer(offers[1]).unwrap();
        assert!(session.sections().iter().all(|s| s.mid != mid("1")));
        let answer = answered(&mut session, offers[1]);
        assert_eq!(answer.media_descriptions[1].media_name.port.value, 0);
        session.apply_offer(offers[2]).unwrap();
        let answer = answered(&mut session, offers[2]);
        assert_eq!(section(&session, "11").remote.as_ref().unwrap().encodings.len(), 2);
        assert_eq!(value(&answer.media_descriptions[1].attributes, "mid"), Some("11"));
    }
}

#[test]
fn a_local_track_stays_through_offers_that_leave_its_section() {
    for offers in [CHROMIUM, FIREFOX] {
        let mut session = applied(offers[0]);
        session.add_track(MediaKind::Video, track(5, &[Codec::Vp8])).unwrap();
        for offer in offers {
            session.apply_offer(offer).unwrap();
            let answer = answered(&mut session, offer);
            assert_eq!(value(&answer_section(&answer, "5").attributes, "msid"), Some("stream5 track5"));
        }
    }
}

#[test]
fn a_local_track_goes_when_the_peer_stops_receiving_it() {
    let first = offer(&[video("0", "recvonly"), data("1")]);
    let no_vp8 = video("0", "recvonly").replace("VP8", "VP7");
    for second in [video("0", "inactive"), video("0", "sendonly"), rejected(&video("0", "recvonly")), no_vp8] {
        let mut session = applied(&first);
        session.add_track(MediaKind::Video, track(5, &[Codec::Vp8])).unwrap();
        session.apply_offer(&offer(&[second, data("1")])).unwrap();
        assert!(session.sections().iter().all(|s| s.local.is_none()));
        session.apply_offer(&first).unwrap();
        assert!(section(&session, "0").local.is_none(), "it does not come back by itself");
    }
}

#[test]
fn a_peer_that_stops_sending_has_no_remote_track() {
    let mut session = applied(&offer(&[video("0", "sendrecv"), data("1")]));
    assert!(section(&session, "0").remote.is_some());
    for direction in ["recvonly", "inactive"] {
        session.apply_offer(&offer(&[video("0", direction), data("1")])).unwrap();
        assert!(section(&session, "0").remote.is_none());
    }
    session.apply_offer(&offer(&[video("0", "sendonly"), data("1")])).unwrap();
    assert!(section(&session, "0").remote.is_some());
}

#[test]
fn an_emptied_section_is_used_again_with_another_track() {
    let offer = offer(&[video("0", "recvonly")]);
    let mut session = applied(&offer);
    session.add_track(MediaKind::Video, track(5, &[Codec::Vp8])).unwrap();
    assert_eq!(session.add_track(MediaKind::Video, track(6, &[Codec::H264])), None);
    session.remove_track(mid("0"));
    let answer = answered(&mut session, &offer);
    assert_eq!(direction(&answer.media_descriptions[0]), "inactive");
    assert_eq!(session.add_track(MediaKind::Video, track(6, &[Codec::H264])), Some(mid("0")));
    let answer = answered(&mut session, &offer);
    let media = &answer.media_descriptions[0];
    assert_eq!(value(&media.attributes, "msid"), Some("stream6 track6"));
    assert!(values(&media.attributes, "ssrc").all(|s| s.starts_with("6 ")));
    assert_eq!(media.media_name.formats, ["102"]);
    session.remove_track(mid("absent"));
}

#[test]
fn the_slot_of_a_rejected_section_may_change_kind() {
    let mut session = applied(&offer(&[video("0", "sendonly"), data("1")]));
    session.apply_offer(&offer(&[rejected(&video("0", "inactive")), data("1")])).unwrap();
    let reused = offer(&[audio("2", "sendonly"), data("1")]);
    session.apply_offer(&reused).unwrap();
    answered(&mut session, &reused);
    assert_eq!(section(&session, "2").kind, MediaKind::Audio);
}

#[test]
fn a_rejected_section_may_lose_its_mid() {
    let mut session = applied(&offer(&[video("0", "sendonly"), data("1")]));
    let without = rejected(&video("0", "inactive")).replace("a=mid:0\r\n", "");
    assert!(session.apply_offer(&offer(&[without, data("1")])).is_ok());
    assert!(session.sections().is_empty());
}

#[test]
fn an_ice_restart_shows_in_the_parameters() {
    let offer = offer(&[data("0")]);
    let mut session = Session::new(7);
    let before = session.apply_offer(&offer).unwrap();
    let after = session.apply_offer(&offer.replace("ufrag:remo", "ufrag:rem2")).unwrap();
    assert_eq!((before.ice.ufrag.as_str(), after.ice.ufrag.as_str()), ("remo", "rem2"));
    assert_eq!(before.fingerprints, after.fingerprints);
}

#[test]
fn the_dtls_role_outlives_an_offer_that_leaves_it_open() {
    let offer = offer(&[data("0")]);
    let mut session = Session::new(7);
    assert_eq!(session.apply_offer(&offer.replace("actpass", "passive")).unwrap().role, DtlsRole::Client);
    assert_eq!(session.apply_offer(&offer).unwrap().role, DtlsRole::Client);
}

#[test]
fn the_transport_outlives_an_offer_that_uses_no_section() {
    let mut session = Session::new(7);
    let before = session.apply_offer(&offer(&[video("0", "sendonly")])).unwrap();
    let none = offer(&[rejected(&video("0", "inactive"))]);
    assert_eq!(session.apply_offer(&none), Ok(before));
    let answer = answered(&mut session, &none);
    assert_eq!(value(&answer.attributes, "group"), Some("BUNDLE"));
}
