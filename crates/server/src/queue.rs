//! Decides when handlers run: in order for each socket, at once where the packet was read if nothing waits.
//!
//! A handler's future is polled once in place; most end there. One that waits goes on as a task, which then takes what
//! has come meanwhile. What the application causes itself (a disconnect in the midst of its own code) never runs in place.
//! A panic ends the socket and is logged.

use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::FutureExt;
use tokio::sync::Notify;

use crate::error::EventError;
use crate::event::Event;
use crate::handler::Work;
use crate::reason::DisconnectReason;
use crate::socket::Socket;
use crate::socket::handlers::{Entry, Handlers};

/// What handlers are called for.
pub(crate) enum Job {
    /// The socket is connected.
    Connection,
    /// An event has come.
    Event(Event),
    /// The socket has ended.
    Disconnect(DisconnectReason),
}

/// What waits for the handlers of a socket.
#[derive(Default)]
pub(crate) struct Queue {
    is_running: bool,
    waiting: VecDeque<Job>,
    /// Who does not read the client until there is room.
    room: Option<Arc<Notify>>,
}

impl Queue {
    /// Lets jobs wait from now on, until the queue is run.
    pub(crate) fn begin(&mut self) {
        self.is_running = true;
    }

    /// Returns whether jobs wait or a handler runs.
    pub(crate) fn is_running(&self) -> bool {
        self.is_running
    }

    fn push(&mut self, job: Job) -> Option<Job> {
        if self.is_running {
            self.waiting.push_back(job);
            return None;
        }
        self.is_running = true;
        Some(job)
    }

    fn pop(&mut self) -> Option<Job> {
        let job = self.waiting.pop_front();
        if let Some(room) = self.room.take() {
            room.notify_one();
        }
        if job.is_none() {
            self.is_running = false;
            self.waiting = VecDeque::new();
        }
        job
    }
}

impl Socket {
    /// Does a job in a task, or lets it wait for its turn.
    pub(crate) fn submit(&self, mut job: Job) {
        let is_heard = {
            let mut state = self.lock();
            let Some(waiting) = state.queue.push(job) else { return };
            job = waiting;
            state.handlers.iter().any(|entry| matches!(entry, Entry::Disconnecting(_) | Entry::Disconnect(_)))
        };
        if matches!(job, Job::Disconnect(_)) && !is_heard {
            // No code of the application is called, so there is no need for a task.
            self.run_here(job);
            return;
        }
        let socket = self.clone();
        self.0.client.spawn(async move { socket.run(job).await });
    }

    /// Does a job in place, or lets it wait for its turn; returns how many wait. Only for the place where packets are
    /// read.
    pub(crate) fn submit_here(&self, job: Job) -> usize {
        let job = {
            let queue = &mut self.lock().queue;
            let Some(job) = queue.push(job) else { return queue.waiting.len() };
            job
        };
        self.run_here(job);
        0
    }

    /// Waits until less than this many jobs wait.
    pub(crate) async fn room_for_more(&self, limit: usize) {
        loop {
            let room = {
                let queue = &mut self.lock().queue;
                if queue.waiting.len() < limit {
                    return;
                }
                queue.room.get_or_insert_default().clone()
            };
            room.notified().await;
        }
    }

    /// Does jobs in place, until one has to wait; it and the others go on as a task.
    pub(crate) fn run_here(&self, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            if let Some(mut work) = self.begin(job) {
                // Whoever must be woken polls again as a task.
                let mut context = Context::from_waker(Waker::noop());
                match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(&mut context))) {
                    Ok(Poll::Ready(())) => {}
                    Ok(Poll::Pending) => {
                        let socket = self.clone();
                        self.0.client.spawn(async move {
                            socket.guard(work).await;
                            if let Some(job) = socket.next() {
                                socket.run(job).await;
                            }
                        });
                        return;
                    }
                    Err(panic) => self.panicked(&*panic),
                }
            }
            next = self.next();
        }
    }

    async fn run(&self, first: Job) {
        let mut next = Some(first);
        while let Some(job) = next {
            if let Some(work) = self.begin(job) {
                self.guard(work).await;
            }
            next = self.next();
        }
    }

    fn next(&self) -> Option<Job> {
        self.lock().queue.pop()
    }

    /// Calls what handles the job; `None` if nothing remains to be waited for.
    fn begin(&self, job: Job) -> Option<Work> {
        let begun = catch_unwind(AssertUnwindSafe(|| match job {
            Job::Connection => self.begin_connection(),
            Job::Event(event) => self.begin_event(event),
            Job::Disconnect(reason) => self.begin_disconnect(reason),
        }));
        begun.unwrap_or_else(|panic| {
            self.panicked(&*panic);
            None
        })
    }

    fn begin_connection(&self) -> Option<Work> {
        let handlers = self.0.namespace.handlers().connection();
        if let [handler] = handlers.as_slice() {
            return Some(handler(self.clone()));
        }
        let socket = self.clone();
        (!handlers.is_empty()).then(|| -> Work {
            Box::pin(async move {
                for handler in handlers.iter() {
                    handler(socket.clone()).await;
                }
            })
        })
    }

    fn begin_event(&self, event: Event) -> Option<Work> {
        let handlers = self.lock().handlers.clone();
        let mut only = None;
        let mut count = 0;
        let mut has_once = false;
        let mut is_checked = false;
        let name = event.name();
        for entry in handlers.iter() {
            match entry {
                Entry::Event { name: own, is_once, .. } if *own == name => {
                    count += 1;
                    has_once |= is_once;
                    only = Some(entry);
                }
                Entry::Any(_) => {
                    count += 1;
                    only = Some(entry);
                }
                Entry::Middleware(_) => is_checked = true,
                _ => {}
            }
        }
        if has_once {
            let spent = |entry: &Entry| matches!(entry, Entry::Event { name: own, is_once: true, .. } if *own == name);
            self.lock().handlers.retain(|entry| !spent(entry));
        }
        drop(name);
        if count == 1
            && !is_checked
            && let Some(Entry::Event { handler, .. }) = only
        {
            return match handler(self.clone(), &event) {
                Ok(work) => Some(work),
                Err(error) => self.begin_error(&handlers, event, error.into()),
            };
        }
        if count == 0 && !is_checked {
            return None;
        }
        Some(Box::pin(all_handlers(self.clone(), handlers, event)))
    }

    fn begin_error(&self, handlers: &Handlers, event: Event, error: EventError) -> Option<Work> {
        tracing::debug!(socket = self.id(), event = %event.name(), %error, "an event does not reach its handler");
        let on_error: Vec<_> = handlers
            .iter()
            .filter_map(|entry| if let Entry::Error(handler) = entry { Some(handler.clone()) } else { None })
            .collect();
        let (socket, error) = (self.clone(), Arc::new(error));
        (!on_error.is_empty()).then(|| -> Work {
            Box::pin(async move {
                for handler in on_error {
                    handler(socket.clone(), event.clone(), error.clone()).await;
                }
            })
        })
    }

    fn begin_disconnect(&self, reason: DisconnectReason) -> Option<Work> {
        let handlers = self.lock().handlers.clone();
        if !handlers.iter().any(|entry| matches!(entry, Entry::Disconnecting(_) | Entry::Disconnect(_))) {
            self.forget_rooms();
            self.ended();
            return None;
        }
        let socket = self.clone();
        Some(Box::pin(async move {
            for entry in handlers.iter() {
                if let Entry::Disconnecting(handler) = entry {
                    let handler = handler.clone();
                    let own = socket.clone();
                    socket.guard(async move { handler(own, reason).await }).await;
                }
            }
            socket.forget_rooms();
            for entry in handlers.iter() {
                if let Entry::Disconnect(handler) = entry {
                    let handler = handler.clone();
                    let own = socket.clone();
                    socket.guard(async move { handler(own, reason).await }).await;
                }
            }
            socket.ended();
        }))
    }

    async fn guard(&self, work: impl Future<Output = ()>) {
        if let Err(panic) = AssertUnwindSafe(work).catch_unwind().await {
            self.panicked(&*panic);
        }
    }

    fn panicked(&self, panic: &(dyn Any + Send)) {
        let said = panic_text(panic);
        tracing::error!(socket = self.id(), namespace = self.namespace().name(), panic = said, "a handler panicked");
        self.disconnect(false);
    }
}

/// Returns what a panic said.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no text")
}

/// Catch-alls first, then middlewares, then the handlers of the name, as in Node.
async fn all_handlers(socket: Socket, handlers: Handlers, event: Event) {
    for entry in handlers.iter() {
        if let Entry::Any(handler) = entry {
            handler(socket.clone(), event.clone()).await;
        }
    }
    for entry in handlers.iter() {
        if let Entry::Middleware(check) = entry
            && let Err(error) = check(&event)
        {
            if let Some(work) = socket.begin_error(&handlers, event, EventError::Refused(error)) {
                work.await;
            }
            return;
        }
    }
    for entry in handlers.iter() {
        if let Entry::Event { name, handler, .. } = entry
            && *name == event.name()
        {
            match handler(socket.clone(), &event) {
                Ok(work) => work.await,
                Err(error) => {
                    if let Some(work) = socket.begin_error(&handlers, event.clone(), error.into()) {
                        work.await;
                    }
                }
            }
        }
    }
}
