//! Decides in which order things reach the sockets of a node whose events go through a log: one after the other, whoever
//! brings them.
//!
//! What comes while something is being done waits for it, on whatever thread that runs; nothing is locked meanwhile. So a
//! handler may publish, and what it does comes behind. What is not in the log waits for what this node published before and has not
//! got back: for up to [`PATIENCE`], and not at all while the bus is slower than that.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::envelope::Envelope;
use crate::log::Offset;

/// How long something waits for what was published before it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(1);

/// How much may wait for what was published; with more, nothing waits until something comes back.
const MAX_WAITING: usize = 10_000;

pub(crate) type Action = Box<dyn FnOnce() + Send>;

/// What is done.
pub(super) enum Job {
    /// An event, or what is to be done with sockets, as it came.
    Received(Envelope),
    /// The log has moved on.
    Advance(Offset),
    /// What is not in the log.
    Act(Action),
}

#[derive(Default)]
pub(super) struct Line(Mutex<State>);

#[derive(Default)]
struct State {
    /// Bounded by who brings it: an adapter brings the next when it has brought the last.
    queue: VecDeque<Job>,
    is_running: bool,
    /// How many of its own messages this node waits for.
    published: u64,
    returned: u64,
    waiting: VecDeque<Waiting>,
    /// Nothing waits, since it has waited in vain.
    is_stalled: bool,
}

struct Waiting {
    /// How many own messages have to come back first, since the beginning.
    count: u64,
    since: Instant,
    action: Action,
}

impl Line {
    /// Notes that a message is about to be published that will come back.
    pub(super) fn publishing(&self) {
        self.lock().published += 1;
    }

    /// Notes that an own message has been done, or will not come back.
    pub(super) fn returned(&self) {
        let mut state = self.lock();
        state.returned = (state.returned + 1).min(state.published);
        state.is_stalled = false;
        let returned = state.returned;
        state.release(|waiting| waiting.count <= returned);
    }

    /// Adds an action that waits for what was published before.
    pub(super) fn push_in_order(&self, action: Action, now: Instant) {
        let mut state = self.lock();
        let is_free = state.published == state.returned && state.waiting.is_empty();
        if is_free || state.is_stalled {
            state.queue.push_back(Job::Act(action));
            return;
        }
        let count = state.published;
        state.waiting.push_back(Waiting { count, since: now, action });
        if state.waiting.len() > MAX_WAITING {
            state.stall();
        }
    }

    /// Lets go what has waited too long. Returns whether there is something to be run.
    pub(super) fn expire(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let is_late = |waiting: &Waiting| now.saturating_duration_since(waiting.since) >= PATIENCE;
        if state.waiting.front().is_some_and(is_late) {
            state.stall();
        }
        !state.queue.is_empty()
    }

    /// Returns when something will have waited too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lock().waiting.front().map(|first| first.since + PATIENCE)
    }

    /// Does this behind everything that is there; leaves it to somebody else who does that already.
    pub(super) fn take(&self, job: Job, mut each: impl FnMut(Job)) {
        {
            let mut state = self.lock();
            if state.is_running || !state.queue.is_empty() {
                state.queue.push_back(job);
                drop(state);
                return self.run(each);
            }
            state.is_running = true;
        }
        let _running = Running(self);
        each(job);
        self.go_on(each);
    }

    /// Does what is there, unless somebody does it already.
    pub(super) fn run(&self, each: impl FnMut(Job)) {
        {
            let mut state = self.lock();
            if state.is_running || state.queue.is_empty() {
                return;
            }
            state.is_running = true;
        }
        let _running = Running(self);
        self.go_on(each);
    }

    /// Does what is there, as the one who runs.
    fn go_on(&self, mut each: impl FnMut(Job)) {
        loop {
            let job = {
                let mut state = self.lock();
                let Some(job) = state.queue.pop_front() else {
                    // Under the same lock: who adds something now runs it.
                    state.is_running = false;
                    return;
                };
                job
            };
            each(job);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Does next what has waited, in its order.
    fn release(&mut self, is_due: impl Fn(&Waiting) -> bool) {
        let count = self.waiting.iter().take_while(|waiting| is_due(waiting)).count();
        for waiting in self.waiting.drain(..count).rev() {
            self.queue.push_front(Job::Act(waiting.action));
        }
    }

    /// Gives up on what was published: nothing waits for it any more. What comes back all the same may let go too early
    /// what waits for something else.
    fn stall(&mut self) {
        self.is_stalled = true;
        self.returned = self.published;
        self.release(|_| true);
    }
}

/// Lets others go on after a panic.
struct Running<'a>(&'a Line);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().is_running = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    fn act(log: &mpsc::Sender<u32>, number: u32) -> Action {
        let log = log.clone();
        Box::new(move || log.send(number).unwrap())
    }

    /// Leaves a job to whoever runs next.
    fn push(line: &Line, job: Job) {
        line.lock().queue.push_back(job);
    }

    fn run(line: &Line) {
        line.run(|job| {
            if let Job::Act(action) = job {
                action();
            }
        });
    }

    #[tokio::test(start_paused = true)]
    async fn an_action_waits_for_what_was_published_before() {
        let (sender, done) = mpsc::channel();
        let (line, now) = (Line::default(), Instant::now());
        let seen = || {
            run(&line);
            done.try_iter().collect::<Vec<_>>()
        };
        line.push_in_order(act(&sender, 1), now);
        assert_eq!(seen(), [1]);
        line.publishing();
        line.push_in_order(act(&sender, 2), now);
        line.publishing();
        line.push_in_order(act(&sender, 3), now);
        push(&line, Job::Act(act(&sender, 4)));
        assert_eq!(seen(), [4]);
        push(&line, Job::Act(act(&sender, 5)));
        line.returned();
        assert_eq!(seen(), [2, 5], "what waited comes before what came behind");
        line.returned();
        assert_eq!(seen(), [3]);
        line.returned();
        line.publishing();
        line.push_in_order(act(&sender, 6), now);
        assert_eq!(seen(), [0; 0], "what came back unasked does not count");
    }

    #[test]
    fn what_comes_goes_behind_what_is_there() {
        let (sender, done) = mpsc::channel();
        let line = Line::default();
        let take = |job| {
            line.take(job, |job| {
                if let Job::Act(action) = job {
                    action();
                }
            });
        };
        push(&line, Job::Act(act(&sender, 1)));
        take(Job::Act(act(&sender, 2)));
        take(Job::Act(act(&sender, 3)));
        assert_eq!(done.try_iter().collect::<Vec<_>>(), [1, 2, 3]);
        assert!(!line.lock().is_running);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_waits_for_ever() {
        let (sender, done) = mpsc::channel();
        let line = Line::default();
        let seen = || {
            run(&line);
            done.try_iter().collect::<Vec<_>>()
        };
        line.publishing();
        line.push_in_order(act(&sender, 1), Instant::now());
        tokio::time::advance(PATIENCE / 2).await;
        line.push_in_order(act(&sender, 2), Instant::now());
        assert_eq!(line.deadline(), Some(Instant::now() + PATIENCE / 2));
        assert!(!line.expire(Instant::now()));
        tokio::time::advance(PATIENCE / 2).await;
        assert!(line.expire(Instant::now()));
        assert_eq!(seen(), [1, 2]);
        line.publishing();
        line.push_in_order(act(&sender, 3), Instant::now());
        assert_eq!(seen(), [3], "while the bus is stalled nothing waits any more");
        line.returned();
        line.publishing();
        line.push_in_order(act(&sender, 4), Instant::now());
        assert_eq!(seen(), [0; 0]);
        line.returned();
        assert_eq!(seen(), [4]);
        line.publishing();
        (0..=MAX_WAITING as u32).for_each(|number| line.push_in_order(act(&sender, number), Instant::now()));
        assert_eq!(seen().len(), MAX_WAITING + 1);
    }

    #[test]
    fn one_order_for_all_threads_and_handlers() {
        let line = Arc::new(Line::default());
        let (sender, done) = mpsc::channel();
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (line, sender) = (line.clone(), sender.clone());
                std::thread::spawn(move || {
                    for number in 0..500 {
                        // Each handler adds something that must come behind it.
                        let (again, inner) = (line.clone(), sender.clone());
                        push(
                            &line,
                            Job::Act(Box::new(move || {
                                inner.send((thread, number, 0)).unwrap();
                                let inner = inner.clone();
                                push(&again, Job::Act(Box::new(move || inner.send((thread, number, 1)).unwrap())));
                                run(&again);
                                std::thread::yield_now();
                            })),
                        );
                        run(&line);
                    }
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        drop(sender);
        let all: Vec<_> = done.iter().collect();
        assert_eq!(all.len(), 4000);
        for thread in 0..4 {
            for kind in 0..2 {
                let own: Vec<_> = all.iter().filter(|(of, _, which)| *of == thread && *which == kind).collect();
                assert!(own.is_sorted());
            }
        }
    }

    #[test]
    fn a_panic_stops_nothing_but_itself() {
        let (line, (sender, done)) = (Line::default(), mpsc::channel());
        push(&line, Job::Act(Box::new(|| panic!("a handler"))));
        push(&line, Job::Act(act(&sender, 1)));
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&line))).is_err());
        run(&line);
        assert_eq!(done.try_iter().collect::<Vec<_>>(), [1]);
    }
}
