//! The script of each [`Conduct`]: what it reads and writes on one connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;

use super::Conduct;
use super::journal::{Event, Journal, Received};
use crate::raw::response::{find, take_chunks};

/// The longest that a connection waits for bytes, so that no thread stays for ever.
const LIMIT: Duration = Duration::from_secs(30);

const DRIP: Duration = Duration::from_millis(20);

/// What follows an answer.
enum Then {
    /// The next request.
    Next,
    /// An orderly end.
    Close,
    /// Nothing more is sent until the other side ends.
    Wait,
}

pub(super) fn perform(
    conduct: Conduct,
    stream: &TcpStream,
    connection: usize,
    journal: &Journal,
    sessions: &AtomicUsize,
) {
    let limits = stream.set_read_timeout(Some(LIMIT)).and_then(|()| stream.set_write_timeout(Some(LIMIT)));
    if limits.and_then(|()| stream.set_nodelay(true)).is_err() {
        return;
    }
    let mut incoming = Incoming { stream, buffer: Vec::new(), connection };
    if conduct == Conduct::NeverReads {
        wait_without_reading(stream);
        journal.add(Event::Ended(connection));
        return;
    }
    for count in 1.. {
        let Ok(Some(request)) = incoming.request(conduct != Conduct::AnswersEarly) else {
            journal.add(Event::Ended(connection));
            return;
        };
        journal.add(Event::Request(request.clone()));
        match answer(conduct, stream, &request, count, sessions) {
            Ok(Then::Next) => {}
            Ok(Then::Close) => return,
            Ok(Then::Wait) => {
                incoming.drain();
                journal.add(Event::Ended(connection));
                return;
            }
            Err(_) => {
                journal.add(Event::Ended(connection));
                return;
            }
        }
    }
}

fn answer(
    conduct: Conduct,
    mut stream: &TcpStream,
    request: &Received,
    count: usize,
    sessions: &AtomicUsize,
) -> io::Result<Then> {
    const CUT: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n0123456789";
    const BOTH: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let bytes: &[u8] = match conduct {
        Conduct::Answers(body) => return write_answer(stream, body).map(|()| Then::Next),
        Conduct::Handshakes => return write_answer(stream, &engine_io(request, sessions)).map(|()| Then::Next),
        Conduct::Refuses => {
            stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\nbusy")?;
            return Ok(Then::Next);
        }
        Conduct::ClosesSilently => return write_answer(stream, "ok").map(|()| Then::Close),
        Conduct::ClosesOnReuse if count == 1 => return write_answer(stream, "ok").map(|()| Then::Next),
        Conduct::ClosesOnReuse | Conduct::ClosesBeforeResponse => return Ok(Then::Close),
        Conduct::AcceptsAndStalls | Conduct::NeverReads => return Ok(Then::Wait),
        Conduct::HalfCloses => return stream.shutdown(Shutdown::Write).map(|()| Then::Wait),
        Conduct::ResetsBeforeResponse => return reset(stream),
        Conduct::ResetsMidBody => {
            stream.write_all(CUT)?;
            return reset(stream);
        }
        Conduct::StallsMidBody => return stream.write_all(CUT).map(|()| Then::Wait),
        Conduct::AnswersEarly => {
            stream
                .write_all(b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 5\r\n\r\nlarge")?;
            // Closing over unread bytes would reset the connection and could destroy the answer.
            return stream.shutdown(Shutdown::Write).map(|()| Then::Wait);
        }
        Conduct::FloodsInterim => {
            let some = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n".repeat(100);
            for _ in 0..1000 {
                stream.write_all(&some)?;
            }
            return Ok(Then::Wait);
        }
        Conduct::DripsSlowly => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")?;
            for _ in 0..20 {
                // The pause is what this endpoint is about; nothing waits for its length.
                thread::sleep(DRIP);
                stream.write_all(b"x")?;
            }
            return Ok(Then::Next);
        }
        Conduct::SendsHugeHead => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nX: ")?;
            stream.write_all(&vec![b'x'; 1_000_000])?;
            b"\r\nContent-Length: 2\r\n\r\nok"
        }
        Conduct::ClosesMidBody => CUT,
        Conduct::ClosesMidChunks => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0123456789\r\n",
        Conduct::SendsGarbage => b"this is not HTTP\r\n\r\n",
        Conduct::SendsTwoLengths => BOTH,
        Conduct::SendsLengthTwice => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!",
        Conduct::SwitchesUnasked => {
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
        }
        Conduct::SendsExtraBytes => {
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"
        }
    };
    stream.write_all(bytes)?;
    Ok(match conduct {
        Conduct::ClosesMidBody | Conduct::ClosesMidChunks => Then::Close,
        _ => Then::Next,
    })
}

fn write_answer(mut stream: &TcpStream, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\n";
    stream.write_all(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes())
}

/// The body of an Engine.IO answer: the open packet for a handshake.
fn engine_io(request: &Received, sessions: &AtomicUsize) -> String {
    if !request.target.contains("transport=polling") || request.target.contains("sid=") {
        return "ok".to_owned();
    }
    let number = sessions.fetch_add(1, Ordering::Relaxed);
    format!(
        "0{{\"sid\":\"session-{number:012}\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,\"pingTimeout\":20000,\
         \"maxPayload\":1000000}}"
    )
}

/// The connection is reset when its last handle is dropped, which is next.
fn reset(stream: &TcpStream) -> io::Result<Then> {
    set_socket_linger(stream, Some(Duration::ZERO))?;
    Ok(Then::Close)
}

/// Waits until the connection ends, while what arrives stays in the socket.
fn wait_without_reading(stream: &TcpStream) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let limit = Timespec { tv_sec: LIMIT.as_secs().cast_signed(), tv_nsec: 0 };
    // Failing or not: all that follows is the end of the connection.
    let _ = poll(&mut [PollFd::new(stream, PollFlags::RDHUP)], Some(&limit));
}

/// The bytes of one connection.
struct Incoming<'a> {
    stream: &'a TcpStream,
    buffer: Vec<u8>,
    connection: usize,
}

impl Incoming<'_> {
    /// Reads one request; `None` when the connection ends before its end, or it is none.
    fn request(&mut self, with_body: bool) -> io::Result<Option<Received>> {
        let head_end = loop {
            match find(&self.buffer, b"\r\n\r\n") {
                Some(end) => break end,
                None if self.fill()? == 0 => return Ok(None),
                None => {}
            }
        };
        let head: Vec<u8> = self.buffer.drain(..head_end + 4).take(head_end).collect();
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut words = head.split(' ').map(str::to_owned);
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
        let body = if with_body { self.body(&head)? } else { Some(Vec::new()) };
        Ok(body.map(|body| Received { connection: self.connection, method, target, head, body }))
    }

    fn body(&mut self, head: &str) -> io::Result<Option<Vec<u8>>> {
        let field = |name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(':'));
            fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim().to_owned())
        };
        let length: usize = field("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        let is_chunked = field("transfer-encoding").is_some();
        loop {
            let complete = if is_chunked {
                take_chunks(&self.buffer).map_err(io::Error::other)?
            } else {
                self.buffer.get(..length).map(|body| (body.to_vec(), length))
            };
            if let Some((body, used)) = complete {
                self.buffer.drain(..used);
                return Ok(Some(body));
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    /// Reads until the connection ends.
    fn drain(&mut self) {
        while self.fill().is_ok_and(|count| count > 0) {
            self.buffer.clear();
        }
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut chunk = [0; 16 * 1024];
        let count = (&mut &*self.stream).read(&mut chunk)?;
        self.buffer.extend_from_slice(chunk.get(..count).unwrap_or_default());
        Ok(count)
    }
}
