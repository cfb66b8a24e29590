//! Connect, upgrade, close, again and again, with the sessions of long-lived connections.

use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::client::bound_socket;
use super::{Outcome, Plan, Session, Stopwatch};
use crate::measure::Meter;
use crate::spin;

const STALL: Duration = Duration::from_secs(5);

/// Sessions whose upgrade is repeated. An endpoint of the bench accepts that.
pub(crate) struct ConnectLoad {
    poll: Poll,
    proxy: SocketAddr,
    slots: Vec<Slot>,
    round_trips: u64,
}

struct Slot {
    _session: Session,
    request: Vec<u8>,
    stream: Option<TcpStream>,
    sent: bool,
    head_bytes: usize,
}

impl ConnectLoad {
    /// Opens one session for each of the connections that will be in progress at a time.
    ///
    /// # Errors
    ///
    /// Fails when the proxy does not answer as an Engine.IO server would.
    pub(crate) fn open(proxy: SocketAddr, connections: usize) -> anyhow::Result<Self> {
        let slots = (0..connections)
            .map(|index| {
                let session = Session::open(proxy, index)?;
                let request = session.upgrade_request();
                Ok(Slot { _session: session, request, stream: None, sent: false, head_bytes: 0 })
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { poll: Poll::new()?, proxy, slots, round_trips: 0 })
    }

    /// Runs the plan, always as fast as the answers come, and closes the last connections.
    ///
    /// # Errors
    ///
    /// Fails on any answer but 101, a lost connection, or when nothing is answered for five seconds.
    pub(crate) fn run(&mut self, plan: Plan, meter: &Meter) -> anyhow::Result<Outcome> {
        let before = self.round_trips;
        let mut stopwatch = Stopwatch::start(plan, meter);
        for (index, slot) in self.slots.iter_mut().enumerate() {
            slot.start(self.proxy, index, &self.poll)?;
        }
        let mut in_flight = self.slots.len();
        let mut events = Events::with_capacity(1024);
        let mut last_answer = Instant::now();
        let mut over = false;
        while !over || in_flight > 0 {
            spin::poll(&mut self.poll, &mut events)?;
            over = stopwatch.check(self.round_trips)?;
            let answered = self.round_trips;
            for event in &events {
                let index = event.token().0;
                let Some(slot) = self.slots.get_mut(index) else {
                    continue;
                };
                if !slot.turn()? {
                    continue;
                }
                self.round_trips += 1;
                slot.stream = None;
                if over {
                    in_flight -= 1;
                } else {
                    slot.start(self.proxy, index, &self.poll)?;
                }
            }
            if self.round_trips > answered {
                last_answer = Instant::now();
            } else if last_answer.elapsed() > STALL {
                bail!("no upgrade for {STALL:?} with {in_flight} connections waiting");
            }
        }
        stopwatch.outcome(self.round_trips - before)
    }
}

impl Slot {
    fn start(&mut self, proxy: SocketAddr, index: usize, poll: &Poll) -> anyhow::Result<()> {
        let socket = bound_socket(proxy, index)?;
        socket.set_nonblocking(true)?;
        match socket.connect(&proxy.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error).context("connect"),
        }
        let mut stream = TcpStream::from_std(socket.into());
        poll.registry().register(&mut stream, Token(index), Interest::READABLE | Interest::WRITABLE)?;
        self.stream = Some(stream);
        self.sent = false;
        self.head_bytes = 0;
        // On loopback the connection is mostly there by now.
        self.send()
    }

    fn send(&mut self) -> anyhow::Result<()> {
        let Some(stream) = self.stream.as_mut() else {
            return Ok(());
        };
        match stream.write(&self.request) {
            Ok(length) => anyhow::ensure!(length == self.request.len(), "a new socket refused a request"),
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => {
                return Ok(());
            }
            Err(error) => return Err(error).context("send"),
        }
        self.sent = true;
        Ok(())
    }

    /// Does what an edge of the poll allows. True when the upgrade is answered.
    fn turn(&mut self) -> anyhow::Result<bool> {
        if !self.sent {
            self.send()?;
        }
        let Some(stream) = self.stream.as_mut() else {
            return Ok(false);
        };
        let mut buffer = [0; 4096];
        let length = match stream.read(&mut buffer) {
            Ok(0) => bail!("the proxy closed a connection before the upgrade"),
            Ok(length) => length,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) => {
                return Ok(false);
            }
            Err(error) => return Err(error).context("receive"),
        };
        let input = &buffer[..length];
        if self.head_bytes == 0 && !input.starts_with(b"HTTP/1.1 101") {
            bail!("upgrade answered with {}", String::from_utf8_lossy(input));
        }
        self.head_bytes += length;
        Ok(input.ends_with(b"\r\n\r\n"))
    }
}
