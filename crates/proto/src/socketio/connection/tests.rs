//! What a server makes of each thing that a client may send, in each state.

use super::*;
use crate::engineio::message::Message;

fn start() -> Instant {
    Instant::now()
}

fn connection(version: Version) -> Connection {
    Connection::new(Parser::Json, version, Limits::default(), start())
}

/// Writes what was received in one line.
fn told(received: &Received) -> String {
    match received {
        Received::Connect { namespace, auth } => {
            format!("connect {namespace} {}", auth.as_ref().map_or("-", Arguments::text))
        }
        Received::Event { namespace, id, arguments } => {
            let attachments: Vec<_> = arguments.attachments().iter().map(|bytes| format!(" {bytes:?}")).collect();
            format!("event {namespace} {id:?} {}{}", arguments.text(), attachments.concat())
        }
        Received::Ack { namespace, id, arguments } => format!("ack {namespace} {id} {}", arguments.text()),
        Received::Disconnect { namespace } => format!("disconnect {namespace}"),
    }
}

fn say(connection: &mut Connection, text: &str) -> String {
    match connection.handle_text(text, start()) {
        Ok(Some(received)) => told(&received),
        Ok(None) => "nothing".to_owned(),
        Err(error) => format!("error: {error}"),
    }
}

fn send(connection: &mut Connection, bytes: &'static [u8]) -> String {
    match connection.handle_binary(Bytes::from_static(bytes), start()) {
        Ok(Some(received)) => told(&received),
        Ok(None) => "nothing".to_owned(),
        Err(error) => format!("error: {error}"),
    }
}

fn joined(version: Version, namespaces: &[&str]) -> Connection {
    let mut connection = connection(version);
    connection.handle_open();
    for namespace in namespaces {
        if version == Version::V4 || *namespace != "/" {
            assert!(say(&mut connection, &format!("0{namespace},")).starts_with("connect "));
        }
        connection.handle_joined(namespace);
        assert!(connection.is_joined(namespace));
    }
    connection
}

const NOT_JOINED: &str = "error: a packet for a namespace that was not joined";

#[test]
fn packets_in_each_state() {
    // What the client sends, and what becomes of it: before it asks, after it has asked, when it is in, after it has left
    // by itself, and after the server has put it out.
    let again = "error: a second request to join a namespace";
    for (packet, before, asked, inside, left, put_out) in [
        ("0/a,", "connect /a -", again, again, "connect /a -", "connect /a -"),
        (
            r#"0/a,{"x":1}"#,
            r#"connect /a [{"x":1}]"#,
            again,
            again,
            r#"connect /a [{"x":1}]"#,
            r#"connect /a [{"x":1}]"#,
        ),
        (r#"2/a,["e"]"#, NOT_JOINED, NOT_JOINED, r#"event /a None ["e"]"#, NOT_JOINED, "nothing"),
        (r#"2/a,7["e"]"#, NOT_JOINED, NOT_JOINED, r#"event /a Some(7) ["e"]"#, NOT_JOINED, "nothing"),
        ("3/a,7[1]", NOT_JOINED, NOT_JOINED, "ack /a 7 [1]", NOT_JOINED, "nothing"),
        ("3/a,[1]", NOT_JOINED, NOT_JOINED, "nothing", NOT_JOINED, "nothing"),
        ("1/a,", NOT_JOINED, NOT_JOINED, "disconnect /a", NOT_JOINED, "nothing"),
        (
            r#"4/a,"no""#,
            "error: a refusal, which only servers send",
            "error: a refusal, which only servers send",
            "error: a refusal, which only servers send",
            "error: a refusal, which only servers send",
            "error: a refusal, which only servers send",
        ),
    ] {
        let mut connection = joined(Version::V4, &["/"]);
        assert_eq!(say(&mut connection, packet), before, "{packet} before");
        let mut connection = joined(Version::V4, &["/"]);
        say(&mut connection, "0/a,");
        assert_eq!(say(&mut connection, packet), asked, "{packet} asked");
        let mut connection = joined(Version::V4, &["/", "/a"]);
        assert_eq!(say(&mut connection, packet), inside, "{packet} inside");
        let mut connection = joined(Version::V4, &["/", "/a"]);
        say(&mut connection, "1/a,");
        // The server notes it, too.
        connection.handle_left("/a");
        assert_eq!(say(&mut connection, packet), left, "{packet} left");
        let mut connection = joined(Version::V4, &["/", "/a"]);
        connection.handle_left("/a");
        connection.handle_left("/a");
        assert_eq!(say(&mut connection, packet), put_out, "{packet} put out");
    }
}

#[test]
fn a_refused_client_may_ask_again_and_say_nothing() {
    let mut connection = joined(Version::V4, &["/"]);
    say(&mut connection, "0/a,");
    connection.handle_left("/a");
    assert_eq!(say(&mut connection, r#"2/a,["e"]"#), NOT_JOINED);
    assert_eq!(say(&mut connection, "0/a,"), "connect /a -");
}

#[test]
fn attachments_come_at_once_and_in_order() {
    let mut connection = joined(Version::V4, &["/"]);
    let photo = r#"52-3["photo",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]"#;
    assert_eq!(say(&mut connection, photo), "nothing");
    assert_eq!(send(&mut connection, b"a"), "nothing");
    let text = r#"["photo",{"_placeholder":true,"num":1},{"_placeholder":true,"num":0}]"#;
    assert_eq!(send(&mut connection, b"b"), format!(r#"event / Some(3) {text} b"a" b"b""#));
    assert_eq!(send(&mut connection, b"c"), "error: bytes that belong to no packet");
    assert_eq!(say(&mut connection, r#"61-9[{"_placeholder":true,"num":0}]"#), "nothing");
    assert_eq!(send(&mut connection, b"x"), r#"ack / 9 [{"_placeholder":true,"num":0}]"#);
    say(&mut connection, photo);
    assert_eq!(say(&mut connection, r#"2["e"]"#), "error: a packet before the attachments of the one before");
}

#[test]
fn limits_hold() {
    let limits = Limits { max_namespaces: 2, max_attachments: 1, ..Limits::default() };
    let mut connection = Connection::new(Parser::Json, Version::V4, limits, start());
    assert_eq!(say(&mut connection, "0"), "connect / -");
    assert_eq!(say(&mut connection, "0/a"), "connect /a -");
    assert_eq!(say(&mut connection, "0/b"), "error: too many namespaces");
    // A refusal makes room, and so does being put out.
    connection.handle_left("/a");
    assert_eq!(say(&mut connection, "0/b"), "connect /b -");
    connection.handle_joined("/b");
    for name in ["/c", "/d", "/e", "/f"] {
        connection.handle_left("/b");
        assert_eq!(say(&mut connection, &format!("0{name}")), format!("connect {name} -"));
        connection.handle_joined(name);
        connection.handle_left(name);
        assert!(connection.namespaces.len() <= 4, "{:?}", connection.namespaces);
    }
    assert_eq!(say(&mut connection, r#"52-["e"]"#), "error: too many attachments");
    let long = format!("0/{}", "a".repeat(MAX_NAMESPACE_BYTES));
    assert_eq!(say(&mut connection, &long), "error: a namespace with too long a name");
    assert!(say(&mut connection, &long[..long.len() - 1]).starts_with("connect "));
}

#[test]
fn a_namespace_must_be_joined_in_time() {
    let start = start();
    let limits = Limits::default();
    let late = start + limits.connect_timeout;
    let mut idle = Connection::new(Parser::Json, Version::V4, limits, start);
    assert_eq!(idle.poll_deadline(), Some(late));
    assert!(!idle.handle_timeout(late - Duration::from_millis(1)));
    assert_eq!(idle.poll_deadline(), Some(late));
    assert!(idle.handle_timeout(late));
    assert_eq!(idle.poll_deadline(), None);
    assert!(!idle.handle_timeout(late));
    // To have asked is not enough.
    let mut asked = Connection::new(Parser::Json, Version::V4, limits, start);
    say(&mut asked, "0");
    assert!(asked.handle_timeout(late));
    // Who was in once may leave and stay.
    let mut inside = Connection::new(Parser::Json, Version::V4, limits, start);
    say(&mut inside, "0");
    inside.handle_joined("/");
    say(&mut inside, "1");
    assert_eq!(inside.poll_deadline(), None);
    assert!(!inside.handle_timeout(late));
}

#[test]
fn version_4_joins_by_itself_and_asks_with_a_query() {
    let mut connection = connection(Version::V3);
    let opened = connection.handle_open().unwrap();
    assert_eq!(told(&opened), "connect / -");
    connection.handle_joined("/");
    assert_eq!(say(&mut connection, r#"2["e"]"#), r#"event / None ["e"]"#);
    assert_eq!(say(&mut connection, "0"), "error: a second request to join a namespace");
    assert_eq!(
        say(&mut connection, "0/a?token=a%20b+c&token=%C3%BC&x&=&%zz=%4"),
        r#"connect /a [{"token":"ü","x":"","":"","%zz":"%4"}]"#
    );
    connection.handle_joined("/a");
    assert_eq!(say(&mut connection, r#"2/a?token=x,["e"]"#), r#"event /a None ["e"]"#);
    assert_eq!(say(&mut connection, "0/b?token=a#x,"), r#"connect /b [{"token":"a"}]"#);
    assert_eq!(say(&mut connection, r#"0/c,{"ignored":1}"#), "connect /c -");
    // Version 5 knows no query: it is part of the name.
    let mut connection = joined(Version::V4, &["/"]);
    assert!(connection.handle_open().is_none());
    assert_eq!(say(&mut connection, "0/a?token=x,"), "connect /a?token=x -");
}

#[test]
fn each_parser_takes_its_own_form() {
    let mut connection = Connection::new(Parser::Msgpack, Version::V4, Limits::default(), start());
    assert_eq!(say(&mut connection, "0"), "error: text where packets are bytes");
    // {"type": 0, "nsp": "/"}
    assert_eq!(send(&mut connection, b"\x82\xa4type\x00\xa3nsp\xa1/"), "connect / -");
    let mut connection = joined(Version::V4, &["/"]);
    assert_eq!(send(&mut connection, b"\x82\xa4type\x00\xa3nsp\xa1/"), "error: bytes that belong to no packet");
}

#[test]
fn errors_say_whether_the_state_or_the_packet_is_wrong() {
    let mut connection = connection(Version::V4);
    let error = |connection: &mut Connection, text: &str| connection.handle_text(text, start()).unwrap_err();
    assert!(error(&mut connection, r#"2["e"]"#).is_about_state());
    assert!(!error(&mut connection, "2{}").is_about_state());
}

fn frames(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8_lossy(message.payload()).into_owned()).collect()
}

#[test]
fn packets_are_written_as_the_reference_does() {
    let event = Arguments::event("e", &(1, Bytes::from_static(b"x"))).unwrap();
    let text = r#"["e",1,{"_placeholder":true,"num":0}]"#;
    assert_eq!(
        frames(&Parser::Json.encode(Kind::Event, "/a", Some(7), Some(&event))),
        [format!("451-/a,7{text}"), "x".to_owned()]
    );
    let ack = Arguments::values(&("ok",)).unwrap();
    assert_eq!(frames(&Parser::Json.encode(Kind::Ack, "/", Some(7), Some(&ack))), [r#"437["ok"]"#]);
    assert_eq!(frames(&Parser::Json.encode(Kind::Disconnect, "/a", None, None)), ["41/a,"]);
    let payload = serde_json::json!({ "sid": "x" });
    assert_eq!(frames(&Parser::Json.encode_control(Kind::Connect, "/", Some(&payload))), [r#"40{"sid":"x"}"#]);
    assert_eq!(frames(&Parser::Json.encode_control(Kind::Connect, "/a", None)), ["40/a,"]);
    let payload = serde_json::json!("no");
    assert_eq!(frames(&Parser::Json.encode_control(Kind::ConnectError, "/a", Some(&payload))), [r#"44/a,"no""#]);
}
