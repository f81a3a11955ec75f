//! Offers that cannot be served: each gives its error and leaves the session as it was.

use super::*;

/// The error of an offer to a fresh session.
fn refused(offer: &str) -> OfferError {
    Session::new(7).apply_offer(offer).unwrap_err()
}

#[test]
fn a_section_to_send_in_without_a_common_codec_is_refused() {
    for direction in ["sendonly", "sendrecv"] {
        let unknown = video("7", direction).replace("VP8", "VP7").replace("H264", "H263");
        assert_eq!(refused(&offer(&[data("0"), unknown])), OfferError::NoCommonCodec("7".to_owned()));
    }
}

#[test]
fn one_section_without_a_common_codec_among_others_is_rejected_alone() {
    let unknown = video("1", "sendonly").replace("VP8", "VP7").replace("H264", "H263");
    let mut session = Session::new(7);
    session.apply_offer(&offer(&[video("0", "sendonly"), unknown])).unwrap();
    assert_eq!(session.sections().iter().map(|s| s.mid.to_string()).collect::<Vec<_>>(), ["0"]);
}

#[test]
fn what_a_session_cannot_do_without_is_named() {
    let whole = offer(&[video("0", "sendonly"), data("1")]);
    assert!(Session::new(7).apply_offer(&whole).is_ok());
    let cases = [
        ("a=ice-ufrag:remo\r\n", "ice-ufrag"),
        ("a=ice-pwd:0123456789abcdefghijkl\r\n", "ice-pwd"),
        ("a=setup:actpass\r\n", "setup"),
        ("a=rtcp-mux\r\n", "rtcp-mux"),
        ("a=mid:0\r\n", "mid"),
        ("a=mid:1\r\n", "mid"),
        ("a=group:BUNDLE 0 1\r\n", "BUNDLE of all sections"),
    ];
    for (line, name) in cases {
        assert!(whole.contains(line), "{line}");
        assert_eq!(refused(&whole.replace(line, "")), OfferError::Missing(name));
    }
    let fingerprint = whole.lines().find(|l| l.starts_with("a=fingerprint")).unwrap();
    assert_eq!(refused(&whole.replace(&format!("{fingerprint}\r\n"), "")), OfferError::Missing("fingerprint"));
}

#[test]
fn a_section_outside_the_bundle_is_refused() {
    let offer = offer(&[video("0", "sendonly"), data("1")]).replace("BUNDLE 0 1", "BUNDLE 1");
    assert_eq!(refused(&offer), OfferError::Missing("BUNDLE of all sections"));
}

#[test]
fn a_lite_peer_is_refused() {
    let offer = offer(&[data("0")]).replace("a=setup", "a=ice-lite\r\na=setup");
    assert!(matches!(refused(&offer), OfferError::Missing(_)));
}

#[test]
fn an_offer_without_anything_to_serve_is_refused() {
    for sections in [vec![], vec![rejected(&video("0", "inactive"))]] {
        assert_eq!(refused(&offer(&sections)), OfferError::Missing("a section that can be served"));
    }
}

#[test]
fn malformed_values_are_refused() {
    let whole = offer(&[video("0", "sendonly"), data("1")]);
    let long = "x".repeat(257);
    let cases = [
        ("ufrag:remo", "ufrag:rem".to_owned()),
        ("ufrag:remo", "ufrag:a:b:c".to_owned()),
        ("ufrag:remo", format!("ufrag:{long}")),
        ("ice-pwd:0123456789abcdefghijkl", "ice-pwd:0123456789".to_owned()),
        ("ice-pwd:0123456789abcdefghijkl", format!("ice-pwd:{long}")),
        ("setup:actpass", "setup:holdconn".to_owned()),
        ("fingerprint:sha-256 CD", "fingerprint:sha-256 XY".to_owned()),
        ("mid:1", "mid:0".to_owned()),
        ("mid:1", "mid:a-mid-of-17-bytes".to_owned()),
        ("v=0", "v=1".to_owned()),
    ];
    for (from, to) in cases {
        assert!(whole.contains(from), "{from}");
        let error = refused(&whole.replace(from, &to));
        assert!(matches!(error, OfferError::Malformed(_)), "{to}: {error}");
    }
    for text in ["", "v=0", "hello", "v=0\r\no=", "\u{1f980}=\r\n"] {
        assert!(matches!(refused(text), OfferError::Malformed(_)), "{text}");
    }
}

#[test]
fn sections_removed_or_reordered_are_refused() {
    let first = [video("0", "recvonly"), audio("1", "recvonly"), data("2")];
    let [v, a, d] = first.clone();
    let mut session = applied(&offer(&first));
    let changed = [
        vec![v.clone(), a.clone()],
        vec![a.clone(), v.clone(), d.clone()],
        vec![video("9", "recvonly"), a.clone(), d.clone()],
        vec![audio("0", "recvonly"), a.clone(), d.clone()],
        vec![rejected(&audio("0", "recvonly")), a, d],
    ];
    for sections in changed {
        assert_eq!(session.apply_offer(&offer(&sections)), Err(OfferError::SectionsChanged));
    }
}

#[test]
fn a_refused_offer_changes_nothing() {
    let first = offer(&[video("0", "recvonly"), data("1")]);
    let mut session = applied(&first);
    session.add_track(MediaKind::Video, track(5, &[Codec::Vp8])).unwrap();
    let sections = session.sections().to_vec();
    let refused = [
        offer(&[video("0", "inactive"), data("1")]).replace("actpass", "holdconn"),
        offer(&[video("0", "inactive")]),
        offer(&[video("0", "inactive"), data("1"), video("2", "sendonly").replace("rtcp-mux", "x")]),
        offer(&[video("0", "inactive"), data("1"), video("2", "sendonly").replace("VP8", "X").replace("H264", "Y")]),
        "v=0".to_owned(),
    ];
    for offer in &refused {
        assert!(session.apply_offer(offer).is_err());
        assert_eq!(session.sections(), sections);
        assert!(session.has_data());
        let answer = answered(&mut session, &first);
        assert_eq!(value(&answer_section(&answer, "0").attributes, "msid"), Some("stream5 track5"));
    }
}
