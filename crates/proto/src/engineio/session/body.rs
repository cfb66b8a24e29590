//! Decides how the answer to a GET is written, and how the form of a JSONP client is read.

use super::outbox::{Batch, Outgoing};
use crate::engineio::Version;
use crate::engineio::packet::{Packet, PacketType};
use crate::engineio::payload::{self, Written};

/// Separates packets of version 4.
const SEPARATOR: u8 = 0x1e;

/// The body of an answer and its Content-Type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PollBody {
    /// The value of the Content-Type header.
    pub content_type: &'static str,
    /// The bytes.
    pub bytes: Vec<u8>,
}

const TEXT: &str = "text/plain; charset=UTF-8";
const BINARY: &str = "application/octet-stream";

/// Writes the answer to a GET. `takes_binary` says that a client of version 3 takes bytes (it sent no `b64`); `jsonp` is
/// the value of `j`, whose digits name the function to call.
pub fn write_body(version: Version, batch: &Batch, takes_binary: bool, jsonp: Option<&str>) -> PollBody {
    let body = match version {
        Version::V4 => PollBody { content_type: TEXT, bytes: write_v4(batch) },
        Version::V3 => {
            let packets: Vec<_> = batch.iter().map(packet).collect();
            match payload::write(version, &packets, takes_binary && jsonp.is_none()) {
                Written::Text(text) => PollBody { content_type: TEXT, bytes: text.into_bytes() },
                Written::Binary(bytes) => PollBody { content_type: BINARY, bytes },
            }
        }
    };
    match jsonp {
        Some(index) => PollBody { content_type: TEXT, bytes: write_script(&body.bytes, index) },
        None => body,
    }
}

fn write_v4(batch: &Batch) -> Vec<u8> {
    let bytes = batch.iter().map(|packet| match packet {
        Outgoing::Message(message) => message.payload().len() + 2,
        Outgoing::Open(data) => data.len() + 2,
        _ => 2,
    });
    let mut out = Vec::with_capacity(bytes.sum());
    for outgoing in batch.iter() {
        if !out.is_empty() {
            out.push(SEPARATOR);
        }
        match outgoing {
            Outgoing::Message(message) if !message.is_binary() => out.extend_from_slice(message.payload()),
            other => {
                let mut text = String::new();
                packet(other).write_text(Version::V4, &mut text);
                out.extend_from_slice(text.as_bytes());
            }
        }
    }
    out
}

/// Gives what is to be sent the form of a packet.
pub(super) fn packet(outgoing: &Outgoing) -> Packet<'_> {
    match outgoing {
        Outgoing::Open(data) => Packet::text(PacketType::Open, data.as_str()),
        Outgoing::Message(message) if message.is_binary() => Packet::binary(message.payload()),
        // The payload of text is the digit of a message and the text.
        Outgoing::Message(message) => Packet::text(
            PacketType::Message,
            str::from_utf8(message.payload().get(1..).unwrap_or_default()).unwrap_or_default(),
        ),
        other => Packet::empty(other.kind()),
    }
}

/// Writes a body as a script that calls `___eio[n]` with it.
fn write_script(body: &[u8], index: &str) -> Vec<u8> {
    let digits: String = index.chars().filter(char::is_ascii_digit).collect();
    let text = serde_json::Value::from(String::from_utf8_lossy(body).into_owned()).to_string();
    // Line ends for a script, but not for JSON.
    let text = text.replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029");
    format!("___eio[{digits}]({text});").into_bytes()
}

/// Reads the text of a JSONP client's form field, already percent-decoded: `\n` stands for a line end, `\\n` for `\n`.
pub fn read_form(field: &str) -> String {
    let mut out = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(at) = rest.find('\\') {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        let (text, taken) = if found.starts_with("\\\\n") {
            ("\\n", 3)
        } else if found.starts_with("\\n") {
            ("\n", 2)
        } else {
            ("\\", 1)
        };
        out.push_str(text);
        rest = &found[taken..];
    }
    out.push_str(rest);
    out
}
