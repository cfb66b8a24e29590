//! What an application handles and hears of a socket: events by their names or all of them, refusals, and the end.

use std::borrow::Cow;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::handlers::Entry;
use super::{Phase, Socket};
use crate::error::EventError;
use crate::event::Event;
use crate::handler::EventHandler;
use crate::reason::DisconnectReason;

impl Socket {
    /// Handles events of a name. Several handlers of a name are called in their order.
    ///
    /// Handlers of one socket run one after the other: while one waits, later events wait too. Acknowledgements never do,
    /// so a handler may wait for one. A handler that panics ends its socket, and nothing else.
    ///
    /// Parameters are read by position; see [`EventHandler`]. Arguments of other types reach [`on_error`](Self::on_error).
    pub fn on<P>(&self, name: impl Into<Cow<'static, str>>, handler: impl EventHandler<P>) {
        let handler = Arc::new(move |socket, event: &Event| handler.call(socket, event));
        self.add(Entry::Event { name: name.into(), handler, is_once: false });
    }

    /// Handles the next event of a name.
    pub fn once<P>(&self, name: impl Into<Cow<'static, str>>, handler: impl EventHandler<P>) {
        let handler = Arc::new(move |socket, event: &Event| handler.call(socket, event));
        self.add(Entry::Event { name: name.into(), handler, is_once: true });
    }

    /// Removes the handlers of a name.
    pub fn off(&self, name: &str) {
        self.lock().handlers.retain(|entry| !matches!(entry, Entry::Event { name: other, .. } if other == name));
    }

    /// Handles every event, before the handlers of its name.
    pub fn on_any<F, Fut>(&self, handler: F)
    where
        F: Fn(Self, Event) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.add(Entry::Any(Arc::new(move |socket, event| Box::pin(handler(socket, event)))));
    }

    /// Removes the handlers of every event.
    pub fn off_any(&self) {
        self.lock().handlers.retain(|entry| !matches!(entry, Entry::Any(_)));
    }

    /// Sees every event that is sent to the client, by whomever.
    pub fn on_any_outgoing(&self, handler: impl Fn(&Self, &Event) + Send + Sync + 'static) {
        self.add(Entry::Outgoing(Arc::new(handler)));
        self.0.is_watched.store(true, Ordering::Release);
    }

    /// Looks at every event before its handlers, and may refuse it: then they do not see it, but
    /// [`on_error`](Self::on_error) does.
    ///
    /// ```no_run
    /// # fn example(socket: limpet_server::Socket) {
    /// use limpet_server::Event;
    /// socket.middleware(|event: &Event| if event.name() == "admin" { Err("not allowed") } else { Ok(()) });
    /// # }
    /// ```
    pub fn middleware<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
        &self,
        middleware: impl Fn(&Event) -> Result<(), E> + Send + Sync + 'static,
    ) {
        self.add(Entry::Middleware(Arc::new(move |event| middleware(event).map_err(Into::into))));
    }

    /// Takes events that were refused by a middleware, or have other arguments than their handler.
    pub fn on_error<F, Fut>(&self, handler: F)
    where
        F: Fn(Self, Event, Arc<EventError>) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.add(Entry::Error(Arc::new(move |socket, event, error| Box::pin(handler(socket, event, error)))));
    }

    /// Is told when the socket is disconnected, while [`rooms`](Self::rooms) still says where it was.
    pub fn on_disconnecting<F, Fut>(&self, handler: F)
    where
        F: Fn(Self, DisconnectReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.add(Entry::Disconnecting(Arc::new(move |socket, reason| Box::pin(handler(socket, reason)))));
    }

    /// Is told when the socket is disconnected: exactly once, after the events that came before.
    pub fn on_disconnect<F, Fut>(&self, handler: F)
    where
        F: Fn(Self, DisconnectReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        self.add(Entry::Disconnect(Arc::new(move |socket, reason| Box::pin(handler(socket, reason)))));
    }

    fn add(&self, entry: Entry) {
        let mut state = self.lock();
        // Who has been told of the end hears nothing more; to keep the handler would keep what it holds.
        if state.phase != Phase::Closed || state.queue.is_running() {
            state.handlers.add(entry);
        }
    }
}
