//! Our parsers beside socket.io-parser and socket.io-msgpack-parser: the same verdict on each message, and the same values.

use bytes::Bytes;
use limpet_proto::socketio::arguments::Arguments;
use limpet_proto::socketio::decoder::{Decoded, Decoder};
use limpet_proto::socketio::packet::Kind;
use limpet_proto::socketio::parser::Parser;
use limpet_testkit::peers::Parsers;
use serde_json::{Value, json};

/// Sequences of messages that a client may send: text as it is, bytes as `#` and hexadecimal digits.
const CASES: &[&[&str]] = &[
    &["0"],
    &["0{}"],
    &[r#"0{"token":"x"}"#],
    &["0/admin"],
    &["0/admin,"],
    &[r#"0/admin,{"a":1}"#],
    &["0/admin?x=1,"],
    &["0[]"],
    &["0null"],
    &["0\"x\""],
    &["0{"],
    &["01"],
    &["1"],
    &["1/admin,"],
    &["1/admin"],
    &["1{}"],
    &["1null"],
    &[r#"2["a"]"#],
    &[r#"2["a",1,2.5,null,true,"x",{"b":[{}]}]"#],
    &[r#"2["größe","🦀","\ud83e\udd80"]"#],
    &[r#"2/größe,["a"]"#],
    &[r#"212["a"]"#],
    &[r#"2/a,12["a"]"#],
    &[r#"2["a"] "#],
    &["2[1]"],
    &["2[-1.5e3]"],
    &["2[]"],
    &["2{}"],
    &["2[null]"],
    &["2[true]"],
    &["2[{}]"],
    &["2[[]]"],
    &["2\"a\""],
    &[r#"2["a""#],
    &[r#"2["a"]]"#],
    &[r#"2["a",]"#],
    &[r#"2["a",01]"#],
    &[r#"2["a",'x']"#],
    &["2[\"a\n\"]"],
    &[r#"2["connect"]"#],
    &[r#"2["connect_error"]"#],
    &[r#"2["disconnect"]"#],
    &[r#"2["disconnecting"]"#],
    &[r#"2["newListener"]"#],
    &[r#"2["removeListener"]"#],
    &[r#"2["c\u006fnnect"]"#],
    &[r#"2["connection"]"#],
    &["3[]"],
    &["313[]"],
    &[r#"3/a,13["x"]"#],
    &["313{}"],
    &["3132"],
    &[r#"4"no""#],
    &[r#"4{"message":"no"}"#],
    &["4[]"],
    &["41"],
    &["4null"],
    &["7"],
    &["8[]"],
    &["9"],
    &["a"],
    &["-1"],
    &["#00"],
    &[r#"51-["a",{"_placeholder":true,"num":0}]"#, "#0102ff"],
    &[r#"51-/a,7["a",{"_placeholder":true,"num":0}]"#, "#"],
    &[r#"52-["a",{"_placeholder":true,"num":1},[{"_placeholder":true,"num":0}]]"#, "#01", "#02"],
    &[r#"52-["a",{"_placeholder":true,"num":1},{"_placeholder":true,"num":1}]"#, "#01", "#02"],
    &[r#"51-["a"]"#, "#01"],
    &[r#"51-["a",{"_placeholder":true,"num":0}]"#, "#01", "#02"],
    &[r#"51-["a",{"_placeholder":true,"num":0}]"#, r#"2["b"]"#],
    &[r#"51-["a",{"_placeholder":true,"num":0}]"#, "#01", r#"2["b"]"#],
    &[r#"51-["a",{"_placeholder":true,"num":1}]"#, "#01"],
    &[r#"51-["a",{"_placeholder":true,"num":-1}]"#, "#01"],
    &[r#"51-["a",{"_placeholder":true,"num":"0"}]"#, "#01"],
    &[r#"51-["a",{"_placeholder":true}]"#, "#01"],
    &[r#"51-["a",{"_placeholder":1,"num":0}]"#, "#01"],
    &[r#"51-["a",{"_placeholder":false,"num":9}]"#, "#01"],
    &[r#"51-["a",{"x":{"_placeholder":true,"num":0,"y":1}}]"#, "#01"],
    &[r#"510-["a"]"#, "#01", "#02", "#03", "#04", "#05", "#06", "#07", "#08", "#09", "#0a"],
    &[r#"511-["a"]"#],
    &[r#"50-["a"]"#],
    &["50-[]"],
    &[r#"5["a"]"#],
    &[r#"5-["a"]"#],
    &[r#"5x-["a"]"#],
    &[r#"5-1-["a"]"#],
    &[r#"51.5-["a"]"#],
    &["5"],
    &["51"],
    &["51-", "#01"],
    &["61-[]", "#01"],
    &[r#"61-9[{"_placeholder":true,"num":0}]"#, "#01"],
    &["60-[]"],
    &[r#"2["a",{"_placeholder":true,"num":0}]"#],
    &[r#"2["a",{"__proto__":1}]"#],
    &[r#"51-["a",{"_placeholder":true,"num":0}]"#],
];

/// Where we are stricter, and why: the packet is none by the protocol, and the reference makes something of it by accident.
const STRICTER: &[&str] = &[
    // It gives a packet without the data that its type must have, which does nothing.
    "2",
    "3",
    "4",
    "212",
    // JavaScript takes these for numbers: of attachments, and a blank for the id 0.
    "51e0-[\"a\"]",
    "5 1-[\"a\"]",
    "50x1-[\"a\"]",
    // Ids that JavaScript cannot count.
    "29007199254740993[\"a\"]",
    "299999999999999999999[\"a\"]",
];

/// Writes a decoded packet as the peer does.
fn packet(decoded: Decoded<'_>) -> Value {
    let kind = match decoded.kind {
        Kind::Connect => 0,
        Kind::Disconnect => 1,
        Kind::Event => 2,
        Kind::Ack => 3,
        Kind::ConnectError => 4,
    };
    let mut packet = json!({ "type": kind, "nsp": decoded.namespace });
    if let Some(id) = decoded.id {
        packet["id"] = json!(id);
    }
    if let Some(payload) = decoded.payload {
        let data: Value = serde_json::from_str(payload.text()).unwrap();
        let mut data = with_bytes(data, payload.attachments());
        if kind == 0 || kind == 4 {
            data = data[0].take();
        }
        packet["data"] = data;
    }
    packet
}

fn with_bytes(value: Value, attachments: &[Bytes]) -> Value {
    match value {
        Value::Object(object) if !attachments.is_empty() && object.get("_placeholder") == Some(&Value::Bool(true)) => {
            bytes_as_json(&attachments[usize::try_from(object["num"].as_u64().unwrap()).unwrap()])
        }
        Value::Object(object) => object.into_iter().map(|(key, value)| (key, with_bytes(value, attachments))).collect(),
        Value::Array(list) => list.into_iter().map(|value| with_bytes(value, attachments)).collect(),
        plain => plain,
    }
}

fn bytes_as_json(bytes: &[u8]) -> Value {
    json!({ "$hex": bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
}

fn from_hex(hex: &str) -> Bytes {
    let digits = |place: usize| u8::from_str_radix(&hex[place..place + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}

/// Numbers as JavaScript has them: 1.0 is 1.
fn as_javascript(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            let number = number.as_f64().unwrap();
            if number.fract() == 0.0 && number.abs() < 9e15 { json!(number as i64) } else { json!(number) }
        }
        Value::Array(list) => list.iter().map(as_javascript).collect(),
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), as_javascript(value))).collect(),
        plain => plain.clone(),
    }
}

/// Decodes messages as the peer is asked to.
fn decode(parser: Parser, messages: &Value) -> Value {
    let mut decoder = Decoder::new(parser, 10);
    let mut packets = Vec::new();
    let mut error = false;
    for message in messages.as_array().unwrap() {
        let bytes = message["$hex"].as_str().map(from_hex);
        let decoded = match (&bytes, message.as_str()) {
            (Some(bytes), _) => decoder.handle_binary(bytes),
            (None, text) => decoder.handle_text(text.unwrap()),
        };
        match decoded {
            Ok(decoded) => packets.extend(decoded.map(packet)),
            Err(_) => {
                error = true;
                break;
            }
        }
    }
    json!({ "packets": packets, "error": error })
}

fn question(messages: &[&str]) -> Value {
    let message = |message: &&str| match message.strip_prefix('#') {
        Some(hex) => json!({ "$hex": hex }),
        None => json!(message),
    };
    messages.iter().map(message).collect()
}

#[test]
fn json_is_judged_as_the_reference_does() {
    let mut peer = Parsers::start().unwrap();
    for messages in CASES {
        let messages = question(messages);
        let theirs = peer.ask(&json!({ "parser": "json", "messages": messages })).unwrap();
        let ours = decode(Parser::Json, &messages);
        if ours["error"] == true {
            // They look for the attachments only when the last has come.
            assert_eq!(theirs["error"], true, "{messages}: {theirs}");
        } else {
            assert_eq!(as_javascript(&ours), as_javascript(&theirs), "{messages}");
        }
    }
    for text in STRICTER {
        let messages = question(&[text, "#01"]);
        assert_eq!(decode(Parser::Json, &messages), json!({ "packets": [], "error": true }), "{text}");
        let theirs = peer.ask(&json!({ "parser": "json", "messages": [text] })).unwrap();
        assert_eq!(theirs["error"], false, "they no longer take {text}, so it belongs to the other table");
    }
}

#[test]
fn what_the_reference_writes_is_read() {
    let mut peer = Parsers::start().unwrap();
    for (name, parser) in [("json", Parser::Json), ("msgpack", Parser::Msgpack)] {
        let mut count = 0;
        loop {
            let sample = peer.ask(&json!({ "parser": name, "sample": count })).unwrap();
            if sample.is_null() {
                break;
            }
            let ours = decode(parser, &sample["messages"]);
            assert_eq!(ours["error"], false, "{name} {count}");
            assert_eq!(as_javascript(&ours["packets"][0]), as_javascript(&sample["packet"]), "{name} {count}");
            count += 1;
        }
        assert!(count > 10);
    }
}

#[test]
fn what_we_write_is_read_by_the_reference() {
    let mut peer = Parsers::start().unwrap();
    let bytes = |len: usize| Bytes::from(vec![7; len]);
    let samples = [
        Arguments::event("e", &()),
        Arguments::event("größe\n", &("🦀", "\u{2028}\0\"\\", "x".repeat(300), "y".repeat(70_000))),
        Arguments::event("e", &([0u64, 127, 128, 255, 256, 65_535, 65_536, 1 << 32, (1 << 53) - 1],)),
        Arguments::event("e", &([-1i64, -32, -33, -128, -129, -32_768, -32_769, -1 << 31, -(1 << 40)],)),
        Arguments::event("e", &(1.5, -0.25, 1e300, 5e-324, 2.0, f64::NAN, f32::MAX)),
        Arguments::event("e", &(true, false, None::<u8>, json!({}), json!([]), json!({ "a": { "": [[], {}] } }))),
        Arguments::event("e", &(vec![1; 15], vec![1; 16], vec![(); 70_000])),
        Arguments::event("e", &(0..300).map(|n| (n.to_string(), n)).collect::<std::collections::HashMap<_, _>>()),
        Arguments::event("e", &(bytes(0), bytes(1), [bytes(255), bytes(256), bytes(70_000)])),
        Arguments::values(&(json!({ "ok": true }), bytes(3))),
    ];
    for (name, parser) in [("json", Parser::Json), ("msgpack", Parser::Msgpack)] {
        for (number, arguments) in samples.iter().enumerate() {
            let arguments = arguments.as_ref().unwrap();
            let kind = if arguments.event_name().starts_with(['e', 'g']) { Kind::Event } else { Kind::Ack };
            let id = (number % 2 == 0).then_some(number as u64);
            let namespace = if number % 3 == 0 { "/" } else { "/größe" };
            let messages: Value = parser
                .encode(kind, namespace, id, Some(arguments))
                .iter()
                .map(|message| match message.is_binary() {
                    true => bytes_as_json(message.payload()),
                    false => json!(std::str::from_utf8(&message.payload()[1..]).unwrap()),
                })
                .collect();
            let theirs = peer.ask(&json!({ "parser": name, "messages": messages })).unwrap();
            let meant = Decoded { kind, namespace: namespace.into(), id, payload: Some(arguments.clone()) };
            let meant = json!({ "packets": [packet(meant)], "error": false });
            assert_eq!(as_javascript(&theirs), as_javascript(&meant), "{name} {number}");
        }
    }
}
