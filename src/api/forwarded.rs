//! The syntax of headers in which proxies say whom they speak for: `Forwarded` (RFC 7239, section 4) and `X-Forwarded-For`.
//!
//! What always holds: what stands left is nearer to the client and could have been written by it, so nothing there changes what
//! is read further right; at most `limits::FORWARDED_HOPS` nodes are read.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::http::{HeaderMap, HeaderName, header};

use crate::limits;

pub(super) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Why what a proxy says is not used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ignored {
    /// It comes from nobody who is trusted.
    Untrusted,
    Malformed,
    /// More hops than are looked through.
    TooLong,
    /// Both headers are there and differ: one of them the proxy passed on from the client.
    Conflicting,
}

impl Ignored {
    pub const ALL: [Self; 4] = [Self::Untrusted, Self::Malformed, Self::TooLong, Self::Conflicting];

    pub fn label(self) -> &'static str {
        match self {
            Self::Untrusted => "untrusted",
            Self::Malformed => "malformed",
            Self::TooLong => "too_long",
            Self::Conflicting => "conflicting",
        }
    }
}

/// One hop, as its right neighbour names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Node {
    Address(IpAddr),
    /// `unknown` or a made-up name (RFC 7239, sections 6.2 and 6.3).
    Hidden,
    Malformed,
}

/// The nodes of each header that is there, the client's side first.
pub(super) fn chains(headers: &HeaderMap) -> [Option<Result<Vec<Node>, Ignored>>; 2] {
    [
        headers.contains_key(header::FORWARDED).then(|| forwarded(headers)),
        headers.contains_key(X_FORWARDED_FOR).then(|| x_forwarded_for(headers)),
    ]
}

fn x_forwarded_for(headers: &HeaderMap) -> Result<Vec<Node>, Ignored> {
    let mut nodes = Vec::new();
    for line in headers.get_all(X_FORWARDED_FOR) {
        let line = line.to_str().map_err(|_| Ignored::Malformed)?;
        for text in line.split(',') {
            push(&mut nodes, node(text.trim()))?;
        }
    }
    Ok(nodes)
}

fn forwarded(headers: &HeaderMap) -> Result<Vec<Node>, Ignored> {
    let mut nodes = Vec::new();
    for line in headers.get_all(header::FORWARDED) {
        let line = line.to_str().map_err(|_| Ignored::Malformed)?;
        let mut rest = line;
        loop {
            let (element, after) = split_unquoted(rest, ',').ok_or(Ignored::Malformed)?;
            push(&mut nodes, element_node(element)?)?;
            match after {
                Some(after) => rest = after,
                None => break,
            }
        }
    }
    Ok(nodes)
}

fn push(nodes: &mut Vec<Node>, node: Node) -> Result<(), Ignored> {
    if nodes.len() >= limits::FORWARDED_HOPS {
        return Err(Ignored::TooLong);
    }
    nodes.push(node);
    Ok(())
}

/// The `for` of one forwarded-element; one without hides the hop.
fn element_node(element: &str) -> Result<Node, Ignored> {
    let mut rest = element;
    let mut found = Node::Hidden;
    loop {
        let (pair, after) = split_unquoted(rest, ';').ok_or(Ignored::Malformed)?;
        if let Some((name, value)) = pair.split_once('=') {
            let value = unquoted(value.trim()).ok_or(Ignored::Malformed)?;
            if name.trim().eq_ignore_ascii_case("for") {
                found = node(value);
            }
        } else if !pair.trim().is_empty() {
            return Err(Ignored::Malformed);
        }
        match after {
            Some(after) => rest = after,
            None => return Ok(found),
        }
    }
}

/// Up to the first separator outside of quotes, and what follows it. `None` when a quote is not closed.
fn split_unquoted(text: &str, separator: char) -> Option<(&str, Option<&str>)> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == separator && !quoted => {
                let (before, after) = text.split_at_checked(at)?;
                return Some((before, after.strip_prefix(separator)));
            }
            _ => {}
        }
    }
    (!quoted).then_some((text, None))
}

/// A token as it is, a quoted string without its quotes. `None` for a mixture, and for escapes: no node needs any.
fn unquoted(value: &str) -> Option<&str> {
    let inner = match value.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"')?,
        None => value,
    };
    (!inner.contains(['"', '\\'])).then_some(inner)
}

/// An address, with or without port and brackets.
fn node(text: &str) -> Node {
    if text.eq_ignore_ascii_case("unknown") || text.starts_with('_') {
        return Node::Hidden;
    }
    match address(text) {
        // One host, one form: `::ffff:192.0.2.1` is 192.0.2.1.
        Some(address) => Node::Address(address.to_canonical()),
        None => Node::Malformed,
    }
}

fn address(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(address);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address.ip());
    }
    // `[2001:db8::1]`, and made-up ports (RFC 7239, section 6.3).
    if let Some(bracketed) = text.strip_prefix('[') {
        let (host, port) = bracketed.split_once(']')?;
        let address = host.parse::<Ipv6Addr>().ok()?;
        return (port.is_empty() || port.starts_with(":_")).then_some(address.into());
    }
    let (host, port) = text.split_once(':')?;
    host.parse::<Ipv4Addr>().ok().filter(|_| port.starts_with('_')).map(IpAddr::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: HeaderName, lines: &[&str]) -> Result<Vec<Node>, Ignored> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name.clone(), line.parse().unwrap());
        }
        chains(&headers).into_iter().flatten().next().unwrap()
    }

    fn at(text: &str) -> Node {
        Node::Address(text.parse().unwrap())
    }

    #[test]
    fn forwarded_is_read_as_its_rfc_shows_it() {
        for (lines, expected) in [
            (&["for=192.0.2.60;proto=http;by=203.0.113.43"][..], vec![at("192.0.2.60")]),
            (&["For=\"[2001:db8:cafe::17]:4711\""], vec![at("2001:db8:cafe::17")]),
            (&["for=192.0.2.43, for=198.51.100.17"], vec![at("192.0.2.43"), at("198.51.100.17")]),
            (&["for=192.0.2.43", "for=198.51.100.17"], vec![at("192.0.2.43"), at("198.51.100.17")]),
            (&["for=\"_gazonk\", for=unknown;x=\"a,b;c\""], vec![Node::Hidden, Node::Hidden]),
            (&["by=203.0.113.43;host=a.example"], vec![Node::Hidden]),
            (&["for=\"192.0.2.1:_port\";"], vec![at("192.0.2.1")]),
            (&["for=\"[::ffff:192.0.2.1]\""], vec![at("192.0.2.1")]),
        ] {
            assert_eq!(read(header::FORWARDED, lines), Ok(expected), "{lines:?}");
        }
    }

    #[test]
    fn x_forwarded_for_takes_ports_and_every_form_of_an_address() {
        let nodes = read(X_FORWARDED_FOR, &["192.0.2.1:80,2001:db8::1 , [2001:db8::2]", "[2001:db8::3]:9, unknown, x"]);
        let expected = ["192.0.2.1", "2001:db8::1", "2001:db8::2", "2001:db8::3"].map(at);
        let expected: Vec<Node> = expected.into_iter().chain([Node::Hidden, Node::Malformed]).collect();
        assert_eq!(nodes, Ok(expected));
    }

    #[test]
    fn what_is_no_address_is_malformed() {
        for text in
            ["", "1.2.3", "1.2.3.4.5", "[2001:db8::1", "2001:db8::1]", "[1.2.3.4]", "1.2.3.4:x", "a:_b", "[]", "[::1]9"]
        {
            assert_eq!(node(text), Node::Malformed, "{text}");
        }
    }

    #[test]
    fn a_quote_the_client_left_open_swallows_nothing() {
        for line in [
            "for=\"1.1.1.1, for=192.0.2.1",
            "for=1.1.1.1;x=\"\\\", for=192.0.2.1\"",
            "for=1.1.1.1;x=\", for=\"[2001:db8::1]\"",
            "for=\"1.1.1.1\"2, for=192.0.2.1",
            "1.1.1.1, for=192.0.2.1",
        ] {
            assert_eq!(read(header::FORWARDED, &[line]), Err(Ignored::Malformed), "{line}");
        }
    }

    #[test]
    fn hops_are_bounded() {
        let list = |count: usize, one: &str| vec![one; count].join(",");
        for (name, one) in [(X_FORWARDED_FOR, "192.0.2.1"), (header::FORWARDED, "for=192.0.2.1")] {
            let most = list(limits::FORWARDED_HOPS, one);
            assert_eq!(read(name.clone(), &[&most]).map(|nodes| nodes.len()), Ok(limits::FORWARDED_HOPS));
            assert_eq!(read(name, &[&most, one]), Err(Ignored::TooLong));
        }
    }
}
