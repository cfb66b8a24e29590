//! The blocking client that opens Engine.IO sessions before the measured loops take the sockets over.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};
use socket2::{Domain, Socket, Type};

use crate::network;

/// What a browser sends with a long-polling request.
pub(crate) const BROWSER_HEADERS: &str = "Connection: keep-alive\r\n\
    sec-ch-ua-platform: \"Linux\"\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
    sec-ch-ua: \"Chromium\";v=\"142\", \"Google Chrome\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\n\
    Accept: */*\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Referer: http://chat.example.com/rooms/lobby\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\n";
/// What a browser sends to upgrade a connection.
pub(crate) const UPGRADE_HEADERS: &str = "Connection: Upgrade\r\n\
    Pragma: no-cache\r\n\
    Cache-Control: no-cache\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
    Upgrade: websocket\r\n\
    Origin: http://chat.example.com\r\n\
    Sec-WebSocket-Version: 13\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A connection through the proxy with its session.
pub(crate) struct Session {
    stream: TcpStream,
    host: SocketAddr,
    sid: String,
    cookie: String,
}

impl Session {
    /// Connects and does the polling handshake.
    ///
    /// # Errors
    ///
    /// Fails when the proxy does not answer within five seconds, or not with a session.
    pub(crate) fn open(proxy: SocketAddr, index: usize) -> anyhow::Result<Self> {
        let stream = connect(proxy, index)?;
        let mut session = Self { stream, host: proxy, sid: String::new(), cookie: String::new() };
        let request = session.request("transport=polling&t=PVx0001", BROWSER_HEADERS);
        let answer = session.exchange(&request).context("handshake")?;
        let text = String::from_utf8_lossy(&answer);
        if !text.starts_with("HTTP/1.1 200") {
            bail!("handshake answered with {text}");
        }
        let (head, body) = text.split_once("\r\n\r\n").context("no body")?;
        let (_, rest) = body.split_once("\"sid\":\"").with_context(|| format!("no sid in {body}"))?;
        session.sid = rest.split('"').next().unwrap_or_default().to_owned();
        session.cookie = cookies(head);
        Ok(session)
    }

    /// Bytes of one polling request of this session.
    pub(crate) fn poll_request(&self) -> Vec<u8> {
        self.request(&format!("transport=polling&t=PVx0002&sid={}", self.sid), BROWSER_HEADERS)
    }

    /// Bytes of the request that upgrades this session.
    pub(crate) fn upgrade_request(&self) -> Vec<u8> {
        self.request(&format!("transport=websocket&sid={}", self.sid), UPGRADE_HEADERS)
    }

    /// Upgrades the connection.
    ///
    /// # Errors
    ///
    /// Fails when the answer is not 101.
    pub(crate) fn upgrade(&mut self) -> anyhow::Result<()> {
        let request = self.upgrade_request();
        upgrade(&mut self.stream, &request)
    }

    /// Sends a request and gives the whole answer.
    ///
    /// # Errors
    ///
    /// Fails when no complete answer comes within five seconds.
    pub(crate) fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Vec<u8>> {
        self.stream.write_all(request)?;
        read_answer(&mut self.stream)
    }

    /// Gives the socket away.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    fn request(&self, query: &str, headers: &str) -> Vec<u8> {
        let Self { host, cookie, .. } = self;
        format!("GET /socket.io/?EIO=4&{query} HTTP/1.1\r\nHost: {host}\r\n{headers}{cookie}\r\n").into_bytes()
    }
}

/// Opens a WebSocket that has nothing to do with Engine.IO.
///
/// # Errors
///
/// Fails when the answer is not 101 or does not come within five seconds.
pub(super) fn open_plain(proxy: SocketAddr, index: usize) -> anyhow::Result<TcpStream> {
    let mut stream = connect(proxy, index)?;
    let request = format!("GET /echo HTTP/1.1\r\nHost: {proxy}\r\n{UPGRADE_HEADERS}\r\n");
    upgrade(&mut stream, request.as_bytes())?;
    Ok(stream)
}

/// A masked binary message (RFC 6455 section 5.2) and the start and length of its echo.
pub(super) fn message(payload_bytes: usize) -> (Vec<u8>, Vec<u8>, usize) {
    let size = match payload_bytes {
        0..126 => vec![payload_bytes as u8],
        126..65536 => [&[126], (payload_bytes as u16).to_be_bytes().as_slice()].concat(),
        _ => [&[127], (payload_bytes as u64).to_be_bytes().as_slice()].concat(),
    };
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let echo_head = [&[0x82], size.as_slice()].concat();
    let mut frame = echo_head.clone();
    frame[1] |= 0x80;
    frame.extend_from_slice(&mask);
    frame.extend((0..payload_bytes).map(|at| b'a' ^ mask[at % 4]));
    let echo_bytes = echo_head.len() + payload_bytes;
    (frame, echo_head, echo_bytes)
}

/// A socket bound to the address that a client of this server comes from, not yet connected.
///
/// # Errors
///
/// Fails when the process has too many sockets, or the address too few ports.
pub(crate) fn bound_socket(server: SocketAddr, index: usize) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    let IpAddr::V4(server) = server.ip() else {
        return Err(ErrorKind::AddrNotAvailable.into());
    };
    socket.bind(&SocketAddr::from((network::source(server, index), 0)).into())?;
    Ok(socket)
}

fn connect(proxy: SocketAddr, index: usize) -> anyhow::Result<TcpStream> {
    let socket = bound_socket(proxy, index)?;
    socket.connect_timeout(&proxy.into(), Duration::from_secs(5))?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    Ok(stream)
}

fn upgrade(stream: &mut TcpStream, request: &[u8]) -> anyhow::Result<()> {
    stream.write_all(request)?;
    let answer = read_answer(stream).context("upgrade")?;
    if !answer.starts_with(b"HTTP/1.1 101") {
        bail!("upgrade answered with {}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

fn read_answer(stream: &mut TcpStream) -> anyhow::Result<Vec<u8>> {
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(head_bytes) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            let body_bytes = content_length(&answer[..head_bytes]);
            if answer.len() >= head_bytes + 4 + body_bytes {
                return Ok(answer);
            }
        }
        let length = stream.read(&mut buffer)?;
        if length == 0 {
            bail!("closed after {}", String::from_utf8_lossy(&answer));
        }
        answer.extend_from_slice(&buffer[..length]);
    }
}

fn content_length(head: &[u8]) -> usize {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}

/// The `Cookie` line that a browser would send from now on; empty when no cookie was set.
fn cookies(head: &str) -> String {
    let pairs: Vec<&str> = head
        .lines()
        .filter_map(|line| line.split_once(':'))
        .filter(|(name, _)| name.eq_ignore_ascii_case("set-cookie"))
        .filter_map(|(_, value)| value.split(';').next())
        .map(str::trim)
        .collect();
    if pairs.is_empty() { String::new() } else { format!("Cookie: {}\r\n", pairs.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sends_back_only_names_and_values_of_cookies() {
        let head = "HTTP/1.1 200 OK\r\nSet-Cookie: SERVERID=e1; path=/\r\nset-cookie: lb=x; HttpOnly";
        assert_eq!(cookies(head), "Cookie: SERVERID=e1; lb=x\r\n");
        assert_eq!(cookies("HTTP/1.1 200 OK\r\nDate: x"), "");
    }

    #[test]
    fn frames_have_the_length_form_of_their_size() {
        let (frame, head, echo_bytes) = message(64);
        assert_eq!((frame.len(), head.as_slice(), echo_bytes), (70, [0x82, 64].as_slice(), 66));
        let (frame, head, echo_bytes) = message(1024);
        assert_eq!((frame.len(), head.as_slice(), echo_bytes), (1032, [0x82, 126, 4, 0].as_slice(), 1028));
    }
}
