//! Datagrams through a relay to a server that sends them back.

use super::*;
use crate::link::Loss;

const LOCALHOST: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const WAIT: Duration = Duration::from_secs(5);

/// What is sent to it comes back.
async fn echo() -> SocketAddr {
    let socket = UdpSocket::bind(LOCALHOST).await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 2_000];
        loop {
            let (len, from) = socket.recv_from(&mut buffer).await.unwrap();
            socket.send_to(&buffer[..len], from).await.unwrap();
        }
    });
    address
}

/// Starts a relay; the first value ends it, the second gives what passed.
async fn relay(
    up: LinkConfig,
    down: LinkConfig,
) -> (SocketAddr, tokio::sync::oneshot::Sender<()>, tokio::task::JoinHandle<Totals>) {
    let server = echo().await;
    let config = Config { listen: LOCALHOST, server, up, down, seed: 3, duration: WAIT };
    let relay = Relay::bind(config).await.unwrap();
    let address = relay.address().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    (address, stop, tokio::spawn(relay.run(async { stopped.await.unwrap_or(()) })))
}

async fn client(relay: SocketAddr) -> UdpSocket {
    let socket = UdpSocket::bind(LOCALHOST).await.unwrap();
    socket.connect(relay).await.unwrap();
    socket
}

async fn answer(client: &UdpSocket, wait: Duration) -> Option<Vec<u8>> {
    let mut buffer = [0; 2_000];
    let len = tokio::time::timeout(wait, client.recv(&mut buffer)).await.ok()?.unwrap();
    Some(buffer[..len].to_vec())
}

#[tokio::test]
async fn each_client_gets_its_own_answers_in_order() {
    let (address, stop, totals) = relay(LinkConfig::default(), LinkConfig::default()).await;
    let (ada, ben) = (client(address).await, client(address).await);
    for number in 0..50u8 {
        ada.send(&[1, number]).await.unwrap();
        ben.send(&[2, number]).await.unwrap();
    }
    for number in 0..50u8 {
        assert_eq!(answer(&ada, WAIT).await, Some(vec![1, number]));
        assert_eq!(answer(&ben, WAIT).await, Some(vec![2, number]));
    }
    stop.send(()).unwrap();
    let totals = totals.await.unwrap();
    assert_eq!((totals.clients, totals.up.datagrams, totals.down.datagrams, totals.refused), (2, 100, 100, 0));
}

#[tokio::test]
async fn what_the_link_loses_does_not_arrive_and_is_counted() {
    let down = LinkConfig { loss: Loss::Even(0.5), ..LinkConfig::default() };
    let (address, stop, totals) = relay(LinkConfig::default(), down).await;
    let ada = client(address).await;
    for number in 0..200u8 {
        ada.send(&[number]).await.unwrap();
    }
    let mut answered = 0;
    while answer(&ada, Duration::from_millis(300)).await.is_some() {
        answered += 1;
    }
    stop.send(()).unwrap();
    let totals = totals.await.unwrap();
    assert_eq!((totals.up.lost, totals.down.lost), (0, 200 - answered));
    assert!((60..140).contains(&answered), "{answered} of 200");
}

#[tokio::test]
async fn the_delay_of_both_ways_adds_up() {
    let config = LinkConfig::delayed(Duration::from_millis(40));
    let (address, _stop, _totals) = relay(config, config).await;
    let ada = client(address).await;
    let start = Instant::now();
    ada.send(b"there and back").await.unwrap();
    assert!(answer(&ada, WAIT).await.is_some());
    assert!(start.elapsed() >= Duration::from_millis(80));
}

#[tokio::test]
async fn no_more_clients_than_may_be_are_served() {
    let (address, stop, totals) = relay(LinkConfig::default(), LinkConfig::default()).await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let one = client(address).await;
        one.send(b"hello").await.unwrap();
        assert!(answer(&one, WAIT).await.is_some());
        clients.push(one);
    }
    let late = client(address).await;
    late.send(b"hello").await.unwrap();
    assert_eq!(answer(&late, Duration::from_millis(200)).await, None);
    stop.send(()).unwrap();
    let totals = totals.await.unwrap();
    assert_eq!((totals.clients, totals.refused), (CLIENTS, 1));
}

#[tokio::test]
async fn it_ends_by_itself() {
    let server = echo().await;
    let link = LinkConfig::default();
    let duration = Duration::from_millis(50);
    let relay =
        Relay::bind(Config { listen: LOCALHOST, server, up: link, down: link, seed: 1, duration }).await.unwrap();
    let totals = tokio::time::timeout(WAIT, relay.run(std::future::pending())).await.unwrap();
    assert_eq!(totals.clients, 0);
}
