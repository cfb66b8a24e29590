//! What nodes and clients live in: a log that is slow and at times gives no answer, connections that break, and nodes that
//! are killed at any moment. One thread and a stopped clock; chance comes from a seed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use limpet_bus::log::{Lease, Session};
use limpet_bus::{Message, NodeId, Offset, Receiver};
use tokio::sync::{Notify, mpsc};

use super::client::Client;
use super::server::Server;

/// What is taken out of the world, to see that it is missed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Without {
    /// Nobody is told that a session has a new holder, and the former one may go on to save.
    pub(crate) fencing: bool,
    /// A node gives its own events to its sockets as soon as they are published.
    pub(crate) ordering: bool,
    /// An event that is published again comes again.
    pub(crate) deduplication: bool,
    /// A client is told that it is back behind what it has missed, as Node does.
    pub(crate) connect_first: bool,
}

/// What happens besides.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    /// The log keeps few events.
    pub(crate) is_trimmed: bool,
    /// The store forgets sessions.
    pub(crate) is_forgetful: bool,
    /// Servers send events that are to be acknowledged and end in a text.
    pub(crate) is_asking: bool,
    /// Nodes stop to read the log for seconds.
    pub(crate) is_stalling: bool,
}

pub(crate) struct World {
    pub(crate) without: Without,
    pub(crate) weather: Weather,
    pub(crate) appended: Notify,
    state: Mutex<State>,
}

pub(crate) struct State {
    pub(crate) chance: Chance,
    pub(crate) log: Vec<Logged>,
    pub(crate) floor: Offset,
    pub(crate) sessions: BTreeMap<String, Kept>,
    pub(crate) instances: Vec<Instance>,
    pub(crate) wires: Vec<Wire>,
    pub(crate) clients: Vec<Client>,
    /// The number of the next event.
    pub(crate) number: u64,
    /// The events that were to be acknowledged. They are in no log: a client that moves may get one from both nodes.
    pub(crate) asked: Vec<u64>,
    /// Whether nothing breaks any more.
    pub(crate) is_calm: bool,
}

/// An entry of the log, as it was written.
pub(crate) struct Logged {
    pub(crate) offset: Offset,
    pub(crate) node: NodeId,
    pub(crate) publisher: Arc<str>,
    pub(crate) count: u64,
    pub(crate) message: Message,
    /// Whether the same was written before.
    pub(crate) is_repeat: bool,
}

pub(crate) struct Kept {
    pub(crate) session: Session,
    pub(crate) lease: Lease,
}

/// A process of a node.
pub(crate) struct Instance {
    pub(crate) name: NodeId,
    pub(crate) is_alive: bool,
    pub(crate) is_stalled: bool,
    pub(crate) server: Option<Arc<Server>>,
    pub(crate) receiver: Option<Arc<dyn Receiver>>,
}

/// A connection between a client and an instance.
pub(crate) struct Wire {
    pub(crate) client: usize,
    pub(crate) instance: usize,
    pub(crate) down: mpsc::UnboundedSender<Packet>,
    pub(crate) is_client_open: bool,
    pub(crate) is_server_open: bool,
    /// How many packets still arrive; unset while the connection is whole.
    pub(crate) left: Option<u64>,
}

/// What a server sends.
#[derive(Debug, Clone)]
pub(crate) enum Packet {
    Connect { id: Arc<str>, pid: Arc<str> },
    Event { number: u64, text: Option<String> },
    Joined { room: Arc<str> },
    Close,
}

/// A generator of numbers (splitmix64).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn millis(&mut self, bound: u64) -> Duration {
        Duration::from_millis(self.below(bound))
    }

    pub(crate) fn one_of<'a, T>(&mut self, things: &'a [T]) -> Option<&'a T> {
        let index = self.below(things.len() as u64);
        things.get(index as usize)
    }
}

impl World {
    pub(crate) fn new(seed: u64, without: Without) -> Arc<Self> {
        let mut chance = Chance(seed);
        let (is_trimmed, is_forgetful) = (chance.percent(20), chance.percent(10));
        let is_asking = chance.percent(15);
        let is_stalling = chance.percent(30);
        let weather = Weather { is_trimmed, is_forgetful, is_asking, is_stalling };
        let state = State {
            chance,
            log: Vec::new(),
            floor: Offset::ZERO,
            sessions: BTreeMap::new(),
            instances: Vec::new(),
            wires: Vec::new(),
            clients: Vec::new(),
            number: 0,
            asked: Vec::new(),
            is_calm: false,
        };
        Arc::new(Self { without, weather, appended: Notify::new(), state: Mutex::new(state) })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn is_alive(&self, instance: usize) -> bool {
        self.lock().instances[instance].is_alive
    }

    /// Draws a time to wait; at times a long one.
    pub(crate) fn delay(&self, usual: u64) -> Duration {
        let mut state = self.lock();
        if !state.is_calm && state.chance.percent(2) {
            return state.chance.millis(1500);
        }
        state.chance.millis(usual)
    }

    /// Writes an entry, and returns its place.
    pub(crate) fn append(&self, node: &NodeId, publisher: &Arc<str>, count: u64, message: Message) -> Offset {
        let mut state = self.lock();
        let millis = 1_700_000_000_000 + state.log.len() as u64;
        let offset = Offset { millis, counter: state.chance.below(3) };
        let is_repeat = state.log.iter().any(|entry| entry.publisher == *publisher && entry.count == count);
        state.log.push(Logged { offset, node: node.clone(), publisher: publisher.clone(), count, message, is_repeat });
        if self.weather.is_trimmed && state.log.len() > 12 && !state.is_calm {
            state.floor = state.log[state.log.len() - 12].offset;
        }
        drop(state);
        self.appended.notify_waiters();
        offset
    }

    /// Sends a packet to a client.
    pub(crate) fn send(&self, wire: usize, packet: Packet) {
        self.lock().wires[wire].down.send(packet).ok();
    }

    /// Breaks a connection. The client hears of it soon; the server later, or never.
    pub(crate) fn cut(self: &Arc<Self>, wire: usize) {
        let (client_in, server_in) = {
            let mut state = self.lock();
            let left = state.chance.below(4);
            if state.wires[wire].left.is_some() {
                return;
            }
            state.wires[wire].left = Some(left);
            let client_in = state.chance.millis(200);
            let server_in = match state.chance.below(4) {
                0 => None,
                1 => Some(Duration::from_millis(state.chance.below(5000))),
                _ => Some(Duration::from_millis(state.chance.below(300))),
            };
            (client_in, server_in)
        };
        let world = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(client_in).await;
            world.client_closed(wire);
        });
        if let Some(server_in) = server_in {
            let world = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(server_in).await;
                world.server_closed(wire);
            });
        }
    }

    /// Tells a server that a connection is gone.
    pub(crate) fn server_closed(&self, wire: usize) {
        let server = {
            let mut state = self.lock();
            let instance = state.wires[wire].instance;
            if !std::mem::take(&mut state.wires[wire].is_server_open) || !state.instances[instance].is_alive {
                return;
            }
            state.instances[instance].server.clone()
        };
        if let Some(server) = server {
            server.closed(wire);
        }
    }

    /// Closes a connection from the server's side.
    pub(crate) fn close(&self, wire: usize) {
        self.lock().wires[wire].is_server_open = false;
        self.send(wire, Packet::Close);
    }

    /// Kills a process at once: what it was about to do is never done.
    pub(crate) fn kill(self: &Arc<Self>, instance: usize) {
        let (server, wires) = {
            let mut state = self.lock();
            state.instances[instance].is_alive = false;
            state.instances[instance].receiver = None;
            let server = state.instances[instance].server.take();
            let wires: Vec<_> = (0..state.wires.len()).filter(|wire| state.wires[*wire].instance == instance).collect();
            (server, wires)
        };
        wires.into_iter().for_each(|wire| self.cut(wire));
        // Tasks of it may still hold it; nothing that they ask for is answered.
        drop(server);
    }
}
