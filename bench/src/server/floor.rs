//! What the sockets alone cost: one receive and one send for each message, and answers that are known beforehand.
//!
//! Not a server: it believes everything, holds no session, and would stop at the first slow client. What it costs is
//! what no server on this machine with one send for each message can get below.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::load::BURST;

const LISTENER: Token = Token(usize::MAX);
const SCRATCH_BYTES: usize = 64 * 1024;
const UPGRADED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const OPEN: &str =
    r#"0{"sid":"XXXXXXXXXXXXXXXXXXXX","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#;
const JOINED: &str = r#"40{"sid":"YYYYYYYYYYYYYYYYYYYY"}"#;

/// Listens on a free port of this address, prints it and serves until the process is ended.
///
/// # Errors
///
/// Fails when the port cannot be bound or the poll breaks.
pub(crate) fn serve(address: Ipv4Addr) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM.nonblocking(), None)?;
    // Accepted sockets inherit the option, which saves one call for each.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::from((address, 0)).into())?;
    socket.listen(4096)?;
    let mut listener = TcpListener::from_std(socket.into());
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("listening {}", listener.local_addr()?.port());
    io::stdout().flush()?;

    let mut connections: Vec<Option<TcpStream>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut scratch = vec![0; SCRATCH_BYTES];
    let mut answer = Vec::new();
    let mut events = Events::with_capacity(1024);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    let index = free.pop().unwrap_or_else(|| {
                        connections.push(None);
                        connections.len() - 1
                    });
                    poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
                    if let Some(slot) = connections.get_mut(index) {
                        *slot = Some(stream);
                    }
                }
                continue;
            }
            let index = event.token().0;
            let ended = matches!(turn(&mut connections, index, &mut scratch, &mut answer), Told::End);
            if let Some(slot) = connections.get_mut(index).filter(|_| ended) {
                *slot = None;
                free.push(index);
            }
        }
    }
}

enum Told {
    More,
    End,
}

/// Receives once and sends what is due.
fn turn(connections: &mut [Option<TcpStream>], index: usize, scratch: &mut [u8], answer: &mut Vec<u8>) -> Told {
    let Some(Some(stream)) = connections.get_mut(index) else {
        return Told::More;
    };
    let length = match stream.read(scratch) {
        Ok(0) => return Told::End,
        Ok(length) => length,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Told::More,
        Err(_) => return Told::End,
    };
    answer.clear();
    let is_for_all = match &mut scratch[..length] {
        request @ [b'G' | b'P', ..] => {
            http(request, answer);
            false
        }
        frames => messages(frames, answer),
    };
    let sent = if is_for_all {
        connections.iter_mut().flatten().try_for_each(|stream| stream.write_all(answer))
    } else {
        stream.write_all(answer)
    };
    if sent.is_ok() { Told::More } else { Told::End }
}

/// Polls and upgrades have answers that never differ.
fn http(request: &[u8], answer: &mut Vec<u8>) {
    let line = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let has = |word: &[u8]| line.windows(word.len()).any(|window| window == word);
    if has(b"=websocket") {
        answer.extend_from_slice(UPGRADED.as_bytes());
        return text(answer, &[OPEN.as_bytes()]);
    }
    let body = match (line.starts_with(b"POST"), has(b"&sid=")) {
        (true, _) => "ok",
        (false, true) => JOINED,
        (false, false) => OPEN,
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: {length}\r\n\r\n");
    answer.extend_from_slice(head.as_bytes());
    answer.extend_from_slice(body.as_bytes());
}

/// Answers the masked frames of the bench's clients, which come whole. True when the answer is for everybody.
fn messages(mut frames: &mut [u8], answer: &mut Vec<u8>) -> bool {
    let mut is_for_all = false;
    loop {
        let (start, length) = match *frames {
            [_, 0xfe, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
            [_, length, ..] => (2, usize::from(length & 0x7f)),
            _ => return is_for_all,
        };
        let Some((frame, behind)) = frames.split_at_mut_checked(start + 4 + length) else { return is_for_all };
        let Some((mask, payload)) = frame.get_mut(start..).and_then(|rest| rest.split_at_mut_checked(4)) else {
            return is_for_all;
        };
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        is_for_all |= message(payload, answer);
        frames = behind;
    }
}

/// Answers a message. True when the answer is for everybody.
fn message(payload: &[u8], answer: &mut Vec<u8>) -> bool {
    if let Some(rest) = payload.strip_prefix(b"42[\"burst\",") {
        (0..BURST).for_each(|_| text(answer, &[b"42[\"news\",", rest]));
        return true;
    }
    match payload.strip_prefix(b"427[\"ask\",") {
        Some(rest) => text(answer, &[b"437[", rest]),
        None if payload == b"40" => text(answer, &[JOINED.as_bytes()]),
        None => text(answer, &[payload]),
    }
    payload.starts_with(b"42[\"news\"")
}

/// Appends a text frame of these parts.
fn text(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    match u8::try_from(length) {
        Ok(length @ 0..126) => out.extend_from_slice(&[0x81, length]),
        _ => out.extend_from_slice(&[0x81, 126, (length >> 8) as u8, length as u8]),
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
}
