//! The grammar of forwarding headers: `X-Forwarded-For`, and `Forwarded` as in
//! RFC 7239.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::canonical;

/// An address, or none where a hop is hidden, unknown or unreadable.
pub(super) type Hop = Option<IpAddr>;

/// The hops of a comma-separated list over several lines.
pub(super) fn list_hops(lines: &[&[u8]]) -> Vec<Hop> {
    lines.iter().flat_map(|line| line.split(|&byte| byte == b',')).map(parse_node).collect()
}

/// The `for` of each element of `Forwarded`; an element without one hides it.
pub(super) fn forwarded_hops(lines: &[&[u8]]) -> Result<Vec<Hop>, &'static str> {
    let mut hops = Vec::new();
    for line in lines {
        let line = std::str::from_utf8(line).map_err(|_| "is not text")?;
        for element in split_quoted(line, ',')? {
            hops.push(forwarded_for(element)?);
        }
    }
    Ok(hops)
}

fn forwarded_for(element: &str) -> Result<Hop, &'static str> {
    let mut hop = None;
    for pair in split_quoted(element, ';')? {
        let Some((name, value)) = pair.split_once('=') else {
            continue;
        };
        if name.trim().eq_ignore_ascii_case("for") {
            if hop.is_some() {
                return Err("has an element with two `for`");
            }
            let node = unquote(value.trim());
            hop = Some(parse_node(without_hidden_port(&node).as_bytes()));
        }
    }
    Ok(hop.flatten())
}

/// Removes a port that a proxy does not want to name: `192.0.2.1:_hidden`.
fn without_hidden_port(node: &str) -> &str {
    node.rsplit_once(':').filter(|(_, port)| port.starts_with('_')).map_or(node, |(node, _)| node)
}

/// Splits where `separator` stands outside of a quoted string.
fn split_quoted(text: &str, separator: char) -> Result<Vec<&str>, &'static str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            c if c == separator && !quoted => {
                parts.push(&text[start..at]);
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    if quoted { Err("has a quote that does not end") } else { Ok(parts) }
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    plain
}

/// Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`,
/// `[2001:db8::1]:80` and, where the whole is no address, `2001:db8::1:46532`; a
/// zone is dropped. `unknown`, `_hidden` and the unspecified addresses name
/// nobody.
pub(super) fn parse_node(node: &[u8]) -> Hop {
    let text = std::str::from_utf8(node).ok()?.trim();
    let bare = text.split_once('%').map_or(text, |(address, _)| address);
    let address = bare
        .parse::<IpAddr>()
        .or_else(|_| text.parse::<SocketAddr>().map(|address| address.ip()))
        .ok()
        .or_else(|| bracketed(text).map(IpAddr::V6))
        .or_else(|| split_port(text))?;
    known(address)
}

/// Reads an address that always has a port behind it. Of `2001:db8::1:443` the
/// last part is so never taken for a part of the address.
pub(super) fn parse_with_port(node: &[u8]) -> Hop {
    let text = std::str::from_utf8(node).ok()?.trim();
    split_port(text).and_then(known).or_else(|| parse_node(node))
}

/// An IPv6 address and a port without brackets.
fn split_port(text: &str) -> Option<IpAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    address.parse::<Ipv6Addr>().ok().filter(|_| is_port).map(IpAddr::V6)
}

/// The unspecified addresses name nobody.
fn known(address: IpAddr) -> Hop {
    Some(canonical(address)).filter(|address| !address.is_unspecified())
}

fn bracketed(text: &str) -> Option<Ipv6Addr> {
    let (inside, after) = text.strip_prefix('[')?.split_once(']')?;
    let address = inside.split_once('%').map_or(inside, |(address, _)| address);
    let address = address.parse().ok()?;
    match after.strip_prefix(':') {
        None if after.is_empty() => Some(address),
        None => None,
        Some(port) => port.parse().ok().map(|port| *SocketAddrV6::new(address, port, 0, 0).ip()),
    }
}
