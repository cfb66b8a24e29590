//! Decides how messages are written for Python's servers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use limpet_proto::socketio::arguments::Arguments;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::adapter::BusError;
use crate::envelope::Message;
use crate::redis::classic::{json as read, plain, raw};
use crate::target::{Room, SOCKET_ID_LENGTH, Targets};

#[derive(Serialize)]
struct Emit<'a> {
    method: &'a str,
    event: &'a RawValue,
    data: Data<'a>,
    binary: bool,
    namespace: &'a str,
    room: Value,
    skip_sid: Value,
    callback: Value,
    host_id: &'a str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Plain(Vec<&'a RawValue>),
    Binary(Vec<Part<'a>>),
}

#[derive(Serialize)]
#[serde(untagged)]
enum Part<'a> {
    Values(Vec<&'a RawValue>),
    Bytes(String),
}

/// Writes a message as one or more objects: Python moves and disconnects one socket at a time, by its id.
pub(crate) fn write(host: &str, namespace: &str, message: &Message) -> Result<Vec<Vec<u8>>, BusError> {
    let bodies: Vec<Value> = match message {
        Message::Broadcast { arguments, targets, request, .. } => {
            let mut values: Vec<&RawValue> =
                arguments.raw_values().into_iter().map(|value| raw(Some(value))).collect::<Result<_, _>>()?;
            if values.is_empty() {
                return Err(BusError::Malformed("an event has a name".to_owned()));
            }
            let event = values.remove(0);
            let binary = !arguments.attachments().is_empty();
            let data = if binary {
                let bytes = arguments.attachments().iter().map(|bytes| Part::Bytes(STANDARD.encode(bytes)));
                Data::Binary(std::iter::once(Part::Values(values)).chain(bytes).collect())
            } else {
                Data::Plain(values)
            };
            let (room, skip_sid) = (one_or_list(&targets.rooms), one_or_list(&targets.except));
            let asked = one_socket(targets).zip(request.as_ref());
            let callback = asked.map_or(Value::Null, |(sid, request)| json!([sid, namespace, request]));
            let emit = Emit { method: "emit", event, data, binary, namespace, room, skip_sid, callback, host_id: host };
            let body = serde_json::to_vec(&emit).map_err(|error| BusError::Malformed(error.to_string()))?;
            return Ok(vec![body]);
        }
        Message::Join { targets, rooms } => moves("enter_room", host, namespace, &targets.rooms, rooms),
        Message::Leave { targets, rooms } if *targets.rooms == *rooms && targets.except.is_empty() => {
            let one = |room| json!({ "method": "close_room", "room": room, "namespace": namespace, "host_id": host });
            rooms.iter().map(one).collect()
        }
        Message::Leave { targets, rooms } => moves("leave_room", host, namespace, &targets.rooms, rooms),
        Message::Disconnect { targets, .. } => {
            let one = |sid| json!({ "method": "disconnect", "sid": sid, "namespace": namespace, "host_id": host });
            targets.rooms.iter().map(one).collect()
        }
        _ => return Err(BusError::Unsupported("python-socketio has no message for this")),
    };
    if bodies.is_empty() {
        return Err(BusError::Unsupported("python-socketio does this for single sockets: name them by their ids"));
    }
    Ok(bodies.iter().map(|body| body.to_string().into_bytes()).collect())
}

/// Writes the answer of a client to the server that asked; the request is named as `read` names it.
pub(super) fn callback(host: &str, namespace: &str, request: &str, arguments: &Arguments) -> Option<Vec<u8>> {
    let (id, sid): (Value, String) = read(request).ok()?;
    let args = plain(arguments).ok()?;
    let body = json!({
        "method": "callback", "host_id": host, "sid": sid, "namespace": namespace, "id": id, "args": args,
    });
    Some(body.to_string().into_bytes())
}

fn moves(method: &str, host: &str, namespace: &str, sids: &[Room], rooms: &[Room]) -> Vec<Value> {
    let each = |sid: &Room| {
        let sid = sid.clone();
        rooms.iter().map(
            move |room| json!({ "method": method, "sid": sid, "room": room, "namespace": namespace, "host_id": host }),
        )
    };
    sids.iter().flat_map(each).collect()
}

/// Returns the only room that is meant, if its name is as long as the id of a socket.
pub(super) fn one_socket(targets: &Targets) -> Option<&Room> {
    match targets.rooms.as_slice() {
        [room] if room.len() == SOCKET_ID_LENGTH => Some(room),
        _ => None,
    }
}

/// Returns nothing, the only room, or the list.
fn one_or_list(rooms: &[Room]) -> Value {
    match rooms {
        [] => Value::Null,
        [room] => json!(room),
        rooms => json!(rooms),
    }
}

#[cfg(test)]
mod tests {
    use limpet_proto::socketio::arguments::Arguments;

    use super::*;
    use crate::target::Flags;

    fn written(message: &Message) -> Vec<Value> {
        let bodies = write("h", "/n", message).unwrap();
        bodies.iter().map(|body| serde_json::from_slice(body).unwrap()).collect()
    }

    #[test]
    fn an_event_with_bytes() {
        let text = r#"["hi",1,{"_placeholder":true,"num":0}]"#.to_owned();
        let arguments = Arguments::from_parts(text, vec![bytes::Bytes::from_static(b"\x01\xff")]).unwrap();
        let targets = Targets { rooms: vec!["a".into()], except: vec!["x".into(), "y".into()] };
        let message = Message::Broadcast { arguments, targets, flags: Flags::default(), request: None };
        assert_eq!(
            written(&message),
            [json!({
                "method": "emit", "event": "hi", "data": [[1, {"_placeholder": true, "num": 0}], "Af8="],
                "binary": true, "namespace": "/n", "room": "a", "skip_sid": ["x", "y"], "callback": null, "host_id": "h",
            })]
        );
    }

    #[test]
    fn one_socket_is_asked() {
        let callback = |room: &str| {
            let arguments = Arguments::from_parts(r#"["e"]"#.to_owned(), Vec::new()).unwrap();
            let targets = Targets { rooms: vec![room.into()], except: vec![] };
            let request = Some("q".into());
            written(&Message::Broadcast { arguments, targets, flags: Flags::default(), request })[0]["callback"].clone()
        };
        assert_eq!(callback("aaaaaaaaaaaaaaaaAAAB"), json!(["aaaaaaaaaaaaaaaaAAAB", "/n", "q"]));
        assert_eq!(callback("lobby"), Value::Null);
    }

    #[test]
    fn sockets_are_moved_one_by_one() {
        let targets = Targets { rooms: vec!["s".into(), "t".into()], except: vec![] };
        let bodies = written(&Message::Join { targets, rooms: vec!["r".into()] });
        assert_eq!(bodies.len(), 2);
        assert_eq!(
            bodies[1],
            json!({"method": "enter_room", "sid": "t", "room": "r", "namespace": "/n", "host_id": "h"})
        );
        assert!(write("h", "/", &Message::Disconnect { targets: Targets::all(), close: false }).is_err());
    }
}
