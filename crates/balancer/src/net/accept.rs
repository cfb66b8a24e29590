//! Accepts connections without letting a reactor watch them: who does is decided when they have to be waited for.
#![expect(unsafe_code, reason = "the runtime watches a descriptor only on the promise that it stays open")]

use std::io;
use std::net::SocketAddr;

use mio::net::{TcpListener, TcpStream};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A listening socket that the current runtime watches.
#[derive(Debug)]
pub struct Acceptor(AsyncFd<TcpListener>);

impl Acceptor {
    /// Wraps a listening socket, which must not block.
    ///
    /// # Errors
    /// What the reactor says.
    pub fn new(listener: std::net::TcpListener) -> io::Result<Self> {
        let listener = TcpListener::from_std(listener);
        // SAFETY: the listener owns its descriptor, keeps it for all its life, and nobody takes it out of the `AsyncFd`.
        let watched = unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) }?;
        Ok(Self(watched))
    }

    /// Accepts the next connection.
    ///
    /// # Errors
    /// What the kernel says; the next call may succeed.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.0.async_io(Interest::READABLE, TcpListener::accept).await
    }
}
