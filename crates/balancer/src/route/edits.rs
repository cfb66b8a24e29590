//! Changes the header lines of a head that is written already, whoever wrote them.
//!
//! What frames a message or belongs to its connection is not changed: the configuration refuses those names.

use std::net::IpAddr;

use crate::config::{HeaderEdits, Piece, Place, Template};

/// What fills the places of values.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The client's address, behind trusted proxies too.
    pub client: IpAddr,
    /// The name of the endpoint that answered; empty where there is none.
    pub endpoint: &'a str,
}

/// Changes the head that `out` begins with; what follows its empty line stays.
pub fn apply(edits: &HeaderEdits, facts: Facts<'_>, out: &mut Vec<u8>) {
    if edits.is_empty() {
        return;
    }
    let Some(end) = memchr::memmem::find(out, b"\r\n\r\n").map(|at| at + 2) else {
        return;
    };
    let mut edited = Vec::with_capacity(out.len() + 256);
    let mut first = true;
    for line in out[..end].split_inclusive(|byte| *byte == b'\n') {
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        if first || !edits.replaces(name) {
            edited.extend_from_slice(line);
        }
        first = false;
    }
    for (name, value) in edits.set.iter().chain(&edits.add) {
        edited.extend_from_slice(name.as_bytes());
        edited.extend_from_slice(b": ");
        fill(value, facts, &mut edited);
        edited.extend_from_slice(b"\r\n");
    }
    edited.extend_from_slice(&out[end..]);
    *out = edited;
}

fn fill(value: &Template, facts: Facts<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    for piece in value.pieces() {
        match piece {
            Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
            Piece::Place(Place::Client) => out.extend_from_slice(facts.client.to_string().as_bytes()),
            Piece::Place(Place::Endpoint) => out.extend_from_slice(facts.endpoint.as_bytes()),
            Piece::Place(Place::Host | Place::Authority | Place::Path | Place::Query) => {}
        }
    }
    // Names of endpoints come from outside too; none may begin a line.
    out[start..].iter_mut().filter(|byte| byte.is_ascii_control() && **byte != b'\t').for_each(|byte| *byte = b' ');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edited(edits: &HeaderEdits, endpoint: &str, head: &str) -> String {
        let mut out = head.as_bytes().to_vec();
        apply(edits, Facts { client: "192.0.2.1".parse().unwrap(), endpoint }, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_are_removed_set_and_added() {
        let edits = HeaderEdits::of(&[("x-a", "1"), ("X-New", "%{client} %{endpoint}")], &[("X-B", "2")], &["X-Gone"]);
        let head = "GET / HTTP/1.1\r\nX-A: old\r\nx-gone: 1\r\nX-B: 1\r\nX-GONE: 2\r\nX-a: older\r\nX-Gone-Not: 1\r\n\r\nX-A: body";
        let expected = "GET / HTTP/1.1\r\nX-B: 1\r\nX-Gone-Not: 1\r\nx-a: 1\r\nX-New: 192.0.2.1 app01:3000\r\nX-B: 2\r\n\r\nX-A: body";
        assert_eq!(edited(&edits, "app01:3000", head), expected);
        assert_eq!(edited(&HeaderEdits::default(), "", head), head);
        assert_eq!(
            edited(&edits, "", "HTTP/1.1 204 No Content\r\n\r\n"),
            "HTTP/1.1 204 No Content\r\nx-a: 1\r\nX-New: 192.0.2.1 \r\nX-B: 2\r\n\r\n"
        );
    }

    #[test]
    fn no_name_of_an_endpoint_begins_a_line() {
        let edits = HeaderEdits::of(&[("X-E", "%{endpoint}")], &[], &[]);
        let head = edited(&edits, "a\r\nX-Evil: 1\0", "HTTP/1.1 200 OK\r\n\r\n");
        assert_eq!(head, "HTTP/1.1 200 OK\r\nX-E: a  X-Evil: 1 \r\n\r\n");
    }
}
