//! `localhost` names one server, not two: of its two addresses the one is taken on which something accepts.
//!
//! A server that listens on "localhost" has chosen one of 127.0.0.1 and ::1, and which one depends on its language and its
//! version. Nobody who writes `localhost:3000` wants to know. The address in use is kept while something accepts there, so
//! that sessions stay; before that IPv4 is preferred.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpStream;

use super::super::name::{Family, Part};

/// What `localhost` stands for (RFC 6761 section 6.3).
pub(super) const PAIR: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

/// Time for a connection on this machine.
const CONNECT: Duration = Duration::from_secs(1);

/// The time until a pair is looked at again on which nothing accepts.
const AGAIN: Duration = Duration::from_secs(2);

/// Returns whether a name is that of this machine, whatever DNS says.
pub(super) fn is_localhost(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost")
}

/// Chooses one of the addresses if they are loopback addresses of both families; also returns when to look again, if not
/// at the usual time.
pub(super) async fn settle(
    parts: &[(Family, Part<Vec<IpAddr>>); 2],
    port: u16,
    current: &[SocketAddr],
) -> Option<([(Family, Part<Vec<IpAddr>>); 2], Option<Duration>)> {
    let [(_, Part::Found(v4)), (_, Part::Found(v6))] = parts else {
        return None;
    };
    let mut addresses: Vec<IpAddr> = v4.iter().chain(v6).copied().collect();
    if !addresses.iter().all(IpAddr::is_loopback) {
        return None;
    }
    // The one in use first; the order is IPv4, IPv6 else.
    addresses.sort_by_key(|ip| !current.contains(&SocketAddr::new(*ip, port)));
    let mut chosen = None;
    for ip in &addresses {
        if accepts(SocketAddr::new(*ip, port)).await {
            chosen = Some(*ip);
            break;
        }
    }
    let again = chosen.is_none().then_some(AGAIN);
    let one = chosen.or_else(|| addresses.first().copied())?;
    let part = |of_family: bool| if of_family { Part::Found(vec![one]) } else { Part::Missing };
    Some(([(Family::V4, part(one.is_ipv4())), (Family::V6, part(one.is_ipv6()))], again))
}

async fn accepts(address: SocketAddr) -> bool {
    matches!(tokio::time::timeout(CONNECT, TcpStream::connect(address)).await, Ok(Ok(_)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn parts() -> [(Family, Part<Vec<IpAddr>>); 2] {
        [(Family::V4, Part::Found(vec![PAIR[0]])), (Family::V6, Part::Found(vec![PAIR[1]]))]
    }

    async fn chosen(port: u16, current: &[SocketAddr]) -> (IpAddr, bool) {
        let (parts, again) = settle(&parts(), port, current).await.expect("a pair");
        let found = parts.into_iter().find_map(|(_, part)| match part {
            Part::Found(found) => found.first().copied(),
            _ => None,
        });
        (found.expect("one"), again.is_some())
    }

    /// Listens on one port of both addresses.
    fn listeners() -> (u16, TcpListener, TcpListener) {
        loop {
            let v6 = TcpListener::bind((PAIR[1], 0)).expect("a port");
            let port = v6.local_addr().expect("an address").port();
            // Somebody else may have that one.
            if let Ok(v4) = TcpListener::bind((PAIR[0], port)) {
                return (port, v4, v6);
            }
        }
    }

    #[tokio::test]
    async fn the_address_on_which_something_accepts_is_taken() {
        let (port, v4, v6) = listeners();
        assert_eq!(chosen(port, &[]).await, (PAIR[0], false));
        let on_v6 = [SocketAddr::new(PAIR[1], port)];
        assert_eq!(chosen(port, &on_v6).await, (PAIR[1], false), "sessions stay");
        drop(v4);
        assert_eq!(chosen(port, &[]).await, (PAIR[1], false), "a server on ::1 alone is found");
        drop(v6);
        assert_eq!(chosen(port, &[]).await, (PAIR[0], true), "nobody listens yet");
        assert_eq!(chosen(port, &on_v6).await, (PAIR[1], true), "nobody listens any more");
    }

    #[tokio::test]
    async fn what_is_no_pair_of_loopback_addresses_is_left_alone() {
        let mut other = parts();
        other[0].1 = Part::Found(vec![[192, 0, 2, 1].into()]);
        assert!(settle(&other, 1, &[]).await.is_none());
        other[0].1 = Part::Missing;
        assert!(settle(&other, 1, &[]).await.is_none());
    }

    #[test]
    fn localhost_is_known() {
        assert!(["localhost", "LOCALHOST.", "app.localhost"].into_iter().all(is_localhost));
        assert!(!["notlocalhost", "localhost.example"].into_iter().any(is_localhost));
    }
}
