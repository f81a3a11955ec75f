//! Where a request really comes from: the connection's peer, or whom trusted proxies name (RFC 7239, section 5.2).
//!
//! What always holds: a header is believed only from a connection whose peer is in `trusted_proxies`, and read from the right
//! only as far as hops are trusted; addresses are compared in one form, IPv4 wherever it is mapped into IPv6; no log says one.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, RETRY_AFTER};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use ipnet::IpNet;
use prometheus::{IntCounterVec, Opts, Registry};

use super::address_places::{AddressPlaces, Place};
use super::forwarded::{self, Ignored, Node};
use super::serve::{ConnectionGuard, PeerAddress};
use crate::config;
use crate::limits;

/// After how many seconds somebody whose address has too many connections may try again.
const RETRY_AFTER_SECONDS: &str = "5";
const TOO_MANY: &str = "too many connections from this address\n";

/// Whose request it is. An extension of every request that came by a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientAddress(pub IpAddr);

/// Where refusals happen, `sfumato_address_refused_total{at}`.
const REFUSED_AT: [&str; 2] = ["connection", "request"];

/// Tells clients of the public port apart, and gives each address its share of connections.
pub struct ClientAddresses {
    proxies: Vec<IpNet>,
    /// Requests and WebSockets, which may come by a proxy.
    requests: Arc<AddressPlaces>,
    /// Connections that come by none.
    connections: Arc<AddressPlaces>,
    refused: IntCounterVec,
    ignored: IntCounterVec,
    hinted: AtomicBool,
}

impl ClientAddresses {
    /// Fails when its counters are registered already.
    pub fn new(config: &config::Clients, registry: &Registry) -> Result<Arc<Self>, prometheus::Error> {
        let refused = Opts::new(
            "sfumato_address_refused_total",
            "Connections closed and requests answered 429, as their client address had too many.",
        );
        let ignored = Opts::new(
            "sfumato_forwarded_headers_ignored_total",
            "Requests whose Forwarded or X-Forwarded-For was not used, by reason.",
        );
        let limit = config.connections_per_address;
        let addresses = Self {
            proxies: config.trusted_proxies.clone(),
            requests: AddressPlaces::new(limit),
            connections: AddressPlaces::new(limit.saturating_mul(limits::ADDRESS_CONNECTIONS_IDLE_FACTOR)),
            refused: IntCounterVec::new(refused, &["at"])?,
            ignored: IntCounterVec::new(ignored, &["reason"])?,
            hinted: AtomicBool::new(false),
        };
        REFUSED_AT.iter().for_each(|at| drop(addresses.refused.with_label_values(&[at])));
        Ignored::ALL.iter().for_each(|reason| drop(addresses.ignored.with_label_values(&[reason.label()])));
        registry.register(Box::new(addresses.refused.clone()))?;
        registry.register(Box::new(addresses.ignored.clone()))?;
        Ok(Arc::new(addresses))
    }

    /// A place for a connection; `Err` when its address has too many. Proxies speak for many and are not counted.
    pub(super) fn admit_connection(&self, peer: IpAddr) -> Result<Option<Place>, TooMany> {
        let peer = peer.to_canonical();
        if self.trusts(peer) {
            return Ok(None);
        }
        self.connections.take(peer).map_err(|TooMany| self.refuse("connection"))
    }

    /// Who sent a request that came from `peer`.
    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> ClientAddress {
        let (client, ignored) = resolve(&self.proxies, peer.to_canonical(), headers);
        if let Some(ignored) = ignored {
            self.ignored.with_label_values(&[ignored.label()]).inc();
            self.hint(ignored);
        }
        ClientAddress(client)
    }

    /// Once: an operator who forgot the setting should hear of it, and anybody can send such headers.
    fn hint(&self, ignored: Ignored) {
        if ignored == Ignored::Untrusted && !self.hinted.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "a request says by Forwarded or X-Forwarded-For whom it is for, but comes from no trusted proxy: that is ignored. \
                 Behind a proxy, name its network with --trusted-proxies; otherwise any client may have sent it"
            );
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(&address))
    }

    fn refuse(&self, at: &str) -> TooMany {
        self.refused.with_label_values(&[at]).inc();
        TooMany
    }

    #[cfg(test)]
    pub(super) fn refusals(&self) -> [u64; 2] {
        REFUSED_AT.map(|at| self.refused.with_label_values(&[at]).get())
    }
}

/// An address has all the places it may have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct TooMany;

impl IntoResponse for TooMany {
    fn into_response(self) -> Response {
        // Pages of any origin may read it: the routes that answer for CORS are not asked any more.
        let headers = [
            (RETRY_AFTER, RETRY_AFTER_SECONDS),
            (ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (ACCESS_CONTROL_EXPOSE_HEADERS, "Retry-After"),
        ];
        (StatusCode::TOO_MANY_REQUESTS, headers, TOO_MANY).into_response()
    }
}

/// A router whose requests know their [`ClientAddress`] and have a place of that address.
pub fn told_apart(router: Router, clients: Arc<ClientAddresses>) -> Router {
    router.layer(axum::middleware::from_fn_with_state(clients, identify))
}

/// Middleware: notes the [`ClientAddress`], and takes a place for as long as the request or its WebSocket lasts.
async fn identify(State(addresses): State<Arc<ClientAddresses>>, mut request: Request, next: Next) -> Response {
    let Some(PeerAddress(peer)) = request.extensions().get().copied() else {
        return next.run(request).await;
    };
    let client = addresses.client(peer, request.headers());
    request.extensions_mut().insert(client);
    let Ok(place) = addresses.requests.take(client.0) else {
        return addresses.refuse("request").into_response();
    };
    let place = place.map(Arc::new);
    if let Some(guard) = request.extensions_mut().get_mut::<ConnectionGuard>() {
        guard.keep(place.clone());
    }
    let response = next.run(request).await;
    drop(place);
    response
}

/// The client's address in canonical form, and why a header was not used, or not to its end.
fn resolve(proxies: &[IpNet], peer: IpAddr, headers: &HeaderMap) -> (IpAddr, Option<Ignored>) {
    let trusted = |address: IpAddr| proxies.iter().any(|network| network.contains(&address));
    let chains = forwarded::chains(headers);
    let mut told = chains.into_iter().flatten().peekable();
    if told.peek().is_none() {
        return (peer, None);
    }
    if !trusted(peer) {
        return (peer, Some(Ignored::Untrusted));
    }
    let walked: Vec<(IpAddr, Option<Ignored>)> = told
        .map(|chain| chain.map_or_else(|ignored| (peer, Some(ignored)), |nodes| walk(peer, &nodes, trusted)))
        .collect();
    match walked.as_slice() {
        [one] => *one,
        [(one, ignored), (other, also)] if one == other => (*one, ignored.or(*also)),
        _ => (peer, Some(Ignored::Conflicting)),
    }
}

/// From the right: each trusted hop vouches for its left neighbour.
fn walk(peer: IpAddr, nodes: &[Node], trusted: impl Fn(IpAddr) -> bool) -> (IpAddr, Option<Ignored>) {
    let mut client = peer;
    for node in nodes.iter().rev() {
        match node {
            Node::Address(address) => client = *address,
            Node::Hidden => return (client, None),
            Node::Malformed => return (client, Some(Ignored::Malformed)),
        }
        if !trusted(client) {
            break;
        }
    }
    (client, None)
}

#[cfg(test)]
mod tests;
