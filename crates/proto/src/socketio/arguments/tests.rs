//! What is spread, where bytes go, and what is read back.

use std::collections::HashMap;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::engineio::message::Message;
use crate::socketio::packet::Kind;
use crate::socketio::parser::Parser;

fn event<T: Serialize + ?Sized>(values: &T) -> String {
    Arguments::event("e", values).unwrap().text().to_owned()
}

#[test]
fn tuples_are_spread_and_nothing_else() {
    #[derive(Serialize)]
    struct Pair(u8, u8);
    #[derive(Serialize)]
    struct Wrapped((u8, u8));
    #[derive(Serialize)]
    struct Named {
        a: u8,
    }
    assert_eq!(event(&()), r#"["e"]"#);
    assert_eq!(event(&(1,)), r#"["e",1]"#);
    assert_eq!(event(&(1, "two", [3])), r#"["e",1,"two",[3]]"#);
    assert_eq!(event(&&(1, 2)), r#"["e",1,2]"#);
    assert_eq!(event(&[1, 2]), r#"["e",1,2]"#);
    assert_eq!(event(&([1, 2],)), r#"["e",[1,2]]"#);
    assert_eq!(event("x"), r#"["e","x"]"#);
    assert_eq!(event(&1.5), r#"["e",1.5]"#);
    assert_eq!(event(&'c'), r#"["e","c"]"#);
    assert_eq!(event(&vec![1, 2]), r#"["e",[1,2]]"#);
    assert_eq!(event(&None::<u8>), r#"["e",null]"#);
    assert_eq!(event(&Some((1, 2))), r#"["e",[1,2]]"#);
    assert_eq!(event(&Pair(1, 2)), r#"["e",[1,2]]"#);
    assert_eq!(event(&Wrapped((1, 2))), r#"["e",[1,2]]"#);
    assert_eq!(event(&Named { a: 1 }), r#"["e",{"a":1}]"#);
    assert_eq!(event(&json!([1, { "b": null }])), r#"["e",[1,{"b":null}]]"#);
    assert_eq!(event(&std::net::Ipv4Addr::LOCALHOST), r#"["e","127.0.0.1"]"#);
    assert_eq!(Arguments::values(&()).unwrap().text(), "[]");
    assert_eq!(Arguments::values(&(1, "x")).unwrap().text(), r#"[1,"x"]"#);
    assert_eq!(Arguments::values(&json!({})).unwrap().text(), "[{}]");
    assert_eq!(Arguments::event("a\"b\n", &()).unwrap().text(), r#"["a\"b\n"]"#);
}

#[test]
fn what_is_no_json_is_an_error_and_not_half_an_event() {
    let keys: HashMap<(u8, u8), u8> = HashMap::from([((1, 2), 3)]);
    assert!(matches!(Arguments::event("e", &keys), Err(ArgumentsError::Json(_))));
    assert!(matches!(Arguments::event("e", &(1, keys)), Err(ArgumentsError::Json(_))));
}

#[test]
fn bytes_become_attachments_wherever_they_are() {
    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Photo {
        name: String,
        data: Bytes,
        parts: Vec<Bytes>,
    }
    let photo = Photo {
        name: "a".into(),
        data: Bytes::from_static(b"\x00\xff"),
        parts: vec![Bytes::new(), Bytes::from_static(b"x")],
    };
    let arguments = Arguments::event("photo", &(&photo, 7)).unwrap();
    assert_eq!(
        arguments.text(),
        concat!(
            r#"["photo",{"name":"a","data":{"_placeholder":true,"num":0},"#,
            r#""parts":[{"_placeholder":true,"num":1},{"_placeholder":true,"num":2}]},7]"#
        )
    );
    assert_eq!(arguments.attachments(), [&b"\x00\xff"[..], b"", b"x"]);
    assert_eq!(arguments.get::<Photo>(1).unwrap(), photo);
    assert_eq!(arguments.to::<(Photo, u8)>(1).unwrap(), (photo, 7));
    let alone = Arguments::values(&Bytes::from_static(b"abc")).unwrap();
    assert_eq!(alone.text(), r#"[{"_placeholder":true,"num":0}]"#);
    assert_eq!(alone.get::<Bytes>(0).unwrap(), b"abc"[..]);
    assert_eq!(alone.get::<Vec<u8>>(0).unwrap(), b"abc");
    assert_eq!(alone.get::<Option<Bytes>>(0).unwrap().unwrap(), b"abc"[..]);
    assert_eq!(alone.to::<Bytes>(0).unwrap(), b"abc"[..]);
    assert!(alone.get::<u8>(0).is_err());
    assert!(Arguments::values(&Bytes::from_static(b"\xff")).unwrap().get::<String>(0).is_err());
}

#[test]
fn a_smuggled_placeholder_is_no_attachment() {
    let forged = json!({ "x": { "_placeholder": true, "num": 7 } });
    // Alone it is an object like any other.
    let arguments = Arguments::event("e", &forged).unwrap();
    assert_eq!(arguments.get::<serde_json::Value>(1).unwrap(), forged);
    // Beside bytes, clients would look for attachment 7, and hang up.
    let beside = Arguments::event("e", &(&forged, Bytes::from_static(b"x")));
    assert!(matches!(beside, Err(ArgumentsError::Placeholder)));
    // Text that talks of one is text.
    let text = r#"{"_placeholder":true,"num":7}"#;
    assert!(Arguments::event("e", &(text, Bytes::from_static(b"x"))).is_ok());
}

#[test]
fn values_are_read_by_position() {
    let arguments = Arguments::from_parts(r#"["e", 1, "two" , null]"#, Vec::new()).unwrap();
    assert_eq!(arguments.len(), 4);
    assert_eq!(arguments.event_name(), "e");
    assert_eq!(arguments.get::<u8>(1).unwrap(), 1);
    assert_eq!(arguments.get::<String>(2).unwrap(), "two");
    assert_eq!(arguments.get::<Option<u8>>(3).unwrap(), None);
    assert_eq!(arguments.get::<Option<u8>>(9).unwrap(), None);
    assert!(arguments.get::<u8>(9).is_err());
    assert!(arguments.get::<u8>(2).is_err());
    assert_eq!(arguments.raw(1), Some("1"));
    assert_eq!(arguments.raw(2), Some(r#""two""#));
    assert_eq!(arguments.raw(4), None);
    assert_eq!(arguments.raw_values(), [r#""e""#, "1", r#""two""#, "null"]);
    assert_eq!(arguments.to::<(u8, String)>(1).unwrap(), (1, "two".to_owned()));
    assert_eq!(arguments.to::<(u8, String, Option<u8>, Option<u8>)>(1).unwrap(), (1, "two".to_owned(), None, None));
    assert_eq!(arguments.to::<u8>(1).unwrap(), 1);
    assert_eq!(arguments.to::<Option<u8>>(9).unwrap(), None);
    arguments.to::<()>(1).unwrap();
    assert_eq!(Arguments::default().len(), 0);
    assert_eq!(Arguments::default().event_name(), "");
    assert_eq!(Arguments::from_parts("[7]", Vec::new()).unwrap().event_name(), "7");
}

#[test]
fn only_lists_are_taken() {
    for text in ["", "{}", "1", "[", "[1]x", "[1,]", " [1]"] {
        assert!(Arguments::from_parts(text, Vec::new()).is_err(), "{text}");
    }
}

/// A type must read the same, whether there are bytes beside it or not.
#[test]
fn a_text_can_follow() {
    let followed = |text: &str| Arguments::from_parts(text, Vec::new()).unwrap().followed_by("1-0").text().to_owned();
    assert_eq!(followed(r#"["a"]"#), r#"["a","1-0"]"#);
    assert_eq!(followed(r#"["a",[]]"#), r#"["a",[],"1-0"]"#);
    assert_eq!(followed("[ \"a\" , 1 ] \n"), "[ \"a\" , 1 ,\"1-0\"]");
    assert_eq!(followed("[]"), r#"["1-0"]"#);
    assert_eq!(followed("[ ]"), r#"[ "1-0"]"#);
    let quoted = Arguments::event("a", &1).unwrap().followed_by("\"\\");
    assert_eq!(quoted.get::<String>(2).unwrap(), "\"\\");
    let bytes = Arguments::event("a", &Bytes::from_static(b"b")).unwrap().followed_by("1-0");
    assert_eq!((bytes.attachments().len(), bytes.len()), (1, 3));
}

#[test]
fn a_packet_whose_text_follows_is_that_of_longer_arguments() {
    let bytes = Arguments::event("a", &Bytes::from_static(b"b")).unwrap();
    let lists = [r#"["a"]"#, "[ \"a\" , 1 ] \n", "[]"].map(|text| Arguments::from_parts(text, Vec::new()).unwrap());
    for arguments in lists.iter().chain([&bytes]) {
        for text in ["17-0", "\"\\", "größe"] {
            for parser in [Parser::Json, Parser::Msgpack] {
                for namespace in ["/", "/chat"] {
                    let longer = arguments.followed_by(text);
                    let whole = parser.encode(Kind::Event, namespace, None, Some(&longer));
                    let followed = parser.encode_followed(namespace, arguments, text);
                    assert!(followed.iter().map(Message::frame).eq(whole.iter().map(Message::frame)), "{arguments:?}");
                }
            }
        }
    }
}

#[test]
fn a_last_text_is_seen() {
    let last = |text: &str| Arguments::from_parts(text, Vec::new()).unwrap().last_text().map(Cow::into_owned);
    assert_eq!(last(r#"["a"]"#).as_deref(), Some("a"));
    assert_eq!(last("[1, \"b\\\"\" ]").as_deref(), Some("b\""));
    assert_eq!(last(r#"["a",{"b":"c"}]"#), None);
    assert_eq!(last(r#"["a",1]"#), None);
    assert_eq!(last("[]"), None);
}

#[test]
fn types_read_alike_with_and_without_bytes() {
    #[derive(Deserialize, PartialEq, Debug)]
    enum Shape {
        Point,
        Circle(u8),
        Line(u8, u8),
        Box { width: u8 },
    }
    #[derive(Deserialize, PartialEq, Debug)]
    #[serde(tag = "kind", rename_all = "lowercase")]
    enum Tagged {
        A { x: u8 },
        B,
    }
    #[derive(Deserialize, PartialEq, Debug)]
    struct All {
        shapes: Vec<Shape>,
        tagged: Vec<Tagged>,
        by_number: HashMap<u32, Option<bool>>,
        by_name: HashMap<String, f64>,
        pair: (i8, char),
        #[serde(default)]
        missing: u8,
        unit: (),
    }
    let text = concat!(
        r#"["e",{"shapes":["Point",{"Circle":1},{"Line":[1,2]},{"Box":{"width":3}}],"#,
        r#""tagged":[{"kind":"a","x":1},{"kind":"b"}],"by_number":{"7":true,"8":null},"#,
        r#""by_name":{"x":1,"y":2.5},"pair":[-1,"c"],"unit":null,"extra":[[{"deep":1}]]}]"#
    );
    let without: All = Arguments::from_parts(text, Vec::new()).unwrap().get(1).unwrap();
    let with: All = Arguments::from_parts(text, vec![Bytes::from_static(b"x")]).unwrap().get(1).unwrap();
    assert_eq!(without, with);
    assert_eq!(with.by_number, HashMap::from([(7, Some(true)), (8, None)]));
    for (text, is_fine) in [("[[1,2]]", true), ("[[1]]", false), ("[[1,2,3]]", false)] {
        let with = Arguments::from_parts(text, vec![Bytes::new()]).unwrap().get::<(u8, u8)>(0).is_ok();
        let without = Arguments::from_parts(text, Vec::new()).unwrap().get::<(u8, u8)>(0).is_ok();
        assert_eq!((with, without), (is_fine, is_fine), "{text}");
    }
}

#[test]
fn depth_overflows_nothing() {
    let text = format!("[{}{}]", "[".repeat(100_000), "]".repeat(100_000));
    let arguments = Arguments::from_parts(text, vec![Bytes::new()]).unwrap();
    assert!(arguments.get::<serde_json::Value>(0).is_err());
    assert!(arguments.to::<serde_json::Value>(0).is_err());
    assert_eq!(arguments.len(), 1);
}

proptest! {
    #[test]
    fn what_is_written_is_read(text in any::<String>(), number in any::<i64>(), bytes in prop::collection::vec(any::<Vec<u8>>(), 0..4)) {
        let bytes: Vec<Bytes> = bytes.into_iter().map(Bytes::from).collect();
        let arguments = Arguments::event(&text, &(&text, number, &bytes)).unwrap();
        prop_assert_eq!(arguments.event_name(), text.as_str());
        prop_assert_eq!(arguments.attachments(), &bytes[..]);
        let read: (String, i64, Vec<Bytes>) = arguments.to(1).unwrap();
        prop_assert_eq!(read, (text, number, bytes));
    }
}
