//! One Socket.IO client by hand, on a WebSocket of version 4, that reads only when it is told to.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::websocket::{Frame, RawWebSocket};

/// How long one answer may take on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A client that has joined `/`.
#[derive(Debug)]
pub struct RawSocket {
    socket: RawWebSocket,
}

impl RawSocket {
    /// Connects and joins `/`.
    ///
    /// # Errors
    /// When the server does not let it in.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let socket = RawWebSocket::connect(address, "/socket.io/?EIO=4&transport=websocket")?;
        let Ok(mut socket) = socket else { bail!("the server refused a WebSocket: {socket:?}") };
        socket.set_limit(LIMIT);
        let mut client = Self { socket };
        client.receive().context("no handshake")?;
        client.send("40")?;
        let reply = client.receive().context("no CONNECT")?;
        if !reply.starts_with("40") {
            bail!("the server refused a client: {reply}");
        }
        Ok(client)
    }

    /// Sends a packet as it is written, with both types: `42["name"]`.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, packet: &str) -> Result<()> {
        Ok(self.socket.send(&Frame::text(packet))?)
    }

    /// Reads the next packet other than a ping, which is answered.
    ///
    /// # Errors
    /// When the connection ends, or nothing comes.
    pub fn receive(&mut self) -> Result<String> {
        loop {
            let frame = self.socket.frame()?;
            match (frame.opcode, frame.payload.as_slice()) {
                (1, b"2") => self.send("3")?,
                (1, text) => return Ok(String::from_utf8(text.to_vec())?),
                (opcode, _) => bail!("a frame with opcode {opcode} came: {frame:?}"),
            }
        }
    }

    /// Sends an event (`["name",...]`) and returns what it is acknowledged with. Events that come meanwhile are lost.
    ///
    /// # Errors
    /// As for [`Self::next`].
    pub fn ask(&mut self, event: &str) -> Result<String> {
        self.send(&format!("421{event}"))?;
        loop {
            if let Some(answer) = self.receive()?.strip_prefix("431") {
                return Ok(answer.to_owned());
            }
        }
    }
}
