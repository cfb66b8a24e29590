//! Our WebSocket codec against clients of other hands: `ws` on Node, wsproto on Python, and frames written out by hand.
//!
//! The echo here is as thin as it can be: what it says and when it closes is the codec's doing.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use limpet_proto::websocket::close::{CloseCode, close_frame};
use limpet_proto::websocket::deflate::{Deflate, Deflater, InflateError, Inflater};
use limpet_proto::websocket::frame::Sender;
use limpet_proto::websocket::handshake::accept;
use limpet_proto::websocket::message::{Decoder, Form, Message, write};
use limpet_testkit::peers;
use limpet_testkit::wait::PATIENCE;

/// The longest message that the echo takes.
const MAX_BYTES: usize = 1024 * 1024;

/// Starts an echo that ends with the test.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that goes away is no matter; what it saw is its verdict.
            thread::spawn(move || serve(stream).ok());
        }
    });
    address
}

fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    request.parse(&head).unwrap();
    let header = |name: &str| {
        let found = request.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| str::from_utf8(header.value).ok())
    };
    let agreed = header("sec-websocket-extensions").and_then(Deflate::accept);
    let key = accept(header("sec-websocket-key").unwrap()).unwrap();
    let extensions = agreed.map(|deflate| format!("Sec-WebSocket-Extensions: {}\r\n", deflate.header()));
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{}Sec-WebSocket-Accept: {key}\r\n\r\n",
        extensions.unwrap_or_default()
    );
    stream.write_all(answer.as_bytes())?;
    let (code, reason) = talk(&mut stream, agreed)?;
    stream.write_all(close_frame(code, &reason, None).as_bytes())?;
    stream.shutdown(std::net::Shutdown::Write)?;
    // What the client still sends is read, so that it sees the frame and no reset.
    while stream.read(&mut [0; 4096])? > 0 {}
    Ok(())
}

/// Echoes until the end; returns how the connection is to be closed.
fn talk(stream: &mut TcpStream, agreed: Option<Deflate>) -> std::io::Result<(CloseCode, String)> {
    let mut decoder = Decoder::new(Sender::Client, MAX_BYTES, agreed.is_some());
    let mut inflater = agreed.map(|deflate| Inflater::new(deflate.client_no_context_takeover));
    let mut deflater = agreed.map(|deflate| Deflater::new(deflate.server_no_context_takeover));
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let len = stream.read(&mut buffer)?;
        if len == 0 {
            return Ok((CloseCode::ABNORMAL, String::new()));
        }
        let mut input = &buffer[..len];
        while !input.is_empty() {
            let (form, bytes) = match decoder.handle_bytes(&mut input) {
                Ok(None) | Ok(Some(Message::Pong(_))) => continue,
                Ok(Some(Message::Close(code, reason))) => return Ok((code, reason)),
                Ok(Some(Message::Ping(bytes))) => {
                    let mut frame = Vec::new();
                    write(Form::Pong, false, &bytes, None, &mut frame);
                    stream.write_all(&frame)?;
                    continue;
                }
                Ok(Some(Message::Text(text))) => (Form::Text, text.into_bytes()),
                Ok(Some(Message::Binary(bytes))) => (Form::Binary, bytes),
                Ok(Some(Message::Compressed { text, bytes })) => {
                    let bytes = match inflater.as_mut().unwrap().inflate(&bytes, MAX_BYTES) {
                        Ok(bytes) => bytes,
                        Err(InflateError::TooBig) => return Ok((CloseCode::TOO_BIG, String::new())),
                        Err(_) => return Ok((CloseCode::INVALID_PAYLOAD, String::new())),
                    };
                    if text && str::from_utf8(&bytes).is_err() {
                        return Ok((CloseCode::INVALID_PAYLOAD, String::new()));
                    }
                    (if text { Form::Text } else { Form::Binary }, bytes)
                }
                Err(error) => return Ok((error.close_code(), String::new())),
            };
            let mut frame = Vec::new();
            match &mut deflater {
                Some(deflater) => write(form, true, &deflater.deflate(&bytes).unwrap(), None, &mut frame),
                None => write(form, false, &bytes, None, &mut frame),
            }
            stream.write_all(&frame)?;
        }
    }
}

#[test]
fn ws_on_node() {
    let client = peers::ws_echo_client(&format!("ws://{}/", echo())).unwrap();
    let verdict = client.verdict().unwrap();
    verdict.assert_good();
    assert!(verdict.number("messages") > 3000, "{verdict:?}");
}

#[test]
fn wsproto_on_python() {
    let client = peers::python_ws_echo_client(&format!("ws://{}/", echo())).unwrap();
    let verdict = client.verdict().unwrap();
    verdict.assert_good();
    assert!(verdict.number("messages") > 200, "{verdict:?}");
}

/// Opens a connection and reads the answer to its upgrade.
fn open(extensions: &str) -> TcpStream {
    let mut stream = TcpStream::connect(echo()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extensions}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    stream
}

/// Sends frames and returns the code of the Close frame that comes back.
fn closed_by(extensions: &str, frames: &[&[u8]]) -> u16 {
    let mut stream = open(extensions);
    for frame in frames {
        stream.write_all(frame).unwrap();
    }
    let mut answer = Vec::new();
    // What the echo says ends with its Close frame.
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    stream.read_to_end(&mut answer).unwrap();
    assert!(answer.len() >= 4, "no close frame: {answer:x?}");
    let close = &answer[answer.len() - 4..];
    assert_eq!(close[..2], [0x88, 2], "no close frame at the end: {answer:x?}");
    u16::from_be_bytes([close[2], close[3]])
}

/// Writes a frame with a mask of nothing but zeros, so that the payload stands as it is.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len => {
            frame.push(0x80 | 126);
            frame.extend((len as u16).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend_from_slice(payload);
    frame
}

#[test]
fn frames_that_break_the_protocol_are_answered_by_their_code() {
    let end = frame(0x88, &[0x03, 0xe8]);
    let close = |code: u16, reason: &[u8]| frame(0x88, &[&code.to_be_bytes()[..], reason].concat());
    let unmasked = [0x81, 1, b'x'];
    // 2^63 bytes, and 2^40 bytes.
    let longest = [0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let long = [0x82, 0xff, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for (name, frames, code) in [
        ("a close", vec![end.clone()], 1000),
        ("empty text", vec![frame(0x81, b""), end.clone()], 1000),
        ("no mask", vec![unmasked.to_vec()], 1002),
        ("rsv1 without compression", vec![frame(0xc1, b"x")], 1002),
        ("rsv2", vec![frame(0xa1, b"x")], 1002),
        ("rsv3", vec![frame(0x91, b"x")], 1002),
        ("rsv of a ping", vec![frame(0xc9, b"")], 1002),
        ("opcode 3", vec![frame(0x83, b"")], 1002),
        ("opcode 7", vec![frame(0x87, b"")], 1002),
        ("opcode 11", vec![frame(0x8b, b"")], 1002),
        ("opcode 15", vec![frame(0x8f, b"")], 1002),
        ("a ping in fragments", vec![frame(0x09, b"x")], 1002),
        ("a close in fragments", vec![frame(0x08, b"")], 1002),
        ("a ping of 126 bytes", vec![frame(0x89, &[0; 126])], 1002),
        ("a close of 126 bytes", vec![close(1000, &[b'x'; 124])], 1002),
        ("a continuation of nothing", vec![frame(0x80, b"x")], 1002),
        ("a continuation behind a whole message", vec![frame(0x81, b"x"), frame(0x80, b"x")], 1002),
        ("text within a message", vec![frame(0x01, b"x"), frame(0x81, b"x")], 1002),
        ("bytes within a message", vec![frame(0x02, b"x"), frame(0x02, b"x")], 1002),
        ("a ping within a message", vec![frame(0x01, b"x"), frame(0x89, b""), frame(0x80, b"y"), end.clone()], 1000),
        ("a close within a message", vec![frame(0x01, b"x"), end.clone()], 1000),
        ("text that is not UTF-8", vec![frame(0x81, b"\xff")], 1007),
        ("text with half a character", vec![frame(0x81, b"\xf0\x9f\xa6")], 1007),
        ("text with a surrogate", vec![frame(0x81, b"\xed\xa0\x80")], 1007),
        ("text that is longer than its number", vec![frame(0x81, b"\xc0\x80")], 1007),
        ("text of fragments that is not UTF-8", vec![frame(0x01, b"\xf0\x9f"), frame(0x80, b"\xff")], 1007),
        ("text torn within a character", vec![frame(0x01, b"\xf0\x9f"), frame(0x80, b"\xa6\x80"), end], 1000),
        ("a close of one byte", vec![frame(0x88, b"x")], 1002),
        ("a close with a reason that is not UTF-8", vec![close(1000, b"\xff")], 1007),
        ("close 999", vec![close(999, b"")], 1002),
        ("close 1004", vec![close(1004, b"")], 1002),
        ("close 1005", vec![close(1005, b"")], 1002),
        ("close 1006", vec![close(1006, b"")], 1002),
        ("close 1015", vec![close(1015, b"")], 1002),
        ("close 5000", vec![close(5000, b"")], 1002),
        ("close 65535", vec![close(65535, b"")], 1002),
        ("close 3000", vec![close(3000, b"")], 3000),
        ("close 4999", vec![close(4999, b"")], 4999),
        ("2^63 bytes", vec![longest.to_vec()], 1002),
        ("2^40 bytes", vec![long.to_vec()], 1009),
    ] {
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        assert_eq!(closed_by("", &frames), code, "{name}");
    }
}

#[test]
fn compressed_messages_that_break_the_protocol_are_answered_by_their_code() {
    let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    let end = frame(0x88, &[0x03, 0xe8]);
    let compressed = |bytes: &[u8]| Deflater::new(true).deflate(bytes).unwrap();
    let bomb = compressed(&vec![0; 3 * MAX_BYTES]);
    assert!(bomb.len() < 64 * 1024);
    let good = compressed("größe".as_bytes());
    let (half, rest) = good.split_at(3);
    for (name, frames, code) in [
        ("text", vec![frame(0xc1, &good), end.clone()], 1000),
        ("an uncompressed message between", vec![frame(0x81, b"x"), frame(0xc1, &good), end.clone()], 1000),
        ("fragments", vec![frame(0x41, half), frame(0x80, rest), end.clone()], 1000),
        ("a ping between fragments", vec![frame(0x41, half), frame(0x89, b""), frame(0x80, rest), end.clone()], 1000),
        ("the bit on a continuation", vec![frame(0x41, half), frame(0xc0, rest)], 1002),
        ("the bit on a ping", vec![frame(0xc9, b"")], 1002),
        ("another bit beside it", vec![frame(0xe1, &good)], 1002),
        ("no deflate", vec![frame(0xc1, b"\xff\xff\xff\xff")], 1007),
        ("text that is not UTF-8", vec![frame(0xc1, &compressed(b"\xff"))], 1007),
        ("bytes that are not UTF-8", vec![frame(0xc2, &compressed(b"\xff")), end.clone()], 1000),
        ("nothing", vec![frame(0xc1, &compressed(b"")), end.clone()], 1000),
        ("no bytes at all", vec![frame(0xc1, b""), end], 1000),
        ("a bomb", vec![frame(0xc2, &bomb)], 1009),
    ] {
        let frames: Vec<&[u8]> = frames.iter().map(Vec::as_slice).collect();
        assert_eq!(closed_by(offer, &frames), code, "{name}");
    }
}

/// The same, with each byte in a packet of its own as far as the system lets us.
#[test]
fn frames_that_come_byte_by_byte() {
    let mut stream = open("");
    stream.set_nodelay(true).unwrap();
    let mut sent = frame(0x01, "grö".as_bytes());
    sent.extend(frame(0x89, b"ping"));
    sent.extend(frame(0x80, "ße".as_bytes()));
    sent.extend(frame(0x88, &[0x03, 0xe8]));
    for byte in sent {
        stream.write_all(&[byte]).unwrap();
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let mut decoder = Decoder::new(Sender::Server, MAX_BYTES, false);
    let mut input = &answer[..];
    let mut messages = Vec::new();
    while let Some(message) = decoder.handle_bytes(&mut input).unwrap() {
        messages.push(message);
    }
    let expected = [
        Message::Pong(b"ping".to_vec()),
        Message::Text("größe".to_owned()),
        Message::Close(CloseCode::NORMAL, String::new()),
    ];
    assert_eq!(messages, expected);
}
