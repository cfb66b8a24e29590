//! Listening sockets for programs that cannot report a port of their own choice.
//!
//! The test binds port 0 and hands the socket over as standard input, so nobody can take the port in between.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::Stdio;

use anyhow::Result;

/// A bound and listening socket on loopback.
#[derive(Debug)]
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Binds a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When the system has none left.
    pub fn loopback() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The bound address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The socket as the standard input (descriptor 0) of a child.
    #[must_use]
    pub fn into_stdin(self) -> Stdio {
        Stdio::from(OwnedFd::from(self.listener))
    }
}
