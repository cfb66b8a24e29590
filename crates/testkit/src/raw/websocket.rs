//! A WebSocket client by hand (RFC 6455), for tests that look at single frames.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::{RawClient, RawError, Response};

/// The Sec-WebSocket-Key of every handshake: the sample of RFC 6455 section 1.3.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The Sec-WebSocket-Accept that belongs to [`KEY`].
pub const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Whether it is the last frame of its message.
    pub fin: bool,
    /// The opcode, 0 to 15.
    pub opcode: u8,
    /// The payload without its mask.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A text message of one frame.
    pub fn text(text: &str) -> Self {
        Self { fin: true, opcode: 1, payload: text.as_bytes().to_vec() }
    }

    /// A Close frame with `code`.
    pub fn close(code: u16) -> Self {
        Self { fin: true, opcode: 8, payload: code.to_be_bytes().to_vec() }
    }

    /// The code of a Close frame.
    pub fn close_code(&self) -> Option<u16> {
        let code = self.payload.first_chunk().filter(|_| self.opcode == 8)?;
        Some(u16::from_be_bytes(*code))
    }

    /// The bytes on the wire, masked as a client's if `mask` is given.
    pub fn encode(&self, mask: Option<[u8; 4]>) -> Vec<u8> {
        let mut bytes = vec![self.opcode | if self.fin { 0x80 } else { 0 }];
        let masked = if mask.is_some() { 0x80 } else { 0 };
        match (u8::try_from(self.payload.len()), u16::try_from(self.payload.len())) {
            (Ok(length @ 0..=125), _) => bytes.push(masked | length),
            (_, Ok(length)) => {
                bytes.push(masked | 126);
                bytes.extend_from_slice(&length.to_be_bytes());
            }
            _ => {
                bytes.push(masked | 127);
                bytes.extend_from_slice(&(self.payload.len() as u64).to_be_bytes());
            }
        }
        bytes.extend(mask.iter().flatten());
        let mask = mask.unwrap_or_default();
        bytes.extend(self.payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        bytes
    }
}

/// The head of a handshake for `target`, which can be sent as it is.
pub fn handshake(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: limpet.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    )
}

/// An open WebSocket.
#[derive(Debug)]
pub struct RawWebSocket {
    client: RawClient,
}

impl RawWebSocket {
    /// Connects and asks for an upgrade of `target`. `Ok(Err(response))` is an answer other than a valid 101.
    pub fn connect(address: SocketAddr, target: &str) -> Result<Result<Self, Response>, RawError> {
        let mut client = RawClient::connect(address).map_err(RawError::Io)?;
        client.send(handshake(target).as_bytes()).map_err(RawError::Io)?;
        let response = client.response()?;
        let accepted = response.status == 101 && response.header("sec-websocket-accept") == Some(ACCEPT);
        Ok(if accepted { Ok(Self { client }) } else { Err(response) })
    }

    /// Takes a connection on which a handshake has been answered with 101.
    pub fn over(client: RawClient) -> Self {
        Self { client }
    }

    /// Sends a frame, masked.
    pub fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.client.send(&frame.encode(Some([0x6c, 0x69, 0x6d, 0x70])))
    }

    /// Reads one frame.
    pub fn frame(&mut self) -> Result<Frame, RawError> {
        let [first, second] = self.array()?;
        let length = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes(self.array()?)),
            127 => u64::from_be_bytes(self.array()?),
            short => u64::from(short),
        };
        let length = usize::try_from(length).map_err(|_| RawError::Malformed("frame too long".to_owned()))?;
        let mask: [u8; 4] = if second & 0x80 == 0 { [0; 4] } else { self.array()? };
        let payload = self.client.read_exact(length)?;
        let payload = payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        Ok(Frame { fin: first & 0x80 != 0, opcode: first & 0x0f, payload })
    }

    /// Sets how long one later operation may take.
    pub fn set_limit(&mut self, limit: Duration) {
        self.client.set_limit(limit);
    }

    /// Gives the connection back for raw bytes.
    pub fn into_raw(self) -> RawClient {
        self.client
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RawError> {
        let bytes = self.client.read_exact(N)?;
        bytes.try_into().map_err(|_| RawError::Malformed("short read".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn frames_survive_a_round_trip_at_every_length_form() {
        let frames: Vec<_> = [0, 5, 125, 126, 65_535, 65_536]
            .map(|length| Frame { fin: length != 5, opcode: 2, payload: vec![7; length] })
            .to_vec();
        for mask in [None, Some([1, 2, 3, 4])] {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let bytes: Vec<u8> = frames.iter().flat_map(|frame| frame.encode(mask)).collect();
            thread::spawn(move || listener.accept().unwrap().0.write_all(&bytes));
            let mut socket = RawWebSocket { client: RawClient::connect(address).unwrap() };
            for frame in &frames {
                assert_eq!(&socket.frame().unwrap(), frame);
            }
        }
    }

    #[test]
    fn a_close_frame_tells_its_code() {
        assert_eq!(Frame::close(1012).close_code(), Some(1012));
        assert_eq!(Frame::text("ab").close_code(), None);
    }
}
