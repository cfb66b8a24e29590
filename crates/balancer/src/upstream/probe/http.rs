//! The request of a probe and what its response says.

use limpet_proto::http1::body::{Body, Framing};
use limpet_proto::http1::head;
use limpet_proto::http1::request_head::Slots;
use limpet_proto::http1::response_head::ResponseHead;
use limpet_proto::http1::{Method, Version};
use tokio::net::TcpStream;

use super::tcp;
use crate::config::{HttpProbe, ProbeMethod};
use crate::upstream::health::{Check, CheckStatus};

/// The longest head of a response, interim responses included.
const MAX_HEAD_BYTES: usize = 32 * 1024;

/// How much of a body is looked at.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// Sends the request and reads as much of the response as decides.
pub(super) async fn ask(connection: &TcpStream, request: &HttpProbe, name: &str) -> Result<Check, Check> {
    tcp::send(connection, text(request, name).as_bytes()).await?;
    let mut bytes = Vec::new();
    let Answer { status, reason, framing } = read_head(connection, request, &mut bytes).await?;
    if status == 404 && request.drain_on_404 {
        return Ok(Check::new(CheckStatus::Layer7OkConditionally, Some(status), &reason));
    }
    if !request.expects(status) {
        return Ok(Check::new(CheckStatus::Layer7Status, Some(status), &reason));
    }
    if let Some(wanted) = &request.body
        && !has_text(connection, bytes, framing, wanted).await?
    {
        return Ok(Check::new(CheckStatus::Layer7Response, Some(status), "the body lacks the expected text"));
    }
    Ok(Check::new(CheckStatus::Layer7Ok, Some(status), &reason))
}

/// Writes the request as HAProxy's httpchk does: HTTP/1.0 has no Host unless one is given.
fn text(request: &HttpProbe, name: &str) -> String {
    let HttpProbe { method, path, host, version, .. } = request;
    let (version, default_host) = match version {
        Version::Http10 => ("1.0", None),
        Version::Http11 => ("1.1", Some(name)),
    };
    let host = host.as_deref().or(default_host).map(|host| format!("Host: {host}\r\n")).unwrap_or_default();
    format!("{} {path} HTTP/{version}\r\n{host}User-Agent: limpet\r\nConnection: close\r\n\r\n", method.as_str())
}

/// What the head of a response says.
struct Answer {
    status: u16,
    reason: String,
    framing: Framing,
}

/// Reads the head of the final response and leaves what follows it in `bytes`.
async fn read_head(connection: &TcpStream, request: &HttpProbe, bytes: &mut Vec<u8>) -> Result<Answer, Check> {
    let method = match request.method {
        ProbeMethod::Get => Method::Get,
        ProbeMethod::Head => Method::Head,
        ProbeMethod::Options => Method::Options,
    };
    let invalid = |why: &str| Check::new(CheckStatus::Layer7Response, None, why);
    let mut read = 0;
    loop {
        let end = head::find_end(bytes, 0).map_err(|error| invalid(&error.to_string()))?;
        if let Some(end) = end {
            let (head, _) = bytes.split_at(end);
            let answer = match ResponseHead::parse(head, method, &mut Slots::new()) {
                Ok(head) if head.is_interim() => None,
                Ok(head) => Some(Answer { status: head.status, reason: head.reason.to_owned(), framing: head.framing }),
                Err(error) => return Err(invalid(&error.to_string())),
            };
            bytes.drain(..end);
            match answer {
                Some(answer) => return Ok(answer),
                None => continue,
            }
        }
        if read >= MAX_HEAD_BYTES {
            return Err(invalid("the head is too large"));
        }
        match tcp::receive(connection, bytes).await? {
            0 if read == 0 => return Err(invalid("closed without a response")),
            0 => return Err(invalid("closed within the response")),
            count => read += count,
        }
    }
}

/// Reads the body, of which `bytes` has arrived, until the text has come or no more is looked at.
async fn has_text(connection: &TcpStream, mut bytes: Vec<u8>, framing: Framing, wanted: &str) -> Result<bool, Check> {
    let mut body = Body::new(framing);
    let mut payload = Vec::new();
    loop {
        while !bytes.is_empty() && !body.is_done() {
            let step = body
                .handle_bytes(&bytes)
                .map_err(|error| Check::new(CheckStatus::Layer7Response, None, &error.to_string()))?;
            payload.extend_from_slice(step.payload);
            let consumed = step.consumed;
            bytes.drain(..consumed);
        }
        payload.truncate(MAX_BODY_BYTES);
        if memchr::memmem::find(&payload, wanted.as_bytes()).is_some() {
            return Ok(true);
        }
        if body.is_done() || payload.len() == MAX_BODY_BYTES || tcp::receive(connection, &mut bytes).await? == 0 {
            return Ok(false);
        }
    }
}
