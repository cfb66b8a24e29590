use super::*;
use crate::target::{Flags, Room, Targets};
use limpet_proto::socketio::arguments::Arguments;

fn to(rooms: &[&str], request: Option<&str>) -> Message {
    let rooms: Vec<Room> = rooms.iter().map(|room| Room::from(*room)).collect();
    Message::Broadcast {
        arguments: Arguments::from_parts(r#"["hi",1]"#, Vec::new()).unwrap(),
        targets: Targets { rooms, except: vec!["x".into()] },
        flags: Flags::default(),
        request: request.map(Into::into),
    }
}

fn channel(mode: Sharding, message: &Message) -> String {
    Shards::new("socket.io", "/n", mode).write(&"a".into(), None, message).unwrap().unwrap().0
}

#[test]
fn one_room_has_a_channel_of_its_own() {
    use Sharding::{Dynamic, DynamicPrivate, Static};
    let id = "abcdefghijklmnopqrst";
    assert_eq!(channel(Dynamic, &to(&["r"], None)), "socket.io#/n#r#");
    assert_eq!(channel(Dynamic, &to(&[id], None)), "socket.io#/n#");
    assert_eq!(channel(DynamicPrivate, &to(&[id], None)), format!("socket.io#/n#{id}#"));
    for message in [to(&["r"], None), to(&[id], None)] {
        assert_eq!(channel(Static, &message), "socket.io#/n#");
    }
    for mode in [Dynamic, DynamicPrivate] {
        for message in [to(&[], None), to(&["r", "s"], None), to(&["r"], Some("q"))] {
            assert_eq!(channel(mode, &message), "socket.io#/n#");
        }
    }
    let shards = Shards::new("socket.io", "/n", Dynamic);
    assert_eq!(shards.room("r", RoomKind::Public).as_deref(), Some("socket.io#/n#r#"));
    assert_eq!(shards.room("r", RoomKind::Private), None);
    assert_eq!(Shards::new("k", "/", DynamicPrivate).room("r", RoomKind::Private).as_deref(), Some("k#/#r#"));
}

#[test]
fn text_is_json_and_bytes_are_msgpack() {
    let shards = Shards::new("socket.io", "/n", Sharding::Dynamic);
    let (_, bytes) = shards.write(&"a".into(), None, &to(&["r"], None)).unwrap().unwrap();
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(json["uid"], "a");
    assert_eq!((&json["nsp"], &json["type"]), (&"/n".into(), &3.into()));
    assert_eq!(json["data"]["packet"]["data"], serde_json::json!(["hi", 1]));
    let text = r#"["hi",{"_placeholder":true,"num":0}]"#;
    let message = Message::Broadcast {
        arguments: Arguments::from_parts(text, vec![Bytes::from_static(&[1])]).unwrap(),
        targets: Targets::all(),
        flags: Flags::default(),
        request: None,
    };
    let (_, bytes) = shards.write(&"a".into(), None, &message).unwrap().unwrap();
    assert_ne!(bytes[0], b'{');
    let heard = shards.read("socket.io#/n#", "/n", &bytes.into(), |_| true).unwrap();
    let Some(Received::Message(Some(node), Message::Broadcast { arguments, .. })) = heard else { panic!("{heard:?}") };
    assert_eq!((node.as_str(), arguments.attachments().len()), ("a", 1));
}

#[test]
fn an_answer_goes_to_who_asked() {
    let shards = Shards::new("socket.io", "/n", Sharding::Dynamic);
    let answer = Message::BroadcastCount { request: "q".into(), clients: 1 };
    let (channel, _) = shards.write(&"a".into(), Some(&"b".into()), &answer).unwrap().unwrap();
    assert_eq!(channel, "socket.io#/n#b#");
}

#[test]
fn what_nobody_here_wants_is_not_given_on() {
    let shards = Shards::new("socket.io", "/n", Sharding::Dynamic);
    let (channel, bytes) = shards.write(&"a".into(), None, &to(&["r"], None)).unwrap().unwrap();
    let bytes = Bytes::from(bytes);
    assert!(shards.read(&channel, "/n", &bytes, |_| false).unwrap().is_none());
    assert!(shards.read(&channel, "/n", &bytes, |room| room == "r").unwrap().is_some());
    assert!(shards.read(&channel, "/other", &bytes, |_| true).is_err());
}
