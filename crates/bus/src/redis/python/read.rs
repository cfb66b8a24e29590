//! Decides what a message of Python's servers says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use limpet_proto::socketio::arguments::Arguments;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::adapter::BusError;
use crate::envelope::Message;
use crate::redis::classic::{Name, json, malformed};
use crate::target::{Flags, Room, Targets};

/// How many attachments one event may have.
const MAX_ATTACHMENTS: usize = 1024;

/// What came, from whom, for which namespace.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) host: String,
    pub(super) namespace: String,
    pub(super) message: Message,
}

/// The members of all methods, of which each has some.
#[derive(Deserialize)]
struct Body<'a> {
    method: String,
    #[serde(default)]
    host_id: Option<String>,
    namespace: Option<String>,
    event: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    binary: Option<bool>,
    room: Option<OneOrList>,
    skip_sid: Option<OneOrList>,
    sid: Option<Name>,
    callback: Option<Vec<Value>>,
    id: Option<Value>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrList {
    List(Vec<Name>),
    One(Name),
}

impl OneOrList {
    fn rooms(list: Option<Self>) -> Vec<Room> {
        match list {
            None => Vec::new(),
            Some(Self::One(name)) => vec![name.into()],
            Some(Self::List(names)) => names.into_iter().map(Room::from).collect(),
        }
    }
}

/// Reads a message; `None` for an answer to somebody else than `own`, the name of this process.
///
/// # Errors
/// [`BusError::Malformed`] when it is none.
pub(super) fn read(bytes: &Bytes, own: &str) -> Result<Option<Heard>, BusError> {
    // Pickle begins with a byte that is no text.
    let text = str::from_utf8(bytes).map_err(malformed)?;
    let Body { method, host_id, namespace, event, data, binary, room, skip_sid, sid, callback, id, args } = json(text)?;
    let wanted = || malformed("a member is missing");
    let one = |name: Option<Name>| name.map(Targets::room).ok_or_else(wanted);
    let message = match method.as_str() {
        "emit" => {
            let arguments = arguments(&event.ok_or_else(wanted)?, data, binary == Some(true))?;
            let targets = Targets { rooms: OneOrList::rooms(room), except: OneOrList::rooms(skip_sid) };
            let request = callback.as_deref().map(request).transpose()?;
            Message::Broadcast { arguments, targets, flags: Flags::default(), request }
        }
        "disconnect" => Message::Disconnect { targets: one(sid)?, close: false },
        "enter_room" => Message::Join { targets: one(sid)?, rooms: some(room)? },
        "leave_room" => Message::Leave { targets: one(sid)?, rooms: some(room)? },
        "close_room" => {
            let rooms = some(room)?;
            Message::Leave { targets: Targets { rooms: rooms.clone(), except: Vec::new() }, rooms }
        }
        "callback" if host_id.as_deref() != Some(own) => return Ok(None),
        "callback" => {
            let Some(Value::String(request)) = id else { return Err(wanted()) };
            let args = args.ok_or_else(wanted)?.get();
            // A client's bytes would be written here as nothing at all: Python's servers fail before.
            check_places(&json(args)?, 0)?;
            let arguments = Arguments::from_parts(args.to_owned(), Vec::new()).map_err(malformed)?;
            Message::BroadcastAck { request: request.into(), arguments }
        }
        _ => return Err(malformed("the method is none of the six")),
    };
    let namespace = namespace.filter(|name| !name.is_empty()).unwrap_or_else(|| "/".to_owned());
    Ok(Some(Heard { host: host_id.unwrap_or_default(), namespace, message }))
}

fn some(room: Option<OneOrList>) -> Result<Vec<Room>, BusError> {
    let rooms = OneOrList::rooms(room);
    if rooms.is_empty() { Err(malformed("a room is missing")) } else { Ok(rooms) }
}

/// Names a request by what its callback needs: `[room, namespace, id]`.
fn request(callback: &[Value]) -> Result<crate::envelope::RequestId, BusError> {
    match callback {
        [Value::String(sid), Value::String(_), id @ (Value::Number(_) | Value::String(_))] => {
            Ok(serde_json::to_string(&(id, sid)).map_err(malformed)?.into())
        }
        _ => Err(malformed("a callback is a room, a namespace and an id")),
    }
}

/// Puts name, arguments and bytes together. With bytes, `data` is the list of arguments and then each of them in base64.
fn arguments(event: &str, data: Option<&RawValue>, is_binary: bool) -> Result<Arguments, BusError> {
    let text = data.map_or("[]", RawValue::get);
    let mut attachments = Vec::new();
    let values: Vec<&RawValue> = match (is_binary, text.starts_with('[')) {
        (true, _) => {
            let parts: Vec<&RawValue> = json(text)?;
            let (values, encoded) = parts.split_first().ok_or_else(|| malformed("data is empty"))?;
            if encoded.len() > MAX_ATTACHMENTS {
                return Err(malformed("too many attachments"));
            }
            for part in encoded {
                let part: String = json(part.get())?;
                attachments.push(STANDARD.decode(part).map_err(malformed)?.into());
            }
            check_places(&json(values.get())?, attachments.len())?;
            json(values.get())?
        }
        (false, true) => match json::<Vec<&RawValue>>(text)?.as_slice() {
            // An event without data: for Python's servers this is the same.
            [only] if only.get() == "null" => Vec::new(),
            values => values.to_vec(),
        },
        // A single value.
        (false, false) => data.into_iter().collect(),
    };
    let mut list = serde_json::to_string(event).map_err(malformed)?;
    list.insert(0, '[');
    for value in values {
        list.push(',');
        list.push_str(value.get());
    }
    list.push(']');
    let arguments = Arguments::from_parts(list, attachments).map_err(malformed)?;
    arguments.check_event().map_err(malformed)?;
    Ok(arguments)
}

/// Checks that every place of bytes has some: a client closes its connection if one has not.
fn check_places(value: &Value, count: usize) -> Result<(), BusError> {
    match value {
        Value::Array(items) => items.iter().try_for_each(|item| check_places(item, count)),
        Value::Object(object) => match limpet_proto::socketio::packet::placeholder(object) {
            None => object.values().try_for_each(|member| check_places(member, count)),
            Some(Some(number)) if number < count => Ok(()),
            Some(_) => Err(malformed("a place has no bytes")),
        },
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn heard(body: Value) -> Heard {
        read(&Bytes::from(body.to_string()), "own").unwrap().unwrap()
    }

    #[test]
    fn an_event_with_bytes() {
        // What python-socketio 5.18 publishes.
        let body = r#"{"method": "emit", "event": "hi", "data": [["x", {"z": 1, "a": {"_placeholder": true, "num": 0}}], "AQI="],
            "binary": true, "namespace": "/", "room": "r", "skip_sid": ["a", "b"], "callback": null, "host_id": "0f"}"#;
        let Heard { host, namespace, message } = read(&Bytes::from(body), "own").unwrap().unwrap();
        assert_eq!((host.as_str(), namespace.as_str()), ("0f", "/"));
        let Message::Broadcast { arguments, targets, request: None, .. } = message else { panic!("{message:?}") };
        // Members keep their order.
        assert_eq!(arguments.text(), r#"["hi","x",{"z": 1, "a": {"_placeholder": true, "num": 0}}]"#);
        assert_eq!(arguments.attachments(), [Bytes::from_static(&[1, 2])]);
        assert_eq!(targets, Targets { rooms: vec!["r".into()], except: vec!["a".into(), "b".into()] });
    }

    #[test]
    fn the_other_methods() {
        let body = |method, more: Value| {
            let mut body = json!({ "method": method, "sid": "s", "namespace": "/n", "host_id": "h" });
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            heard(body).message
        };
        let message = body("enter_room", json!({ "room": 5 }));
        assert!(
            matches!(message, Message::Join { targets, rooms } if *targets.rooms == [Room::from("s")] && *rooms == [Room::from("5")])
        );
        let message = body("leave_room", json!({ "room": "r" }));
        assert!(
            matches!(message, Message::Leave { targets, rooms } if *targets.rooms == [Room::from("s")] && *rooms == [Room::from("r")])
        );
        let message = body("close_room", json!({ "room": "r" }));
        assert!(
            matches!(message, Message::Leave { targets, rooms } if targets.rooms == rooms && *rooms == [Room::from("r")])
        );
        let message = body("disconnect", json!({}));
        assert!(
            matches!(message, Message::Disconnect { targets, close: false } if *targets.rooms == [Room::from("s")])
        );
        let message = body("emit", json!({ "event": "e", "data": [null] }));
        assert!(matches!(message, Message::Broadcast { arguments, .. } if arguments.text() == r#"["e"]"#));
        let message = body("emit", json!({ "event": "e", "data": "one", "room": ["a"], "callback": ["a", "/n", 7] }));
        let Message::Broadcast { arguments, request: Some(request), .. } = message else { panic!("{message:?}") };
        assert_eq!((arguments.text(), &*request), (r#"["e","one"]"#, r#"[7,"a"]"#));
        let message = body("callback", json!({ "host_id": "own", "id": "r", "args": ["yes", 2] }));
        let Message::BroadcastAck { arguments, request } = message else { panic!("{message:?}") };
        assert_eq!((arguments.text(), &*request), (r#"["yes",2]"#, "r"));
    }

    #[test]
    fn what_is_none_of_theirs_is_refused() {
        let pickle = b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00}\x94\x8c\x06method\x94\x8c\x04emit\x94s.";
        let deep = format!(r#"{{"method":"emit","event":"e","callback":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
        for bytes in [
            &pickle[..],
            b"",
            b"null",
            b"[1]",
            b"{}",
            br#"{"method":"run"}"#,
            br#"{"method":"emit"}"#,
            br#"{"method":"emit","event":5}"#,
            br#"{"method":"emit","event":"e","data":[[],"%"],"binary":true}"#,
            br#"{"method":"emit","event":"e","data":[],"binary":true}"#,
            br#"{"method":"emit","event":"e","data":[[{"_placeholder":true,"num":1}],"AQ=="],"binary":true}"#,
            br#"{"method":"emit","event":"e","data":[],"room":{}}"#,
            br#"{"method":"emit","event":"e","data":[],"callback":[1]}"#,
            br#"{"method":"enter_room","room":"r"}"#,
            br#"{"method":"leave_room","sid":"s"}"#,
            br#"{"method":"close_room","room":[]}"#,
            br#"{"method":"callback","host_id":"own","args":[]}"#,
            br#"{"method":"callback","host_id":"own","id":"r"}"#,
            br#"{"method":"callback","host_id":"own","id":1,"args":[]}"#,
            br#"{"method":"callback","host_id":"own","id":"r","args":{}}"#,
            br#"{"method":"callback","host_id":"own","id":"r","args":[{"_placeholder":true,"num":0}]}"#,
            deep.as_bytes(),
        ] {
            let bytes = Bytes::copy_from_slice(bytes);
            assert!(read(&bytes, "own").is_err(), "{}", String::from_utf8_lossy(&bytes[..bytes.len().min(80)]));
        }
        assert!(read(&Bytes::from(r#"{"method":"callback","host_id":"x"}"#), "own").unwrap().is_none());
    }
}
