//! What sections are read from an offer, and what the answer says of them.

use super::*;

/// Payload types with codecs, as text.
fn codecs(section: &Section) -> Vec<String> {
    section.codecs.iter().map(|c| format!("{} {:?}", c.payload_type.0, c.codec)).collect()
}

fn rids(section: &Section) -> Vec<String> {
    let encodings = &section.remote.as_ref().unwrap().encodings;
    encodings.iter().map(|e| format!("{}{}", if e.paused { "~" } else { "" }, e.rid)).collect()
}

#[test]
fn every_captured_offer_is_answered_by_its_mirror() {
    for offers in captured_sessions() {
        let mut session = Session::new(7);
        for offer in offers {
            session.apply_offer(offer).unwrap();
            answered(&mut session, offer);
            assert!(session.has_data());
        }
    }
}

#[test]
fn chromium_publishes_and_offers_to_receive() {
    let session = applied(CHROMIUM[0]);
    let kinds: Vec<_> = session.sections().iter().map(|s| (s.kind, s.remote.is_some(), s.peer_receives)).collect();
    let mut expected = vec![(MediaKind::Audio, true, false), (MediaKind::Video, true, false)];
    expected.extend([(MediaKind::Audio, false, true); 3]);
    expected.extend([(MediaKind::Video, false, true); 3]);
    assert_eq!(kinds, expected);
    assert_eq!(codecs(section(&session, "0")), ["111 Opus", "63 Red", "9 G722", "0 Pcmu", "8 Pcma"]);
    let camera = section(&session, "1");
    assert_eq!(codecs(camera)[..2], ["96 Vp8", "102 H264"]);
    assert_eq!(camera.codecs[0].rtx, Some(PayloadType(97)));
    assert_eq!(rids(camera), ["q", "h", "f"]);
    assert!(camera.remote.as_ref().unwrap().ssrcs.is_empty(), "simulcast is signalled by RID alone");
    assert!(!camera.remote.as_ref().unwrap().track_id.is_empty());
}

#[test]
fn firefox_publishes_with_bundle_only_sections_and_ssrcs() {
    let session = applied(FIREFOX[0]);
    assert_eq!(session.sections().len(), 8);
    let camera = section(&session, "1");
    assert_eq!(codecs(camera), ["120 Vp8", "121 Vp9", "99 Av1"], "red and ulpfec of video are not forwarded");
    assert_eq!(rids(camera), ["q", "h", "f"]);
    let ssrcs = &camera.remote.as_ref().unwrap().ssrcs;
    assert_eq!(ssrcs.len(), 3);
    assert!(ssrcs.iter().all(|(_, rtx)| rtx.is_some()));
}

#[test]
fn webrtc_rs_offers_to_receive() {
    let session = applied(WEBRTC_RS);
    assert!(session.sections().iter().all(|s| s.peer_receives && s.remote.is_none()));
    assert_eq!(session.sections().len(), 3);
}

#[test]
fn an_empty_section_is_inactive_with_all_its_codecs() {
    let mut session = applied(CHROMIUM[0]);
    let answer = answered(&mut session, CHROMIUM[0]);
    let empty = answer_section(&answer, "5");
    assert_eq!(direction(empty), "inactive");
    let codecs = &section(&session, "5").codecs;
    let repaired = codecs.iter().filter(|codec| codec.rtx.is_some()).count();
    assert_eq!((empty.media_name.formats.len(), repaired), (codecs.len() + repaired, 15));
    assert_eq!(direction(answer_section(&answer, "0")), "recvonly");
}

#[test]
fn a_filled_section_sends_in_the_codecs_of_its_source() {
    let mut session = applied(CHROMIUM[0]);
    assert_eq!(session.add_track(MediaKind::Video, track(9, &[Codec::Vp9, Codec::Vp8])), Some(mid("5")));
    assert_eq!(session.add_track(MediaKind::Audio, track(8, &[Codec::Opus])), Some(mid("2")));
    let answer = answered(&mut session, CHROMIUM[0]);
    let sent = answer_section(&answer, "5");
    assert_eq!(direction(sent), "sendonly");
    let expected = ["96", "97", "98", "99", "100", "101", "35", "36", "37", "38"];
    assert_eq!(sent.media_name.formats, expected, "the offer's order, not the track's");
    assert_eq!(value(&sent.attributes, "msid"), Some("stream9 track9"));
    let ssrcs: Vec<_> = values(&sent.attributes, "ssrc").collect();
    assert_eq!(ssrcs[..2], ["9 cname:cname", "9 msid:stream9 track9"]);
    let voice = answer_section(&answer, "2");
    assert_eq!(voice.media_name.formats, ["111"]);
    assert_eq!(value(&voice.attributes, "fmtp"), Some("111 minptime=10;useinbandfec=1"));
}

#[test]
fn a_published_section_asks_for_dtx_feedback_and_every_layer() {
    let mut session = applied(CHROMIUM[0]);
    let answer = answered(&mut session, CHROMIUM[0]);
    let voice = answer_section(&answer, "0");
    let fmtp: Vec<_> = values(&voice.attributes, "fmtp").collect();
    assert_eq!(fmtp, ["111 minptime=10;useinbandfec=1;usedtx=1", "63 111/111"]);
    let camera = answer_section(&answer, "1");
    assert_eq!(value(&camera.attributes, "simulcast"), Some("recv q;h;f"));
    assert_eq!(values(&camera.attributes, "rid").collect::<Vec<_>>(), ["q recv", "h recv", "f recv"]);
    let feedback: Vec<_> = values(&camera.attributes, "rtcp-fb").filter(|f| f.starts_with("96 ")).collect();
    assert_eq!(feedback, ["96 nack", "96 nack pli", "96 ccm fir", "96 transport-cc"]);
    assert!(values(&voice.attributes, "rtcp-fb").all(|f| !f.contains("nack")), "audio has redundancy instead");
}

#[test]
fn retransmissions_are_answered_for_each_codec_and_announced_with_the_track() {
    let mut session = applied(CHROMIUM[0]);
    session.add_track(MediaKind::Video, track(1, &[Codec::Vp8])).unwrap();
    let answer = answered(&mut session, CHROMIUM[0]);
    let published = &answer_section(&answer, "1").attributes;
    assert!(values(published, "rtpmap").any(|r| r == "97 rtx/90000"));
    assert!(values(published, "fmtp").any(|f| f == "97 apt=96"));
    let received = answer.media_descriptions.iter().find(|m| has(&m.attributes, "msid")).unwrap();
    assert_eq!(received.media_name.formats, ["96", "97"]);
    assert_eq!(value(&received.attributes, "ssrc-group"), Some("FID 1 1001"));
    let named: Vec<_> = values(&received.attributes, "ssrc").filter_map(|s| s.split(' ').next()).collect();
    assert_eq!(named, ["1", "1", "1001", "1001"]);
}

#[test]
fn without_nack_there_are_no_retransmissions() {
    let rtx = video("0", "recvonly").replace("96 102", "96 97 102") + "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n";
    for (feedback, formats, ssrcs) in [("", &["96"][..], 2), ("a=rtcp-fb:* nack\r\n", &["96", "97"], 4)] {
        let offer = offer(&[rtx.clone() + feedback]);
        let mut session = applied(&offer);
        session.add_track(MediaKind::Video, track(1, &[Codec::Vp8])).unwrap();
        let answer = answered(&mut session, &offer);
        let section = answer_section(&answer, "0");
        assert_eq!(section.media_name.formats, formats);
        assert_eq!(values(&section.attributes, "ssrc").count(), ssrcs);
    }
}

#[test]
fn both_ways_in_one_section_keeps_every_codec() {
    let offer = offer(&[video("0", "sendrecv"), data("1")]);
    let mut session = applied(&offer);
    let answer = answered(&mut session, &offer);
    assert_eq!(direction(answer_section(&answer, "0")), "recvonly");
    assert_eq!(session.add_track(MediaKind::Video, track(1, &[Codec::H264])), Some(mid("0")));
    let answer = answered(&mut session, &offer);
    assert_eq!(direction(answer_section(&answer, "0")), "sendrecv");
    assert_eq!(answer_section(&answer, "0").media_name.formats, ["96", "102"]);
}

#[test]
fn a_section_of_its_own_is_filled_before_one_used_both_ways() {
    let mut session = applied(&offer(&[video("0", "sendrecv"), video("1", "sendonly"), video("2", "recvonly")]));
    let codecs = [Codec::Vp8];
    assert_eq!(session.add_track(MediaKind::Video, track(1, &codecs)), Some(mid("2")));
    assert_eq!(session.add_track(MediaKind::Video, track(2, &codecs)), Some(mid("0")));
    assert_eq!(session.add_track(MediaKind::Video, track(3, &codecs)), None);
}

#[test]
fn a_track_without_a_common_codec_or_kind_finds_no_section() {
    let mut session = applied(&offer(&[video("0", "recvonly")]));
    assert_eq!(session.add_track(MediaKind::Video, track(1, &[Codec::Av1])), None);
    assert_eq!(session.add_track(MediaKind::Audio, track(1, &[Codec::Opus])), None);
    assert!(section(&session, "0").local.is_none());
}

#[test]
fn candidates_stand_once_best_first_for_both_address_families() {
    let mut session = applied(CHROMIUM[0]);
    let answer = answered(&mut session, CHROMIUM[0]);
    let first = &answer.media_descriptions[0].attributes;
    let candidates: Vec<_> = values(first, "candidate").collect();
    assert_eq!(
        candidates,
        ["1 1 udp 2130706431 192.0.2.1 7882 typ host", "2 1 udp 2130706175 2001:db8::1 7882 typ host",]
    );
    assert!(has(first, "end-of-candidates"));
    let stopped = offer(&[rejected(&audio("0", "inactive")), video("1", "recvonly")]);
    let mut session = applied(&stopped);
    let answer = answered(&mut session, &stopped);
    assert!(has(&answer.media_descriptions[1].attributes, "candidate"), "the first section in use, not the first");
}

#[test]
fn candidates_are_repeated_where_something_flows_when_the_first_section_is_inactive() {
    let offered = offer(&[video("0", "recvonly"), video("1", "recvonly"), data("2")]);
    let mut session = applied(&offered);
    let answer = answered(&mut session, &offered);
    let told: Vec<bool> = answer.media_descriptions.iter().map(|m| has(&m.attributes, "candidate")).collect();
    assert_eq!(told, [true, false, true]);
}

#[test]
fn the_session_level_says_lite_and_counts_versions() {
    let offer = offer(&[video("0", "recvonly")]).replace("a=setup", "a=extmap-allow-mixed\r\na=setup");
    let mut session = Session::new(u64::MAX);
    session.apply_offer(&offer).unwrap();
    for version in 1..=3 {
        let answer = answered(&mut session, &offer);
        assert!(has(&answer.attributes, "ice-lite"));
        assert!(has(&answer.attributes, "extmap-allow-mixed"));
        assert_eq!(answer.origin.session_id, u64::MAX >> 1);
        assert_eq!(answer.origin.session_version, version);
    }
}

#[test]
fn ice_options_are_answered_only_where_offered() {
    let plain = offer(&[video("0", "recvonly")]);
    let options = |offer: &str| {
        let answer = answered(&mut applied(offer), offer);
        value(&answer.media_descriptions[0].attributes, "ice-options").map(str::to_owned)
    };
    assert_eq!(options(&plain), None);
    let all = plain.replace("a=setup", "a=ice-options:goog-sped-v1 renomination ice2 trickle\r\na=setup");
    assert_eq!(options(&all).as_deref(), Some("trickle renomination"));
}

#[test]
fn the_role_answers_the_offers() {
    let of = |setup: &str| {
        let offer = offer(&[data("0")]).replace("actpass", setup);
        let mut session = Session::new(7);
        let role = session.apply_offer(&offer).unwrap().role;
        let answer = answered(&mut session, &offer);
        (role, value(&answer.media_descriptions[0].attributes, "setup").unwrap().to_owned())
    };
    assert_eq!(of("actpass"), (DtlsRole::Server, "passive".to_owned()));
    assert_eq!(of("active"), (DtlsRole::Server, "passive".to_owned()));
    assert_eq!(of("passive"), (DtlsRole::Client, "active".to_owned()));
}

#[test]
fn the_data_section_states_its_largest_message() {
    let offer = offer(&[data("0")]);
    let mut session = applied(&offer);
    assert!(session.has_data());
    assert!(session.sections().is_empty());
    let answer = answered(&mut session, &offer);
    let attributes = &answer.media_descriptions[0].attributes;
    assert_eq!(value(attributes, "sctp-port"), Some("5000"));
    assert_eq!(value(attributes, "max-message-size"), Some("65536"));
}

#[test]
fn what_is_not_served_is_rejected_in_its_place() {
    let text = "m=text 9 UDP/TLS/RTP/SAVPF 98\r\nc=IN IP4 0.0.0.0\r\na=mid:t\r\n".to_owned();
    let old_data = "m=application 9 DTLS/SCTP 5000\r\nc=IN IP4 0.0.0.0\r\na=mid:d\r\n".to_owned();
    let plain_rtp = video("p", "sendonly").replace("UDP/TLS/RTP/SAVPF", "RTP/AVP");
    let no_codec = video("n", "recvonly").replace("VP8", "VP7").replace("H264", "H263");
    let offer = offer(&[text, audio("0", "sendonly"), old_data, plain_rtp, no_codec, data("1"), data("2")]);
    let mut session = applied(&offer);
    let answer = answered(&mut session, &offer);
    let ports: Vec<_> = answer.media_descriptions.iter().map(|m| m.media_name.port.value).collect();
    assert_eq!(ports, [0, 9, 0, 0, 0, 9, 0]);
    assert_eq!(value(&answer.attributes, "group"), Some("BUNDLE 0 1"));
    assert_eq!(session.sections().len(), 1);
}

#[test]
fn unknown_attributes_are_passed_over() {
    let known = offer(&[audio("0", "sendonly"), data("1")]);
    let mut more = known.replace("a=setup", "a=ice-options:goog-sped-v1\r\na=setup");
    more.push_str("a=sctp-init:AQAA\r\na=x-unheard-of\r\n");
    assert_eq!(applied(&known).sections(), applied(&more).sections());
}

#[test]
fn one_section_needs_no_bundle() {
    let offer = offer(&[audio("0", "sendonly")]).replace("a=group:BUNDLE 0\r\n", "");
    let answer = answered(&mut applied(&offer), &offer);
    assert_eq!(value(&answer.attributes, "group"), None);
}

#[test]
fn identifiers_cannot_break_out_of_their_line() {
    let offer = offer(&[audio("0", "recvonly")]);
    let mut session = applied(&offer);
    let evil = LocalTrack {
        stream_id: "a b\r\na=setup:active".to_owned(),
        track_id: String::new(),
        cname: "\u{2028}ü x".to_owned(),
        ..track(1, &[Codec::Opus])
    };
    session.add_track(MediaKind::Audio, evil).unwrap();
    let answer = answered(&mut session, &offer);
    let attributes = &answer.media_descriptions[0].attributes;
    assert_eq!(value(attributes, "msid"), Some("a_b__a=setup:active -"));
    assert_eq!(values(attributes, "setup").collect::<Vec<_>>(), ["passive"]);
    assert_eq!(value(attributes, "ssrc"), Some("1 cname:__x".replace("__", "___").as_str()));
}

#[test]
fn a_preferred_codec_is_answered_first_or_alone_and_another_is_passed_over() {
    let mut session = applied(CHROMIUM[0]);
    let offered = codecs(section(&session, "1"));
    let mid = Mid::new("1").unwrap();
    session.prefer_codec(mid, Codec::H265, true);
    session.prefer_codec(mid, Codec::Opus, false);
    assert_eq!(codecs(section(&session, "1")), offered, "not offered");
    session.prefer_codec(mid, Codec::Vp9, false);
    let preferred = codecs(section(&session, "1"));
    assert!(preferred[0].ends_with("Vp9") && preferred.len() == offered.len(), "{preferred:?}");
    session.prefer_codec(mid, Codec::Vp9, true);
    let alone = codecs(section(&session, "1"));
    assert!(!alone.is_empty() && alone.iter().all(|codec| codec.ends_with("Vp9")), "{alone:?}");
    answered(&mut session, CHROMIUM[0]);
    // The next offer begins anew.
    session.apply_offer(CHROMIUM[0]).unwrap();
    assert_eq!(codecs(section(&session, "1")), offered);
}
