//! Decides to which namespace of which node belongs what came on a channel.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use bytes::Bytes;

use super::classic::{Received, malformed};
use super::form::{Form, Heard};
use crate::adapter::{BusError, Receiver};
use crate::envelope::{Envelope, Message, RequestId};
use crate::node::NodeId;
use crate::target::Targets;

/// How many requests for ids alone may wait for their answer at a time; more are not answered.
const MAX_ID_REQUESTS: usize = 1024;

/// Who listens on this process, by namespace; several nodes may.
#[derive(Default)]
pub(super) struct Members {
    lists: RwLock<HashMap<Arc<str>, List>>,
    /// Whether a namespace has ever had a `#` in its name.
    has_marks: AtomicBool,
}

/// The nodes of one namespace.
type List = Arc<Vec<Arc<Member>>>;

/// One namespace of one node.
pub(super) struct Member {
    pub(super) namespace: Arc<str>,
    pub(super) node: NodeId,
    pub(super) form: Form,
    receiver: Arc<dyn Receiver>,
    /// Who asked for ids alone, by request.
    ids: Mutex<HashMap<RequestId, Option<NodeId>>>,
    /// Names those who answer, since they do not.
    answers: AtomicU64,
}

impl Members {
    pub(super) fn add(&self, member: Arc<Member>) {
        self.has_marks.fetch_or(member.namespace.contains('#'), Ordering::Relaxed);
        let mut members = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        Arc::make_mut(members.entry(member.namespace.clone()).or_default()).push(member);
    }

    pub(super) fn remove(&self, member: &Arc<Member>) {
        let mut members = self.lists.write().unwrap_or_else(PoisonError::into_inner);
        let Some(list) = members.get_mut(&member.namespace) else { return };
        let list = Arc::make_mut(list);
        list.retain(|other| !Arc::ptr_eq(other, member));
        if list.is_empty() {
            members.remove(&member.namespace);
        }
    }

    pub(super) fn count(&self, namespace: &str) -> usize {
        self.lists.read().unwrap_or_else(PoisonError::into_inner).get(namespace).map_or(0, |list| list.len())
    }

    pub(super) fn of(&self, namespace: &str) -> List {
        self.lists.read().unwrap_or_else(PoisonError::into_inner).get(namespace).cloned().unwrap_or_default()
    }

    /// Takes what came on a channel of those that begin with `key`.
    ///
    /// # Errors
    /// [`BusError::Malformed`] when it is no message of this form.
    pub(super) fn hear(&self, key: &str, channel: &str, pattern: Option<&str>, bytes: &Bytes) -> Result<(), BusError> {
        let Some(rest) = channel.strip_prefix(key) else { return Err(malformed("it came on a channel of others")) };
        let rest = rest.strip_prefix("-request").or_else(|| rest.strip_prefix("-response")).unwrap_or(rest);
        let Some(names) = rest.strip_prefix('#') else { return Ok(()) };
        if !self.has_marks.load(Ordering::Relaxed) {
            let namespace = names.split('#').next().unwrap_or_default();
            return self.of(namespace).iter().try_for_each(|member| member.hear(channel, bytes));
        }
        // Both the namespace and the room behind it may hold a #: each that there is tells by the message whether it is meant.
        let mut heard = Ok(false);
        for (end, _) in names.match_indices('#') {
            for member in &*self.of(&names[..end]) {
                if pattern.is_some_and(|pattern| !member.form.has_pattern(pattern)) {
                    continue;
                }
                match (member.hear(channel, bytes), &heard) {
                    (Ok(()), _) => heard = Ok(true),
                    (Err(error), Ok(false)) => heard = Err(error),
                    (Err(_), _) => {}
                }
            }
        }
        heard.map(drop)
    }
}

impl Member {
    pub(super) fn new(namespace: Arc<str>, node: NodeId, form: Form, receiver: Arc<dyn Receiver>) -> Self {
        Self { namespace, node, form, receiver, ids: Mutex::default(), answers: AtomicU64::new(0) }
    }

    fn hear(&self, channel: &str, bytes: &Bytes) -> Result<(), BusError> {
        let has_room = |room: &str| self.receiver.has_room(room);
        let (received, is_answer) = match self.form.read(channel, &self.namespace, bytes, has_room)? {
            Heard::Said(received) => (received, false),
            Heard::Answer(received) => (Some(received), true),
        };
        let (node, message) = match received {
            Some(Received::Message(node, message)) => (node, message),
            Some(Received::Ids(node, targets, request)) => {
                if node.as_ref() == Some(&self.node) {
                    return Ok(());
                }
                return self.ask_for_ids(node, targets, request);
            }
            Some(Received::Nothing) | None => return Ok(()),
        };
        if node.as_ref() == Some(&self.node) {
            return Ok(());
        }
        let node = node.unwrap_or_else(|| match is_answer {
            // An answer counts once for each that comes.
            true => NodeId::nameless(self.answers.fetch_add(1, Ordering::Relaxed)),
            false => "emitter".into(),
        });
        self.take(node, message);
        Ok(())
    }

    /// Gives a message to the node.
    pub(super) fn take(&self, node: NodeId, message: Message) {
        self.receiver.receive(Envelope { node, namespace: self.namespace.clone(), offset: None, message });
    }

    /// Lets the node describe its sockets; of the answer the ids will go out.
    fn ask_for_ids(&self, asker: Option<NodeId>, targets: Targets, request: RequestId) -> Result<(), BusError> {
        let mut ids = self.lock_ids();
        if ids.len() >= MAX_ID_REQUESTS {
            return Err(BusError::Full);
        }
        ids.insert(request.clone(), asker.clone());
        drop(ids);
        self.take(asker.unwrap_or_else(|| "emitter".into()), Message::Fetch { targets, request: request.clone() });
        // The node has answered by now, or never will.
        self.lock_ids().remove(&request);
        Ok(())
    }

    /// Returns who wants the ids alone, if somebody does; once.
    pub(super) fn asker_of_ids(&self, request: &RequestId) -> Option<Option<NodeId>> {
        self.lock_ids().remove(request)
    }

    fn lock_ids(&self) -> MutexGuard<'_, HashMap<RequestId, Option<NodeId>>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
