//! Binds listeners: one socket per worker on the same address, so that the kernel spreads connections.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections that the kernel holds until a worker accepts them; it caps this at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// Binds `workers` sockets to one address and returns them with the address they got.
///
/// `[::]` accepts IPv4 too; on a machine without IPv6 it means `0.0.0.0`.
///
/// # Errors
/// What the kernel says, with [`io::ErrorKind::AddrInUse`] also when another process would share the port with us.
pub fn bind(address: SocketAddr, workers: usize) -> io::Result<(Vec<std::net::TcpListener>, SocketAddr)> {
    let address = match Socket::new(Domain::for_address(address), Type::STREAM, None) {
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() => (Ipv4Addr::UNSPECIFIED, address.port()).into(),
        _ => address,
    };
    // Sockets that share a port also share it with other processes of this user. An exclusive one finds those.
    let exclusive = socket(address, false)?;
    let bound = exclusive.local_addr()?.as_socket().unwrap_or(address);
    drop(exclusive);
    let listeners = (0..workers.max(1)).map(|_| {
        let socket = socket(bound, true)?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    });
    Ok((listeners.collect::<io::Result<_>>()?, bound))
}

fn socket(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(share)?;
    // Accepted sockets inherit it, which saves a system call for each.
    socket.set_tcp_nodelay(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    socket.bind(&address.into())?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_an_address_but_others_do_not() {
        let (listeners, bound) = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        assert_eq!(listeners.len(), 3);
        assert!(listeners.iter().all(|listener| listener.local_addr().unwrap() == bound));
        assert_eq!(bind(bound, 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
    }
}
