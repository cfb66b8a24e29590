use proptest::prelude::*;

use super::*;

/// A value as text, with what is in it.
fn shown(values: &mut Values<'_>) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let inner = |count: usize, values: &mut Values<'_>| (0..count).map(|_| shown(values)).collect::<Vec<_>>().join(" ");
    match values.next() {
        None => "-".to_owned(),
        Some(Value::Text(bytes)) => format!("+{}", text(bytes)),
        Some(Value::Bulk(bytes)) => format!("'{}'", text(bytes)),
        Some(Value::Error(bytes)) => format!("!{}", text(bytes)),
        Some(Value::Integer(bytes)) => text(bytes),
        Some(Value::Nil) => "nil".to_owned(),
        Some(Value::Other(bytes)) => format!("?{}", text(bytes)),
        Some(Value::List(count)) => format!("[{}]", inner(count, values)),
        Some(Value::Push(count)) => format!(">[{}]", inner(count, values)),
    }
}

/// What comes of bytes that come in portions of so many.
fn frames(bytes: &[u8], portion: usize, max: usize) -> (Vec<String>, Option<RespError>) {
    let (mut reader, mut frames) = (Reader::new(max), Vec::new());
    for portion in bytes.chunks(portion.max(1)) {
        reader.buffer().extend_from_slice(portion);
        loop {
            match reader.poll_frame() {
                Ok(true) => {
                    let frame = reader.frame();
                    frames.push(format!("{} {}", frame.bytes().len(), shown(&mut frame.values())));
                }
                Ok(false) => break,
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

fn one(bytes: &str) -> String {
    let (frames, error) = frames(bytes.as_bytes(), usize::MAX, MAX_FRAME);
    assert_eq!(error, None, "{bytes:?}");
    assert_eq!(frames.len(), 1, "{bytes:?}: {frames:?}");
    frames[0].split_once(' ').expect("a length and a value").1.to_owned()
}

#[test]
fn every_kind_of_value_is_read() {
    let table = [
        ("+OK\r\n", "+OK"),
        ("+\r\n", "+"),
        ("-ERR no\r\n", "!ERR no"),
        (":-12\r\n", "-12"),
        ("$2\r\nhi\r\n", "'hi'"),
        ("$0\r\n\r\n", "''"),
        ("$2\r\n\r\n\r\n", "'\r\n'"),
        ("$-1\r\n", "nil"),
        ("*-1\r\n", "nil"),
        ("_\r\n", "nil"),
        ("#t\r\n", "?t"),
        (",1.5\r\n", "?1.5"),
        ("(123\r\n", "?123"),
        ("!3\r\nERR\r\n", "!ERR"),
        ("=6\r\ntxt:hi\r\n", "'txt:hi'"),
        ("*0\r\n", "[]"),
        ("*2\r\n:1\r\n*1\r\n$1\r\na\r\n", "[1 ['a']]"),
        ("~1\r\n:1\r\n", "[1]"),
        ("%1\r\n+a\r\n*0\r\n", "[+a []]"),
        ("|1\r\n+a\r\n+b\r\n*1\r\n:7\r\n", "[+a +b [7]]"),
        (">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n", ">['message' 'c' 'x']"),
    ];
    for (bytes, expected) in table {
        assert_eq!(one(bytes), expected, "{bytes:?}");
    }
}

#[test]
fn what_redis_never_says_is_an_error() {
    let malformed = ["x\r\n", "\r\n", "+OK\n", "$\r\n", "$+1\r\n", "$-2\r\n", "*1.5\r\n", "$1\r\nabc", "*?\r\n", "\n"];
    for bytes in malformed {
        assert_eq!(frames(bytes.as_bytes(), 1, MAX_FRAME).1, Some(RespError::Malformed), "{bytes:?}");
    }
    let deep = "*1\r\n".repeat(MAX_DEPTH + 1);
    let too_long = [
        "$2000000000\r\n".to_owned(),
        "$999999999999999999\r\n".to_owned(),
        "*9999999999\r\n".to_owned(),
        format!("+{}", "x".repeat(MAX_LINE + 1)),
        deep,
    ];
    for bytes in too_long {
        assert_eq!(frames(bytes.as_bytes(), 1000, MAX_FRAME).1, Some(RespError::TooLong), "{}", bytes.len());
    }
}

#[test]
fn a_frame_may_be_as_long_as_is_allowed_and_no_longer() {
    let list = b"*3\r\n$4\r\nabcd\r\n:12\r\n$0\r\n\r\n";
    for portion in [1, 5, 100] {
        assert_eq!(frames(list, portion, list.len()), (vec!["25 ['abcd' 12 '']".to_owned()], None));
        assert_eq!(frames(list, portion, list.len() - 1), (Vec::new(), Some(RespError::TooLong)));
    }
}

#[test]
fn a_long_text_gets_memory_as_it_comes() {
    let mut reader = Reader::default();
    reader.buffer().extend_from_slice(b"$1000000000\r\n");
    assert_eq!(reader.poll_frame(), Ok(false));
    assert!(reader.buffer().capacity() < 4 << 20, "{}", reader.buffer().capacity());
}

#[test]
fn the_memory_of_a_long_frame_goes_with_it() {
    let mut reader = Reader::default();
    let mut long = Vec::new();
    write_word(&vec![b'x'; 8 << 20], &mut long);
    reader.buffer().extend_from_slice(&long);
    reader.buffer().extend_from_slice(b"+next\r\n");
    assert_eq!(reader.poll_frame(), Ok(true));
    assert_eq!(reader.frame().bytes().len(), long.len());
    assert!(reader.buffer().capacity() < 1 << 20);
    assert_eq!(reader.poll_frame(), Ok(true));
    assert_eq!(reader.frame().first(), Some(Value::Text(b"next")));
}

#[test]
fn values_beyond_the_bound_are_read_over() {
    let mut bytes = format!("*{}\r\n", MAX_VALUES + 5).into_bytes();
    bytes.extend((0..MAX_VALUES + 5).flat_map(|_| *b":1\r\n"));
    bytes.extend_from_slice(b"+next\r\n");
    let mut reader = Reader::default();
    reader.buffer().extend_from_slice(&bytes);
    assert_eq!(reader.poll_frame(), Ok(true));
    assert_eq!(reader.frame().values().count(), MAX_VALUES);
    assert_eq!(reader.poll_frame(), Ok(true));
    assert_eq!(reader.frame().first(), Some(Value::Text(b"next")));
}

#[test]
fn parts_are_shared_and_others_are_copied() {
    let mut reader = Reader::default();
    reader.buffer().extend_from_slice(b"*2\r\n$2\r\nhi\r\n$0\r\n\r\n");
    assert_eq!(reader.poll_frame(), Ok(true));
    let frame = reader.frame();
    let mut values = frame.values();
    assert_eq!(values.list(), Some(2));
    let part = values.bulk().unwrap();
    assert_eq!(frame.share(part).as_ptr(), part.as_ptr());
    assert_eq!(frame.share(part), part);
    assert_eq!(frame.share(values.bulk().unwrap()), "");
    assert_eq!(frame.share(b"else"), "else");
    assert!(reader.is_empty());
    // Without a frame there is an empty one.
    assert_eq!(reader.frame().first(), None);
}

#[test]
fn a_value_is_passed_over_with_what_is_in_it() {
    let mut reader = Reader::default();
    reader.buffer().extend_from_slice(b"*3\r\n*2\r\n:1\r\n%1\r\n:2\r\n:3\r\n*0\r\n+x\r\n");
    assert_eq!(reader.poll_frame(), Ok(true));
    let frame = reader.frame();
    let mut values = frame.values();
    assert_eq!(values.list(), Some(3));
    values.skip_value();
    values.skip_value();
    assert_eq!(values.next(), Some(Value::Text(b"x")));
    values.skip_value();
    assert_eq!(values.next(), None);
}

#[test]
fn commands_are_lists_of_words() {
    let mut out = Vec::new();
    write_command(&[b"PUBLISH", b"", b"a\r\nb"], &mut out);
    assert_eq!(out, b"*3\r\n$7\r\nPUBLISH\r\n$0\r\n\r\n$4\r\na\r\nb\r\n");
    out.clear();
    write_words(1234, &mut out);
    assert_eq!(out, b"*1234\r\n");
}

/// Something that Redis may say.
fn said() -> impl Strategy<Value = Vec<u8>> {
    let line = "[ -~]{0,12}";
    let leaf = prop_oneof![
        (prop::sample::select(b"+-:_#,(".to_vec()), line)
            .prop_map(|(mark, line)| [&[mark], line.as_bytes(), b"\r\n"].concat()),
        (prop::sample::select(b"$=!".to_vec()), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(mark, bytes)| {
            [&[mark], bytes.len().to_string().as_bytes(), b"\r\n", &bytes, b"\r\n"].concat()
        }),
        Just(b"$-1\r\n".to_vec()),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        (prop::sample::select(b"*~>%|".to_vec()), prop::collection::vec(inner, 1..6)).prop_map(|(mark, values)| {
            let count = match mark {
                b'%' => values.len() / 2,
                b'|' => (values.len() - 1) / 2,
                _ => values.len(),
            };
            let used = match mark {
                b'%' => count * 2,
                b'|' => count * 2 + 1,
                _ => count,
            };
            let mut bytes = [&[mark], count.to_string().as_bytes(), b"\r\n"].concat();
            values.iter().take(used).for_each(|value| bytes.extend_from_slice(value));
            bytes
        })
    })
}

proptest! {
    #[test]
    fn portions_make_no_difference(
        values in prop::collection::vec(said(), 1..5),
        noise in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        portion in 1_usize..40,
        max in prop_oneof![Just(MAX_FRAME), 1_usize..200],
    ) {
        let mut bytes = values.concat();
        let at_once = frames(&bytes, usize::MAX, MAX_FRAME);
        prop_assert_eq!((at_once.0.len(), at_once.1), (values.len(), None));
        for (place, byte) in noise {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let at_once = frames(&bytes, usize::MAX, max);
        prop_assert_eq!(&at_once, &frames(&bytes, portion, max));
        prop_assert_eq!(&at_once, &frames(&bytes, 1, max));
    }

    #[test]
    fn any_bytes_end_with_frames_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        frames(&bytes, 7, 1000);
    }

    #[test]
    fn what_is_written_is_read(words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 1..6)) {
        let mut bytes = Vec::new();
        write_command(&words.iter().map(Vec::as_slice).collect::<Vec<_>>(), &mut bytes);
        let mut reader = Reader::default();
        reader.buffer().extend_from_slice(&bytes);
        prop_assert_eq!(reader.poll_frame(), Ok(true));
        let frame = reader.frame();
        let mut values = frame.values();
        prop_assert_eq!(values.list(), Some(words.len()));
        for word in &words {
            prop_assert_eq!(values.bulk(), Some(word.as_slice()));
        }
    }
}
