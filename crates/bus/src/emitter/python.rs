//! Decides how messages stand on the channel of python-socketio 5.14 and later: JSON objects with a `method`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::adapter::BusError;
use crate::envelope::Message;
use crate::target::Room;

/// Writes a message as one or more objects: Python moves and disconnects one socket at a time, by its id.
pub(super) fn write(host: &str, namespace: &str, message: &Message) -> Result<Vec<Vec<u8>>, BusError> {
    let bodies = match message {
        Message::Broadcast { arguments, targets, .. } => {
            let list: Vec<Value> =
                serde_json::from_str(arguments.text()).map_err(|error| BusError::Malformed(error.to_string()))?;
            let Some((event, values)) = list.split_first() else {
                return Err(BusError::Malformed("an event has a name".to_owned()));
            };
            let binary = !arguments.attachments().is_empty();
            let data = if binary {
                let bytes = arguments.attachments().iter().map(|bytes| Value::from(STANDARD.encode(bytes)));
                std::iter::once(Value::from(values)).chain(bytes).collect()
            } else {
                Value::from(values)
            };
            vec![json!({
                "method": "emit", "event": event, "data": data, "binary": binary, "namespace": namespace,
                "room": one_or_list(&targets.rooms), "skip_sid": one_or_list(&targets.except), "callback": null,
                "host_id": host,
            })]
        }
        Message::Join { targets, rooms } => moves("enter_room", host, namespace, &targets.rooms, rooms),
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

fn moves(method: &str, host: &str, namespace: &str, sids: &[Room], rooms: &[Room]) -> Vec<Value> {
    let each = |sid: &Room| {
        let sid = sid.clone();
        rooms.iter().map(
            move |room| json!({ "method": method, "sid": sid, "room": room, "namespace": namespace, "host_id": host }),
        )
    };
    sids.iter().flat_map(each).collect()
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
    use crate::target::{Flags, Targets};

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
