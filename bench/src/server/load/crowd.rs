//! Many Socket.IO clients over WebSocket: brings them in, keeps them alive, carries their messages.
//!
//! Clients come from several addresses. A client that loses its connection is an error, unless the crowd was
//! asked to come back: then it waits as the JavaScript client does, and tries again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::frame;
use crate::load::{UPGRADE_HEADERS, bound_socket};
use crate::spin;

const SCRATCH_BYTES: usize = 64 * 1024;
/// New connections between two looks at the others.
const BATCH: usize = 64;

/// How clients come in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// How many may be under way at a time.
    pub(crate) at_once: usize,
    /// Whether a client that is turned away tries again.
    pub(crate) tries_again: bool,
    /// How long it may take until all are in.
    pub(crate) patience: Duration,
}

impl Arrival {
    /// A few at a time, none of which may be turned away.
    pub(crate) const CALM: Self = Self { at_once: 128, tries_again: false, patience: Duration::from_secs(60) };
    /// All at once, as often as needed.
    pub(crate) const STORM: Self = Self { at_once: usize::MAX, tries_again: true, patience: Duration::from_secs(60) };
}

/// Clients of one server.
pub(crate) struct Crowd {
    poll: Poll,
    events: Events,
    server: SocketAddr,
    clients: Vec<Client>,
    scratch: Vec<u8>,
    due: BinaryHeap<Reverse<(Instant, usize)>>,
    under_way: usize,
    present: usize,
    turned_away: u64,
    random: u64,
}

struct Client {
    stream: Option<TcpStream>,
    phase: Phase,
    attempts: u32,
    /// The beginning of what is not complete yet. Holds no memory most of the time.
    rest: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Away,
    Connecting,
    Upgrading,
    Joining,
    Present,
}

impl Crowd {
    /// Prepares so many clients; none is connected yet.
    ///
    /// # Errors
    ///
    /// Fails when there can be no poll.
    pub(crate) fn new(server: SocketAddr, count: usize) -> anyhow::Result<Self> {
        let now = Instant::now();
        let client = |_| Client { stream: None, phase: Phase::Away, attempts: 0, rest: Vec::new() };
        Ok(Self {
            poll: Poll::new()?,
            events: Events::with_capacity(1024),
            server,
            clients: (0..count).map(client).collect(),
            scratch: vec![0; SCRATCH_BYTES],
            due: (0..count).map(|index| Reverse((now, index))).collect(),
            under_way: 0,
            present: 0,
            turned_away: 0,
            random: 0x9e37_79b9_7f4a_7c15,
        })
    }

    /// How many clients there are.
    pub(crate) fn count(&self) -> usize {
        self.clients.len()
    }

    /// How many attempts came to nothing.
    pub(crate) fn turned_away(&self) -> u64 {
        self.turned_away
    }

    /// Brings in all who are away.
    ///
    /// # Errors
    ///
    /// Fails when not all are in after the time that the arrival allows, or when one is turned away that may not be.
    pub(crate) fn bring_in(&mut self, arrival: Arrival) -> anyhow::Result<()> {
        let started = Instant::now();
        while self.present < self.clients.len() {
            let now = Instant::now();
            for _ in 0..BATCH {
                let is_due = self.due.peek().is_some_and(|Reverse((due, _))| *due <= now);
                if !is_due || self.under_way >= arrival.at_once {
                    break;
                }
                let Some(Reverse((_, index))) = self.due.pop() else {
                    break;
                };
                self.start(index)?;
            }
            self.look(arrival.tries_again, |_, _| Ok(()))?;
            if started.elapsed() > arrival.patience {
                bail!("{} of {} clients are in after {:?}", self.present, self.clients.len(), arrival.patience);
            }
        }
        Ok(())
    }

    /// Cuts all connections at once.
    pub(crate) fn cut(&mut self) {
        let now = Instant::now();
        for (index, client) in self.clients.iter_mut().enumerate() {
            *client = Client { stream: None, phase: Phase::Away, attempts: 0, rest: Vec::new() };
            self.due.push(Reverse((now, index)));
        }
        (self.under_way, self.present) = (0, 0);
    }

    /// Sends a frame that the socket has room for.
    ///
    /// # Errors
    ///
    /// Fails when it has none, or when the connection is lost.
    pub(crate) fn send(&mut self, index: usize, frame: &[u8]) -> anyhow::Result<()> {
        let client = self.clients.get_mut(index).context("no such client")?;
        client.send(frame)
    }

    /// Handles what has arrived and gives each Socket.IO packet to `each`, with the index of the client.
    ///
    /// # Errors
    ///
    /// Fails with the error of `each`, and when a connection is lost.
    pub(crate) fn turn(&mut self, each: impl FnMut(usize, &[u8]) -> anyhow::Result<()>) -> anyhow::Result<()> {
        self.look(false, each)
    }

    fn look(
        &mut self,
        tries_again: bool,
        mut each: impl FnMut(usize, &[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        spin::poll(&mut self.poll, &mut self.events)?;
        for event in &self.events {
            let index = event.token().0;
            let Some(client) = self.clients.get_mut(index).filter(|client| client.stream.is_some()) else {
                continue;
            };
            let before = client.phase;
            match client.turn(self.server, event.is_read_closed(), &mut self.scratch, |packet| each(index, packet)) {
                Ok(()) if client.phase == Phase::Present && before != Phase::Present => {
                    self.under_way -= 1;
                    self.present += 1;
                }
                Ok(()) => {}
                Err(_) if tries_again => {
                    if before == Phase::Present {
                        self.present -= 1
                    } else {
                        self.under_way -= 1
                    }
                    self.turned_away += 1;
                    let pause = pause(client.attempts, &mut self.random);
                    *client = Client { attempts: client.attempts, ..Client::away() };
                    self.due.push(Reverse((Instant::now() + pause, index)));
                }
                Err(error) => return Err(error.context(format!("client {index}, {before:?}"))),
            }
        }
        Ok(())
    }

    fn start(&mut self, index: usize) -> anyhow::Result<()> {
        let socket = bound_socket(self.server, index)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&self.server.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error).context("connect"),
        }
        let mut stream = TcpStream::from_std(socket.into());
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(index), interest)?;
        let client = self.clients.get_mut(index).context("no such client")?;
        *client =
            Client { stream: Some(stream), phase: Phase::Connecting, attempts: client.attempts + 1, rest: Vec::new() };
        self.under_way += 1;
        Ok(())
    }
}

/// As the JavaScript client: a second, doubled up to five, and up to half of it more or less.
fn pause(attempts: u32, random: &mut u64) -> Duration {
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    let share = (*random % 1000) as f64 / 1000.0;
    let seconds = 2_u32.saturating_pow(attempts.saturating_sub(1)).min(5);
    Duration::from_secs_f64(f64::from(seconds) * (0.5 + share))
}

impl Client {
    fn away() -> Self {
        Self { stream: None, phase: Phase::Away, attempts: 0, rest: Vec::new() }
    }

    fn send(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let stream = self.stream.as_mut().context("not connected")?;
        let length = stream.write(bytes).context("send")?;
        anyhow::ensure!(length == bytes.len(), "a socket without room for {} bytes", bytes.len());
        Ok(())
    }

    /// Does what an edge of the poll allows.
    fn turn(
        &mut self,
        server: SocketAddr,
        read_closed: bool,
        scratch: &mut [u8],
        mut each: impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if self.phase == Phase::Connecting {
            let stream = self.stream.as_mut().context("not connected")?;
            match stream.peer_addr() {
                Err(error) if error.kind() == io::ErrorKind::NotConnected => {
                    // The edge that says so carries the error of a refused connection.
                    return stream.take_error()?.map_or(Ok(()), |error| Err(error.into()));
                }
                connected => drop(connected?),
            }
            let request = format!(
                "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {server}\r\n{UPGRADE_HEADERS}\r\n"
            );
            self.send(request.as_bytes())?;
            self.phase = Phase::Upgrading;
        }
        loop {
            let stream = self.stream.as_mut().context("not connected")?;
            let length = match stream.read(scratch) {
                Ok(0) => bail!("the server closed the connection"),
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("receive"),
            };
            let input = scratch.get(..length).unwrap_or_default();
            if self.rest.is_empty() {
                let left = self.take_all(input, &mut each)?;
                self.rest.extend_from_slice(left);
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(input);
                let left = self.take_all(&whole, &mut each)?.len();
                if left > 0 {
                    whole.drain(..whole.len() - left);
                    self.rest = whole;
                }
            }
            if length < scratch.len() && !read_closed {
                return Ok(());
            }
        }
    }

    /// Takes what is complete and gives what is left.
    fn take_all<'a>(
        &mut self,
        mut input: &'a [u8],
        each: &mut impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<&'a [u8]> {
        if self.phase == Phase::Upgrading {
            let Some(end) = input.windows(4).position(|window| window == b"\r\n\r\n") else {
                return Ok(input);
            };
            if !input.starts_with(b"HTTP/1.1 101") {
                bail!("upgrade answered with {}", String::from_utf8_lossy(input));
            }
            input = input.get(end + 4..).unwrap_or_default();
            self.phase = Phase::Joining;
        }
        while let Some(payload) = frame::take(&mut input)? {
            match (payload, self.phase) {
                ([b'0', ..], Phase::Joining) => self.send(&frame::text("40"))?,
                ([b'4', b'0', ..], Phase::Joining) => self.phase = Phase::Present,
                ([b'2'], _) => self.send(&frame::text("3"))?,
                ([b'4', packet @ ..], Phase::Present) => each(packet)?,
                _ => bail!("unexpected: {}", String::from_utf8_lossy(payload)),
            }
        }
        Ok(input)
    }
}
