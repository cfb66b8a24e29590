//! Decides how a broadcast stands in msgpack: `[uid, {type, data, nsp}, {rooms, except, flags}]`.
//!
//! It is read and written part by part, since it is most of what goes over the channels. Whoever writes it otherwise than
//! Node does is read by way of JSON, which takes more.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use limpet_proto::socketio::arguments::Arguments;
use limpet_proto::socketio::msgpack::parts::{
    Parts, write_arguments, write_flag, write_list, write_map, write_number, write_text,
};
use limpet_proto::socketio::packet::PacketError;

use super::{BINARY_EVENT, EVENT, Received, malformed};
use crate::adapter::BusError;
use crate::envelope::Message;
use crate::node::NodeId;
use crate::target::{Flags, Room, Targets};

/// In how many lists and maps the arguments lie.
const DEPTH: usize = 2;

/// A broadcast as it was read.
#[derive(Debug)]
pub(super) struct Broadcast<'a> {
    pub(super) node: NodeId,
    pub(super) namespace: Cow<'a, str>,
    pub(super) arguments: Arguments,
    pub(super) targets: Targets,
    pub(super) flags: Flags,
}

/// Writes a broadcast.
pub(super) fn write(node: &str, namespace: &str, arguments: &Arguments, targets: &Targets, flags: Flags) -> Vec<u8> {
    let attached: usize = arguments.attachments().iter().map(Bytes::len).sum();
    let mut out = Vec::with_capacity(arguments.text().len() + attached + 128);
    write_list(3, &mut out);
    write_text(node, &mut out);
    write_map(3, &mut out);
    write_text("type", &mut out);
    write_number(EVENT, &mut out);
    write_text("data", &mut out);
    write_arguments(arguments, &mut out);
    write_text("nsp", &mut out);
    write_text(namespace, &mut out);
    write_map(3, &mut out);
    for (name, rooms) in [("rooms", &targets.rooms), ("except", &targets.except)] {
        write_text(name, &mut out);
        write_list(rooms.len(), &mut out);
        rooms.iter().for_each(|room| write_text(room, &mut out));
    }
    write_text("flags", &mut out);
    let Flags { volatile, compress, timeout, local: _ } = flags;
    write_map(usize::from(volatile) + usize::from(!compress) + usize::from(timeout.is_some()), &mut out);
    if volatile {
        write_text("volatile", &mut out);
        write_flag(true, &mut out);
    }
    if !compress {
        write_text("compress", &mut out);
        write_flag(false, &mut out);
    }
    if let Some(timeout) = timeout {
        write_text("timeout", &mut out);
        write_number(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX), &mut out);
    }
    out
}

/// Reads a broadcast that stands as it is written; `None` for anything else, which may be one all the same.
pub(super) fn read(bytes: &Bytes) -> Option<Broadcast<'_>> {
    whole(bytes).ok().flatten()
}

fn whole(bytes: &Bytes) -> Result<Option<Broadcast<'_>>, PacketError> {
    let mut parts = Parts::new(bytes);
    if parts.list()? != 3 {
        return Ok(None);
    }
    let node = NodeId::from(&*parts.text()?);
    let (mut kind, mut arguments, mut namespace) = (None, None, None);
    for _ in 0..parts.map()? {
        match &*parts.text()? {
            "type" if kind.is_none() => kind = Some(parts.number()?),
            "data" if arguments.is_none() => arguments = Some(parts.arguments(DEPTH)?),
            "nsp" if namespace.is_none() => namespace = Some(parts.text()?),
            _ => return Ok(None),
        }
    }
    let (Some(EVENT | BINARY_EVENT), Some(arguments)) = (kind, arguments) else { return Ok(None) };
    let (mut rooms, mut except, mut flags) = (None, None, None);
    for _ in 0..parts.map()? {
        match &*parts.text()? {
            "rooms" if rooms.is_none() => rooms = Some(names(&mut parts)?),
            "except" if except.is_none() => except = Some(names(&mut parts)?),
            "flags" if flags.is_none() => match read_flags(&mut parts)? {
                Some(read) => flags = Some(read),
                None => return Ok(None),
            },
            _ => return Ok(None),
        }
    }
    if !parts.is_at_end() {
        return Ok(None);
    }
    let targets = Targets { rooms: rooms.unwrap_or_default(), except: except.unwrap_or_default() };
    let namespace = namespace.unwrap_or(Cow::Borrowed("/"));
    Ok(Some(Broadcast { node, namespace, arguments, targets, flags: flags.unwrap_or_default() }))
}

fn names(parts: &mut Parts<'_>) -> Result<Vec<Room>, PacketError> {
    let mut names = Vec::new();
    for _ in 0..parts.list()? {
        names.push(Room::from(&*parts.text()?));
    }
    Ok(names)
}

fn read_flags(parts: &mut Parts<'_>) -> Result<Option<Flags>, PacketError> {
    let mut flags = Flags::default();
    let mut seen = Vec::new();
    for _ in 0..parts.map()? {
        let name = parts.text()?;
        if seen.contains(&name) {
            return Ok(None);
        }
        match &*name {
            "volatile" => flags.volatile = parts.flag()?,
            "compress" => flags.compress = parts.flag()?,
            "timeout" => flags.timeout = Some(Duration::from_millis(parts.number()?)),
            _ => return Ok(None),
        }
        seen.push(name);
    }
    Ok(Some(flags))
}

impl Broadcast<'_> {
    /// Returns it as what came on a channel of a namespace.
    pub(super) fn received(self, namespace: &str) -> Result<Received, BusError> {
        let Self { node, namespace: of, arguments, targets, flags } = self;
        if of != namespace {
            return Err(malformed("the packet is of another namespace"));
        }
        arguments.check_event().map_err(malformed)?;
        Ok(Received::Message(Some(node), Message::Broadcast { arguments, targets, flags, request: None }))
    }
}

#[cfg(test)]
mod tests {
    use limpet_proto::socketio::msgpack;
    use proptest::prelude::*;

    use super::super::read::read_json;
    use super::super::{Options, Place, WrittenPacket, pack, raw};
    use super::*;

    /// Any JSON.
    fn value() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            prop::sample::select(vec![
                "null",
                "true",
                "false",
                "1.5",
                "-1",
                "[]",
                "{}",
                "\"a\\n\\\"\\ud83d\\ude00\"",
                "\"é\""
            ])
            .prop_map(str::to_owned),
            Just(r#"{"_placeholder":true,"num":0}"#.to_owned()),
            any::<u32>().prop_map(|number| number.to_string()),
            "[a-z ]{0,40}".prop_map(|text| format!("\"{text}\"")),
        ];
        leaf.prop_recursive(3, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|values| format!("[{}]", values.join(","))),
                prop::collection::vec(inner, 0..3).prop_map(|values| {
                    let members: Vec<_> =
                        values.iter().enumerate().map(|(at, value)| format!("\"m{at}\":{value}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }

    /// A map with some of these members, in any order, each perhaps with anything.
    fn map(members: Vec<(&'static str, Vec<&'static str>)>) -> impl Strategy<Value = String> {
        let members: Vec<_> = members
            .into_iter()
            .map(|(name, values)| {
                let value = prop_oneof![12 => prop::sample::select(values).prop_map(str::to_owned), 1 => value()];
                (Just(name), value, prop::bool::weighted(0.9))
            })
            .collect();
        members.prop_shuffle().prop_map(|members| {
            let members: Vec<_> = members
                .iter()
                .filter(|(_, _, is_there)| *is_there)
                .map(|(name, value, _)| format!("\"{name}\":{value}"))
                .collect();
            format!("{{{}}}", members.join(","))
        })
    }

    fn broadcast() -> impl Strategy<Value = String> {
        let uid = prop_oneof![8 => Just("\"uid\"".to_owned()), 1 => value()];
        let data = vec![r#"["news"]"#, r#"["news",{"_placeholder":true,"num":0},[1]]"#, "[]", r#"[1,"\u0001"]"#];
        let packet = map(vec![("type", vec!["2", "5", "3"]), ("data", data), ("nsp", vec!["\"/\"", "\"/other\""])]);
        let flags = r#"{"volatile":true,"compress":false,"timeout":70000}"#;
        let options = map(vec![
            ("rooms", vec!["[]", r#"["a"]"#, r#"["a","b",7]"#]),
            ("except", vec!["[]", r#"["x"]"#]),
            ("flags", vec!["{}", flags, r#"{"timeout":-1}"#, r#"{"volatile":null}"#]),
        ]);
        (uid, packet, options).prop_map(|(uid, packet, options)| format!("[{uid},{packet},{options}]"))
    }

    proptest! {
        #[test]
        fn both_ways_read_the_same(text in broadcast(), cut in prop::option::weighted(0.1, any::<prop::sample::Index>())) {
            let mut bytes = Vec::new();
            msgpack::from_json(&text, &[Bytes::from_static(b"bytes")], &mut bytes);
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let bytes = Bytes::from(bytes);
            if let Some(broadcast) = read(&bytes) {
                let (short, long) = (broadcast.received("/"), read_json(Place::Broadcast(None), "/", &bytes));
                prop_assert_eq!(format!("{short:?}"), format!("{long:?}"));
            }
        }

        #[test]
        fn what_is_written_is_what_json_would_be(
            data in prop::collection::vec(value(), 0..4),
            rooms in prop::collection::vec("[a-z]{0,40}", 0..20),
            (volatile, compress, timeout) in (any::<bool>(), any::<bool>(), prop::option::of(0_u64..100_000)),
        ) {
            let text = format!("[\"news\"{}]", data.iter().map(|value| format!(",{value}")).collect::<String>());
            let arguments = Arguments::from_parts(text, vec![Bytes::from_static(b"bytes")]).unwrap();
            let targets = Targets { rooms: rooms.iter().map(|room| room.as_str().into()).collect(), except: vec!["x".into()] };
            let flags = Flags { volatile, compress, timeout: timeout.map(Duration::from_millis), local: false };
            let packet = WrittenPacket { kind: EVENT, data: raw(Some(arguments.text())).unwrap(), nsp: "/n" };
            let expected = pack(&("uid", packet, Options::of(&targets, Some(flags))), &arguments);
            let written = write("uid", "/n", &arguments, &targets, flags);
            prop_assert_eq!(&written, &expected);
            let written = Bytes::from(written);
            let read = read(&written).expect("it is read the short way");
            prop_assert_eq!((&*read.namespace, &read.targets, read.flags), ("/n", &targets, flags));
        }
    }
}
