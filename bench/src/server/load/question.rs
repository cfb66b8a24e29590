//! Events that a server answers: over a few busy connections, once on each of many, or with one event for everybody.

use std::time::{Duration, Instant};

use anyhow::bail;

use super::Crowd;
use super::frame;
use crate::load::{Outcome, Plan, Stopwatch};
use crate::measure::Meter;

const STALL: Duration = Duration::from_secs(10);

/// An event, and the packet that must come back.
pub(crate) struct Question {
    frame: Vec<u8>,
    answer: Vec<u8>,
    /// How many of the answer a client gets.
    answers: u64,
}

/// How many events the application sends for one that asks for a burst.
pub(crate) const BURST: u64 = 4;

impl Question {
    /// An event that comes back as an event.
    pub(crate) fn echo(payload_bytes: usize) -> Self {
        let text = "x".repeat(payload_bytes);
        let packet = format!(r#"2["echo","{text}"]"#);
        Self { frame: frame::text(&format!("4{packet}")), answer: packet.into_bytes(), answers: 1 }
    }

    /// An event that is acknowledged with what it brought.
    pub(crate) fn ask(payload_bytes: usize) -> Self {
        let text = "x".repeat(payload_bytes);
        let frame = frame::text(&format!(r#"427["ask","{text}"]"#));
        Self { frame, answer: format!(r#"37["{text}"]"#).into_bytes(), answers: 1 }
    }

    /// An event that comes back to every client.
    pub(crate) fn news(payload_bytes: usize) -> Self {
        let text = "x".repeat(payload_bytes);
        let packet = format!(r#"2["news","{text}"]"#);
        Self { frame: frame::text(&format!("4{packet}")), answer: packet.into_bytes(), answers: 1 }
    }

    /// An event for which the application sends several to every client, in one turn.
    pub(crate) fn burst(payload_bytes: usize) -> Self {
        let text = "x".repeat(payload_bytes);
        let frame = frame::text(&format!(r#"42["burst","{text}"]"#));
        Self { frame, answer: format!(r#"2["news","{text}"]"#).into_bytes(), answers: BURST }
    }

    fn check(&self, packet: &[u8]) -> anyhow::Result<()> {
        if packet != self.answer {
            bail!("wrong answer: {}", String::from_utf8_lossy(packet));
        }
        Ok(())
    }
}

/// Every client has so many questions under way, and asks again when it is answered, until the plan is over and the last answers
/// are there. What it asks together leaves in one write.
///
/// # Errors
///
/// Fails on a wrong answer, a lost connection, or when nothing is answered for ten seconds.
pub(crate) fn ask_on(
    crowd: &mut Crowd,
    question: &Question,
    under_way: usize,
    plan: Plan,
    meter: &Meter,
) -> anyhow::Result<Outcome> {
    let frames = question.frame.repeat(under_way);
    let mut stopwatch = Stopwatch::start(plan, meter);
    let mut answered: Vec<usize> = (0..crowd.count()).flat_map(|index| std::iter::repeat_n(index, under_way)).collect();
    let (mut in_flight, mut round_trips) = (0_usize, 0_u64);
    let mut last_answer = Instant::now();
    loop {
        let over = stopwatch.check(round_trips)?;
        // The answers of a client stand together.
        for together in answered.chunk_by(|one, other| one == other).filter(|_| !over) {
            let asked = frames.get(..together.len() * question.frame.len()).unwrap_or(&frames);
            crowd.send(together.first().copied().unwrap_or_default(), asked)?;
            in_flight += together.len();
        }
        answered.clear();
        if over && in_flight == 0 {
            return stopwatch.outcome(round_trips);
        }
        crowd.turn(|index, packet| {
            answered.push(index);
            question.check(packet)
        })?;
        in_flight -= answered.len();
        round_trips += answered.len() as u64;
        if !answered.is_empty() {
            last_answer = Instant::now();
        } else if last_answer.elapsed() > STALL {
            bail!("no answer for {STALL:?}, {in_flight} are waited for");
        }
    }
}

/// Every client asks once, a few of them at a time.
///
/// # Errors
///
/// Fails on a wrong answer, a lost connection, or when nothing is answered for ten seconds.
pub(crate) fn ask_each_once(crowd: &mut Crowd, question: &Question) -> anyhow::Result<()> {
    const AT_A_TIME: usize = 64;
    let (mut asked, mut answered) = (0, 0);
    let mut last_answer = Instant::now();
    while answered < crowd.count() {
        while asked < crowd.count() && asked < answered + AT_A_TIME {
            crowd.send(asked, &question.frame)?;
            asked += 1;
        }
        let before = answered;
        crowd.turn(|_, packet| {
            answered += 1;
            question.check(packet)
        })?;
        if answered > before {
            last_answer = Instant::now();
        } else if last_answer.elapsed() > STALL {
            bail!("{answered} of {asked} are answered after {STALL:?}");
        }
    }
    Ok(())
}

/// One client after the other sends an event for everybody, each when the one before has reached everybody. The unit
/// is a delivery.
///
/// # Errors
///
/// Fails on a wrong answer, a lost connection, or when nothing arrives for ten seconds.
pub(crate) fn tell_all(crowd: &mut Crowd, question: &Question, plan: Plan, meter: &Meter) -> anyhow::Result<Outcome> {
    let mut stopwatch = Stopwatch::start(plan, meter);
    let mut deliveries = 0_u64;
    let mut sender = 0;
    loop {
        // Between two events, so that nothing is under way.
        if stopwatch.check(deliveries)? {
            return stopwatch.outcome(deliveries);
        }
        crowd.send(sender, &question.frame)?;
        sender = (sender + 1) % crowd.count();
        let everybody = deliveries + crowd.count() as u64 * question.answers;
        let mut last_delivery = Instant::now();
        while deliveries < everybody {
            let before = deliveries;
            crowd.turn(|_, packet| {
                deliveries += 1;
                question.check(packet)
            })?;
            if deliveries > before {
                last_delivery = Instant::now();
            } else if last_delivery.elapsed() > STALL {
                bail!("{} deliveries are missing after {STALL:?}", everybody - deliveries);
            }
        }
    }
}
