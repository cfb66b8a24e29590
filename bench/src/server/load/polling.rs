//! Polling sessions, one after the other on each of some connections that are kept alive.
//!
//! A session is four requests: handshake, CONNECT, the poll that brings its answer, and a POST that leaves and closes.
//! A real client has its poll waiting while it sends the CONNECT, over a second connection; the work is the same.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::load::{BROWSER_HEADERS, Outcome, Plan, Stopwatch, bound_socket};
use crate::measure::Meter;
use crate::spin;

const STALL: Duration = Duration::from_secs(10);
/// Larger than any answer.
const SCRATCH_BYTES: usize = 16 * 1024;

/// Connections that sessions are opened on.
pub(crate) struct PollingLoad {
    poll: Poll,
    lanes: Vec<Lane>,
}

struct Lane {
    stream: TcpStream,
    server: SocketAddr,
    sid: String,
    step: Step,
    answer: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Handshake,
    Connect,
    Answer,
    Close,
}

impl PollingLoad {
    /// Opens the connections.
    ///
    /// # Errors
    ///
    /// Fails when the server cannot be reached.
    pub(crate) fn open(server: SocketAddr, connections: usize) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let mut lanes = Vec::with_capacity(connections);
        for index in 0..connections {
            let socket = bound_socket(server, index)?;
            socket.connect_timeout(&server.into(), Duration::from_secs(5))?;
            socket.set_tcp_nodelay(true)?;
            socket.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(socket.into());
            poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
            lanes.push(Lane { stream, server, sid: String::new(), step: Step::Handshake, answer: Vec::new() });
        }
        Ok(Self { poll, lanes })
    }

    /// Runs the plan and ends the last sessions.
    ///
    /// # Errors
    ///
    /// Fails on a wrong answer, a lost connection, or when nothing is answered for ten seconds.
    pub(crate) fn run(&mut self, plan: Plan, meter: &Meter) -> anyhow::Result<Outcome> {
        let mut stopwatch = Stopwatch::start(plan, meter);
        let mut events = Events::with_capacity(1024);
        let mut scratch = vec![0; SCRATCH_BYTES];
        let mut sessions = 0_u64;
        let mut open = self.lanes.len();
        let mut last_answer = Instant::now();
        for lane in &mut self.lanes {
            lane.ask()?;
        }
        while open > 0 {
            spin::poll(&mut self.poll, &mut events)?;
            let over = stopwatch.check(sessions)?;
            for event in &events {
                let Some(lane) = self.lanes.get_mut(event.token().0) else {
                    continue;
                };
                if !lane.read(&mut scratch)? {
                    continue;
                }
                last_answer = Instant::now();
                let ended = lane.step == Step::Close;
                lane.advance()?;
                sessions += u64::from(ended);
                if ended && over {
                    open -= 1;
                } else {
                    lane.ask()?;
                }
            }
            if last_answer.elapsed() > STALL {
                bail!("no answer for {STALL:?} with {open} sessions open");
            }
        }
        stopwatch.outcome(sessions)
    }
}

impl Lane {
    fn ask(&mut self) -> anyhow::Result<()> {
        let Self { server, sid, .. } = self;
        let (method, sid, body) = match self.step {
            Step::Handshake => ("GET", String::new(), None),
            Step::Connect => ("POST", format!("&sid={sid}"), Some("40")),
            Step::Answer => ("GET", format!("&sid={sid}"), None),
            Step::Close => ("POST", format!("&sid={sid}"), Some("41\x1e1")),
        };
        let body = match body {
            Some(body) => {
                format!("Content-Type: text/plain;charset=UTF-8\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            }
            None => "\r\n".to_owned(),
        };
        let request = format!(
            "{method} /socket.io/?EIO=4&transport=polling&t=PVx0001{sid} HTTP/1.1\r\nHost: {server}\r\n{BROWSER_HEADERS}{body}"
        );
        let length = self.stream.write(request.as_bytes()).context("send")?;
        anyhow::ensure!(length == request.len(), "a socket without room for a request");
        Ok(())
    }

    /// True when the answer is complete.
    fn read(&mut self, scratch: &mut [u8]) -> anyhow::Result<bool> {
        match self.stream.read(scratch) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(length) => self.answer.extend_from_slice(scratch.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("receive"),
        }
        let Some(head_bytes) = self.answer.windows(4).position(|window| window == b"\r\n\r\n") else {
            return Ok(false);
        };
        let head = std::str::from_utf8(self.answer.get(..head_bytes).unwrap_or_default())?;
        anyhow::ensure!(head.starts_with("HTTP/1.1 200"), "{:?} answered with {head}", self.step);
        let body_bytes = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
            .with_context(|| format!("no length in {head}"))?;
        Ok(self.answer.len() >= head_bytes + 4 + body_bytes.1.parse::<usize>()?)
    }

    /// Checks the answer and goes on to the next step.
    fn advance(&mut self) -> anyhow::Result<()> {
        let answer = String::from_utf8_lossy(&self.answer);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let next = match self.step {
            Step::Handshake => {
                let rest = body.strip_prefix(r#"0{"sid":""#).and_then(|rest| rest.split_once('"'));
                let (sid, _) = rest.with_context(|| format!("no sid in {body}"))?;
                self.sid = sid.to_owned();
                Step::Connect
            }
            Step::Connect if body == "ok" => Step::Answer,
            // A ping may be in front of it.
            Step::Answer if body.split('\x1e').any(|packet| packet.starts_with(r#"40{"sid":""#)) => Step::Close,
            Step::Close if body == "ok" => Step::Handshake,
            step => bail!("{step:?} answered with {body}"),
        };
        self.step = next;
        self.answer.clear();
        Ok(())
    }
}
