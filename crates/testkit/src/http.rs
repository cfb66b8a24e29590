//! One plain HTTP request over its own connection: enough to read a peer's status page.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context as _, Result};

use crate::process::PATIENCE;

/// An answer with its status, its head as text and its body.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The status line and the header fields.
    pub head: String,
    /// The body as it came; chunked bodies do not occur, because the request is HTTP/1.0.
    pub body: String,
}

/// Sends `GET path` as HTTP/1.0 with the given extra header lines and reads until the connection closes.
///
/// # Errors
/// When the connection fails or the answer is not HTTP.
pub fn get(address: SocketAddr, path: &str, headers: &[&str]) -> Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n");
    for header in headers {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("not an HTTP answer: {answer:?}"))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status code")?;
    Ok(Answer { status, head: head.to_owned(), body: body.to_owned() })
}

/// Reads a JSON page.
///
/// # Errors
/// When the connection fails, the status is not 200 or the body is not JSON.
pub fn get_json(address: SocketAddr, path: &str) -> Result<serde_json::Value> {
    let answer = get(address, path, &[])?;
    anyhow::ensure!(answer.status == 200, "{path} of {address} answered {}", answer.head);
    serde_json::from_str(&answer.body).with_context(|| format!("{path} of {address} is not JSON: {}", answer.body))
}
