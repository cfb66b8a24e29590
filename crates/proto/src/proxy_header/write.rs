//! Writes headers.

use std::net::{IpAddr, SocketAddr};

use proxy_header::{ProxiedAddress, ProxyHeader};

use super::{Origin, Version};

/// Appends the header that says whose connection this is; it must be the first that is sent on the connection.
///
/// Addresses leave in their shortest form; when one is IPv4 and the other IPv6, as on a socket for both, the IPv4 one is
/// written as the IPv6 address that stands for it. [`Origin::Local`] and [`Origin::Unknown`] mean the same to whoever
/// reads the header: version 1 has only UNKNOWN for them, and version 2 headers are written as LOCAL.
pub fn write(version: Version, origin: Origin, out: &mut Vec<u8>) {
    let header = match origin {
        Origin::Local | Origin::Unknown => ProxyHeader::with_local(),
        Origin::Proxied { source, destination } => {
            let (source, destination) = of_one_family(canonical(source), canonical(destination));
            ProxyHeader::with_address(ProxiedAddress::stream(source, destination))
        }
    };
    let encoded = match version {
        Version::V1 => header.encode_v1(out),
        Version::V2 => header.encode_v2(out),
    };
    // Only addresses of two families, datagrams and elements can fail, and here are none.
    debug_assert!(encoded.is_ok(), "{encoded:?}");
}

fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn of_one_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    if source.is_ipv4() == destination.is_ipv4() { (source, destination) } else { (as_v6(source), as_v6(destination)) }
}

fn as_v6(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), address.port()),
        IpAddr::V6(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Header, Progress, parse};
    use super::*;

    fn written(version: Version, origin: Origin) -> Vec<u8> {
        let mut out = Vec::new();
        write(version, origin, &mut out);
        out
    }

    fn read(bytes: &[u8]) -> Header {
        match parse(bytes) {
            Ok(Progress::Complete { consumed, header }) if consumed == bytes.len() => header,
            other => panic!("{other:?} for {}", bytes.escape_ascii()),
        }
    }

    fn proxied(source: &str, destination: &str) -> Origin {
        Origin::Proxied { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
    }

    #[test]
    fn writes_version_1() {
        for (origin, line) in [
            (proxied("192.0.2.7:12345", "198.51.100.1:443"), "PROXY TCP4 192.0.2.7 198.51.100.1 12345 443\r\n"),
            (proxied("[::ffff:192.0.2.7]:1", "198.51.100.1:2"), "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n"),
            (proxied("[2001:db8::1]:1", "[::1]:2"), "PROXY TCP6 2001:db8::1 ::1 1 2\r\n"),
            (proxied("192.0.2.7:1", "[::1]:2"), "PROXY TCP6 ::ffff:192.0.2.7 ::1 1 2\r\n"),
            (Origin::Unknown, "PROXY UNKNOWN\r\n"),
            (Origin::Local, "PROXY UNKNOWN\r\n"),
        ] {
            assert_eq!(String::from_utf8(written(Version::V1, origin)).unwrap(), line);
        }
    }

    #[test]
    fn writes_version_2() {
        let signature = b"\r\n\r\n\0\r\nQUIT\n";
        let v4 = [&signature[..], &[0x21, 0x11, 0, 12, 192, 0, 2, 7, 198, 51, 100, 1, 0x30, 0x39, 1, 0xbb]].concat();
        assert_eq!(written(Version::V2, proxied("192.0.2.7:12345", "198.51.100.1:443")), v4);
        let local = [&signature[..], &[0x20, 0, 0, 0]].concat();
        assert_eq!(written(Version::V2, Origin::Local), local);
        assert_eq!(written(Version::V2, Origin::Unknown), local);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(source: SocketAddr, destination: SocketAddr, second: bool) {
            let version = if second { Version::V2 } else { Version::V1 };
            let header = read(&written(version, Origin::Proxied { source, destination }));
            prop_assert_eq!(header.version, version);
            let Origin::Proxied { source: s, destination: d } = header.origin else { panic!("{header:?}") };
            prop_assert_eq!((canonical(s), canonical(d)), (canonical(source), canonical(destination)));
        }
    }
}
