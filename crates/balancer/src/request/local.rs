//! Answers the requests that no endpoint sees: redirects, fixed responses, pages of the balancer's own.

use std::future::poll_fn;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::Poll;

use limpet_proto::http1::head::HeadError;
use limpet_proto::http1::request_head::RequestHead;
use limpet_proto::http1::{Method, Version};

use super::answer::{self, Error};
use super::attempt::Failure;
use super::head::write_line;
use super::{Outcome, relay};
use crate::access_log::Exchange;
use crate::client::{Client, ClientError};
use crate::limit::{self, Admission, Admitted, Refusal};
use crate::net::stream::Outgoing;
use crate::route::edits::{self, Facts};
use crate::route::{Action, Route};
use crate::shared::Shared;
use crate::stats::{self, Count};
use crate::worker::Worker;

/// The largest request body that is read and thrown away so that the connection can be kept.
const MAX_DRAINED_BYTES: usize = 64 * 1024;

/// A response that is whole before its first byte leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalResponse {
    /// The status, 200 to 599.
    pub status: u16,
    /// The header lines, without those that frame the response. Control bytes in values become spaces.
    pub headers: Vec<(&'static str, Vec<u8>)>,
    /// The body. A HEAD request gets its length alone, and 204 and 304 have none.
    pub body: Vec<u8>,
}

/// A request that its route answers by itself.
#[derive(Debug)]
pub struct LocalRequest {
    /// The method.
    pub method: Method,
    /// The version that the client speaks.
    pub version: Version,
    /// Whether the client's connection may carry another request.
    pub keep_alive: bool,
    /// Whether the client sends its body only after a 100, which never comes.
    pub expects_continue: bool,
    /// The client's address, behind trusted proxies too.
    pub client: IpAddr,
    /// The route that matched.
    pub route: Arc<Route>,
    /// What the limits say of it, and the places that it holds.
    pub admitted: Admitted,
    /// The answer.
    pub response: LocalResponse,
}

impl LocalRequest {
    /// Prepares the answer of a route that has no upstream.
    ///
    /// # Errors
    /// When the answer needs a host and the request names none.
    pub(super) fn new(
        shared: &Shared,
        head: &RequestHead<'_, '_>,
        client: IpAddr,
        route: Arc<Route>,
        admitted: Admitted,
    ) -> Result<Self, Error> {
        let response = match (&admitted.admission, &route.action) {
            (Admission::Refuse(refusal), _) => LocalResponse::refusal(*refusal),
            (_, Action::Stats(page)) => stats::page::answer(page, shared, head),
            _ => route.answer(head, client).ok_or(HeadError::Host)?,
        };
        Ok(Self {
            method: head.method,
            version: head.version,
            keep_alive: head.keeps_alive(),
            expects_continue: head.expects_continue,
            client,
            route,
            admitted,
            response,
        })
    }
}

impl LocalResponse {
    /// Makes a response without body.
    pub fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    /// Makes the response to a request that a limit refuses.
    fn refusal(refusal: Refusal) -> Self {
        let response = Self::new(refusal.status().0).with_body("text/plain; charset=utf-8", format!("{refusal}\n"));
        match refusal.retry_after() {
            Some(seconds) => response.with_header("Retry-After", seconds.to_string()),
            None => response,
        }
    }

    /// Gives it a body.
    #[must_use]
    pub fn with_body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut response = self.with_header("Content-Type", content_type);
        response.body = body.into();
        response
    }

    /// Adds a header line. Framing belongs to the writer: no Content-Length, Connection or Transfer-Encoding.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Writes the response to a request of this method and version; returns the number of body bytes written.
    pub fn write(&self, method: Method, version: Version, keep_alive: bool, out: &mut Vec<u8>) -> usize {
        out.extend_from_slice(format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status)).as_bytes());
        for (name, value) in &self.headers {
            let start = out.len();
            write_line(name, value, out);
            let end = out.len() - 2;
            out[start..end]
                .iter_mut()
                .filter(|byte| byte.is_ascii_control() && **byte != b'\t')
                .for_each(|byte| *byte = b' ');
        }
        let has_body = !matches!(self.status, 204 | 304);
        if has_body {
            write_line("Content-Length", self.body.len().to_string().as_bytes(), out);
        }
        match (keep_alive, version) {
            (false, _) => write_line("Connection", b"close", out),
            (true, Version::Http10) => write_line("Connection", b"keep-alive", out),
            (true, Version::Http11) => {}
        }
        out.extend_from_slice(b"\r\n");
        if !has_body || method == Method::Head {
            return 0;
        }
        out.extend_from_slice(&self.body);
        self.body.len()
    }
}

/// Serves one request to the end of its response.
pub async fn serve(worker: &Worker, client: &mut Client, request: LocalRequest, log: &mut Exchange) -> Outcome {
    if let Admission::Wait(delay) = request.admitted.admission
        && !limit::wait(client, delay).await
    {
        log.failed(None, &ClientError::Gone);
        return Outcome::Close;
    }
    if !request.expects_continue
        && let Err(failure) = drain(client).await
    {
        return answer::send(worker, client, None, &failure.into(), log).await;
    }
    let keep_alive = request.keep_alive && client.body_is_done() && !worker.is_stopping();
    let mut out = Outgoing::with_capacity(request.response.body.len() + 512);
    let sent_bytes = request.response.write(request.method, request.version, keep_alive, &mut out.bytes);
    if !matches!(request.admitted.admission, Admission::Refuse(_)) {
        let facts = Facts { client: request.client, endpoint: "" };
        edits::apply(&request.route.config.response_headers, facts, &mut out.bytes);
    }
    if let Admission::Refuse(_) = request.admitted.admission {
        worker.shared.listeners[client.origin().listener].connections.counters().add(Count::Denied, 1);
    }
    log.answered_here(request.response.status);
    log.gave(out.bytes.len());
    log.add_sent(sent_bytes);
    client.deadline().set(client.body_timeout());
    match relay::send(client, &mut out).await {
        Ok(()) if keep_alive => Outcome::KeepAlive,
        Ok(()) => Outcome::Close,
        Err(error) => {
            log.cut(&error.to_string());
            Outcome::Close
        }
    }
}

/// Reads a small request body to its end. What is left of a larger one ends with the connection.
async fn drain(client: &mut Client) -> Result<(), Failure> {
    let mut drained_bytes = 0;
    let mut body = Vec::new();
    while !client.body_is_done() && drained_bytes < MAX_DRAINED_BYTES {
        client.deadline().set(client.body_timeout());
        poll_fn(|cx| match client.poll_body(cx, &mut body) {
            Poll::Pending => client.deadline().poll(cx).map(|()| Err(Failure::BodyTimeout)),
            Poll::Ready(result) => Poll::Ready(result.map_err(Failure::Client)),
        })
        .await?;
        drained_bytes += body.len();
        body.clear();
    }
    Ok(())
}

/// Returns the reason phrase of a status (RFC 9110 section 15); empty where there is none.
pub fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        205 => "Reset Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(response: &LocalResponse, method: Method, version: Version, keep_alive: bool) -> String {
        let mut out = Vec::new();
        response.write(method, version, keep_alive, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_response_is_framed_for_its_request() {
        let page = LocalResponse::new(200).with_body("text/plain", "hello");
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n";
        for (method, version, keep_alive, expected) in [
            (Method::Get, Version::Http11, true, format!("{head}\r\nhello")),
            (Method::Get, Version::Http11, false, format!("{head}Connection: close\r\n\r\nhello")),
            (Method::Get, Version::Http10, true, format!("{head}Connection: keep-alive\r\n\r\nhello")),
            (Method::Head, Version::Http11, true, format!("{head}\r\n")),
        ] {
            assert_eq!(written(&page, method, version, keep_alive), expected);
        }
        let empty = written(&LocalResponse::new(204), Method::Get, Version::Http11, true);
        assert_eq!(empty, "HTTP/1.1 204 No Content\r\n\r\n", "a 204 has no length (RFC 9110 section 8.6)");
    }

    #[test]
    fn no_value_begins_a_line() {
        let response = LocalResponse::new(302).with_header("Location", "/a\r\nSet-Cookie: evil=1\r\n\r\n\0x");
        let text = written(&response, Method::Get, Version::Http11, true);
        assert_eq!(text.matches("\r\n").count(), 4, "{text}");
        assert!(text.contains("Location: /a  Set-Cookie: evil=1     x\r\n"), "{text}");
    }
}
