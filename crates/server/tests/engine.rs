//! Engine.IO version 4 as clients meet it: requests and frames written by hand, answers compared byte for byte.

mod support;

use std::time::Duration;

use limpet_server::engine::{CloseReason, Incoming, Options, Transport};
use limpet_testkit::raw::websocket::{Frame, RawWebSocket, handshake};
use limpet_testkit::wait::PATIENCE;
use support::{Server, beside, quick, say, send, sid_of, slow, text};

const UNKNOWN_SID: &str = r#"{"code":1,"message":"Session ID unknown"}"#;
const BAD_REQUEST: &str = r#"{"code":3,"message":"Bad request"}"#;

#[test]
fn a_polling_session_opens_with_exactly_five_members() {
    let server = Server::quick();
    let response = server.get("EIO=4&transport=polling");
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("text/plain; charset=UTF-8"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let sid = sid_of(&response.text());
    assert_eq!(sid.len(), 20);
    let expected = format!(
        r#"0{{"sid":"{sid}","upgrades":["websocket"],"pingInterval":300,"pingTimeout":1500,"maxPayload":1000000}}"#
    );
    assert_eq!(response.text(), expected);
    assert_eq!(server.engine.sessions(), 1);
}

#[test]
fn a_websocket_session_opens_without_upgrades() {
    let server = Server::quick();
    let mut socket = server.websocket("EIO=4&transport=websocket");
    let open = text(&mut socket);
    let sid = sid_of(&open);
    let expected =
        format!(r#"0{{"sid":"{sid}","upgrades":[],"pingInterval":300,"pingTimeout":1500,"maxPayload":1000000}}"#);
    assert_eq!(open, expected);
}

#[test]
fn what_the_application_sends_at_once_comes_with_the_open_packet() {
    let server = Server::quick();
    let body = server.get("EIO=4&transport=polling&greet=1").text();
    assert!(body.ends_with("}\u{1e}4hello"), "{body}");
    let mut socket = server.websocket("EIO=4&transport=websocket&greet=1");
    text(&mut socket);
    assert_eq!(text(&mut socket), "4hello");
}

#[test]
fn requests_that_make_no_sense_are_refused() {
    let server = Server::quick();
    let unknown_transport = r#"{"code":0,"message":"Transport unknown"}"#;
    for (method, query, body) in [
        ("GET", "EIO=4", unknown_transport),
        ("GET", "EIO=4&transport=abc", unknown_transport),
        ("GET", "EIO=4&transport=webtransport", unknown_transport),
        ("GET", "EIO=4&transport=polling&sid=nobody", UNKNOWN_SID),
        ("POST", "EIO=4&transport=polling&sid=nobody", UNKNOWN_SID),
        ("POST", "EIO=4&transport=polling", r#"{"code":2,"message":"Bad handshake method"}"#),
        ("OPTIONS", "EIO=4&transport=polling", r#"{"code":2,"message":"Bad handshake method"}"#),
        ("GET", "EIO=4&transport=websocket", BAD_REQUEST),
        ("GET", "transport=polling", r#"{"code":5,"message":"Unsupported protocol version"}"#),
        ("GET", "EIO=3&transport=polling", r#"{"code":5,"message":"Unsupported protocol version"}"#),
    ] {
        let response = server.request(method, query, "", b"");
        assert_eq!((response.status, response.text().as_str()), (400, body), "{method} {query}");
        assert_eq!(response.header("content-type"), Some("application/json"));
    }
    assert_eq!(server.client().get("/other/?EIO=4&transport=polling").unwrap().status, 404);
    let sid = server.open();
    let put = server.request("PUT", &format!("EIO=4&transport=polling&sid={sid}"), "", b"");
    assert_eq!((put.status, put.body.len()), (500, 0));
    let mismatch = server.get(&format!("EIO=4&transport=websocket&sid={sid}"));
    assert_eq!((mismatch.status, mismatch.text().as_str()), (400, BAD_REQUEST));
    let version = server.get(&format!("EIO=3&transport=polling&sid={sid}"));
    assert_eq!((version.status, version.text().as_str()), (400, BAD_REQUEST));
}

#[test]
fn upgrades_are_refused_in_plain_text() {
    let server = Server::quick();
    for (query, body) in [
        ("EIO=4&transport=abc", "Transport unknown"),
        ("EIO=4&transport=websocket&sid=nobody", "Session ID unknown"),
        ("EIO=3&transport=websocket", "Unsupported protocol version"),
    ] {
        let mut client = server.client();
        client.send(handshake(&format!("/engine.io/?{query}")).as_bytes()).unwrap();
        let response = client.response().unwrap();
        assert_eq!((response.status, response.text().as_str()), (400, body));
        assert_eq!(response.header("content-type"), Some("text/html"));
        assert_eq!(response.header("connection"), Some("close"));
        assert_eq!(client.read_to_end().unwrap(), b"");
    }
    let mut client = server.client();
    client
        .send(
            b"GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\
              Upgrade: websocket\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    let response = client.response().unwrap();
    assert_eq!((response.status, response.header("sec-websocket-version")), (400, Some("13")));
}

#[test]
fn messages_go_both_ways_over_polling() {
    let server = Server::start(slow());
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    let posted = server.post(&query, "4hello\u{1e}4größe\u{1e}bAQIDBA==");
    assert_eq!((posted.status, posted.text().as_str()), (200, "ok"));
    assert_eq!(posted.header("content-type"), Some("text/html"));
    assert_eq!(posted.header("content-length"), Some("2"));
    let polled = server.get(&query);
    assert_eq!(polled.text(), "4hello\u{1e}4größe\u{1e}bAQIDBA==");
    assert_eq!(polled.header("content-type"), Some("text/plain; charset=UTF-8"));
    let seen = server.seen.messages.lock().unwrap().clone();
    assert_eq!(seen[2], Incoming::Binary(vec![1, 2, 3, 4].into()));
    // A poll that waits is answered by what comes later.
    let mut client = server.client();
    send(&mut client, "GET", &query, "", b"");
    assert_eq!(server.post(&query, "4later").status, 200);
    assert_eq!(client.response().unwrap().text(), "4later");
}

#[test]
fn messages_go_both_ways_over_a_websocket() {
    let server = Server::start(slow());
    let mut socket = server.websocket("EIO=4&transport=websocket");
    text(&mut socket);
    say(&mut socket, "4größe");
    assert_eq!(text(&mut socket), "4größe");
    for length in [0, 4, 125, 126, 65_535, 65_536, 1_000_000] {
        let frame = Frame { fin: true, opcode: 2, payload: vec![9; length] };
        socket.send(&frame).unwrap();
        assert_eq!(socket.frame().unwrap(), frame);
    }
    // In pieces, with a ping between them.
    socket.send(&Frame { fin: false, ..Frame::text("4ab") }).unwrap();
    socket.send(&Frame { fin: true, opcode: 9, payload: b"there?".to_vec() }).unwrap();
    socket.send(&Frame { fin: true, opcode: 0, payload: b"cd".to_vec() }).unwrap();
    assert_eq!(socket.frame().unwrap(), Frame { fin: true, opcode: 10, payload: b"there?".to_vec() });
    assert_eq!(text(&mut socket), "4abcd");
    // Base64 is taken here as well.
    say(&mut socket, "bAQID");
    assert_eq!(socket.frame().unwrap(), Frame { fin: true, opcode: 2, payload: vec![1, 2, 3] });
}

#[test]
fn many_messages_in_one_write_keep_their_order() {
    let server = Server::start(slow());
    let socket = server.websocket("EIO=4&transport=websocket");
    let mut client = socket.into_raw();
    let bytes: Vec<u8> =
        (0..3000).flat_map(|n| Frame::text(&format!("4{n}")).encode(Some([n as u8, 2, 3, 4]))).collect();
    client.send(&bytes).unwrap();
    let mut expected = Vec::new();
    for n in 0..3000 {
        expected.extend_from_slice(&Frame::text(&format!("4{n}")).encode(None));
    }
    let open = client.read_exact(2).unwrap()[1];
    client.read_exact(usize::from(open)).unwrap();
    assert!(client.read_exact(expected.len()).unwrap() == expected);
}

#[test]
fn a_second_get_ends_the_session() {
    let server = Server::start(slow());
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    let mut both = [server.client(), server.client()];
    both.iter_mut().for_each(|client| send(client, "GET", &query, "", b""));
    // Whichever of the two came first waits and is told the end; the other one is refused.
    let mut answers = both.map(|mut client| client.response().unwrap()).map(|answer| (answer.status, answer.text()));
    answers.sort();
    assert_eq!(answers, [(200, "1".to_owned()), (400, String::new())]);
    server.until("the end", |seen| !seen.closed.lock().unwrap().is_empty());
    assert_eq!(server.closed(), [CloseReason::TransportError]);
    assert_eq!(server.get(&query).text(), UNKNOWN_SID);
}

#[test]
fn a_second_post_ends_the_session() {
    let server = Server::start(slow());
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    let mut poll = server.client();
    send(&mut poll, "GET", &query, "", b"");
    let mut first = server.client();
    let head = format!("POST /engine.io/?{query} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n");
    first.send(format!("{head}Expect: 100-continue\r\n\r\n").as_bytes()).unwrap();
    // The first one waits for its body, however long this takes.
    let asked = b"HTTP/1.1 100 Continue\r\n\r\n";
    assert_eq!(first.read_exact(asked.len()).unwrap(), asked);
    first.send(b"4abc").unwrap();
    assert_eq!(server.post(&query, "4second").status, 400);
    assert_eq!(poll.response().unwrap().text(), "1");
    first.send(b"defghi").unwrap();
    server.until("the end", |seen| !seen.closed.lock().unwrap().is_empty());
    assert_eq!(server.closed(), [CloseReason::TransportError]);
}

#[test]
fn what_is_no_packet_ends_a_polling_session() {
    let server = Server::start(slow());
    for body in ["abc", "", "4a\u{1e}", "bXX%"] {
        let query = format!("EIO=4&transport=polling&sid={}", server.open());
        assert_eq!(server.post(&query, body).status, 400, "{body:?}");
        assert_eq!(server.get(&query).text(), UNKNOWN_SID);
    }
    server.until("the ends", |seen| seen.closed.lock().unwrap().len() == 4);
    assert_eq!(server.closed(), [CloseReason::ParseError; 4]);
    // A body of bytes.
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    let response = server.request("POST", &query, "Content-Type: application/octet-stream\r\n", b"4a");
    assert_eq!(response.status, 400);
    assert_eq!(server.get(&query).text(), UNKNOWN_SID);
}

#[test]
fn a_body_that_is_too_large_gets_413_and_the_session_stays() {
    let server = Server::start(Options { max_payload_bytes: 10, ..slow() });
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    assert_eq!(server.post(&query, "41234567890").status, 413);
    let chunked = b"6\r\n412345\r\n6\r\n678901\r\n0\r\n\r\n";
    let mut client = server.client();
    let head = format!("POST /engine.io/?{query} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(&[head.as_bytes(), chunked].concat()).unwrap();
    assert_eq!(client.response().unwrap().status, 413);
    assert_eq!(server.post(&query, "4123456789").status, 200);
    assert_eq!(server.get(&query).text(), "4123456789");
    let mut socket = server.websocket("EIO=4&transport=websocket");
    text(&mut socket);
    say(&mut socket, "41234567890");
    assert_eq!(socket.frame().unwrap().close_code(), Some(1009));
}

#[test]
fn the_client_closes_a_polling_session() {
    let server = Server::start(slow());
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    let mut poll = server.client();
    send(&mut poll, "GET", &query, "", b"");
    let connection = server.seen.connections.lock().unwrap()[0].clone();
    server.until("the poll waits", |_| connection.send_volatile(&[]) == Ok(true));
    let posted = server.post(&query, "4last\u{1e}1\u{1e}4lost");
    assert_eq!((posted.status, posted.text().as_str()), (200, "ok"));
    // The application has answered what stood before the end.
    assert_eq!(poll.response().unwrap().text(), "4last");
    server.until("the end", |seen| !seen.closed.lock().unwrap().is_empty());
    assert_eq!(server.closed(), [CloseReason::TransportClose]);
    assert_eq!(*server.seen.messages.lock().unwrap(), [Incoming::Text("last".to_owned())]);
    assert_eq!(server.get(&query).text(), UNKNOWN_SID);
    assert_eq!(server.engine.sessions(), 0);
}

#[test]
fn a_client_that_leaves_its_poll_ends_the_session() {
    let server = Server::start(slow());
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    let mut poll = server.client();
    send(&mut poll, "GET", &query, "", b"");
    drop(poll);
    server.until("the end", |seen| *seen.closed.lock().unwrap() == [CloseReason::TransportError]);
}

#[test]
fn the_server_closes_a_polling_session_with_a_packet() {
    let server = Server::start(slow());
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    // Without a poll the packet waits for the next one, behind what was sent before.
    assert_eq!(server.post(&query, "4a\u{1e}4close\u{1e}4b").status, 200);
    assert_eq!(server.get(&query).text(), "4a");
    assert_eq!(server.get(&query).text(), "6\u{1e}1");
    assert_eq!(server.get(&query).text(), UNKNOWN_SID);
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    assert_eq!(server.post(&query, "4close").status, 200);
    assert_eq!(server.get(&query).text(), "6\u{1e}1");
    server.until("the ends", |seen| *seen.closed.lock().unwrap() == [CloseReason::ForcedClose; 2]);
}

/// How far an upgrade has come when the server sends and closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Connected,
    Probed,
    Released,
}

#[test]
fn what_was_sent_before_the_server_closes_arrives_at_each_step_of_an_upgrade() {
    let server = Server::start(slow());
    let mut ends = 0;
    for step in [Step::Connected, Step::Probed, Step::Released] {
        // The client goes on polling, moves at once, or moves when it has got its messages.
        for (polls, moves) in [(2, false), (0, true), (1, true)] {
            let sid = server.open();
            let query = format!("EIO=4&transport=polling&sid={sid}");
            let mut socket = server.websocket(&format!("EIO=4&transport=websocket&sid={sid}"));
            if step != Step::Connected {
                say(&mut socket, "2probe");
                assert_eq!(text(&mut socket), "3probe");
            }
            if step == Step::Released {
                assert_eq!(server.get(&query).text(), "6");
            }
            assert_eq!(server.post(&query, "4a\u{1e}4b\u{1e}4close").status, 200);
            for expected in ["4a\u{1e}4b", "6\u{1e}1"].into_iter().take(polls) {
                assert_eq!(server.get(&query).text(), expected, "{step:?}");
            }
            if moves {
                if step == Step::Connected {
                    say(&mut socket, "2probe");
                    assert_eq!(text(&mut socket), "3probe");
                }
                say(&mut socket, "5");
            }
            for expected in ["4a", "4b"].into_iter().filter(|_| polls == 0) {
                assert_eq!(text(&mut socket), expected, "{step:?}");
            }
            assert_eq!(socket.frame().unwrap().opcode, 8, "{step:?}");
            ends += 1;
            server.until("the end", |seen| seen.closed.lock().unwrap().len() == ends);
        }
    }
    assert!(server.closed().iter().all(|reason| *reason == CloseReason::ForcedClose));
}

#[test]
fn a_websocket_that_is_behind_gets_all_before_the_server_closes() {
    let server = Server::start(Options { max_queued_bytes: 1 << 28, ..slow() });
    let mut socket = server.websocket("EIO=4&transport=websocket");
    text(&mut socket);
    let connection = server.seen.connections.lock().unwrap()[0].clone();
    // More than the buffers of the sockets hold.
    let large = "x".repeat(64 << 20);
    connection.send(&[limpet_server::engine::Message::text(&large)]).unwrap();
    let mut small = 0;
    server.until("the WebSocket takes no more", |_| {
        let is_sent = connection.send_volatile(&[limpet_server::engine::Message::text("y")]) == Ok(true);
        small += usize::from(is_sent);
        !is_sent
    });
    connection.close(CloseReason::ForcedClose, false);
    assert_eq!(socket.frame().unwrap().payload.len(), large.len() + 1);
    for _ in 0..small {
        assert_eq!(text(&mut socket), "4y");
    }
    assert_eq!(socket.frame().unwrap().opcode, 8);
    server.until("the end", |seen| *seen.closed.lock().unwrap() == [CloseReason::ForcedClose]);
}

#[test]
fn the_server_closes_a_websocket() {
    let server = Server::start(slow());
    let mut socket = server.websocket("EIO=4&transport=websocket");
    text(&mut socket);
    say(&mut socket, "4a");
    say(&mut socket, "4close");
    assert_eq!(text(&mut socket), "4a");
    assert_eq!(socket.frame().unwrap(), Frame { fin: true, opcode: 8, payload: Vec::new() });
    socket.send(&Frame::close(1000)).unwrap();
    assert_eq!(socket.into_raw().read_to_end().unwrap(), b"");
    server.until("the end", |seen| *seen.closed.lock().unwrap() == [CloseReason::ForcedClose]);
}

#[test]
fn a_websocket_ends_for_these_reasons() {
    let server = Server::start(slow());
    let cases: [(&[u8], CloseReason, Option<u16>); 6] = [
        (&Frame::close(1001).encode(Some([1; 4])), CloseReason::TransportClose, Some(1001)),
        (&Frame::text("1").encode(Some([1; 4])), CloseReason::TransportClose, None),
        (&Frame::text("abc").encode(Some([1; 4])), CloseReason::ParseError, None),
        (&Frame::text("2").encode(Some([1; 4])), CloseReason::TransportError, None),
        (&Frame::text("4unmasked").encode(None), CloseReason::TransportError, Some(1002)),
        (b"\x81\x82\0\0\0\0\xff\xff", CloseReason::TransportError, Some(1007)),
    ];
    for (n, (bytes, reason, code)) in cases.into_iter().enumerate() {
        let mut socket = server.websocket("EIO=4&transport=websocket");
        text(&mut socket);
        let mut client = socket.into_raw();
        client.send(bytes).unwrap();
        let frame: Vec<u8> = match code {
            Some(code) => Frame::close(code).encode(None),
            None => vec![0x88, 0],
        };
        assert_eq!(client.read_exact(frame.len()).unwrap(), frame, "{reason}");
        server.until("the end", |seen| seen.closed.lock().unwrap().len() == n + 1);
        assert_eq!(server.closed()[n], reason);
    }
    // And without a word.
    drop(server.websocket("EIO=4&transport=websocket"));
    server.until("the end", |seen| seen.closed.lock().unwrap().len() == 7);
    assert_eq!(server.closed()[6], CloseReason::TransportClose);
    assert_eq!(server.engine.sessions(), 0);
}

#[test]
fn heartbeats_keep_a_session_and_silence_ends_it() {
    let server = Server::quick();
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    let mut socket = server.websocket("EIO=4&transport=websocket");
    text(&mut socket);
    for _ in 0..3 {
        assert_eq!(server.get(&query).text(), "2");
        assert_eq!(server.post(&query, "3").text(), "ok");
        assert_eq!(text(&mut socket), "2");
        say(&mut socket, "3");
    }
    assert_eq!(server.closed(), []);
    assert_eq!(text(&mut socket), "2");
    assert_eq!(socket.frame().unwrap().opcode, 8);
    server.until("both ends", |seen| *seen.closed.lock().unwrap() == [CloseReason::PingTimeout; 2]);
    assert_eq!(server.get(&query).text(), UNKNOWN_SID);
}

#[test]
fn a_session_moves_to_a_websocket() {
    let server = Server::start(slow());
    let sid = server.open();
    let query = format!("EIO=4&transport=polling&sid={sid}");
    let mut socket = server.websocket(&format!("EIO=4&transport=websocket&sid={sid}"));
    let mut poll = server.client();
    send(&mut poll, "GET", &query, "", b"");
    say(&mut socket, "2probe");
    assert_eq!(text(&mut socket), "3probe");
    // The poll is released, and again if the client polls on.
    assert_eq!(poll.response().unwrap().text(), "6");
    assert_eq!(server.get(&query).text(), "6");
    // Until the move messages go by polling, and what waits moves along.
    assert_eq!(server.post(&query, "4by polling").status, 200);
    say(&mut socket, "5");
    assert_eq!(text(&mut socket), "4by polling");
    say(&mut socket, "4by websocket");
    assert_eq!(text(&mut socket), "4by websocket");
    let connection = server.seen.connections.lock().unwrap()[0].clone();
    assert_eq!(connection.transport(), Transport::Websocket);
    // Polling is over.
    for response in [server.get(&query), server.post(&query, "4a")] {
        assert_eq!((response.status, response.text().as_str()), (400, BAD_REQUEST));
    }
    // Another WebSocket is taken and closed.
    let mut other = server.websocket(&format!("EIO=4&transport=websocket&sid={sid}"));
    assert_eq!(other.frame().unwrap().opcode, 8);
    say(&mut socket, "4still here");
    assert_eq!(text(&mut socket), "4still here");
    assert_eq!(server.closed(), []);
}

#[test]
fn packets_behind_the_upgrade_packet_count() {
    let server = Server::start(slow());
    let sid = server.open();
    let mut client = server.client();
    let mut bytes = handshake(&format!("/engine.io/?EIO=4&transport=websocket&sid={sid}")).into_bytes();
    for packet in ["2probe", "5", "4a", "4b"] {
        bytes.extend_from_slice(&Frame::text(packet).encode(Some([3, 1, 4, 1])));
    }
    client.send(&bytes).unwrap();
    assert_eq!(client.response().unwrap().status, 101);
    let expected: Vec<u8> = ["3probe", "4a", "4b"].iter().flat_map(|text| Frame::text(text).encode(None)).collect();
    assert_eq!(client.read_exact(expected.len()).unwrap(), expected);
}

#[test]
fn a_candidate_that_misbehaves_is_dismissed_alone() {
    let server = Server::start(Options { upgrade_timeout: Duration::from_secs(1), ..slow() });
    let sid = server.open();
    let candidate = format!("EIO=4&transport=websocket&sid={sid}");
    let mut garbage = server.websocket(&candidate);
    // While there is one, another one is closed.
    let mut second = server.websocket(&candidate);
    assert_eq!(second.frame().unwrap().opcode, 8);
    say(&mut garbage, "4not yet");
    assert_eq!(garbage.frame().unwrap().opcode, 8);
    let mut slow = server.websocket(&candidate);
    assert_eq!(slow.frame().unwrap().opcode, 8);
    let mut silent = server.websocket(&candidate);
    say(&mut silent, "2probe");
    assert_eq!(text(&mut silent), "3probe");
    assert_eq!(silent.frame().unwrap().opcode, 8);
    drop(server.websocket(&candidate));
    let query = format!("EIO=4&transport=polling&sid={sid}");
    assert_eq!(server.post(&query, "4a").status, 200);
    assert_eq!(server.get(&query).text(), "4a");
    assert_eq!(server.closed(), []);
}

#[test]
fn an_application_that_waits_holds_up_its_own_session_alone() {
    let server = Server::start(slow());
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    let waiting = {
        let address = server.address;
        beside(move || {
            let mut client = limpet_testkit::raw::RawClient::connect(address).unwrap();
            send(&mut client, "POST", &query, "", b"4wait");
            client.response().unwrap().status
        })
    };
    let mut socket = server.websocket("EIO=4&transport=websocket");
    text(&mut socket);
    say(&mut socket, "4wait");
    say(&mut socket, "4never");
    let other = server.open();
    assert_eq!(server.post(&format!("EIO=4&transport=polling&sid={other}"), "4a").status, 200);
    let waits = |message: &&Incoming| **message == Incoming::Text("wait".to_owned());
    server.until("both wait", |seen| seen.messages.lock().unwrap().iter().filter(waits).count() == 2);
    // Sending goes on meanwhile, and the end is not held up.
    let connections = server.seen.connections.lock().unwrap().clone();
    connections[1].send(&[limpet_server::engine::Message::text("out")]).unwrap();
    assert_eq!(text(&mut socket), "4out");
    server.engine.close();
    assert_eq!(socket.frame().unwrap().opcode, 8);
    assert_eq!(waiting.recv_timeout(PATIENCE).unwrap(), 200);
    server.until("the ends", |seen| *seen.closed.lock().unwrap() == [CloseReason::ServerShuttingDown; 3]);
    assert_eq!(server.engine.sessions(), 0);
    assert_eq!(server.get("EIO=4&transport=polling").status, 503);
    assert!(!server.seen.messages.lock().unwrap().contains(&Incoming::Text("never".to_owned())));
}

#[test]
fn a_client_that_does_not_read_costs_no_more_than_its_queue() {
    let server = Server::start(Options { max_queued_bytes: 100_000, max_queued_messages: 50, ..slow() });
    let polling = server.open();
    let socket: RawWebSocket = server.websocket("EIO=4&transport=websocket");
    server.until("both", |seen| seen.connections.lock().unwrap().len() == 2);
    let connections = server.seen.connections.lock().unwrap().clone();
    let message = limpet_server::engine::Message::text(&"x".repeat(10_000));
    let sent = (0..).take_while(|_| connections[0].send(std::slice::from_ref(&message)).is_ok()).count();
    assert!(sent <= 10, "{sent}");
    let sent = (0..100_000).take_while(|_| connections[1].send(std::slice::from_ref(&message)).is_ok()).count();
    assert!(sent < 100_000);
    server.until("the ends", |seen| *seen.closed.lock().unwrap() == [CloseReason::TransportError; 2]);
    assert_eq!(server.get(&format!("EIO=4&transport=polling&sid={polling}")).text(), UNKNOWN_SID);
    drop(socket);
    // A volatile message is dropped instead.
    let query = format!("EIO=4&transport=polling&sid={}", server.open());
    let connection = server.seen.connections.lock().unwrap()[2].clone();
    assert_eq!(connection.send_volatile(std::slice::from_ref(&message)), Ok(false));
    assert!(connection.is_open());
    drop(query);
}

#[test]
fn the_listener_closes() {
    let mut server = Server::start(quick());
    let mut idle = server.client();
    assert_eq!(idle.get("/engine.io/?EIO=4&transport=polling").unwrap().status, 200);
    server.close_listener(PATIENCE);
    assert_eq!(idle.read_to_end().unwrap(), b"");
    assert!(limpet_testkit::raw::RawClient::connect(server.address).is_err());
}
