//! One request of a sequence, how it is sent, and what of its answer is remembered.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use anyhow::{Context as _, Result};

use crate::raw::{RawClient, RawError, Response};

/// What stands in cookie lines for the value that the client keeps.
const KEPT: &str = "{kept}";

/// A request of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The address that the client connects from, within 127.0.0.0/8; its cookie jar belongs to it.
    pub client: Ipv4Addr,
    /// The method.
    pub method: &'static str,
    /// Path and query.
    pub target: String,
    /// The Host line.
    pub host: String,
    /// Whether it asks for a WebSocket.
    pub upgrade: bool,
    /// The Cookie lines.
    pub cookies: Cookies,
    /// More header lines.
    pub lines: Vec<String>,
    /// What is sent before the request: a PROXY header.
    pub preface: Vec<u8>,
    /// The body.
    pub body: Body,
}

/// The Cookie lines of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cookies {
    /// None.
    Absent,
    /// What the program has set before, if anything.
    Kept,
    /// These lines, with `{kept}` for the value that was set before, or nothing.
    Lines(Vec<String>),
}

/// The body of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// None.
    None,
    /// This many bytes behind a Content-Length.
    Length(usize),
    /// A Content-Length and not one byte: what it says is already wrong.
    Announced(u64),
    /// This many bytes in chunks.
    Chunked(usize),
}

/// What is compared of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The status, 0 when there was no answer.
    pub status: u16,
    /// The endpoint that answered, if any did; without an answer, what came instead.
    pub endpoint: Option<String>,
    /// Every Set-Cookie line.
    pub set_cookie: Vec<String>,
    /// Every Cache-Control line.
    pub cache_control: Vec<String>,
    /// The Cookie lines that the endpoint saw.
    pub seen_cookie: Vec<String>,
    /// The X-Forwarded-For and X-Real-IP lines that the endpoint saw.
    pub seen_address: Vec<String>,
    /// The Host line that the endpoint saw.
    pub seen_host: Vec<String>,
}

/// The kept cookie of each client of one program.
pub(super) type Jars = BTreeMap<Ipv4Addr, String>;

impl Step {
    /// A GET without anything.
    #[must_use]
    pub fn get(client: Ipv4Addr, target: impl Into<String>) -> Self {
        Self {
            client,
            method: "GET",
            target: target.into(),
            host: "limpet.test".into(),
            upgrade: false,
            cookies: Cookies::Absent,
            lines: Vec::new(),
            preface: Vec::new(),
            body: Body::None,
        }
    }

    /// Sends it over a connection of its own and reads the answer to its end.
    pub(super) fn send(&self, program: SocketAddr, cookie: Option<&str>, jars: &mut Jars) -> Result<Outcome> {
        let mut client = RawClient::connect_from(IpAddr::V4(self.client), program).context("cannot connect")?;
        let head = self.head(cookie, jars.get(&self.client).map(String::as_str));
        // A program that has refused may close before it has read all.
        let sent = client.send(&[&self.preface, head.as_bytes()].concat()).and_then(|()| self.send_body(&mut client));
        let answer = client.response();
        let response = match (sent, answer) {
            (_, Ok(response)) => response,
            (_, Err(RawError::Closed | RawError::Io(_))) => return Ok(Outcome::none("a closed connection")),
            (_, Err(RawError::TimedOut(_))) => return Ok(Outcome::none("silence")),
            (_, Err(RawError::CutShort(_))) => return Ok(Outcome::none("a part of an answer")),
            (_, Err(error)) => return Err(error).with_context(|| format!("to {self} from {program}")),
        };
        if response.status == 101 && !client.read_to_end().is_ok_and(|rest| rest.starts_with(&[0x88])) {
            return Ok(Outcome::none("a tunnel that does not end"));
        }
        let outcome = Outcome::of(&response);
        if outcome.endpoint.is_some() {
            // A program that has closed the connection no longer counts the request.
            let _ = client.read_to_end();
        }
        // Not left to the close: a child that another test is about to start holds a copy until it runs its program.
        let _ = client.finish();
        if let Some(name) = cookie {
            keep(name, &outcome.set_cookie, jars, self.client);
        }
        Ok(outcome)
    }

    fn head(&self, cookie: Option<&str>, kept: Option<&str>) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host);
        if self.upgrade {
            head.push_str("Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
            head.push_str("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n");
        } else {
            head.push_str("Connection: close\r\n");
        }
        match (&self.cookies, cookie, kept) {
            (Cookies::Kept, Some(name), Some(value)) => head.push_str(&format!("Cookie: {name}={value}\r\n")),
            (Cookies::Absent | Cookies::Kept, ..) => {}
            (Cookies::Lines(lines), ..) => {
                for line in lines {
                    head.push_str(&format!("Cookie: {}\r\n", line.replace(KEPT, kept.unwrap_or_default())));
                }
            }
        }
        for line in &self.lines {
            head.push_str(line);
            head.push_str("\r\n");
        }
        match self.body {
            Body::None => {}
            Body::Length(length) => head.push_str(&format!("Content-Length: {length}\r\n")),
            Body::Announced(length) => head.push_str(&format!("Content-Length: {length}\r\n")),
            Body::Chunked(_) => head.push_str("Transfer-Encoding: chunked\r\n"),
        }
        head.push_str("\r\n");
        head
    }

    fn send_body(&self, client: &mut RawClient) -> std::io::Result<()> {
        match self.body {
            Body::None | Body::Announced(_) => Ok(()),
            Body::Length(length) => client.send(&vec![b'b'; length]),
            Body::Chunked(length) => {
                let mut left = length;
                while left > 0 {
                    let size = left.min(64 * 1024);
                    let mut chunk = format!("{size:x}\r\n").into_bytes();
                    chunk.resize(chunk.len() + size, b'c');
                    chunk.extend_from_slice(b"\r\n");
                    client.send(&chunk)?;
                    left -= size;
                }
                client.send(b"0\r\n\r\n")
            }
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let upgrade = if self.upgrade { " (upgrade)" } else { "" };
        write!(f, "{} {} of {} from {}{upgrade}", self.method, self.target, self.host, self.client)?;
        match &self.cookies {
            Cookies::Absent => {}
            Cookies::Kept => f.write_str(" with the kept cookie")?,
            Cookies::Lines(lines) => write!(f, " with {lines:?}")?,
        }
        for line in &self.lines {
            write!(f, " and {line:?}")?;
        }
        if !self.preface.is_empty() {
            write!(f, " after \"{}\"", self.preface.escape_ascii())?;
        }
        if self.body != Body::None {
            write!(f, " and {:?}", self.body)?;
        }
        Ok(())
    }
}

/// Sends what is no request, twice, and reads the refusals: an event loop that has answered a later connection has seen
/// the end of the one before.
pub(super) fn knock(program: SocketAddr) -> Result<()> {
    for _ in 0..2 {
        let mut client = RawClient::connect_from(IpAddr::V4(Ipv4Addr::LOCALHOST), program).context("cannot connect")?;
        client.send(b"?\r\n\r\n").context("cannot knock")?;
        client.read_to_end().context("no answer to a knock")?;
    }
    Ok(())
}

impl Outcome {
    fn none(instead: &str) -> Self {
        Self { endpoint: Some(instead.to_owned()), ..Self::default() }
    }

    fn of(response: &Response) -> Self {
        let all = |names: &[&str]| -> Vec<String> {
            let lines = response.headers.iter().filter(|(name, _)| names.contains(&name.as_str()));
            lines.map(|(_, value)| value.clone()).collect()
        };
        Self {
            status: response.status,
            endpoint: response.header("x-endpoint").map(str::to_owned),
            set_cookie: all(&["set-cookie"]),
            cache_control: all(&["cache-control"]),
            seen_cookie: all(&["x-seen-cookie"]),
            seen_address: all(&["x-seen-x-forwarded-for", "x-seen-x-real-ip"]),
            seen_host: all(&["x-seen-host"]),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} from {}", self.status, self.endpoint.as_deref().unwrap_or("itself"))?;
        let rest = [
            ("Set-Cookie", &self.set_cookie),
            ("Cache-Control", &self.cache_control),
            ("endpoint saw Cookie", &self.seen_cookie),
            ("endpoint saw addresses", &self.seen_address),
            ("endpoint saw Host", &self.seen_host),
        ];
        for (what, lines) in rest {
            if !lines.is_empty() {
                write!(f, ", {what} {lines:?}")?;
            }
        }
        Ok(())
    }
}

/// Puts the last cookie of this name into the client's jar, or takes it out when it is one that deletes.
fn keep(name: &str, set_cookie: &[String], jars: &mut Jars, client: Ipv4Addr) {
    for line in set_cookie {
        let mut parts = line.split(';').map(str::trim);
        let Some((found, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
        if found != name {
            continue;
        }
        let deletes = parts.any(|part| part.to_ascii_lowercase().starts_with("expires=thu, 01-jan-1970"));
        if deletes {
            jars.remove(&client);
        } else {
            jars.insert(client, value.to_owned());
        }
    }
}
