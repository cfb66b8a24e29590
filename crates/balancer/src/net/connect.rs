//! Opens a connection to an endpoint and sends the first bytes on it, with as few system calls as that can take.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpStream;

use super::deadline::Deadline;
use super::stream::{Outgoing, Stream};

/// Connects to `address` and sends what it can of `out` at once.
///
/// On the same machine and in the same rack the handshake is often over when the first send is tried, which saves a
/// wake-up.
///
/// # Errors
/// What the socket says; [`io::ErrorKind::TimedOut`] when the deadline passes. Nothing was sent in both cases.
pub async fn connect(address: SocketAddr, out: &mut Outgoing, deadline: &Deadline) -> io::Result<Stream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), Some(Protocol::TCP))?;
    socket.set_tcp_nodelay(true)?;
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
    let socket = TcpStream::from_std(socket.into())?;
    match sent {
        Some(count) => out.advance(count),
        None => {
            poll_fn(|cx| match socket.poll_write_ready(cx) {
                Poll::Ready(result) => Poll::Ready(result),
                Poll::Pending => deadline.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
            })
            .await?;
            if let Some(error) = socket.take_error()? {
                return Err(error);
            }
        }
    }
    Ok(Stream::new(socket))
}
