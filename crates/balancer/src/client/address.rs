//! Who the client is when trusted proxies stand between it and us.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use limpet_proto::http1::headers::Known;
use limpet_proto::http1::request_head::Lines;

use super::Origin;

/// Returns the address of the client: the peer's own, or, when the peer is trusted, the last address in
/// `X-Forwarded-For` that is not trusted itself (nginx's `real_ip_recursive on`). A value that is no address ends the
/// search: what is left of it could have been written by anybody.
pub fn resolve(origin: &Origin, trusted: &[IpNet], lines: &Lines<'_, '_>) -> IpAddr {
    let mut client = origin.ip();
    if !origin.trusted {
        return client;
    }
    let entries = lines.all(Known::XForwardedFor).rev().flat_map(|value| value.rsplit(|byte| *byte == b','));
    for entry in entries {
        let Some(address) = parse(entry) else { break };
        client = address;
        if !trusted.iter().any(|network| network.contains(&client)) {
            break;
        }
    }
    client
}

/// Writes an address as text; every new connection needs it, and `to_string` costs ten times as much.
pub fn text(address: IpAddr) -> Box<str> {
    let IpAddr::V4(address) = address else { return address.to_string().into() };
    let octets = address.octets();
    let length: usize = octets.iter().map(|octet| 1 + usize::from(*octet > 9) + usize::from(*octet > 99)).sum();
    let mut text = String::with_capacity(length + 3);
    for (at, octet) in octets.into_iter().enumerate() {
        if at > 0 {
            text.push('.');
        }
        for (unit, needed) in [(100, octet > 99), (10, octet > 9), (1, true)] {
            if needed {
                text.push(char::from(b'0' + octet / unit % 10));
            }
        }
    }
    text.into()
}

/// Reads one entry: an address, with a port as some proxies write it, IPv6 also in brackets.
fn parse(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let address = text.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    let address = address.or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok());
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use limpet_proto::http1::request_head::{RequestHead, Slots};

    use super::*;

    fn resolved(peer: &str, forwarded: &[&str]) -> String {
        let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let peer: SocketAddr = peer.parse().unwrap();
        let is_trusted = trusted.iter().any(|network| network.contains(&peer.ip()));
        let lines: String = forwarded.iter().map(|value| format!("X-Forwarded-For: {value}\r\n")).collect();
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        let mut slots = Slots::new();
        let head = RequestHead::parse(head.as_bytes(), &mut slots).unwrap();
        resolve(&Origin::new(peer, is_trusted, 0), &trusted, &head.lines).to_string()
    }

    #[test]
    fn text_is_what_everybody_writes() {
        for address in ["0.0.0.0", "9.10.99.100", "127.0.0.1", "255.255.255.255", "::1", "2001:db8::ff00:42"] {
            assert_eq!(*text(address.parse().unwrap()), *address);
        }
    }

    #[test]
    fn the_last_address_that_is_not_trusted_is_the_clients() {
        let table: [(&str, &[&str], &str); 10] = [
            ("1.2.3.4:5", &["9.9.9.9"], "1.2.3.4"),
            ("10.0.0.1:5", &[], "10.0.0.1"),
            ("10.0.0.1:5", &["9.9.9.9"], "9.9.9.9"),
            ("10.0.0.1:5", &["6.6.6.6, 9.9.9.9, 10.0.0.2"], "9.9.9.9"),
            ("10.0.0.1:5", &["6.6.6.6", "9.9.9.9,10.0.0.2"], "9.9.9.9"),
            ("10.0.0.1:5", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1:5", &["6.6.6.6, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1:5", &["9.9.9.9:4711"], "9.9.9.9"),
            ("[fd00::1]:5", &["[2001:db8::7]:80"], "2001:db8::7"),
            ("[fd00::1]:5", &["::ffff:9.9.9.9"], "9.9.9.9"),
        ];
        for (peer, forwarded, client) in table {
            assert_eq!(resolved(peer, forwarded), client, "{peer} {forwarded:?}");
        }
    }
}
