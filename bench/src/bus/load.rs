//! Speakers at one node and listeners at the other: each speaker's room has one listener, who hears every event in order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::stage::Node;
use crate::server::load::{Arrival, Crowd, frame};

/// Speakers, rooms and listeners.
pub(super) const PAIRS: usize = 16;
/// What is said at a time of a pair that is under way, when as much is said as can be.
const WINDOW: usize = 2;
/// What an event carries, its number among it.
const TEXT_BYTES: usize = 64;
const DIGITS: usize = 10;
const STALL: Duration = Duration::from_secs(10);
/// How often a speaker tries until the bus knows its room.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// How events are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Speed {
    /// The next one when one has been heard.
    Most,
    /// So many each second.
    Fixed(f64),
}

/// The clients at both nodes.
pub(super) struct Pairs {
    speakers: Crowd,
    listeners: Crowd,
    pairs: Vec<Pair>,
    /// Events that come of what is said at a time.
    batch: usize,
    /// Events that were heard before one that was said earlier.
    disordered: u64,
    /// Nobody listens in the rooms of the speakers.
    is_elsewhere: bool,
}

#[derive(Default)]
struct Pair {
    next: u64,
    /// Events before this one may be heard or not.
    lost: u64,
    /// Number and time of what has not been heard.
    under_way: VecDeque<(u64, Instant)>,
    has_begun: bool,
}

impl Pairs {
    /// Brings all in, and the listeners into the rooms of the speakers, or into others if events go `elsewhere`.
    ///
    /// # Errors
    ///
    /// Fails when a client is turned away, or the first events are not heard.
    pub(super) fn gather(
        publishing: &Node,
        receiving: &Node,
        batch: usize,
        is_elsewhere: bool,
    ) -> anyhow::Result<Self> {
        let mut speakers = Crowd::new(publishing.address, PAIRS)?;
        let mut listeners = Crowd::new(receiving.address, PAIRS)?;
        speakers.bring_in(Arrival::CALM)?;
        listeners.bring_in(Arrival::CALM)?;
        for index in 0..PAIRS {
            let room = if is_elsewhere { format!("other-{index}") } else { room(index) };
            listeners.send(index, &frame::text(&format!(r#"420["join","{room}"]"#)))?;
        }
        let (mut joined, began) = (0, Instant::now());
        while joined < PAIRS {
            listeners.turn(|_, _| {
                joined += 1;
                Ok(())
            })?;
            anyhow::ensure!(began.elapsed() < STALL, "the listeners could not join");
        }
        let pairs = (0..PAIRS).map(|_| Pair::default()).collect();
        let mut all = Self { speakers, listeners, pairs, batch, disordered: 0, is_elsewhere };
        if !is_elsewhere {
            all.begin()?;
        }
        Ok(all)
    }

    /// How many events were heard before one that was said earlier: a library's promise of order, or its lack.
    pub(super) fn disordered(&self) -> u64 {
        self.disordered
    }

    /// Lets each speaker speak until it is heard: a room may become known to the bus a moment after it was joined.
    fn begin(&mut self) -> anyhow::Result<()> {
        let began = Instant::now();
        while self.pairs.iter().any(|pair| !pair.has_begun) {
            for index in 0..PAIRS {
                if self.pairs.get(index).is_some_and(|pair| !pair.has_begun) {
                    self.speak(index)?;
                }
            }
            let round = Instant::now();
            while round.elapsed() < TRY_AGAIN && self.pairs.iter().any(|pair| !pair.under_way.is_empty()) {
                self.listen(&mut |_| {})?;
            }
            anyhow::ensure!(began.elapsed() < STALL, "the listeners hear nothing");
        }
        // What was said before the bus knew the room is not waited for.
        for pair in &mut self.pairs {
            pair.lost = pair.next;
            pair.under_way.clear();
        }
        self.disordered = 0;
        Ok(())
    }

    /// Sends and hears until `watch` says that it is over. It is told how many events are complete, at every turn.
    ///
    /// # Errors
    ///
    /// Fails when an event comes twice, a connection is lost, or nothing comes for ten seconds, as when all that may be under way is
    /// lost.
    pub(super) fn run(
        &mut self,
        speed: Speed,
        latencies: &mut Vec<Duration>,
        mut watch: impl FnMut(u64) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let began = Instant::now();
        let (mut complete, mut sent) = (0_u64, 0_u64);
        let mut last = Instant::now();
        let mut heard = Vec::new();
        while !watch(complete)? {
            match speed {
                Speed::Most => {
                    for index in 0..PAIRS {
                        while self
                            .pairs
                            .get(index)
                            .is_some_and(|pair| pair.under_way.len() <= (WINDOW - 1) * self.batch)
                        {
                            self.speak(index)?;
                        }
                    }
                }
                Speed::Fixed(rate) => {
                    // What a pause of this program has made due is sent at once, and its latency counts.
                    let due = (began.elapsed().as_secs_f64() * rate) as u64;
                    while sent < due {
                        self.speak(sent as usize / self.batch % PAIRS)?;
                        sent += self.batch as u64;
                    }
                }
            }
            heard.clear();
            self.listen(&mut |latency| heard.push(latency))?;
            complete += heard.len() as u64;
            latencies.extend_from_slice(&heard);
            if !heard.is_empty() || self.pairs.iter().all(|pair| pair.under_way.is_empty()) {
                last = Instant::now();
            } else if last.elapsed() > STALL {
                bail!("nothing is heard for {STALL:?}");
            }
        }
        Ok(())
    }

    fn speak(&mut self, index: usize) -> anyhow::Result<()> {
        let pair = self.pairs.get_mut(index).context("no such pair")?;
        let filler = "x".repeat(TEXT_BYTES - DIGITS);
        let mut texts = Vec::with_capacity(self.batch);
        for _ in 0..self.batch {
            texts.push(format!(r#""{:0DIGITS$}{filler}""#, pair.next));
            pair.under_way.push_back((pair.next, Instant::now()));
            pair.next += 1;
        }
        let packet = format!(r#"421["say","{}",[{}]]"#, room(index), texts.join(","));
        self.speakers.send(index, &frame::text(&packet))
    }

    /// Takes what has come. An event is complete when its listener has it, or elsewhere when it was acknowledged.
    fn listen(&mut self, each: &mut impl FnMut(Duration)) -> anyhow::Result<()> {
        let Self { speakers, listeners, pairs, batch, disordered, is_elsewhere } = self;
        speakers.turn(|index, packet| {
            let pair = pairs.get_mut(index).context("no such pair")?;
            match packet {
                [b'3', b'1', ..] if *is_elsewhere => {
                    let said = (*batch).min(pair.under_way.len());
                    pair.under_way.drain(..said).for_each(|(_, at)| each(at.elapsed()));
                }
                [b'3', b'1', ..] => {}
                _ => bail!("unexpected: {}", String::from_utf8_lossy(packet)),
            }
            Ok(())
        })?;
        listeners.turn(|index, packet| {
            let pair = pairs.get_mut(index).context("no such pair")?;
            let number = number(packet)?;
            if pair.has_begun && number < pair.lost {
                return Ok(());
            }
            let Some(place) = pair.under_way.iter().position(|(other, _)| *other == number) else {
                bail!("heard twice, or never sent: {}", String::from_utf8_lossy(packet));
            };
            if pair.has_begun && place > 0 {
                *disordered += 1;
            }
            if let Some((_, at)) = pair.under_way.remove(place) {
                each(at.elapsed());
            }
            pair.has_begun = true;
            Ok(())
        })
    }
}

fn room(index: usize) -> String {
    format!("room-{index}")
}

/// The number in an event; behind its text there may be an offset.
fn number(packet: &[u8]) -> anyhow::Result<u64> {
    let digits = packet.strip_prefix(br#"2["news",""#).and_then(|rest| rest.get(..DIGITS));
    let number = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    number.with_context(|| format!("unexpected: {}", String::from_utf8_lossy(packet)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_of_events_with_and_without_offset() {
        assert_eq!(number(br#"2["news","0000000042xx"]"#).unwrap(), 42);
        assert_eq!(number(br#"2["news","0000000042xx","1700000000000-3"]"#).unwrap(), 42);
        assert!(number(br#"2["other","0000000042xx"]"#).is_err());
    }
}
