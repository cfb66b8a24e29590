//! Tunnels that have carried one message and then keep still.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use anyhow::Context as _;

use super::Session;
use super::client::{message, open_plain};

const ECHO_BYTES: usize = 1024;

/// Open, idle tunnels.
pub(crate) struct IdleTunnels {
    streams: Vec<TcpStream>,
}

impl IdleTunnels {
    /// Opens tunnels and echoes 1 KiB on each: upgraded Engine.IO sessions, or WebSockets that never were a session.
    ///
    /// # Errors
    ///
    /// Fails when a tunnel cannot be opened or does not echo.
    pub(crate) fn open(proxy: SocketAddr, count: usize, engine_io: bool) -> anyhow::Result<Self> {
        let (frame, _, echo_bytes) = message(ECHO_BYTES);
        let mut echo = vec![0; echo_bytes];
        let mut streams = Vec::with_capacity(count);
        for index in 0..count {
            let mut stream = if engine_io {
                let mut session = Session::open(proxy, index)?;
                session.upgrade()?;
                session.into_stream()
            } else {
                open_plain(proxy, index)?
            };
            stream.write_all(&frame)?;
            stream.read_exact(&mut echo).with_context(|| format!("echo on tunnel {index}"))?;
            streams.push(stream);
        }
        Ok(Self { streams })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.streams.len()
    }
}
