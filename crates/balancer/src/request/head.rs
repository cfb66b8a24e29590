//! Rewrites heads between client and endpoint: hop-by-hop headers, forwarded headers, framing.
//!
//! Lines that stay are copied as they arrived, in order and spelling.

use std::net::IpAddr;
use std::ops::Range;

use limpet_proto::http1::Version;
use limpet_proto::http1::body::Framing;
use limpet_proto::http1::headers::Known;
use limpet_proto::http1::request_head::RequestHead;
use limpet_proto::http1::response_head::ResponseHead;

use crate::affinity::cookie::Edit;
use crate::client::Origin;
use crate::config::Forwarded;

/// What changes in a request head beside what every request changes.
#[derive(Debug)]
pub struct Rewrite<'a> {
    /// Where the sid lies in the query, and what to put there.
    pub sid: Option<(Range<usize>, &'a str)>,
    /// The host of a request that names none: HTTP/1.0 allows that.
    pub default_host: &'a str,
    /// Whether the endpoint must not compress its response.
    pub drop_accept_encoding: bool,
    /// Which headers tell the endpoint about the client.
    pub forwarded: Forwarded,
    /// What changes in the cookies.
    pub cookies: Option<Edit<'a>>,
}

/// Writes the head of a request for its endpoint.
pub fn write_request(request: &RequestHead<'_, '_>, origin: &Origin, rewrite: &Rewrite<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(request.method_token.as_bytes());
    out.push(b' ');
    write_target(request, rewrite, out);
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = request.target.authority {
        write_line("Host", authority.as_bytes(), out);
    } else if request.version == Version::Http10 && request.lines.find(Known::Host).is_none() {
        // HTTP/1.1 needs one, and many endpoints refuse an empty one.
        write_line("Host", rewrite.default_host.as_bytes(), out);
    }
    let drop = |known| match known {
        Known::Connection | Known::KeepAlive | Known::ProxyConnection | Known::Te | Known::Trailer => true,
        Known::TransferEncoding | Known::Upgrade | Known::ContentLength => true,
        Known::Host => request.target.authority.is_some(),
        Known::AcceptEncoding => rewrite.drop_accept_encoding,
        Known::Cookie => rewrite.cookies.is_some(),
        Known::Forwarded => !origin.trusted || rewrite.forwarded.rfc7239,
        Known::XForwardedFor => !origin.trusted || rewrite.forwarded.x_forwarded,
        Known::XForwardedHost | Known::XForwardedProto | Known::XRealIp => !origin.trusted,
        _ => false,
    };
    request.lines.copy_without(request.connection, drop, out);
    if let Some(edit) = &rewrite.cookies {
        edit.write(&request.lines, out);
    }
    write_forwarded(request, origin, rewrite.forwarded, out);
    // The length is written anew: endpoints differ in which blanks around it they accept.
    match request.framing {
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Length(length) => write_line("Content-Length", length.to_string().as_bytes(), out),
        _ if request.lines.find(Known::ContentLength).is_some() => out.extend_from_slice(b"Content-Length: 0\r\n"),
        _ => {}
    }
    if request.upgrade {
        out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// Says what a response head needs beside what the endpoint wrote.
#[derive(Clone, Copy, Debug)]
pub struct Framed {
    /// How the body ends on the client's side.
    pub framing: Framing,
    /// Whether the body was rewritten, so that the endpoint's own length is wrong.
    pub rewritten: bool,
    /// The version that the client speaks.
    pub version: Version,
    /// Whether the client's connection goes on.
    pub keep_alive: bool,
}

/// Writes the head of a response for its client.
pub fn write_response(response: &ResponseHead<'_, '_>, framed: Framed, out: &mut Vec<u8>) {
    write_status(response, out);
    let drop = |known| match known {
        Known::Connection | Known::KeepAlive | Known::ProxyConnection | Known::Te | Known::Trailer => true,
        Known::TransferEncoding | Known::Upgrade => true,
        Known::ContentLength => framed.rewritten,
        _ => false,
    };
    response.lines.copy_without(response.connection, drop, out);
    match framed.framing {
        Framing::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Length(length) if framed.rewritten => {
            write_line("Content-Length", length.to_string().as_bytes(), out);
        }
        _ => {}
    }
    match (framed.keep_alive, framed.version) {
        (false, _) => out.extend_from_slice(b"Connection: close\r\n"),
        (true, Version::Http10) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
        (true, Version::Http11) => {}
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes an interim response or a 101 as it is, without what concerns only the endpoint's connection.
pub fn write_unchanged(response: &ResponseHead<'_, '_>, out: &mut Vec<u8>) {
    write_status(response, out);
    let drop = |known| match known {
        Known::Connection | Known::Upgrade => response.status != 101,
        Known::KeepAlive | Known::ProxyConnection | Known::ContentLength | Known::TransferEncoding => true,
        _ => false,
    };
    response.lines.copy_without(response.connection, drop, out);
    out.extend_from_slice(b"\r\n");
}

/// Writes one header line.
pub fn write_line(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn write_status(response: &ResponseHead<'_, '_>, out: &mut Vec<u8>) {
    let status = response.status;
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend([status / 100, status / 10 % 10, status % 10].map(|digit| b'0' + digit as u8));
    out.push(b' ');
    out.extend_from_slice(response.reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn write_target(request: &RequestHead<'_, '_>, rewrite: &Rewrite<'_>, out: &mut Vec<u8>) {
    let target = request.target.path_and_query;
    match (&rewrite.sid, request.target.query()) {
        (Some((range, sid)), Some(query)) => {
            let query_start = target.len() - query.len();
            out.extend_from_slice(&target.as_bytes()[..query_start + range.start]);
            out.extend_from_slice(sid.as_bytes());
            out.extend_from_slice(&target.as_bytes()[query_start + range.end..]);
        }
        _ => out.extend_from_slice(target.as_bytes()),
    }
}

/// Writes the headers that tell an endpoint about the client: what a trusted peer said is kept and extended.
fn write_forwarded(request: &RequestHead<'_, '_>, origin: &Origin, forwarded: Forwarded, out: &mut Vec<u8>) {
    let peer = origin.peer_text.as_bytes();
    let said = |known| origin.trusted && request.lines.find(known).is_some();
    if forwarded.x_forwarded {
        out.extend_from_slice(b"X-Forwarded-For: ");
        write_said(request, origin, Known::XForwardedFor, out);
        out.extend_from_slice(peer);
        out.extend_from_slice(b"\r\n");
        if !said(Known::XForwardedProto) {
            out.extend_from_slice(b"X-Forwarded-Proto: http\r\n");
        }
        if !said(Known::XForwardedHost) && !request.authority().is_empty() {
            write_line("X-Forwarded-Host", request.authority(), out);
        }
    }
    if forwarded.x_real_ip && !said(Known::XRealIp) {
        write_line("X-Real-IP", peer, out);
    }
    if forwarded.rfc7239 {
        out.extend_from_slice(b"Forwarded: ");
        write_said(request, origin, Known::Forwarded, out);
        // An IPv6 address and a host with a port are quoted (RFC 7239 section 4).
        match origin.ip() {
            IpAddr::V4(_) => write_pair("for=", peer, b"", out),
            IpAddr::V6(_) => write_pair("for=\"[", peer, b"]\"", out),
        }
        if !request.authority().is_empty() {
            write_pair(";host=\"", request.authority(), b"\"", out);
        }
        out.extend_from_slice(b";proto=http\r\n");
    }
}

/// Writes what a trusted peer said in headers of this kind, to be continued.
fn write_said(request: &RequestHead<'_, '_>, origin: &Origin, known: Known, out: &mut Vec<u8>) {
    for value in request.lines.all(known).filter(|_| origin.trusted) {
        out.extend_from_slice(value);
        out.extend_from_slice(b", ");
    }
}

fn write_pair(before: &str, value: &[u8], after: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(before.as_bytes());
    out.extend_from_slice(value);
    out.extend_from_slice(after);
}

#[cfg(test)]
mod tests;
