//! Opens a connection to an endpoint and sends the first bytes on it, with as few system calls as that can take.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use mio::Interest;
use socket2::{Domain, Protocol, Type};

use super::deadline::Deadline;
use super::socket::Socket;
use super::stream::{Outgoing, Stream};
use crate::tunnel::berth::{Berth, From};

/// Connects to `address` and sends what it can of `out` at once. The connection of an upgrade takes its berth in the
/// tunnel engine.
///
/// On the same machine and in the same rack the handshake is often over when the first send is tried, which saves a
/// wake-up.
///
/// # Errors
/// What the socket says; [`io::ErrorKind::TimedOut`] when the deadline passes. Nothing was sent in both cases.
pub async fn connect(
    address: SocketAddr,
    out: &mut Outgoing,
    deadline: &Deadline,
    berth: Option<&Rc<Berth>>,
) -> io::Result<Stream> {
    let socket = socket2::Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
    // The first bytes follow at once and carry the last acknowledgement of the handshake: one packet less, and an
    // endpoint that finds the request as soon as it accepts. Where the kernel knows no such thing nothing is lost.
    if !out.is_flushed() {
        let _ = rustix::net::sockopt::set_tcp_quickack(&socket, false);
    }
    match socket.connect(&address.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        Err(error) => return Err(error),
    }
    let sent = match socket.send(out.rest()) {
        Ok(count) => Some(count),
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => None,
        Err(error) => return Err(error),
    };
    let interest = if sent.is_some() { Interest::READABLE } else { Interest::READABLE | Interest::WRITABLE };
    let mut socket = match berth {
        Some(berth) => Socket::in_engine(socket.into(), berth, From::Upstream, interest)?,
        None => Socket::in_runtime(socket.into())?,
    };
    match sent {
        Some(count) => out.advance(count),
        None => {
            poll_fn(|cx| match socket.poll_connected(cx) {
                Poll::Pending => deadline.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
                ready => ready,
            })
            .await?;
        }
    }
    Ok(Stream::new(socket))
}
