//! What fuzzing looks at: the decoders of all that comes from Redis. Each ends with a message or an error; what is read can be
//! written, and is then written the same ever after. Each function says whether something was understood.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use limpet_proto::resp::Reader;

use super::classic::{self, Channels, Place, Received};
use super::sharded::Shards;
use super::streams::{entry, session};
use super::{Sharding, message, python};
use crate::envelope::Message;
use crate::node::NodeId;

const NAMESPACE: &str = "/";

/// What came on a channel of the classic adapter; the first byte says on which one, and of which namespace.
///
/// # Panics
/// When a decoder is wrong.
pub fn classic(bytes: &[u8]) -> bool {
    let Some((first, bytes)) = bytes.split_first() else { return false };
    let places = [Place::Broadcast(None), Place::Broadcast(Some("r")), Place::Request, Place::Response];
    let place = places[usize::from(first & 3)];
    let namespace = if first & 4 == 0 { NAMESPACE } else { "/other" };
    let bytes = Bytes::copy_from_slice(bytes);
    let read = classic::read(place, namespace, &bytes);
    // Most broadcasts are read in a way of their own: it says what the long way says.
    if let (Place::Broadcast(_), Ok(read)) = (place, &read) {
        let long = classic::read_json(place, namespace, &bytes).expect("the long way reads it too");
        assert_eq!(format!("{read:?}"), format!("{long:?}"));
    }
    let message = match read {
        Ok(Received::Message(_, message)) => message,
        Ok(Received::Ids(..)) => return true,
        Ok(Received::Nothing) | Err(_) => return false,
    };
    let channels = Channels::new("socket.io", namespace);
    let node = NodeId::from("n");
    settles(
        message,
        |message| channels.write(&node, None, false, message).ok()?,
        |(channel, bytes)| {
            let place = channels.place(channel).expect("a channel of ours");
            match classic::read(place, namespace, &Bytes::copy_from_slice(bytes)) {
                Ok(Received::Message(_, message)) => message,
                other => panic!("{other:?}"),
            }
        },
    )
}

/// What came on a channel of the sharded adapter, or one of those beside the streams.
///
/// # Panics
/// When a decoder is wrong.
pub fn sharded(bytes: &[u8]) -> bool {
    let bytes = Bytes::copy_from_slice(bytes);
    let shards = Shards::new("socket.io", NAMESPACE, Sharding::Dynamic);
    let read = shards.read("socket.io#/#r#", NAMESPACE, &bytes, |_| true);
    let Ok(Some(Received::Message(_, message))) = read else { return false };
    let node = NodeId::from("n");
    settles(
        message,
        |message| shards.write(&node, None, message).ok()?,
        |(_, bytes)| {
            let (said_by, namespace, message) =
                message::read_whole(&Bytes::copy_from_slice(bytes)).expect("what is written is read");
            assert_eq!((said_by.as_str(), &*namespace), ("n", NAMESPACE));
            message
        },
    )
}

/// What came on the channel of Python's servers.
///
/// # Panics
/// When a decoder is wrong.
pub fn python(bytes: &[u8]) -> bool {
    let Some(message) = python::read_any(&Bytes::copy_from_slice(bytes)) else { return false };
    let write = |message: &Message| {
        let bodies = python::write("h", NAMESPACE, message).ok()?;
        (bodies.len() == 1).then_some(bodies)
    };
    settles(message, write, |bodies| {
        python::read_any(&Bytes::copy_from_slice(&bodies[0])).expect("what is written is read")
    })
}

/// What Redis says of the entries of a stream.
///
/// # Panics
/// When a decoder is wrong.
pub fn streams(bytes: &[u8]) -> bool {
    let (mut reader, mut entries) = (Reader::new(1 << 20), Vec::new());
    reader.buffer().extend_from_slice(bytes);
    while let Ok(true) = reader.poll_frame() {
        let frame = reader.frame();
        if let Ok(value) = redis::parse_redis_value(frame.bytes()) {
            entries.extend(entry::of_xrange(value.clone()));
            entry::Info::read(value);
        }
        let mut read = Vec::new();
        entry::of_xread(&frame, &mut read);
        entries.append(&mut read);
    }
    let mut is_understood = false;
    for entry in entries {
        let _ = (entry.mark().map(|mark| mark.counter), entry.namespace().len(), entry.is_broadcast());
        let Ok((_, message)) = entry.read() else { continue };
        is_understood = true;
        let write = |message: &Message| {
            let written = message::write(message).ok()??;
            Some((written.kind, entry::data(written)))
        };
        settles(message, write, |(kind, data)| entry::read_data(*kind, data).expect("what is written is read"));
    }
    is_understood
}

/// What is kept of a session: msgpack, as it is before it is base64.
///
/// # Panics
/// When a decoder is wrong.
pub fn session(bytes: &[u8]) -> bool {
    let read = |bytes: &[u8]| session::read(NAMESPACE, "p", bytes);
    // What is no base64 is looked at too.
    let _ = read(bytes);
    let Ok((kept, epoch)) = read(STANDARD.encode(bytes).as_bytes()) else { return false };
    let once = session::write(NAMESPACE, &kept, epoch).expect("what is read is written");
    let (again, same) = read(once.as_bytes()).expect("what is written is read");
    assert_eq!(epoch, same);
    assert_eq!(once, session::write(NAMESPACE, &again, same).expect("what is read is written"));
    true
}

/// What is written of a message reads as one that is written the same.
fn settles<T: PartialEq + std::fmt::Debug>(
    message: Message,
    write: impl Fn(&Message) -> Option<T>,
    read: impl Fn(&T) -> Message,
) -> bool {
    // Not all that is read can be written.
    if let Some(first) = write(&message) {
        // The shortest forms are written, without bytes that have no place in the message: after that nothing changes.
        let write = |message| write(&message).expect("what was written can be written");
        let once = write(read(&first));
        assert_eq!(once, write(read(&once)));
    }
    true
}
