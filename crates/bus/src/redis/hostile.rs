//! Whatever stands on a channel, the readers end with a message or an error: they never panic.

use bytes::Bytes;
use proptest::prelude::*;

use super::classic::{Place, read};
use super::{fuzzing, message, python};
use limpet_proto::socketio::msgpack;

/// Any JSON that looks a little like a message.
fn json() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("uid"),
        Just("nsp"),
        Just("type"),
        Just("data"),
        Just("opts"),
        Just("rooms"),
        Just("except"),
        Just("flags"),
        Just("packet"),
        Just("requestId"),
        Just("sockets"),
        Just("clientCount"),
        Just("close"),
        Just("sid"),
        Just("room"),
        Just("method"),
        Just("event"),
        Just("binary"),
        Just("namespace"),
        Just("callback"),
        Just("skip_sid"),
        Just("host_id"),
        Just("handshake"),
        Just("_placeholder"),
        Just("num"),
        Just("emit"),
        Just("/"),
    ];
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|value| value.to_string()),
        (-2i64..20).prop_map(|value| value.to_string()),
        Just("1e400".to_owned()),
        Just(u64::MAX.to_string()),
        word.clone().prop_map(|word| format!("\"{word}\"")),
        Just("\"\\ud800\"".to_owned()),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((word.clone(), inner), 0..8).prop_map(|members| {
                let members: Vec<_> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn all(bytes: &Bytes) {
    for place in 0..4 {
        fuzzing::classic(&[&[place], &bytes[..]].concat());
    }
    fuzzing::sharded(bytes);
    fuzzing::python(bytes);
    fuzzing::session(bytes);
    fuzzing::streams(bytes);
}

type Look = fn(&[u8]) -> bool;

/// What Node, Python and Redis wrote, which is where fuzzing begins.
#[test]
fn what_others_wrote_is_understood() {
    let kinds: [(&str, Look); 5] = [
        ("classic", fuzzing::classic),
        ("sharded", fuzzing::sharded),
        ("python", fuzzing::python),
        ("streams", fuzzing::streams),
        ("session", fuzzing::session),
    ];
    let mut wrong = Vec::new();
    for (kind, read) in kinds {
        let folder = format!("{}/../../fuzz/seeds/bus_{kind}", env!("CARGO_MANIFEST_DIR"));
        let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty());
        for file in files {
            // It is no entry.
            let is_silent = file.ends_with("bus_streams/info");
            if read(&std::fs::read(&file).unwrap()) == is_silent {
                wrong.push(file);
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

proptest! {
    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        all(&bytes.into());
    }

    #[test]
    fn any_json(text in json()) {
        all(&Bytes::from(text.clone()));
        // The same as msgpack.
        let mut bytes = Vec::new();
        if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
            msgpack::from_json(&text, &[Bytes::from_static(b"x")], &mut bytes);
            all(&bytes.into());
        }
    }

    #[test]
    fn any_cut(text in json(), cut in any::<prop::sample::Index>()) {
        let mut bytes = Vec::new();
        if serde_json::from_str::<serde_json::Value>(&text).is_ok() {
            msgpack::from_json(&text, &[], &mut bytes);
            bytes.truncate(cut.index(bytes.len().max(1)));
            all(&bytes.into());
        }
    }
}

/// Clients close the connection on an event that is none for them: one message would cut all of them off.
#[test]
fn no_client_gets_an_event_that_it_would_choke_on() {
    let table = [
        ("news", true),
        ("", true),
        ("connection", true),
        ("connect", false),
        ("connect_error", false),
        ("disconnect", false),
        ("disconnecting", false),
        ("newListener", false),
        ("removeListener", false),
    ];
    let names = table.map(|(name, is_taken)| (format!("\"{name}\""), is_taken));
    let others = [("5", true), ("-1", true), ("null", false), ("true", false), ("{}", false), ("[]", false)];
    let escaped = [(r#""\u0063onnect""#.to_owned(), false), (r#""\u006eews""#.to_owned(), true)];
    let others = others.map(|(name, is_taken)| (name.to_owned(), is_taken));
    for (name, is_taken) in names.into_iter().chain(others).chain(escaped) {
        let pack = |text: String| {
            let mut bytes = Vec::new();
            msgpack::from_json(&text, &[], &mut bytes);
            Bytes::from(bytes)
        };
        let packet = format!(r#"{{"type":2,"data":[{name},1],"nsp":"/"}}"#);
        let opts = r#"{"rooms":[],"except":[],"flags":{}}"#;
        let broadcast = pack(format!(r#"["uid",{packet},{opts}]"#));
        let is_read = |place, bytes| read(place, "/", bytes).is_ok();
        assert_eq!(is_read(Place::Broadcast(None), &broadcast), is_taken, "{name}");
        let asked = pack(format!(r#"{{"uid":"u","requestId":"r","type":7,"packet":{packet},"opts":{opts}}}"#));
        assert_eq!(is_read(Place::Request, &asked), is_taken, "{name} with an answer");
        let data = format!(r#"{{"packet":{packet},"opts":{opts}}}"#);
        assert_eq!(message::read(3, &data, Vec::new()).is_ok(), is_taken, "{name} in a stream");
        let emit = format!(r#"{{"method":"emit","event":{name},"data":[1],"host_id":"h"}}"#);
        // Python has names that are texts alone.
        let is_text = name.starts_with('"');
        assert_eq!(python::read_any(&Bytes::from(emit)).is_some(), is_taken && is_text, "{name} of Python");
        // Servers have other names for themselves.
        let told = Bytes::from(format!(r#"{{"uid":"u","type":6,"data":[{name}]}}"#));
        assert!(is_read(Place::Request, &told), "{name} for servers");
    }
}
