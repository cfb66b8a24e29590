//! A small blocking client that sends exactly the bytes it is given and reads answers strictly.
//!
//! Every read has a deadline, so a silent counterpart fails a test instead of hanging it. The reader believes nothing:
//! a body that ends early is [`RawError::CutShort`], never a short answer.

pub mod response;
pub mod socketio;
pub mod websocket;

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, connect, socket_with};

pub use response::{Answers, Framing, Response};

/// How long one operation may take unless [`RawClient::set_limit`] says otherwise: longer than a busy machine is late, and
/// shorter than the timeouts that a product has without being told.
pub const DEFAULT_LIMIT: Duration = Duration::from_secs(20);

/// Why an answer could not be read.
#[derive(Debug)]
#[non_exhaustive]
pub enum RawError {
    /// The connection ended, in order or by a reset, before the first byte of an answer.
    Closed,
    /// The connection ended inside an answer; holds what had arrived of it, head included.
    CutShort(Vec<u8>),
    /// The deadline passed; holds what had arrived.
    TimedOut(Vec<u8>),
    /// The bytes are no HTTP/1.x answer, and why.
    Malformed(String),
    /// Any other failure of the socket.
    Io(io::Error),
}

impl fmt::Display for RawError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the connection is closed"),
            Self::CutShort(seen) => write!(f, "the connection ended inside an answer: {}", seen.escape_ascii()),
            Self::TimedOut(seen) => write!(f, "nothing came in time, after: {}", seen.escape_ascii()),
            Self::Malformed(why) => write!(f, "not an HTTP answer: {why}"),
            Self::Io(error) => write!(f, "socket: {error}"),
        }
    }
}

impl std::error::Error for RawError {}

/// One TCP connection to the program under test.
#[derive(Debug)]
pub struct RawClient {
    stream: TcpStream,
    buffer: Vec<u8>,
    limit: Duration,
}

impl RawClient {
    /// Connects to `address` within [`DEFAULT_LIMIT`].
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, DEFAULT_LIMIT)?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new(), limit: DEFAULT_LIMIT })
    }

    /// Connects from a local address of the test's choice, for example within 127.0.0.0/8.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> io::Result<Self> {
        let family = if source.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        // A child of another test that got a copy would keep the connection open.
        let socket = socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        bind(&socket, &SocketAddr::new(source, 0))?;
        // Without a limit: on loopback a connection is made or refused at once.
        connect(&socket, &address)?;
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new(), limit: DEFAULT_LIMIT })
    }

    /// Sets how long one later read, or one silence of the other side while sending, may take.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// The address of this side.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.stream.local_addr()
    }

    /// Sends `bytes` as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(self.limit))?;
        self.stream.write_all(bytes)
    }

    /// Ends the sending direction (FIN); answers can still be read.
    pub fn finish(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }

    /// Sends a GET for `target` with a Host field and reads its answer.
    pub fn get(&mut self, target: &str) -> Result<Response, RawError> {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: limpet.test\r\n\r\n").as_bytes()).map_err(RawError::Io)?;
        self.response()
    }

    /// Reads one answer to a request other than HEAD, interim ones (1xx) included.
    pub fn response(&mut self) -> Result<Response, RawError> {
        self.response_to(Answers::Other)
    }

    /// Reads one answer, interim ones (1xx) included, framed for the method it answers (RFC 9112 section 6.3).
    pub fn response_to(&mut self, answers: Answers) -> Result<Response, RawError> {
        let deadline = Instant::now() + self.limit;
        let mut ended = false;
        loop {
            match response::take(&mut self.buffer, answers, ended) {
                Ok(Some(response)) => return Ok(response),
                Ok(None) if ended && self.buffer.is_empty() => return Err(RawError::Closed),
                Ok(None) if ended => return Err(RawError::CutShort(std::mem::take(&mut self.buffer))),
                Ok(None) => {}
                Err(why) => return Err(RawError::Malformed(why)),
            }
            match self.fill(deadline) {
                Ok(0) => ended = true,
                Ok(_) => {}
                // A reset never completes a body that only the end of the connection delimits.
                Err(error) if is_reset(&error) && self.buffer.is_empty() => return Err(RawError::Closed),
                Err(error) if is_reset(&error) => return Err(RawError::CutShort(std::mem::take(&mut self.buffer))),
                Err(error) if is_timeout(&error) => return Err(RawError::TimedOut(self.buffer.clone())),
                Err(error) => return Err(RawError::Io(error)),
            }
        }
    }

    /// Reads exactly `count` bytes.
    pub fn read_exact(&mut self, count: usize) -> Result<Vec<u8>, RawError> {
        let deadline = Instant::now() + self.limit;
        while self.buffer.len() < count {
            match self.fill(deadline) {
                Ok(0) => return Err(RawError::CutShort(std::mem::take(&mut self.buffer))),
                Ok(_) => {}
                Err(error) if is_reset(&error) => return Err(RawError::CutShort(std::mem::take(&mut self.buffer))),
                Err(error) if is_timeout(&error) => return Err(RawError::TimedOut(self.buffer.clone())),
                Err(error) => return Err(RawError::Io(error)),
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    /// Reads until the connection ends, in order or by a reset, and returns the rest.
    pub fn read_to_end(&mut self) -> Result<Vec<u8>, RawError> {
        let deadline = Instant::now() + self.limit;
        loop {
            match self.fill(deadline) {
                Ok(0) => return Ok(std::mem::take(&mut self.buffer)),
                Ok(_) => {}
                Err(error) if is_reset(&error) => return Ok(std::mem::take(&mut self.buffer)),
                Err(error) if is_timeout(&error) => return Err(RawError::TimedOut(self.buffer.clone())),
                Err(error) => return Err(RawError::Io(error)),
            }
        }
    }

    fn fill(&mut self, deadline: Instant) -> io::Result<usize> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut chunk = [0; 16 * 1024];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(count) => {
                    self.buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// A client whose counterpart writes `bytes` and closes.
    fn client_of(bytes: &'static [u8]) -> RawClient {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || listener.accept().unwrap().0.write_all(bytes).unwrap());
        RawClient::connect(address).unwrap()
    }

    #[test]
    fn reads_answers_in_order_and_then_the_end() {
        let mut client = client_of(
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 204 N\r\n\r\n",
        );
        assert_eq!(client.response().unwrap().status, 100);
        assert_eq!(client.response().unwrap().body, b"ok");
        assert_eq!(client.response().unwrap().status, 204);
        assert!(matches!(client.response(), Err(RawError::Closed)));
    }

    #[test]
    fn a_short_body_is_an_error() {
        let mut client = client_of(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok");
        assert!(matches!(client.response(), Err(RawError::CutShort(_))));
        let mut client = client_of(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n");
        assert!(matches!(client.response(), Err(RawError::CutShort(_))));
    }

    #[test]
    fn silence_is_a_timeout() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut client = RawClient::connect(listener.local_addr().unwrap()).unwrap();
        client.set_limit(Duration::from_millis(20));
        assert!(matches!(client.response(), Err(RawError::TimedOut(_))));
    }

    #[test]
    fn a_head_answer_has_no_body() {
        let mut client =
            client_of(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 404 N\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(client.response_to(Answers::Head).unwrap().status, 200);
        assert_eq!(client.response().unwrap().status, 404);
    }
}
