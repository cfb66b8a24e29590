//! Decides what a request is answered with: a poll, a handshake, an upgrade, or a plain 200 for probes.
//!
//! A sid starts with the mark of its endpoint. The other endpoint does not know it, so a proxy without working affinity
//! fails its run.

use super::accept_key::accept_value;

/// The headers that Node's engine.io server sends with a polling answer.
const HEADERS: &str = "Content-Type: text/plain; charset=UTF-8\r\ncache-control: no-store\r\n\
    Date: Mon, 02 Nov 2026 09:00:00 GMT\r\nConnection: keep-alive\r\nKeep-Alive: timeout=60\r\n";
const POLL_BODY: &str = "42[\"chat\",{\"from\":\"endpoint\",\"text\":\"hello\"}]";
const UNKNOWN_BODY: &str = "{\"code\":1,\"message\":\"Session ID unknown\"}";
const SID_ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Whether the connection stays HTTP after an answer.
pub(super) enum After {
    Http,
    WebSocket,
}

/// The answers that are the same every time, written once.
pub(super) struct Replies {
    poll: Vec<u8>,
    plain: Vec<u8>,
    plain_head_bytes: usize,
    sids: u64,
}

impl Replies {
    pub(super) fn new() -> Self {
        let plain = whole("200 OK", "ok");
        Self { poll: whole("200 OK", POLL_BODY), plain_head_bytes: plain.len() - 2, plain, sids: 0 }
    }

    /// Appends the answer of the endpoint with this mark to one complete request head. Bodies of requests are not
    /// expected.
    pub(super) fn answer(&mut self, mark: u8, head: &[u8], output: &mut Vec<u8>) -> After {
        let line_end = head.iter().position(|byte| *byte == b'\r').unwrap_or(head.len());
        let line = &head[..line_end];
        let sid = after(line, b"&sid=");
        if sid.is_some_and(|sid| sid.first() != Some(&mark)) {
            output.extend_from_slice(&whole("400 Bad Request", UNKNOWN_BODY));
            return After::Http;
        }
        if after(line, b"transport=polling").is_some() {
            if sid.is_some() {
                output.extend_from_slice(&self.poll);
            } else {
                let body = self.handshake(mark);
                output.extend_from_slice(&whole("200 OK", &body));
            }
            return After::Http;
        }
        if let Some(key) = header(head, b"sec-websocket-key") {
            let accept = accept_value(key);
            output.extend_from_slice(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n");
            output.extend_from_slice(b"Connection: Upgrade\r\nSec-WebSocket-Accept: ");
            output.extend_from_slice(accept.as_bytes());
            output.extend_from_slice(b"\r\n\r\n");
            return After::WebSocket;
        }
        let end = if line.starts_with(b"HEAD ") { self.plain_head_bytes } else { self.plain.len() };
        output.extend_from_slice(&self.plain[..end]);
        After::Http
    }

    fn handshake(&mut self, mark: u8) -> String {
        self.sids += 1;
        // An odd multiplier makes the counter look random and keeps it unique.
        let mixed = u128::from(self.sids.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 56 | u128::from(self.sids);
        let rest: String =
            (0..19).map(|place| char::from(SID_ALPHABET[(mixed >> (6 * place) & 63) as usize])).collect();
        format!(
            "0{{\"sid\":\"{}{rest}\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,\"pingTimeout\":20000,\
             \"maxPayload\":1000000}}",
            char::from(mark)
        )
    }
}

fn whole(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\n{HEADERS}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// Gives what follows a piece of the request line.
fn after<'a>(line: &'a [u8], piece: &[u8]) -> Option<&'a [u8]> {
    let start = line.windows(piece.len()).position(|window| window == piece)?;
    line.get(start + piece.len()..)
}

/// Gives the value of a header whose name is given in lower case.
fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (field, value) = line.split_at_checked(name.len())?;
        field.eq_ignore_ascii_case(name).then(|| value.strip_prefix(b":"))?.map(<[u8]>::trim_ascii)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(request: &str) -> (String, bool) {
        let mut output = Vec::new();
        let after = Replies::new().answer(b'b', request.as_bytes(), &mut output);
        (String::from_utf8(output).unwrap(), matches!(after, After::WebSocket))
    }

    #[test]
    fn tells_the_kinds_of_requests_apart() {
        let (poll, _) = answer("GET /socket.io/?EIO=4&transport=polling&t=a&sid=b HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(poll.ends_with(POLL_BODY));
        let (handshake, _) = answer("GET /socket.io/?EIO=4&transport=polling&t=a HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(handshake.contains("\r\n\r\n0{\"sid\":\"b"));
        let (foreign, _) = answer("GET /socket.io/?EIO=4&transport=polling&t=a&sid=a HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(foreign.starts_with("HTTP/1.1 400 "));
        let (upgrade, web_socket) = answer(
            "GET /socket.io/?EIO=4&transport=websocket&sid=b HTTP/1.1\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        );
        assert!(web_socket);
        assert!(upgrade.contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
        let (probe, _) = answer("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n");
        assert!(probe.ends_with("\r\n\r\n"));
    }
}
