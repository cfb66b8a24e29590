//! One tunnel in the slab: what happens when one of its sockets is ready.

use std::io;
use std::time::{Duration, Instant};

use limpet_proto::websocket::close::{CloseCode, close_frame};
use limpet_proto::websocket::frame::{Heartbeat, Sender, first_text};

use super::Tunnel;
use super::berth::{From, Heard};
use super::close::{CloseReason, Closed};
use super::engine::Scratch;
use super::record::Record;
use super::side::Side;
use crate::clock;
use crate::net::socket::Released;
use crate::table::Seconds;

/// How long one side may be silent after the other has ended its stream, in seconds.
const HALF_CLOSED_TIMEOUT: u32 = 30;

/// How long both sides may take to end their streams after we have said goodbye, in seconds.
const GOODBYE_TIMEOUT: u32 = 2;

/// What a turn of a tunnel ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing is left to do until the next edge.
    Idle,
    /// More can be read at once; others first.
    Again,
    /// The tunnel has ended.
    End(CloseReason),
}

/// One tunnel.
#[derive(Debug)]
pub(super) struct Entry {
    client: Side,
    upstream: Side,
    record: Record,
    opened: Seconds,
    active: Seconds,
    /// When the endpoint's last ping passed, in milliseconds since the tunnel engine began; 0 when it was answered.
    pinged_ms: u32,
    round_trip_ms: u16,
    /// The code to say goodbye with, to each side as soon as it is between two frames; 0 when there is no such wish.
    goodbye: u16,
    /// The side that sent the first Close frame, or else ended its stream first.
    began_to_end: Option<From>,
    /// Whether this tunnel waits among those that have more to read.
    pub(super) continued: bool,
}

// The promise of a small tunnel: sockets, cursors, counters and record together. Without optimisation each socket is
// larger, since the reactor's library checks itself then.
const _: () = assert!(size_of::<Entry>() <= if cfg!(debug_assertions) { 256 } else { 216 });

impl Entry {
    /// Makes the entry of a new tunnel and sends what waits for both sides.
    pub(super) fn begin(tunnel: Tunnel) -> (Self, Turn) {
        let Tunnel { client, upstream, mut head, to_client, to_upstream, record } = tunnel;
        let now = clock::coarse();
        let heard =
            |from, released: &Released| released.berth.as_ref().map_or_else(Heard::default, |berth| berth.heard(from));
        let (from_client, from_upstream) = (heard(From::Client, &client), heard(From::Upstream, &upstream));
        let mut entry = Self {
            client: Side::new(client.socket, Sender::Client, from_client),
            upstream: Side::new(upstream.socket, Sender::Server, from_upstream),
            record,
            opened: now,
            active: now,
            pinged_ms: 0,
            round_trip_ms: 0,
            goodbye: 0,
            began_to_end: None,
            continued: false,
        };
        entry.record.begin();
        entry.record.sent(head.len(), 0);
        if let Some(bytes) = to_client {
            entry.follow(From::Upstream, bytes.bytes());
            head.extend_from_slice(bytes.bytes());
        }
        if entry.client.send(&head).is_err() {
            return (entry, Turn::End(CloseReason::ClientReset));
        }
        if let Some(bytes) = to_upstream {
            entry.follow(From::Client, bytes.bytes());
            if entry.upstream.send(bytes.bytes()).is_err() {
                return (entry, Turn::End(CloseReason::UpstreamReset));
            }
        }
        (entry, Turn::Idle)
    }

    /// Returns the socket of one side.
    pub(super) fn socket(&mut self, from: From) -> &mut mio::net::TcpStream {
        &mut self.sides(from).0.socket
    }

    /// Returns the sides that the reactor must be asked to announce room of, from now on.
    pub(super) fn wanting_room(&mut self) -> impl Iterator<Item = From> + use<> {
        let wanting =
            [self.client.wants_room().then_some(From::Client), self.upstream.wants_room().then_some(From::Upstream)];
        wanting.into_iter().flatten()
    }

    /// Keeps what the reactor says about one socket for a later turn.
    pub(super) fn note_event(&mut self, from: From, event: &mio::event::Event) -> Turn {
        let (side, other) = self.sides(from);
        side.readable |= event.is_readable();
        side.end_announced |= event.is_read_closed();
        // A failure that reading will not meet soon: because the other side is slow, or all was read.
        if event.is_error() && (!other.is_flushed() || side.ended) && side.has_failed() {
            return self.broken(from);
        }
        if event.is_writable() && side.flush().is_err() {
            return self.broken(from);
        }
        Turn::Again
    }

    /// Takes what the reactor says about one socket.
    pub(super) fn handle_event(&mut self, from: From, event: &mio::event::Event, scratch: &mut Scratch) -> Turn {
        let was_slow = event.is_writable() && !self.sides(from).0.is_flushed();
        match self.note_event(from, event) {
            // What was not read while this side was slow can be read now.
            Turn::Again if was_slow => self.resume(scratch),
            // Its turn comes when those before it have had theirs.
            Turn::Again if self.continued => Turn::Idle,
            Turn::Again => self.pump(from, scratch),
            ended => ended,
        }
    }

    /// Reads from both sides what can be read.
    pub(super) fn resume(&mut self, scratch: &mut Scratch) -> Turn {
        match (self.pump(From::Client, scratch), self.pump(From::Upstream, scratch)) {
            (end @ Turn::End(_), _) | (_, end @ Turn::End(_)) => end,
            (Turn::Idle, Turn::Idle) => Turn::Idle,
            _ => Turn::Again,
        }
    }

    /// Reads from one side and sends to the other, for as long as both can and the budget of one buffer lasts.
    pub(super) fn pump(&mut self, from: From, scratch: &mut Scratch) -> Turn {
        loop {
            let (source, target) = self.sides(from);
            if !source.readable || source.ended || !(target.is_flushed() || target.shut) {
                return Turn::Idle;
            }
            let count = match source.read(&mut scratch.bytes) {
                Ok(0) => return self.end_of(from),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    source.readable = false;
                    return Turn::Idle;
                }
                Err(_) => return self.broken(from),
            };
            scratch.spent += count;
            let is_full = count == scratch.bytes.len();
            // A short read has emptied the socket, unless the end of the stream lies behind it.
            source.readable = is_full || source.end_announced;
            if self.pass_on(from, &scratch.bytes[..count]).is_err() {
                return self.broken(from.other());
            }
            if is_full {
                return Turn::Again;
            }
        }
    }

    /// Asks for the end of the tunnel: a Close frame with this code to each side, between two frames.
    pub(super) fn leave(&mut self, code: u16) -> Turn {
        if self.goodbye != 0 {
            return Turn::Idle;
        }
        self.goodbye = code;
        self.active = clock::coarse();
        if !self.client.is_followed() && !self.upstream.is_followed() {
            return Turn::End(CloseReason::Shutdown);
        }
        for to in [From::Client, From::Upstream] {
            // A side that is gone already needs no goodbye.
            let _ = self.say_goodbye(to);
        }
        Turn::Idle
    }

    /// Returns why the tunnel has to end for lack of activity, if it has.
    pub(super) fn expired(&self, now: Seconds) -> Option<CloseReason> {
        let silent = now.since(self.active).0;
        let tunnel_timeout = self.record.upstream.tunnel_timeout().load(std::sync::atomic::Ordering::Relaxed);
        if self.goodbye != 0 {
            (silent >= GOODBYE_TIMEOUT).then_some(CloseReason::Shutdown)
        } else if self.client.ended || self.upstream.ended {
            (silent >= HALF_CLOSED_TIMEOUT).then_some(CloseReason::HalfClosedTimeout)
        } else {
            (silent >= tunnel_timeout).then_some(CloseReason::IdleTimeout)
        }
    }

    /// Ends the tunnel: returns its record and what it carried.
    pub(super) fn finish(self, reason: CloseReason) -> (Record, Closed) {
        match reason {
            // A goodbye that is under way is not to be lost.
            _ if self.goodbye != 0 => {}
            CloseReason::ClientReset => self.upstream.reset(),
            CloseReason::UpstreamReset => self.client.reset(),
            _ => {}
        }
        let closed = Closed {
            reason: if self.goodbye != 0 { CloseReason::Shutdown } else { reason },
            lasted: Duration::from_secs(u64::from(clock::coarse().since(self.opened).0)),
            from_client: self.client.carried(),
            from_upstream: self.upstream.carried(),
            round_trip: (self.round_trip_ms != 0).then(|| Duration::from_millis(u64::from(self.round_trip_ms))),
        };
        (self.record, closed)
    }

    fn sides(&mut self, from: From) -> (&mut Side, &mut Side) {
        match from {
            From::Client => (&mut self.client, &mut self.upstream),
            From::Upstream => (&mut self.upstream, &mut self.client),
        }
    }

    /// Sends what one side has sent to the other, unless the other's stream has ended with our goodbye.
    fn pass_on(&mut self, from: From, bytes: &[u8]) -> io::Result<()> {
        if self.sides(from).1.shut {
            return Ok(());
        }
        if self.goodbye == 0 {
            self.follow(from, bytes);
            return self.sides(from).1.send(bytes);
        }
        // The end of a frame is looked for byte by byte; what lies behind it is dropped.
        let is_between_frames = |byte: &u8| {
            self.follow(from, std::slice::from_ref(byte));
            self.sides(from).0.is_between_frames()
        };
        let count = bytes.iter().position(is_between_frames).map_or(bytes.len(), |last| last + 1);
        self.sides(from).1.send(&bytes[..count])?;
        self.say_goodbye(from.other())
    }

    fn follow(&mut self, from: From, bytes: &[u8]) {
        self.active = clock::coarse();
        if self.record.expect_open && from == From::Upstream {
            self.record.expect_open = false;
            if let Some(payload) = first_text(bytes) {
                self.record.handle_open(payload);
            }
        }
        let progress = self.sides(from).0.follow(bytes);
        match from {
            From::Client => self.record.received(bytes.len(), progress.messages),
            From::Upstream => self.record.sent(bytes.len(), progress.messages),
        }
        if progress.close_code.is_some() {
            self.began_to_end.get_or_insert(from);
        }
        match (progress.heartbeat, from) {
            (Some(Heartbeat::Ping), From::Upstream) => self.pinged_ms = now_ms(),
            (Some(Heartbeat::Pong), From::Client) if self.pinged_ms != 0 => {
                let round_trip_ms = now_ms().saturating_sub(self.pinged_ms).max(1);
                self.round_trip_ms = u16::try_from(round_trip_ms).unwrap_or(u16::MAX);
                self.pinged_ms = 0;
            }
            _ => {}
        }
    }

    /// Ends our stream to a side with a Close frame, if no frame is under way to it.
    fn say_goodbye(&mut self, to: From) -> io::Result<()> {
        let code = CloseCode(self.goodbye);
        let mask = (to == From::Upstream).then(|| now_ms().to_ne_bytes());
        let (target, source) = self.sides(to);
        if target.shut {
            return Ok(());
        }
        // Where a Close frame has passed already no other may follow, and none fits between bytes that are not frames.
        if source.said_close() || !source.is_followed() {
            return target.shut();
        }
        if source.is_between_frames() {
            target.send(close_frame(code, "", mask).as_bytes())?;
            return target.shut();
        }
        Ok(())
    }

    fn end_of(&mut self, from: From) -> Turn {
        self.active = clock::coarse();
        let began = *self.began_to_end.get_or_insert(from);
        let (source, target) = self.sides(from);
        source.ended = true;
        source.readable = false;
        let closing_handshake_done = source.said_close() && target.said_close() && target.is_flushed();
        if target.ended || closing_handshake_done || target.shut().is_err() {
            return Turn::End(closed_by(began));
        }
        Turn::Idle
    }

    fn broken(&self, side: From) -> Turn {
        let has_ended = match side {
            From::Client => self.client.ended,
            From::Upstream => self.upstream.ended,
        };
        // A failure behind the end of a conversation is how some sides hang up.
        match self.began_to_end {
            Some(began) if has_ended || self.client.said_close() || self.upstream.said_close() => {
                Turn::End(closed_by(began))
            }
            _ => Turn::End(match side {
                From::Client => CloseReason::ClientReset,
                From::Upstream => CloseReason::UpstreamReset,
            }),
        }
    }
}

fn closed_by(side: From) -> CloseReason {
    match side {
        From::Client => CloseReason::ClientClosed,
        From::Upstream => CloseReason::UpstreamClosed,
    }
}

/// Milliseconds since the first heartbeat of this thread, never 0; finer than the coarse clock, for round trips.
fn now_ms() -> u32 {
    thread_local! {
        static START: Instant = Instant::now();
    }
    let elapsed = START.with(Instant::elapsed).as_millis();
    u32::try_from(elapsed).unwrap_or(u32::MAX - 1) + 1
}
