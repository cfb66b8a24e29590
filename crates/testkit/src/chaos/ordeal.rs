//! What happens to the nodes and connections, and when.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::Settings;
use super::stage::Stage;
use crate::oracle::Random;

/// How long a killed node is down, at most.
const LONGEST_DOWN: Duration = Duration::from_millis(1500);
/// How soon behind a death Redis goes down, so that clients come back while it is away.
const BEHIND_A_DEATH: Duration = Duration::from_millis(500);
const CUTS: [&str; 4] = ["reset", "fin", "hole", "half"];

/// What is done to those who take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ordeal {
    /// Random nodes are killed with SIGKILL and started again; publishers speak to a node that is left alone.
    Kill,
    /// The same, and publishers speak through the balancer to the nodes that are killed.
    KillPublishers,
    /// One node after the other is stopped with SIGTERM and started again.
    Roll,
    /// A few random connections are reset, closed, swallowed, or closed towards the client alone.
    Cut,
    /// All connections at once are cut, each time in another way.
    CutAll,
}

impl Ordeal {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Kill, Self::KillPublishers, Self::Roll, Self::Cut, Self::CutAll];

    /// The word for it on command lines.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::KillPublishers => "kill-publishers",
            Self::Roll => "roll",
            Self::Cut => "cut",
            Self::CutAll => "cut-all",
        }
    }

    /// What a table calls it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Kill => "a random node is killed",
            Self::KillPublishers => "the same, publishing through the killed nodes",
            Self::Roll => "SIGTERM of one node after the other",
            Self::Cut => "random connections are cut",
            Self::CutAll => "all connections are cut at once",
        }
    }

    /// Some cuts are many small things, and a cut of all is noticed by some after a heartbeat only.
    fn scaled(self, (least, most): (Duration, Duration)) -> (Duration, Duration) {
        match self {
            Self::Cut => (least / 4, most / 4),
            Self::CutAll => (least * 2, most * 2),
            Self::Kill | Self::KillPublishers | Self::Roll => (least, most),
        }
    }

    pub(super) fn cuts(self) -> bool {
        matches!(self, Self::Cut | Self::CutAll)
    }
}

/// Does it until the time is over, and returns how often.
pub(super) fn inflict(stage: &mut Stage, settings: &Settings) -> Result<usize> {
    let mut random = Random::new(settings.seed);
    let began = Instant::now();
    let mut blows = 0;
    let mut redis_is_due = settings.restarts_redis;
    while began.elapsed() < settings.duration || blows == 0 {
        pause(&mut random, settings.ordeal.scaled(settings.pause));
        let restarts_redis = redis_is_due && began.elapsed() >= settings.duration / 2;
        redis_is_due &= !restarts_redis;
        strike(stage, settings, blows, restarts_redis, &mut random)?;
        blows += 1;
    }
    if redis_is_due {
        restart_redis(stage)?;
    }
    Ok(blows)
}

fn strike(stage: &mut Stage, settings: &Settings, blows: usize, redis: bool, random: &mut Random) -> Result<()> {
    match settings.ordeal {
        Ordeal::Kill | Ordeal::KillPublishers => {
            let victim = random.below(stage.nodes.len());
            stage.tell(&format!("node {victim} is killed"));
            stage.nodes[victim].kill()?;
            pause(random, (Duration::ZERO, if redis { BEHIND_A_DEATH } else { LONGEST_DOWN }));
            if redis {
                restart_redis(stage)?;
            }
            stage.nodes[victim].restart()?;
            stage.tell(&format!("node {victim} is back"));
        }
        Ordeal::Roll => {
            let next = blows % stage.nodes.len();
            stage.tell(&format!("node {next} is stopped"));
            stage.nodes[next].stop()?;
            if redis {
                restart_redis(stage)?;
            }
            stage.nodes[next].restart()?;
            stage.tell(&format!("node {next} is back"));
        }
        Ordeal::Cut | Ordeal::CutAll => {
            if settings.ordeal == Ordeal::Cut {
                let count = 1 + random.below(settings.clients.div_ceil(10));
                stage.cut(CUTS[random.below(CUTS.len())], &count.to_string())?;
            } else {
                stage.cut(CUTS[blows % CUTS.len()], "all")?;
            }
            if redis {
                restart_redis(stage)?;
            }
        }
    }
    Ok(())
}

fn restart_redis(stage: &mut Stage) -> Result<()> {
    stage.tell("Redis is stopped");
    stage.store.restart()?;
    stage.tell("Redis is back");
    Ok(())
}

/// Time between two things is what a run is made of; nothing waits for the end of anything by it.
fn pause(random: &mut Random, (least, most): (Duration, Duration)) {
    let span = usize::try_from((most.saturating_sub(least)).as_millis()).unwrap_or(usize::MAX);
    thread::sleep(least + Duration::from_millis(random.below(span.saturating_add(1)) as u64));
}
