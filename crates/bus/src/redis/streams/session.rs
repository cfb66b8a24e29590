//! Decides how a session stands under its key: as Node writes it, msgpack in base64 of `{sid, pid, rooms, data}`, so that
//! nodes of both kinds take it from each other.
//!
//! Ours have three more members, which Node passes over: how far the client is, the epoch of the holder and the namespace.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use limpet_proto::socketio::msgpack;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::adapter::BusError;
use crate::log::{Progress, Session};
use crate::redis::classic::{Name, json, malformed, unfold};
use crate::target::Room;

/// How long a session may be as it stands there, in bytes.
const MAX_LEN: usize = 16 * 1024 * 1024;

#[derive(Serialize)]
struct Written<'a> {
    sid: &'a str,
    pid: &'a str,
    rooms: &'a [Room],
    data: &'a Value,
    progress: &'a Progress,
    epoch: u64,
    nsp: &'a str,
}

#[derive(Deserialize)]
struct Read {
    sid: Room,
    pid: String,
    rooms: Vec<Name>,
    #[serde(default)]
    data: Value,
    #[serde(default)]
    progress: Progress,
    #[serde(default)]
    epoch: u64,
    nsp: Option<String>,
}

/// Writes a session.
pub(in crate::redis) fn write(namespace: &str, session: &Session, epoch: u64) -> Result<String, BusError> {
    let Session { id, secret, rooms, data, progress } = session;
    let written = Written { sid: id, pid: secret, rooms, data, progress, epoch, nsp: namespace };
    let text = serde_json::to_string(&written).map_err(malformed)?;
    let mut bytes = Vec::with_capacity(text.len());
    msgpack::from_json(&text, &[], &mut bytes);
    Ok(STANDARD.encode(bytes))
}

/// Reads a session of a namespace, and the epoch of who wrote it; Node's have none, which is 0. Bytes in its data become
/// what Node's buffers become in JSON.
///
/// # Errors
/// [`BusError::Malformed`] when it is none, or not this one.
pub(in crate::redis) fn read(namespace: &str, secret: &str, bytes: &[u8]) -> Result<(Session, u64), BusError> {
    if bytes.len() > MAX_LEN {
        return Err(malformed("the session is too long"));
    }
    let bytes = Bytes::from(STANDARD.decode(bytes).map_err(malformed)?);
    let (text, attachments) = msgpack::to_json(&bytes).map_err(malformed)?;
    let Read { sid, pid, rooms, mut data, progress, epoch, nsp } = json(&text)?;
    if pid != secret || nsp.is_some_and(|nsp| nsp != namespace) {
        return Err(malformed("the session is another one"));
    }
    if !attachments.is_empty() {
        unfold(&mut data, &attachments);
    }
    let rooms = rooms.into_iter().map(Room::from).collect();
    Ok((Session { id: sid, secret: secret.into(), rooms, data, progress }, epoch))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// What Node's adapter writes, read off with its own code.
    const OF_NODE: &str = "hKNzaWSkczEyM6NwaWSkcDQ1NqVyb29tc5OkczEyM6Vsb2JieQekZGF0YYKkbmFtZaNhZGGmYXZhdGFyxAMBAv8=";

    fn session() -> Session {
        Session {
            id: "s123".into(),
            secret: "p456".into(),
            rooms: vec!["s123".into(), "größe".into()],
            data: json!({ "name": "ada", "n": [1, 2.5, null] }),
            progress: Progress {
                start: Some("5-0".parse().unwrap()),
                mistaken: Some(("x".into(), None)),
                ..Progress::default()
            },
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let written = write("/chat", &session(), 3).unwrap();
        assert_eq!(read("/chat", "p456", written.as_bytes()).unwrap(), (session(), 3));
        assert!(read("/", "p456", written.as_bytes()).is_err(), "it is of another namespace");
        assert!(read("/chat", "p457", written.as_bytes()).is_err(), "it is of another client");
    }

    #[test]
    fn sessions_of_node_are_read() {
        let (session, epoch) = read("/", "p456", OF_NODE.as_bytes()).unwrap();
        let avatar = json!({ "type": "Buffer", "data": [1, 2, 255] });
        assert_eq!((&*session.id, epoch, session.progress), ("s123", 0, Progress::default()));
        assert_eq!(session.rooms.iter().map(|room| &**room).collect::<Vec<_>>(), ["s123", "lobby", "7"]);
        assert_eq!(session.data, json!({ "name": "ada", "avatar": avatar }));
    }

    proptest! {
        #[test]
        fn nothing_that_is_kept_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), place in 0..60usize) {
            let _ = read("/", "p456", STANDARD.encode(&bytes).as_bytes());
            let _ = read("/", "p456", &bytes);
            let mut changed = STANDARD.decode(OF_NODE).unwrap();
            changed[place] = bytes.first().copied().unwrap_or_default();
            let _ = read("/", "p456", STANDARD.encode(changed).as_bytes());
        }
    }

    #[test]
    fn what_is_no_session_is_an_error() {
        let list = STANDARD.encode([0x91, 1]);
        let pickle = STANDARD.encode(b"\x80\x04\x95\x0b\x00\x00\x00");
        for hostile in ["", "%%%", &list, &pickle, "gKNzaWQ="] {
            assert!(read("/", "p456", hostile.as_bytes()).is_err(), "{hostile}");
        }
    }
}
