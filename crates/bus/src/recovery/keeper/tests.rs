use serde_json::json;

use super::*;
use crate::log::{Lease, Progress};

const RETENTION: Duration = Duration::from_secs(120);

fn at(millis: u64) -> Option<Offset> {
    Some(Offset { millis, counter: 0 })
}

fn snapshot(rooms: usize) -> Snapshot {
    Snapshot { rooms: (0..rooms).map(|room| room.to_string().into()).collect(), data: json!({}) }
}

struct Rig {
    keeper: Keeper,
    now: Instant,
    applied: Option<Offset>,
}

impl Rig {
    fn new() -> Self {
        Self { keeper: Keeper::new(RETENTION), now: Instant::now(), applied: at(10) }
    }

    fn holding(&mut self, id: &str, epoch: u64) -> Holding {
        let lease = Lease { node: "a".into(), epoch };
        let secret = format!("secret of {id}").into();
        Holding::new(self.keeper.next_serial(), id.into(), secret, lease, Progress::default())
    }

    fn begin(&mut self, id: &str) -> Holding {
        let holding = self.holding(id, 1);
        self.keeper.begin(&holding, snapshot(1), at(10), self.now);
        holding
    }

    fn later(&mut self, time: Duration) {
        self.now += time;
    }

    fn next(&mut self) -> Option<Job> {
        self.keeper.next(self.applied, self.now)
    }

    fn next_save(&mut self) -> Save {
        match self.next() {
            Some(Job::Save(save)) => save,
            _ => panic!("no save is due"),
        }
    }

    fn kept(&mut self, save: &Save) {
        assert!(self.keeper.saved(save, Some((Hold::Kept, self.applied)), self.now).is_none());
    }

    /// Begins and saves.
    fn live(&mut self, id: &str) -> Holding {
        let holding = self.begin(id);
        let save = self.next_save();
        self.kept(&save);
        holding
    }
}

#[tokio::test(start_paused = true)]
async fn a_fresh_session_is_saved_at_once_and_changes_together() {
    let mut rig = Rig::new();
    let holding = rig.begin("me");
    let first = rig.next_save();
    assert_eq!((first.snapshot.as_ref(), first.is_last, first.as_of), (Some(&snapshot(1)), false, at(10)));
    // What changes while it is saved waits for the end of that, and then for more.
    rig.keeper.changed(holding.serial(), rig.now);
    assert!(rig.next().is_none());
    rig.kept(&first);
    assert!(rig.next().is_none());
    rig.later(WRITE_BEHIND / 2);
    rig.keeper.changed(holding.serial(), rig.now);
    rig.later(WRITE_BEHIND / 2);
    let second = rig.next_save();
    assert!(second.snapshot.is_none(), "the hub knows better now");
    assert!(rig.next().is_none());
    rig.kept(&second);
    rig.later(WRITE_BEHIND);
    assert!(rig.next().is_none(), "everything is saved");
}

#[tokio::test(start_paused = true)]
async fn who_waits_hears_of_the_save_that_has_everything() {
    let mut rig = Rig::new();
    let holding = rig.begin("me");
    let first = rig.next_save();
    rig.keeper.changed(holding.serial(), rig.now);
    let (sender, mut saved) = oneshot::channel();
    rig.keeper.when_saved(holding.serial(), sender, rig.now);
    rig.kept(&first);
    assert!(saved.try_recv().is_err());
    let second = rig.next_save();
    rig.kept(&second);
    assert!(saved.try_recv().is_ok());
    let (sender, mut saved) = oneshot::channel();
    rig.keeper.when_saved(holding.serial(), sender, rig.now);
    assert!(saved.try_recv().is_ok(), "nothing has changed");
    rig.keeper.fence("me", 2).unwrap();
    let (sender, mut saved) = oneshot::channel();
    rig.keeper.when_saved(holding.serial(), sender, rig.now);
    assert_eq!(saved.try_recv(), Err(oneshot::error::TryRecvError::Closed));
}

#[tokio::test(start_paused = true)]
async fn what_does_not_change_is_kept_for_longer_in_bulk() {
    let mut rig = Rig::new();
    let holdings: Vec<_> = (0..300).map(|number| rig.live(&number.to_string())).collect();
    rig.later(RETENTION / 4);
    rig.keeper.changed(holdings[7].serial(), rig.now);
    rig.later(RETENTION / 12);
    let (mut refreshed, mut saved) = (Vec::new(), 0);
    while let Some(job) = rig.next() {
        match job {
            Job::Refresh(batch) => {
                assert!(batch.len() <= MAX_BATCH);
                refreshed.extend(batch);
            }
            Job::Save(save) => {
                assert_eq!(save.holding, holdings[7]);
                saved += 1;
            }
            Job::Forget(_) => panic!("nothing is to be forgotten"),
        }
    }
    assert_eq!((refreshed.len(), saved), (299, 1));
    for holding in &refreshed {
        rig.keeper.refreshed(holding, Some(Refreshed::Kept), rig.now);
    }
    // When the log has moved on, that is worth a save.
    rig.applied = at(20);
    rig.later(RETENTION / 3);
    assert!(matches!(rig.next(), Some(Job::Save(_))));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_was_taken_is_fenced_and_a_lost_one_saved() {
    let mut rig = Rig::new();
    let (taken, lost, second) = (rig.live("taken"), rig.live("lost"), rig.live("second"));
    rig.later(RETENTION / 3);
    assert!(matches!(rig.next(), Some(Job::Refresh(batch)) if batch.len() == 3));
    assert_eq!(rig.keeper.refreshed(&taken, Some(Refreshed::Taken), rig.now), Some(taken.clone()));
    assert!(!rig.keeper.has(taken.serial()));
    assert_eq!(rig.keeper.refreshed(&lost, Some(Refreshed::Lost), rig.now), None);
    assert_eq!(rig.next_save().holding, lost);
    rig.keeper.refreshed(&second, Some(Refreshed::Kept), rig.now);
    rig.keeper.changed(second.serial(), rig.now);
    rig.later(WRITE_BEHIND);
    let save = rig.next_save();
    assert_eq!(rig.keeper.saved(&save, Some((Hold::Taken, None)), rig.now), Some(second));
    // Fences that are not newer are none.
    assert_eq!(rig.keeper.fence("lost", 1), None);
    assert_eq!(rig.keeper.fence("nobody", 9), None);
    assert_eq!(rig.keeper.fence("lost", 2), Some(lost));
}

#[tokio::test(start_paused = true)]
async fn a_log_that_fails_is_left_alone_for_longer_each_time() {
    let mut rig = Rig::new();
    let holding = rig.begin("me");
    for pause in [200, 400, 800, 1600, 3200, 5000, 5000] {
        let save = rig.next_save();
        assert!(rig.keeper.saved(&save, None, rig.now).is_none());
        rig.keeper.changed(holding.serial(), rig.now);
        rig.later(Duration::from_millis(pause - 1));
        assert!(rig.next().is_none(), "{pause}");
        rig.later(Duration::from_millis(1));
    }
    let save = rig.next_save();
    rig.kept(&save);
}

#[tokio::test(start_paused = true)]
async fn the_last_save_has_what_the_socket_had_when_it_left() {
    let mut rig = Rig::new();
    let holding = rig.live("me");
    rig.applied = at(20);
    rig.keeper.leaving(holding.serial(), at(15));
    rig.keeper.end(holding.serial(), Some(snapshot(3)), rig.now);
    rig.keeper.end(holding.serial(), None, rig.now);
    let save = rig.next_save();
    assert_eq!((save.snapshot.clone(), save.is_last, save.as_of), (Some(snapshot(3)), true, at(15)));
    assert!(rig.keeper.saved(&save, None, rig.now).is_none());
    rig.later(PAUSE);
    let save = rig.next_save();
    rig.kept(&save);
    assert!(!rig.keeper.has(holding.serial()));
    assert_eq!((rig.keeper.ended, rig.keeper.due.len()), (0, 0));
    // After the time for which it is kept nobody needs it.
    let late = rig.live("late");
    rig.keeper.end(late.serial(), Some(snapshot(1)), rig.now);
    let save = rig.next_save();
    rig.later(RETENTION);
    assert!(rig.keeper.saved(&save, None, rig.now).is_none());
    assert!(!rig.keeper.has(late.serial()));
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_ends_while_it_is_saved_is_saved_again() {
    let mut rig = Rig::new();
    let holding = rig.begin("me");
    let first = rig.next_save();
    rig.keeper.end(holding.serial(), Some(snapshot(2)), rig.now);
    assert!(rig.next().is_none(), "one thing at a time");
    rig.kept(&first);
    let second = rig.next_save();
    assert!(second.is_last && second.snapshot == Some(snapshot(2)));
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_forgotten_is_tried_a_few_times() {
    let mut rig = Rig::new();
    let holding = rig.live("me");
    rig.keeper.end(holding.serial(), None, rig.now);
    let mut tries = 0;
    while rig.keeper.has(holding.serial()) {
        let Some(Job::Forget(forgotten)) = rig.next() else { panic!("nothing is to be forgotten") };
        tries += 1;
        rig.keeper.forgotten(&forgotten, false, rig.now);
        rig.later(MAX_PAUSE);
    }
    assert_eq!((tries, rig.keeper.ended), (MAX_FORGET + 1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_newest_of_several_holders_on_one_node_counts() {
    let mut rig = Rig::new();
    let first = rig.live("me");
    let (second, third) = (rig.holding("me", 2), rig.holding("me", 3));
    assert_eq!(rig.keeper.adopting(&third), Ok(Some(first.clone())));
    assert_eq!(rig.keeper.adopting(&second), Err(()));
    rig.keeper.end(first.serial(), None, rig.now);
    assert!(rig.next().is_none(), "nothing is saved of who has it no more, or not yet");
    assert_eq!(rig.keeper.find("secret of me"), Some(&third));
    assert!(!rig.keeper.resume(second.serial(), rig.now));
    assert!(rig.keeper.resume(third.serial(), rig.now));
    assert_eq!(rig.next_save().holding, third);
    rig.keeper.abort(third.serial());
    assert!(rig.keeper.has(third.serial()), "it is kept on already");
    let fourth = rig.holding("me", 4);
    assert_eq!(rig.keeper.adopting(&fourth), Ok(Some(third)));
    rig.keeper.abort(fourth.serial());
    assert_eq!(rig.keeper.find("secret of me"), None);
}
