//! Decides when which session is saved, kept for longer, or forgotten. Neither waits nor calls anybody: it is asked what is
//! to be done, and told what came of it.
//!
//! Of one session one thing is done at a time, so that an older state never replaces a newer one. It has as many entries as
//! there are sockets, and those whose last save is still to come: up to [`MAX_ENDED`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::{Holding, Snapshot};
use crate::log::{Hold, Offset, Refreshed};
use crate::target::Room;

#[cfg(test)]
mod tests;

/// How long a change waits for others.
pub(super) const WRITE_BEHIND: Duration = Duration::from_millis(100);

/// How many sessions may be about to be saved for the last time. With more, what they had at the save before is kept.
const MAX_ENDED: usize = 100_000;

/// How many sessions are kept for longer at once.
const MAX_BATCH: usize = 256;

/// How long the log is left alone when it cannot be reached; twice as long each time, up to [`MAX_PAUSE`].
const PAUSE: Duration = Duration::from_millis(200);
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// How often it is tried to forget a session, which ends by its time anyway.
const MAX_FORGET: u32 = 5;

pub(super) struct Keeper {
    retention: Duration,
    records: BTreeMap<u64, Record>,
    /// The session that counts of a socket's id, and of a secret.
    ids: HashMap<Room, u64>,
    secrets: HashMap<Arc<str>, u64>,
    due: BTreeSet<(Instant, u64)>,
    ended: usize,
    serial: u64,
}

struct Record {
    holding: Holding,
    phase: Phase,
    /// Counts what has changed, and up to where that is saved.
    changes: u64,
    saved: u64,
    /// Up to where the log has nothing for the client, as it was saved last.
    as_of: Option<Offset>,
    due: Option<Instant>,
    is_busy: bool,
    failures: u32,
    waiting: Vec<(u64, oneshot::Sender<()>)>,
}

enum Phase {
    /// Taken over, and not kept on yet.
    Adopting,
    /// The socket lives; what is saved until it is in the hub.
    Live(Option<Snapshot>),
    /// The socket leaves the hub: everything up to here has reached it.
    Leaving(Option<Offset>),
    Ended {
        snapshot: Snapshot,
        until: Instant,
    },
    Forgotten,
}

/// What is to be done.
pub(super) enum Job {
    Save(Save),
    Forget(Holding),
    Refresh(Vec<Holding>),
}

pub(super) struct Save {
    pub(super) holding: Holding,
    /// What is saved if the hub has no such socket.
    pub(super) snapshot: Option<Snapshot>,
    /// Whether the hub is not asked.
    pub(super) is_last: bool,
    /// What is known to have reached the socket, if that is not simply everything.
    pub(super) as_of: Option<Offset>,
    changes: u64,
}

impl Keeper {
    pub(super) fn new(retention: Duration) -> Self {
        Self {
            retention,
            records: BTreeMap::new(),
            ids: HashMap::new(),
            secrets: HashMap::new(),
            due: BTreeSet::new(),
            ended: 0,
            serial: 0,
        }
    }

    /// Returns the number of the next session.
    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Keeps a fresh session.
    pub(super) fn begin(&mut self, holding: &Holding, snapshot: Snapshot, start: Option<Offset>, now: Instant) {
        self.insert(holding, Phase::Live(Some(snapshot)), start);
        self.schedule(holding.serial(), now);
    }

    /// Notes a session that is taken over. Returns whose socket is to be fenced; `Err` if it is this one, since another has
    /// taken it again.
    pub(super) fn adopting(&mut self, holding: &Holding) -> Result<Option<Holding>, ()> {
        let former = self.ids.get(holding.id()).and_then(|serial| self.records.get(serial));
        let former = former.map(|record| record.holding.clone());
        if former.as_ref().is_some_and(|former| former.epoch() >= holding.epoch()) {
            return Err(());
        }
        if let Some(former) = &former {
            self.remove(former.serial());
        }
        self.insert(holding, Phase::Adopting, None);
        Ok(former)
    }

    /// Keeps a session on that was taken over. False if somebody else has it.
    pub(super) fn resume(&mut self, serial: u64, now: Instant) -> bool {
        let Some(record) = self.records.get_mut(&serial) else { return false };
        record.phase = Phase::Live(None);
        record.changes += 1;
        self.schedule(serial, now);
        true
    }

    /// Lets go a session that was taken over and not kept on.
    pub(super) fn abort(&mut self, serial: u64) {
        if self.records.get(&serial).is_some_and(|record| matches!(record.phase, Phase::Adopting)) {
            self.remove(serial);
        }
    }

    pub(super) fn changed(&mut self, serial: u64, now: Instant) {
        if let Some(record) = self.records.get_mut(&serial)
            && matches!(record.phase, Phase::Live(_))
        {
            record.changes += 1;
            if record.failures == 0 {
                self.schedule(serial, now + WRITE_BEHIND);
            }
        }
    }

    /// Notes that the socket is about to leave the hub, when everything up to `applied` has reached it.
    pub(super) fn leaving(&mut self, serial: u64, applied: Option<Offset>) {
        if let Some(record) = self.records.get_mut(&serial)
            && matches!(record.phase, Phase::Live(_))
        {
            record.phase = Phase::Leaving(applied);
        }
    }

    pub(super) fn end(&mut self, serial: u64, snapshot: Option<Snapshot>, now: Instant) {
        let is_full = self.ended >= MAX_ENDED;
        let Some(record) = self.records.get_mut(&serial) else { return };
        if matches!(record.phase, Phase::Ended { .. } | Phase::Forgotten) {
            return;
        }
        if is_full {
            tracing::warn!("too many sessions wait for their last save");
            self.remove(serial);
            return;
        }
        if let Phase::Leaving(applied) = record.phase {
            record.as_of = record.as_of.max(applied);
        }
        record.phase = match snapshot {
            Some(snapshot) => Phase::Ended { snapshot, until: now + self.retention },
            None => Phase::Forgotten,
        };
        record.changes += 1;
        record.failures = 0;
        self.ended += 1;
        self.schedule(serial, now);
    }

    /// Takes the news that somebody else holds a session. Returns whose socket is to be closed.
    pub(super) fn fence(&mut self, id: &str, epoch: u64) -> Option<Holding> {
        let serial = *self.ids.get(id)?;
        if self.records.get(&serial)?.holding.epoch() >= epoch {
            return None;
        }
        self.remove(serial)
    }

    /// Returns the session of this secret that this node holds or has yet to save.
    pub(super) fn find(&self, secret: &str) -> Option<&Holding> {
        let serial = self.secrets.get(secret)?;
        self.records.get(serial).map(|record| &record.holding)
    }

    pub(super) fn has(&self, serial: u64) -> bool {
        self.records.contains_key(&serial)
    }

    /// Calls back when everything is saved that the session has now; drops the sender if it never will be.
    pub(super) fn when_saved(&mut self, serial: u64, sender: oneshot::Sender<()>, now: Instant) {
        let Some(record) = self.records.get_mut(&serial) else { return };
        if record.saved == record.changes {
            sender.send(()).ok();
            return;
        }
        record.waiting.push((record.changes, sender));
        if record.failures == 0 {
            self.schedule(serial, now);
        }
    }

    /// Returns the serials of what is not saved yet.
    pub(super) fn unsaved(&self) -> Vec<u64> {
        let is_unsaved = |record: &&Record| record.saved < record.changes && !matches!(record.phase, Phase::Adopting);
        self.records.values().filter(is_unsaved).map(|record| record.holding.serial()).collect()
    }

    /// Returns what is to be done now, if something is. `applied` is the place up to which everything has reached the
    /// sockets.
    pub(super) fn next(&mut self, applied: Option<Offset>, now: Instant) -> Option<Job> {
        let mut batch = Vec::new();
        while let Some(&(due, serial)) = self.due.first()
            && due <= now
            && batch.len() < MAX_BATCH
        {
            let Some(record) = self.records.get(&serial) else {
                self.due.pop_first();
                continue;
            };
            let is_same = record.saved == record.changes && record.as_of == applied;
            let is_refresh = matches!(record.phase, Phase::Live(_)) && is_same;
            if !is_refresh && !batch.is_empty() {
                break;
            }
            self.due.pop_first();
            let Some(record) = self.records.get_mut(&serial) else { continue };
            record.due = None;
            record.is_busy = true;
            if is_refresh {
                batch.push(record.holding.clone());
                continue;
            }
            let (holding, changes) = (record.holding.clone(), record.changes);
            let save = |snapshot, is_last, as_of| {
                Job::Save(Save { holding: holding.clone(), snapshot, is_last, as_of, changes })
            };
            return Some(match &record.phase {
                Phase::Live(first) => save(first.clone(), false, record.as_of),
                Phase::Ended { snapshot, .. } => save(Some(snapshot.clone()), true, record.as_of),
                Phase::Forgotten => Job::Forget(holding),
                // It ends at once.
                Phase::Adopting | Phase::Leaving(_) => {
                    record.is_busy = false;
                    continue;
                }
            });
        }
        (!batch.is_empty()).then_some(Job::Refresh(batch))
    }

    /// Returns when [`next`](Self::next) has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Takes what came of a save, and what was saved; `None` if it failed. Returns whose socket is to be fenced.
    pub(super) fn saved(
        &mut self,
        save: &Save,
        outcome: Option<(Hold, Option<Offset>)>,
        now: Instant,
    ) -> Option<Holding> {
        let serial = save.holding.serial();
        let record = self.records.get_mut(&serial)?;
        record.is_busy = false;
        match outcome {
            Some((Hold::Taken, _)) => return self.taken(serial),
            Some((Hold::Kept, as_of)) => {
                record.failures = 0;
                record.saved = save.changes;
                record.as_of = record.as_of.max(as_of);
                if let Phase::Live(first) = &mut record.phase {
                    *first = None;
                }
                for (_, sender) in record.waiting.extract_if(.., |(changes, _)| *changes <= save.changes) {
                    sender.send(()).ok();
                }
                if save.is_last {
                    self.remove(serial);
                    return None;
                }
                let is_changed = record.changes > save.changes;
                let pause = if is_changed { WRITE_BEHIND } else { self.refresh_after(serial) };
                self.after(serial, is_changed, pause, now);
            }
            None => self.failed(serial, now),
        }
        None
    }

    pub(super) fn refreshed(&mut self, holding: &Holding, outcome: Option<Refreshed>, now: Instant) -> Option<Holding> {
        let serial = holding.serial();
        let record = self.records.get_mut(&serial)?;
        record.is_busy = false;
        match outcome {
            Some(Refreshed::Taken) => return self.taken(serial),
            Some(Refreshed::Kept) => {
                record.failures = 0;
                let is_changed = record.changes > record.saved;
                let pause = if is_changed { WRITE_BEHIND } else { self.refresh_after(serial) };
                self.after(serial, is_changed, pause, now);
            }
            Some(Refreshed::Lost) => {
                record.changes += 1;
                self.after(serial, true, Duration::ZERO, now);
            }
            None => self.failed(serial, now),
        }
        None
    }

    pub(super) fn forgotten(&mut self, holding: &Holding, is_done: bool, now: Instant) {
        let serial = holding.serial();
        let Some(record) = self.records.get_mut(&serial) else { return };
        record.is_busy = false;
        if is_done || record.failures >= MAX_FORGET {
            self.remove(serial);
        } else {
            self.failed(serial, now);
        }
    }

    fn insert(&mut self, holding: &Holding, phase: Phase, as_of: Option<Offset>) {
        let (changes, saved, due, is_busy, failures) = (1, 0, None, false, 0);
        let waiting = Vec::new();
        let record = Record { holding: holding.clone(), phase, changes, saved, as_of, due, is_busy, failures, waiting };
        self.ids.insert(holding.id().clone(), holding.serial());
        self.secrets.insert(holding.secret().clone(), holding.serial());
        self.records.insert(holding.serial(), record);
    }

    /// Lets something be done then, or earlier if that was planned.
    fn schedule(&mut self, serial: u64, at: Instant) {
        let Some(record) = self.records.get_mut(&serial) else { return };
        if record.is_busy {
            return;
        }
        if let Some(due) = record.due {
            if due <= at {
                return;
            }
            self.due.remove(&(due, serial));
        }
        record.due = Some(at);
        self.due.insert((at, serial));
    }

    /// Plans what follows on something that was done. What has ended meanwhile, or is waited for, follows at once.
    fn after(&mut self, serial: u64, is_changed: bool, pause: Duration, now: Instant) {
        let Some(record) = self.records.get(&serial) else { return };
        let is_urgent = is_changed && (!record.waiting.is_empty() || !matches!(record.phase, Phase::Live(_)));
        self.schedule(serial, if is_urgent { now } else { now + pause });
    }

    fn failed(&mut self, serial: u64, now: Instant) {
        let Some(record) = self.records.get_mut(&serial) else { return };
        if let Phase::Ended { until, .. } = record.phase
            && until <= now
        {
            self.remove(serial);
            return;
        }
        let pause = PAUSE.saturating_mul(1 << record.failures.min(10)).min(MAX_PAUSE);
        record.failures = record.failures.saturating_add(1);
        self.schedule(serial, now + pause);
    }

    /// Returns after how long a session is saved again that has not changed: those that began together part.
    fn refresh_after(&self, serial: u64) -> Duration {
        let third = self.retention / 3;
        third - third / 4 * u32::try_from(serial % 64).unwrap_or(0) / 64
    }

    fn taken(&mut self, serial: u64) -> Option<Holding> {
        let is_open = self.records.get(&serial).is_some_and(|record| matches!(record.phase, Phase::Live(_)));
        self.remove(serial).filter(|_| is_open)
    }

    fn remove(&mut self, serial: u64) -> Option<Holding> {
        let record = self.records.remove(&serial)?;
        if matches!(record.phase, Phase::Ended { .. } | Phase::Forgotten) {
            self.ended -= 1;
        }
        if let Some(due) = record.due {
            self.due.remove(&(due, serial));
        }
        if self.ids.get(record.holding.id()) == Some(&serial) {
            self.ids.remove(record.holding.id());
        }
        if self.secrets.get(record.holding.secret()) == Some(&serial) {
            self.secrets.remove(record.holding.secret());
        }
        Some(record.holding)
    }
}
