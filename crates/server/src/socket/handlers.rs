//! Decides how the handlers of a socket are kept: one list, which is shared with those who walk it and copied when it
//! changes meanwhile.

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::EventError;
use crate::event::Event;
use crate::handler::{OnEnd, OnEvent, Work};
use crate::socket::Socket;

type OnAny = Arc<dyn Fn(Socket, Event) -> Work + Send + Sync>;
type OnOutgoing = Arc<dyn Fn(&Socket, &Event) + Send + Sync>;
type OnError = Arc<dyn Fn(Socket, Event, Arc<EventError>) -> Work + Send + Sync>;
type Check = Arc<dyn Fn(&Event) -> Result<(), Box<dyn std::error::Error + Send + Sync>> + Send + Sync>;

/// Something that an application wants to be called for.
#[derive(Clone)]
pub(crate) enum Entry {
    Event { name: Cow<'static, str>, handler: OnEvent, is_once: bool },
    Any(OnAny),
    Outgoing(OnOutgoing),
    Middleware(Check),
    Error(OnError),
    Disconnecting(OnEnd),
    Disconnect(OnEnd),
}

/// The handlers of a socket, in the order in which they were added.
#[derive(Clone, Default)]
pub(crate) struct Handlers(Option<Arc<Vec<Entry>>>);

impl Handlers {
    pub(crate) fn add(&mut self, entry: Entry) {
        Arc::make_mut(self.0.get_or_insert_default()).push(entry);
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&Entry) -> bool) {
        if let Some(entries) = &mut self.0 {
            Arc::make_mut(entries).retain(keep);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().flat_map(|entries| entries.iter())
    }
}
