//! Round trips over long-lived connections: polls and echoed messages, as fast as answers come or at a fixed rate.
//!
//! All answers of a connection have the same length, which the set-up learns. So the loop counts bytes instead of
//! parsing; a wrong start or a longer answer is an error.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::client::message;
use super::pace::Pace;
use super::{Outcome, Plan, Session, Stopwatch, Work};
use crate::measure::Meter;
use crate::spin;

const SCRATCH_BYTES: usize = 64 * 1024;
const STALL: Duration = Duration::from_secs(5);

/// Open connections that are ready to carry work.
pub(crate) struct ExchangeLoad {
    poll: Poll,
    lanes: Vec<Lane>,
    scratch: Vec<u8>,
    round_trips: u64,
}

struct Lane {
    stream: TcpStream,
    request: Rc<[u8]>,
    answer_start: Rc<[u8]>,
    answer_bytes: usize,
    sent: usize,
    received: usize,
    busy: bool,
}

impl ExchangeLoad {
    /// Opens the connections, with a session on each, and brings them to the state in which the work starts.
    ///
    /// # Errors
    ///
    /// Fails when the proxy does not answer as an Engine.IO server would.
    pub(crate) fn open(proxy: SocketAddr, work: Work, connections: usize) -> anyhow::Result<Self> {
        let poll = Poll::new()?;
        let shared = match work {
            Work::Message { payload_bytes } => Some(message(payload_bytes)),
            Work::Poll => None,
            Work::Connect => bail!("connects have a load of their own"),
        };
        let shared = shared.map(|(frame, head, bytes)| (Rc::from(frame), Rc::from(head), bytes));
        let http_start: Rc<[u8]> = Rc::from(b"HTTP/1.1 200".as_slice());
        let mut lanes = Vec::with_capacity(connections);
        for index in 0..connections {
            let mut session = Session::open(proxy, index)?;
            let (request, answer_start, answer_bytes) = match &shared {
                Some((frame, head, bytes)) => {
                    session.upgrade()?;
                    (Rc::clone(frame), Rc::clone(head), *bytes)
                }
                None => {
                    let request = session.poll_request();
                    let answer = session.exchange(&request).context("poll")?;
                    (Rc::from(request), Rc::clone(&http_start), answer.len())
                }
            };
            let stream = session.into_stream();
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(index), interest)?;
            lanes.push(Lane { stream, request, answer_start, answer_bytes, sent: 0, received: 0, busy: false });
        }
        Ok(Self { poll, lanes, scratch: vec![0; SCRATCH_BYTES], round_trips: 0 })
    }

    /// Runs the plan and waits for the last answers, so that a second run starts clean.
    ///
    /// # Errors
    ///
    /// Fails on a wrong answer, a lost connection, or when nothing is answered for five seconds.
    pub(crate) fn run(&mut self, plan: Plan, meter: &Meter) -> anyhow::Result<Outcome> {
        let mut pace = plan.rate.map(|rate| Pace::new(rate, plan.tick));
        let mut idle: VecDeque<usize> = VecDeque::new();
        let before = self.round_trips;
        let mut in_flight = 0_usize;
        let mut stopwatch = Stopwatch::start(plan, meter);
        if pace.is_some() {
            idle.extend(0..self.lanes.len());
        } else {
            for lane in &mut self.lanes {
                lane.start()?;
                in_flight += 1;
            }
        }
        let mut events = Events::with_capacity(1024);
        let mut last_answer = Instant::now();
        let mut over = false;
        while !over || in_flight > 0 {
            spin::poll(&mut self.poll, &mut events)?;
            over = stopwatch.check(self.round_trips)?;
            let answered = self.round_trips;
            for event in &events {
                let Some(lane) = self.lanes.get_mut(event.token().0) else {
                    continue;
                };
                if !lane.turn(event.is_read_closed(), &mut self.scratch)? {
                    continue;
                }
                self.round_trips += 1;
                if over || pace.is_some() {
                    in_flight -= 1;
                    idle.push_back(event.token().0);
                } else {
                    lane.start()?;
                }
            }
            if let Some(pace) = pace.as_mut().filter(|_| !over) {
                let elapsed = stopwatch.elapsed();
                while !idle.is_empty() && pace.take_due(elapsed) {
                    if let Some(lane) = idle.pop_front().and_then(|index| self.lanes.get_mut(index)) {
                        lane.start()?;
                        in_flight += 1;
                    }
                }
            }
            if self.round_trips > answered {
                last_answer = Instant::now();
            } else if last_answer.elapsed() > STALL {
                bail!("no answer for {STALL:?} with {in_flight} requests waiting");
            }
        }
        stopwatch.outcome(self.round_trips - before)
    }
}

impl Lane {
    fn start(&mut self) -> anyhow::Result<()> {
        self.busy = true;
        self.sent = 0;
        self.received = 0;
        self.send()
    }

    fn send(&mut self) -> anyhow::Result<()> {
        while self.sent < self.request.len() {
            match self.stream.write(&self.request[self.sent..]) {
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("send"),
            }
        }
        Ok(())
    }

    /// Does what an edge of the poll allows. True when the answer is complete.
    fn turn(&mut self, read_closed: bool, scratch: &mut [u8]) -> anyhow::Result<bool> {
        if self.busy && self.sent < self.request.len() {
            self.send()?;
        }
        loop {
            let length = match self.stream.read(scratch) {
                Ok(0) => bail!("the proxy closed a connection"),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error).context("receive"),
            };
            if self.received == 0 && !(self.busy && scratch[..length].starts_with(&self.answer_start)) {
                bail!("wrong answer: {}", String::from_utf8_lossy(&scratch[..length.min(200)]));
            }
            self.received += length;
            if self.received >= self.answer_bytes {
                anyhow::ensure!(self.received == self.answer_bytes, "{} bytes too many", self.received);
                self.busy = false;
                return Ok(true);
            }
            if length < scratch.len() && !read_closed {
                return Ok(false);
            }
        }
    }
}
