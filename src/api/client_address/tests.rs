//! Whom a request is for: a table of headers, spoofed ones among them, and the share of connections of one address.

use axum::body::Body;
use axum::routing::get;
use tower::ServiceExt;

use super::*;

/// A load balancer's network, a proxy of its own, and one over IPv6.
const PROXIES: &str = "10.0.0.0/8, 192.0.2.7, 2001:db8:7::/48";

fn proxies() -> Vec<IpNet> {
    clients(&["--trusted-proxies", PROXIES]).trusted_proxies
}

fn clients(flags: &[&str]) -> config::Clients {
    let arguments = ["sfumato", "--dev"].iter().chain(flags).map(std::ffi::OsString::from);
    config::load(arguments, []).unwrap().config.clients
}

fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, line) in lines {
        headers.append(*name, line.parse().unwrap());
    }
    headers
}

#[test]
fn the_client_is_the_first_from_the_right_that_is_no_trusted_proxy() {
    const XFF: &str = "x-forwarded-for";
    const FWD: &str = "forwarded";
    use Ignored::*;
    for (peer, lines, client, ignored) in [
        // No header.
        ("198.51.100.1", &[][..], "198.51.100.1", None),
        ("10.0.0.1", &[], "10.0.0.1", None),
        // Spoofed, from somebody who is no proxy.
        ("198.51.100.1", &[(XFF, "203.0.113.9")], "198.51.100.1", Some(Untrusted)),
        ("198.51.100.1", &[(FWD, "for=203.0.113.9")], "198.51.100.1", Some(Untrusted)),
        ("192.0.2.8", &[(XFF, "203.0.113.9")], "192.0.2.8", Some(Untrusted)),
        ("127.0.0.1", &[(XFF, "203.0.113.9")], "127.0.0.1", Some(Untrusted)),
        // One proxy.
        ("10.0.0.1", &[(XFF, "203.0.113.9")], "203.0.113.9", None),
        ("192.0.2.7", &[(FWD, "for=203.0.113.9;proto=https")], "203.0.113.9", None),
        ("2001:db8:7::1", &[(FWD, "for=\"[2001:db8:99::5]:1234\"")], "2001:db8:99::5", None),
        // Spoofed by the client of a proxy, which appends.
        ("10.0.0.1", &[(XFF, "1.1.1.1, 203.0.113.9")], "203.0.113.9", None),
        ("10.0.0.1", &[(XFF, "10.9.9.9, 203.0.113.9")], "203.0.113.9", None),
        ("10.0.0.1", &[(XFF, "garbage, 203.0.113.9")], "203.0.113.9", None),
        ("10.0.0.1", &[(XFF, "127.0.0.1"), (XFF, "203.0.113.9")], "203.0.113.9", None),
        ("10.0.0.1", &[(FWD, "for=127.0.0.1, for=203.0.113.9")], "203.0.113.9", None),
        // Several proxies.
        ("10.0.0.1", &[(XFF, "203.0.113.9, 192.0.2.7, 10.2.2.2")], "203.0.113.9", None),
        ("10.0.0.1", &[(XFF, "1.1.1.1, 203.0.113.9, 10.2.2.2")], "203.0.113.9", None),
        // Proxies alone: the outermost, for example a health check of the load balancer's.
        ("10.0.0.1", &[(XFF, "10.0.0.2")], "10.0.0.2", None),
        // In two forms, one address.
        ("::ffff:10.0.0.1", &[(XFF, "::ffff:203.0.113.9")], "203.0.113.9", None),
        ("10.0.0.1", &[(XFF, "203.0.113.9, ::ffff:192.0.2.7")], "203.0.113.9", None),
        ("::ffff:198.51.100.1", &[(XFF, "203.0.113.9")], "198.51.100.1", Some(Untrusted)),
        // Hops that say nothing of their client.
        ("10.0.0.1", &[(FWD, "for=203.0.113.9, for=unknown")], "10.0.0.1", None),
        ("10.0.0.1", &[(FWD, "for=_hidden, for=10.2.2.2")], "10.2.2.2", None),
        ("10.0.0.1", &[(XFF, "203.0.113.9, x, 10.2.2.2")], "10.2.2.2", Some(Malformed)),
        ("10.0.0.1", &[(XFF, "")], "10.0.0.1", Some(Malformed)),
        ("10.0.0.1", &[(FWD, "for=\"203.0.113.9")], "10.0.0.1", Some(Malformed)),
        // The proxy writes one header and passes on the client's other.
        ("10.0.0.1", &[(FWD, "for=1.1.1.1"), (XFF, "203.0.113.9")], "10.0.0.1", Some(Conflicting)),
        ("10.0.0.1", &[(FWD, "for=203.0.113.9"), (XFF, "203.0.113.9")], "203.0.113.9", None),
    ] {
        let peer: IpAddr = peer.parse().unwrap();
        let resolved = resolve(&proxies(), peer.to_canonical(), &headers(lines));
        assert_eq!(resolved, (client.parse().unwrap(), ignored), "{peer} {lines:?}");
    }
}

#[test]
fn a_header_of_too_many_hops_is_ignored() {
    let long = vec!["203.0.113.9"; limits::FORWARDED_HOPS + 1].join(",");
    let peer = "10.0.0.1".parse().unwrap();
    assert_eq!(resolve(&proxies(), peer, &headers(&[("x-forwarded-for", &long)])), (peer, Some(Ignored::TooLong)));
}

#[test]
fn nothing_a_client_writes_in_front_changes_whom_its_proxy_names() {
    use rand::{Rng, SeedableRng};
    const PIECES: [&str; 18] = [
        "for=", "\"", "\\", ",", ";", "=", " ", "[", "]", "10.0.0.2", "1.1.1.1", "::1", ":", "_x", "unknown", "by=",
        "\\\"", "é",
    ];
    let mut random = rand::rngs::StdRng::seed_from_u64(7239);
    let peer: IpAddr = "10.0.0.1".parse().unwrap();
    let client: IpAddr = "203.0.113.9".parse().unwrap();
    let (proxies, mut named) = (proxies(), 0);
    for _ in 0..20_000 {
        let count = random.random_range(0..12);
        let spoofed: String = (0..count).map(|_| PIECES[random.random_range(0..PIECES.len())]).collect();
        for (name, told) in [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9;proto=https")] {
            let mut headers = HeaderMap::new();
            headers.append(name, axum::http::HeaderValue::from_bytes(format!("{spoofed}, {told}").as_bytes()).unwrap());
            let (resolved, _) = resolve(&proxies, peer, &headers);
            assert!(resolved == client || resolved == peer, "{name}: {spoofed:?} made it {resolved}");
            named += u32::from(resolved == client);
        }
    }
    assert!(named > 10_000, "only {named} were understood");
}

/// Answers whom the request is for once `release` is told; at most two at a time of one address.
fn router(release: Arc<tokio::sync::Notify>) -> (Router, Arc<ClientAddresses>) {
    let settings = clients(&["--trusted-proxies", PROXIES, "--connections-per-address", "2"]);
    let addresses = ClientAddresses::new(&settings, &Registry::new()).unwrap();
    let answer = |axum::Extension(ClientAddress(ip)): axum::Extension<ClientAddress>| async move { ip.to_string() };
    let wait = move || async move { release.notified().await };
    let router = Router::new().route("/", get(answer)).route("/wait", get(wait));
    (told_apart(router, addresses.clone()), addresses)
}

fn request(path: &str, peer: &str, client: &str) -> Request {
    let request = Request::builder().uri(path).header("X-Forwarded-For", client);
    request.extension(PeerAddress(peer.parse().unwrap())).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn one_address_behind_a_proxy_gets_its_share_and_no_more() {
    let release = Arc::new(tokio::sync::Notify::new());
    let (router, addresses) = router(release.clone());
    let ask = |path: &str, client: &str| router.clone().oneshot(request(path, "10.0.0.1", client));
    let waiting = [0, 1].map(|_| tokio::spawn(ask("/wait", "203.0.113.9")));
    tokio::time::timeout(std::time::Duration::from_secs(5), async {
        while addresses.requests.take("203.0.113.9".parse().unwrap()).is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let refused = ask("/", "203.0.113.9").await.unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], RETRY_AFTER_SECONDS);
    assert_eq!(refused.headers()["access-control-allow-origin"], "*");
    assert_eq!(addresses.refusals(), [0, 1]);
    assert_eq!(ask("/", "203.0.113.10").await.unwrap().status(), StatusCode::OK);
    release.notify_waiters();
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().unwrap().status(), StatusCode::OK);
    }
    assert_eq!(ask("/", "203.0.113.9").await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_guard_that_is_kept_keeps_the_place() {
    let (_, addresses) = router(Arc::default());
    let guard = ConnectionGuard::for_tests();
    let mut request = request("/", "10.0.0.1", "203.0.113.9");
    request.extensions_mut().insert(guard.clone());
    let kept = Arc::new(std::sync::Mutex::new(None));
    let keep = kept.clone();
    let router = Router::new().route(
        "/",
        get(move |axum::Extension(guard): axum::Extension<ConnectionGuard>| async move {
            *keep.lock().unwrap() = Some(guard);
        }),
    );
    let router = told_apart(router, addresses.clone());
    router.oneshot(request).await.unwrap();
    let client = "203.0.113.9".parse().unwrap();
    let (one, other) = (addresses.requests.take(client), addresses.requests.take(client));
    assert!(one.is_ok() && other.is_err(), "the WebSocket's place is taken");
    drop(one);
    kept.lock().unwrap().take();
    let both = [addresses.requests.take(client), addresses.requests.take(client)];
    assert!(both.iter().all(Result::is_ok));
}

#[test]
fn connections_of_one_address_are_bounded_but_for_proxies_and_loopback() {
    let (_, addresses) = router(Arc::default());
    let most = 2 * limits::ADDRESS_CONNECTIONS_IDLE_FACTOR as usize;
    let admit = |peer: &str| addresses.admit_connection(peer.parse().unwrap());
    let held: Vec<_> = (0..most).map(|_| admit("198.51.100.1")).collect();
    assert!(held.iter().all(Result::is_ok));
    assert!(admit("198.51.100.1").is_err() && admit("::ffff:198.51.100.1").is_err());
    assert_eq!(addresses.refusals(), [2, 0]);
    for exempt in ["10.0.0.1", "::ffff:10.0.0.1", "127.0.0.1", "::1"] {
        let held: Vec<_> = (0..=most).map(|_| admit(exempt)).collect();
        assert!(held.iter().all(Result::is_ok), "{exempt}");
    }
}
