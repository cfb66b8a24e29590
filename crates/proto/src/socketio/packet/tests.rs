//! Packets as socket.io-parser writes and reads them.

use proptest::prelude::*;

use super::*;

/// Writes what was read in one line.
fn read(text: &str) -> String {
    let packet = match Packet::parse(text, 10) {
        Ok(packet) => packet,
        Err(error) => return format!("error: {error}"),
    };
    let body = match &packet.body {
        Body::Connect(None) => "connect".to_owned(),
        Body::Connect(Some(payload)) => format!("connect {payload}"),
        Body::Disconnect => "disconnect".to_owned(),
        Body::Event(list) => format!("event {list}"),
        Body::Ack(list) => format!("ack {list}"),
        Body::ConnectError(payload) => format!("refused {payload}"),
    };
    format!(
        "{} {} {} {body}",
        packet.namespace,
        packet.id.map_or_else(|| "-".into(), |id| id.to_string()),
        packet.attachments
    )
}

#[test]
fn packets_of_the_reference() {
    for (text, expected) in [
        ("0", "/ - 0 connect"),
        ("0/admin", "/admin - 0 connect"),
        ("0/admin,", "/admin - 0 connect"),
        (r#"0/admin,{"token":"a,b"}"#, r#"/admin - 0 connect {"token":"a,b"}"#),
        ("0/admin?token=a,", "/admin?token=a - 0 connect"),
        ("1/admin,", "/admin - 0 disconnect"),
        (r#"2["a",1,{}]"#, r#"/ - 0 event ["a",1,{}]"#),
        (r#"2[7,"x"]"#, r#"/ - 0 event [7,"x"]"#),
        (r#"2/chat,13["a"]"#, r#"/chat 13 0 event ["a"]"#),
        (r"3/chat,13[]", "/chat 13 0 ack []"),
        (r#"4/chat,{"message":"no"}"#, r#"/chat - 0 refused {"message":"no"}"#),
        (r#"4"no""#, r#"/ - 0 refused "no""#),
        (r#"51-["a",{"_placeholder":true,"num":0}]"#, r#"/ - 1 event ["a",{"_placeholder":true,"num":0}]"#),
        (r#"2 [ "a" ] "#, r#"/ - 0 event [ "a" ]"#),
        (r#"2["\ud800"]"#, r#"/ - 0 event ["\ud800"]"#),
        (
            r#"62-/chat,9[{"_placeholder":true,"num":1},[{"_placeholder":true,"num":0}]]"#,
            r#"/chat 9 2 ack [{"_placeholder":true,"num":1},[{"_placeholder":true,"num":0}]]"#,
        ),
    ] {
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn what_is_no_packet_is_an_error() {
    for text in [
        "",
        "7",
        "a",
        "ß",
        "0[]",
        "0null",
        "0\"x\"",
        "0{",
        "1{}",
        "2",
        "2{}",
        "2[]",
        "2[{}]",
        "2[null]",
        "2[true]",
        r#"2["a""#,
        r#"2["a"]x"#,
        "3",
        "3{}",
        "4",
        "4[]",
        "41",
        "5",
        r#"5["a"]"#,
        r#"50-["a"]"#,
        r#"5-["a"]"#,
        r#"5x-["a"]"#,
        r#"5-1-["a"]"#,
        r#"51.5-["a"]"#,
        r#"511-["a"]"#,
        r#"599999999999999999999-["a"]"#,
        r#"2["connect"]"#,
        r#"2["\u0063onnect"]"#,
        r#"2["newListener"]"#,
        r#"299999999999999999999["a"]"#,
        r#"29007199254740992["a"]"#,
        r#"51-["a",{"_placeholder":true,"num":1}]"#,
        r#"51-["a",{"_placeholder":true,"num":-1}]"#,
        r#"51-["a",{"_placeholder":true}]"#,
        r#"51-["a",{"_placeholder":true,"num":"0"}]"#,
        r#"51-["a",[[{"x":{"\u005fplaceholder":true,"num":3}}]]]"#,
    ] {
        assert!(read(text).starts_with("error: "), "{text}: {}", read(text));
    }
}

#[test]
fn deep_nesting_overflows_nothing() {
    let nested = |inside: &str| format!("{}{inside}{}", "[".repeat(100_000), "]".repeat(100_000));
    // Nobody has to look into it, so it passes.
    assert!(read(&format!("2[\"a\",{}]", nested(""))).starts_with("/ - 0 event"));
    // Whoever has to look for placeholders gives up.
    let placeholder = nested(r#"{"_placeholder":true,"num":0}"#);
    assert_eq!(read(&format!("51-[\"a\",{placeholder}]")), "error: an invalid payload");
}

#[test]
fn heads_are_written_as_the_reference_does() {
    let head = |kind, namespace, id, attachments| {
        let mut out = String::new();
        write_head(kind, namespace, id, attachments, &mut out);
        out
    };
    assert_eq!(head(Kind::Connect, "/", None, 0), "0");
    assert_eq!(head(Kind::Disconnect, "/chat", None, 0), "1/chat,");
    assert_eq!(head(Kind::Event, "/", Some(7), 0), "27");
    assert_eq!(head(Kind::Event, "/chat", None, 2), "52-/chat,");
    assert_eq!(head(Kind::Ack, "/chat", Some(7), 1), "61-/chat,7");
    assert_eq!(head(Kind::ConnectError, "/chat", None, 0), "4/chat,");
}

#[test]
fn names_of_events_are_text() {
    assert_eq!(string(r#""a\n\u00e9""#).as_deref(), Some("a\né"));
    assert_eq!(string(r#""\ud800""#).as_deref(), Some("\\ud800"));
    assert_eq!(string("1"), None);
}

proptest! {
    #[test]
    fn no_text_panics(text in r#"[0-7]?([0-9]{0,3}-)?(/[a-z]{0,3},?)?[0-9]{0,4}[\[\]{}",:a-z0-9\\]{0,20}"#) {
        let _ = read(&text);
    }

    #[test]
    fn events_there_and_back(namespace in "/[a-z]{0,8}", id in proptest::option::of(0..=MAX_ID), name in "[^\"\\\\]{1,8}") {
        prop_assume!(!RESERVED_EVENTS.contains(&&*name));
        let mut text = String::new();
        write_head(Kind::Event, &namespace, id, 0, &mut text);
        let arguments = serde_json::to_string(&(&name, 1)).unwrap();
        text.push_str(&arguments);
        let packet = Packet::parse(&text, 0).unwrap();
        prop_assert_eq!(packet.namespace, &namespace);
        prop_assert_eq!(packet.id, id);
        let Body::Event(list) = packet.body else { panic!("no event") };
        prop_assert_eq!(list, arguments);
    }
}
