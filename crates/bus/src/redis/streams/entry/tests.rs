use limpet_proto::resp::Reader;
use proptest::prelude::*;

use super::*;

fn value() -> impl Strategy<Value = Value> {
    let name =
        prop::sample::select(vec!["uid", "nsp", "type", "data", "publisher", "counter", "again", "lost", "1-1", "3"]);
    let leaf = prop_oneof![
        Just(Value::Nil),
        any::<i64>().prop_map(Value::Int),
        name.prop_map(|name| Value::BulkString(name.into())),
        prop::collection::vec(any::<u8>(), 0..20).prop_map(Value::BulkString),
        Just(Value::SimpleString("5-0".to_owned())),
    ];
    leaf.prop_recursive(4, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::Array),
            prop::collection::vec((inner.clone(), inner), 0..3).prop_map(Value::Map),
        ]
    })
}

/// A value as Redis writes it.
fn written(value: &Value, out: &mut Vec<u8>) {
    let list =
        |mark: char, count: usize, out: &mut Vec<u8>| out.extend_from_slice(format!("{mark}{count}\r\n").as_bytes());
    match value {
        Value::Int(number) => out.extend_from_slice(format!(":{number}\r\n").as_bytes()),
        Value::BulkString(bytes) => resp::write_word(bytes, out),
        Value::SimpleString(text) => out.extend_from_slice(format!("+{text}\r\n").as_bytes()),
        Value::Array(values) => {
            list('*', values.len(), out);
            values.iter().for_each(|value| written(value, out));
        }
        Value::Map(members) => {
            list('%', members.len(), out);
            members.iter().for_each(|(name, value)| {
                written(name, out);
                written(value, out);
            });
        }
        _ => out.extend_from_slice(b"_\r\n"),
    }
}

/// What XREAD is taken to answer.
fn read(answer: &Value) -> Vec<Entry> {
    let (mut reader, mut bytes, mut entries) = (Reader::default(), Vec::new(), Vec::new());
    written(answer, &mut bytes);
    reader.buffer().extend_from_slice(&bytes);
    assert_eq!(reader.poll_frame(), Ok(true));
    of_xread(&reader.frame(), &mut entries);
    entries
}

fn bulk(text: &str) -> Value {
    Value::BulkString(text.into())
}

fn list<const N: usize>(values: [Value; N]) -> Value {
    Value::Array(values.into())
}

#[test]
fn entries_are_read_from_both_versions_of_the_protocol() {
    let data = r#"{"opts":{"rooms":["r"],"except":[]},"packet":{"type":2,"data":["news",1]}}"#;
    let fields = [
        "uid",
        "n1",
        "nsp",
        "/",
        "type",
        "3",
        "data",
        data,
        "publisher",
        "p",
        "counter",
        "7",
        "again",
        "5-1",
        "x",
        "y",
    ];
    let whole = list([bulk("7-2"), Value::Array(fields.map(bulk).into())]);
    let entries = list([
        whole.clone(),
        // A field without bytes, and an entry that is gone.
        list([bulk("7-3"), list([bulk("uid"), Value::Nil, bulk("lost"), bulk("1-1")])]),
        list([bulk("8-0"), Value::Nil]),
    ]);
    let answers = [Value::Map(vec![(bulk("socket.io"), entries.clone())]), list([list([bulk("socket.io"), entries])])];
    for answer in answers {
        let read = read(&answer);
        let shown: Vec<_> = read.iter().map(|entry| (entry.offset.to_string(), entry.is_loss)).collect();
        assert_eq!(shown, [("7-2".to_owned(), false), ("7-3".to_owned(), true), ("8-0".to_owned(), false)]);
        for entry in [&read[0], &of_xrange(list([whole.clone()]))[0]] {
            assert_eq!((entry.namespace(), entry.uid(), entry.is_broadcast()), ("/", &b"n1"[..], true));
            let again = Some(Offset { millis: 5, counter: 1 });
            assert_eq!(entry.mark(), Some(Mark { publisher: "p", counter: 7, again }));
            let (node, message) = entry.read().unwrap();
            assert_eq!(node.as_str(), "n1");
            let Message::Broadcast { arguments, targets, .. } = message else { panic!("{message:?}") };
            assert_eq!((arguments.text(), &*targets.rooms), (r#"["news",1]"#, &["r".into()][..]));
        }
        assert!(read[2].mark().is_none() && read[2].read().is_err());
    }
    // Nothing has come in time.
    assert!(read(&Value::Nil).is_empty());
}

proptest! {
    #[test]
    fn whatever_redis_answers_is_read(value in value()) {
        let streams = Value::Map(vec![(Value::BulkString(b"s".to_vec()), value.clone())]);
        let entries = read(&value).into_iter().chain(read(&streams)).chain(of_xrange(value.clone()));
        for entry in entries {
            let _ = (entry.mark().map(|mark| mark.counter), entry.namespace().len(), entry.read());
        }
        let _ = Info::read(value);
    }
}
