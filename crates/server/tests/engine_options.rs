//! What options change on the wire: CORS, cookie, compression, hooks, limits, and version 3.

mod support;

use std::io::Read as _;
use std::sync::{Arc, Mutex};

use flate2::read::{GzDecoder, ZlibDecoder};
use http::HeaderValue;
use limpet_server::engine::{
    AllowRequest, Context, CookieOptions, Cors, ErrorCode, GenerateId, Message, Options, Sid, Transport,
};
use limpet_testkit::raw::websocket::{Frame, KEY};
use limpet_testkit::wait::until;
use support::{Server, say, send, sid_of, slow, text};

#[test]
fn cors_headers_are_on_every_answer() {
    let server = Server::start(Options { cors: Some(Cors::default()), ..slow() });
    let preflight = server.request(
        "OPTIONS",
        "EIO=4&transport=polling&sid=nobody",
        "Origin: http://a\r\nAccess-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: x-a\r\n",
        b"",
    );
    assert_eq!((preflight.status, preflight.body.len()), (204, 0));
    assert_eq!(preflight.header("access-control-allow-methods"), Some("GET,HEAD,PUT,PATCH,POST,DELETE"));
    assert_eq!(preflight.header("access-control-allow-headers"), Some("x-a"));
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    let answers = [
        preflight,
        server.get("EIO=4&transport=polling"),
        server.get("EIO=4&transport=abc"),
        server.post(&query, "4a"),
        server.post(&query, "no packet"),
    ];
    for answer in answers {
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{answer:?}");
    }
    let server = Server::start(Options { cors: Some(Cors::origins(["http://a"])), ..slow() });
    for (origin, allowed) in [("http://a", Some("http://a")), ("http://b", None)] {
        let answer = server.request("GET", "EIO=4&transport=polling", &format!("Origin: {origin}\r\n"), b"");
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("access-control-allow-origin"), allowed);
        assert_eq!(answer.header("vary"), Some("Origin"));
    }
}

#[test]
fn the_cookie_comes_with_the_first_answer_alone() {
    let server = Server::start(Options { cookie: Some(CookieOptions::default()), ..slow() });
    let first = server.get("EIO=4&transport=polling&greet=1");
    let sid = sid_of(&first.text());
    assert_eq!(first.header("set-cookie"), Some(format!("io={sid}; Path=/; HttpOnly; SameSite=Lax").as_str()));
    let query = format!("EIO=4&transport=polling&sid={sid}");
    let posted = server.post(&query, "4a");
    assert_eq!(posted.header("set-cookie"), None);
    assert_eq!(server.get(&query).header("set-cookie"), None);
}

#[test]
fn long_answers_are_compressed_for_those_who_take_it() {
    let server = Server::start(slow());
    let long = "x".repeat(5000);
    let expected = format!("4{long}");
    for (accepts, coding) in [("gzip, deflate", Some("gzip")), ("deflate", Some("deflate")), ("br", None)] {
        let query = format!("EIO=4&transport=polling&sid={}", server.open());
        assert_eq!(server.post(&query, &expected).status, 200);
        let answer = server.request("GET", &query, &format!("Accept-Encoding: {accepts}\r\n"), b"");
        assert_eq!(answer.header("content-encoding"), coding);
        let mut body = String::new();
        match coding {
            Some("gzip") => drop(GzDecoder::new(&answer.body[..]).read_to_string(&mut body).unwrap()),
            Some(_) => drop(ZlibDecoder::new(&answer.body[..]).read_to_string(&mut body).unwrap()),
            None => body = answer.text(),
        }
        assert_eq!(body, expected);
        server.post(&query, "4short");
        let answer = server.request("GET", &query, &format!("Accept-Encoding: {accepts}\r\n"), b"");
        assert_eq!((answer.header("content-encoding"), answer.text().as_str()), (None, "4short"));
    }
    // A message that must not be compressed.
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    let connection = server.seen.connections.lock().unwrap().last().unwrap().clone();
    connection.send(&[Message::text(&long).uncompressed()]).unwrap();
    let answer = server.request("GET", &query, "Accept-Encoding: gzip\r\n", b"");
    assert_eq!(answer.header("content-encoding"), None);
}

#[test]
fn websocket_messages_are_compressed_if_both_want_it() {
    use limpet_proto::websocket::deflate::{Deflater, Inflater};
    let server = Server::start(Options { per_message_deflate: Some(100), ..slow() });
    let mut client = server.client();
    let request = format!(
        "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
    );
    client.send(request.as_bytes()).unwrap();
    let response = client.response().unwrap();
    assert_eq!(response.status, 101);
    let agreed = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(response.header("sec-websocket-extensions"), Some(agreed));
    let open = client.read_exact(2).unwrap();
    assert_eq!(open[0], 0x81);
    client.read_exact(usize::from(open[1])).unwrap();
    let long = format!("4{}", "abc".repeat(1000));
    for _ in 0..2 {
        let payload = Deflater::new(true).deflate(long.as_bytes()).unwrap();
        let mut frame = Frame { fin: true, opcode: 1, payload }.encode(Some([1, 2, 3, 4]));
        frame[0] |= 0x40;
        client.send(&frame).unwrap();
        let head = client.read_exact(2).unwrap();
        assert_eq!(head[0], 0xc1);
        let payload = client.read_exact(usize::from(head[1])).unwrap();
        assert_eq!(Inflater::new(true).inflate(&payload, 10_000).unwrap(), long.as_bytes());
    }
    // A short one comes as it is.
    client.send(&Frame::text("4a").encode(Some([1, 2, 3, 4]))).unwrap();
    assert_eq!(client.read_exact(4).unwrap(), b"\x81\x024a");
    // A small one that inflates to too much.
    let payload = Deflater::new(true).deflate(&vec![b'4'; 1_000_001]).unwrap();
    let mut frame = Frame { fin: true, opcode: 1, payload }.encode(Some([1, 2, 3, 4]));
    frame[0] |= 0x40;
    client.send(&frame).unwrap();
    assert_eq!(client.read_exact(4).unwrap(), Frame::close(1009).encode(None));
}

#[test]
fn the_application_may_refuse_and_is_told_of_refusals() {
    let allow = AllowRequest::new(|handshake| async move {
        match handshake.header("x-pass") {
            Some("word") => Ok(()),
            Some(_) => Err(Some("wrong word".to_owned())),
            None => Err(None),
        }
    });
    let server = Server::start(Options { allow_request: Some(allow), ..slow() });
    let refused = Arc::new(Mutex::new(Vec::new()));
    let hook = Arc::clone(&refused);
    server.engine.on_connection_error(move |error| {
        hook.lock().unwrap().push((error.code, error.message.clone(), error.context, error.request.transport()));
    });
    let query = "EIO=4&transport=polling";
    assert_eq!(server.request("GET", query, "X-Pass: word\r\n", b"").status, 200);
    for (headers, body) in
        [("", r#"{"code":4,"message":"Forbidden"}"#), ("X-Pass: no\r\n", r#"{"code":4,"message":"wrong word"}"#)]
    {
        let answer = server.request("GET", query, headers, b"");
        assert_eq!((answer.status, answer.text().as_str()), (403, body));
    }
    let socket =
        limpet_testkit::raw::websocket::RawWebSocket::connect(server.address, "/engine.io/?EIO=4&transport=websocket");
    let answer = socket.unwrap().unwrap_err();
    assert_eq!((answer.status, answer.text().as_str()), (400, "Forbidden"));
    assert_eq!(server.get("EIO=4&transport=websocket").status, 400);
    let refused = refused.lock().unwrap().clone();
    assert_eq!(refused[0], (ErrorCode::Forbidden, "Forbidden".to_owned(), Context::None, Transport::Polling));
    assert_eq!(refused[1].1, "wrong word");
    assert_eq!(refused[3].2, Context::TransportHandshakeError);
}

#[test]
fn hooks_add_headers() {
    let server = Server::start(slow());
    server.engine.on_initial_headers(|response, _| {
        response.insert("x-first", HeaderValue::from_static("1"));
    });
    server.engine.on_headers(|response, request| {
        response.insert("x-host", request["host"].clone());
    });
    let first = server.get("EIO=4&transport=polling&greet=1");
    assert_eq!((first.header("x-first"), first.header("x-host")), (Some("1"), Some("limpet.test")));
    let posted = server.post(&format!("EIO=4&transport=polling&sid={}", sid_of(&first.text())), "4a");
    assert_eq!((posted.header("x-first"), posted.header("x-host")), (None, Some("limpet.test")));
    let mut client = server.client();
    let request = limpet_testkit::raw::websocket::handshake("/engine.io/?EIO=4&transport=websocket");
    client.send(request.as_bytes()).unwrap();
    assert_eq!(client.response().unwrap().header("x-first"), Some("1"));
}

#[test]
fn transports_paths_ids_and_a_first_message_can_be_chosen() {
    let server = Server::start(Options {
        path: "/other".to_owned(),
        transports: vec![Transport::Polling],
        initial_packet: Some(Message::text("first")),
        generate_id: Some(GenerateId::new(|handshake| Sid::parse(&handshake.query("id")?))),
        ..slow()
    });
    let get = |query: &str| server.client().get(&format!("/other/?{query}")).unwrap();
    let open = get("EIO=4&transport=polling&id=mine").text();
    assert!(open.starts_with(r#"0{"sid":"mine","upgrades":[],"#), "{open}");
    assert!(open.ends_with("\u{1e}4first"), "{open}");
    // An id that is taken, and none.
    for query in ["EIO=4&transport=polling&id=mine", "EIO=4&transport=polling"] {
        let answer = get(query);
        assert_eq!((answer.status, answer.text().as_str()), (400, r#"{"code":3,"message":"Bad request"}"#));
    }
    assert_eq!(get("EIO=4&transport=websocket").text(), r#"{"code":0,"message":"Transport unknown"}"#);
    let server = Server::start(Options { transports: vec![Transport::Websocket], ..slow() });
    assert_eq!(server.get("EIO=4&transport=polling").status, 400);
    text(&mut server.websocket("EIO=4&transport=websocket"));
}

fn eio3() -> Server {
    Server::start(Options { allow_eio3: true, ..slow() })
}

#[test]
fn version_3_polls_with_lengths() {
    let server = eio3();
    for version in ["EIO=3&", ""] {
        let open = server.get(&format!("{version}transport=polling&b64=1&greet=1")).text();
        let (length, rest) = open.split_once(':').unwrap();
        let (packet, behind) = rest.split_at(length.parse().unwrap());
        assert!(packet.starts_with("0{") && packet.ends_with('}'), "{open}");
        assert_eq!(behind, "6:4hello");
        let query = format!("{version}transport=polling&b64=1&sid={}", sid_of(&open));
        assert_eq!(server.post(&query, "6:4größe3:4🐚10:b4AQIDBA==").text(), "ok");
        assert_eq!(server.get(&query).text(), "6:4größe3:4🐚10:b4AQIDBA==");
        assert_eq!(server.post(&query, "1:2").text(), "ok");
        assert_eq!(server.get(&query).text(), "1:3");
    }
}

#[test]
fn version_3_takes_and_gets_bodies_of_bytes() {
    let server = eio3();
    let open = server.get("EIO=3&transport=polling").text();
    let query = format!("EIO=3&transport=polling&sid={}", sid_of(&open));
    let body = b"\x00\x03\xff4ab\x01\x05\xff\x04\x01\x02\x03\x04";
    let posted = server.request("POST", &query, "Content-Type: application/octet-stream\r\n", body);
    assert_eq!((posted.status, posted.text().as_str()), (200, "ok"));
    let answer = server.get(&query);
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.body, body);
}

#[test]
fn version_3_speaks_in_scripts_and_forms() {
    let server = eio3();
    let open = server.get("EIO=3&transport=polling&j=0").text();
    assert!(open.starts_with(r#"___eio[0]("118:0"#) && open.ends_with(r#"");"#), "{open}");
    let sid = sid_of(&open.replace('\\', ""));
    let query = format!("EIO=3&transport=polling&j=1&sid={sid}");
    let form = "d=8%3A4a+b%5Cn%C3%9F%5C%5Cn";
    let posted = server.request("POST", &query, "Content-Type: application/x-www-form-urlencoded\r\n", form.as_bytes());
    assert_eq!(posted.text(), "ok");
    assert_eq!(server.get(&query).text(), r#"___eio[1]("8:4a b\nß\\n");"#);
}

#[test]
fn version_3_websockets_mark_bytes_and_are_pinged_by_clients() {
    let server = eio3();
    let mut socket = server.websocket("EIO=3&transport=websocket");
    text(&mut socket);
    say(&mut socket, "2");
    assert_eq!(text(&mut socket), "3");
    let frame = Frame { fin: true, opcode: 2, payload: vec![4, 9, 8, 7] };
    socket.send(&frame).unwrap();
    assert_eq!(socket.frame().unwrap(), frame);
    // And by upgrade.
    let sid = sid_of(&server.get("EIO=3&transport=polling").text());
    let mut socket = server.websocket(&format!("EIO=3&transport=websocket&sid={sid}"));
    say(&mut socket, "2probe");
    assert_eq!(text(&mut socket), "3probe");
    let mut poll = server.client();
    send(&mut poll, "GET", &format!("EIO=3&transport=polling&sid={sid}"), "", b"");
    assert_eq!(poll.response().unwrap().text(), "1:6");
    say(&mut socket, "5");
    say(&mut socket, "4a");
    assert_eq!(text(&mut socket), "4a");
    // A heartbeat in the wrong direction.
    say(&mut socket, "3");
    assert_eq!(socket.frame().unwrap().opcode, 8);
}

#[test]
fn silent_clients_of_version_3_are_let_go() {
    let server = Server::start(Options { allow_eio3: true, ..support::quick() });
    let mut socket = server.websocket("EIO=3&transport=websocket");
    text(&mut socket);
    server.get("EIO=3&transport=polling");
    until("both ends", || server.closed().len() == 2);
    assert_eq!(server.engine.sessions(), 0);
    assert_eq!(socket.frame().unwrap().opcode, 8);
}
