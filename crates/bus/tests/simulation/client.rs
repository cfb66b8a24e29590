//! A client by the rules of the official one: its offset is the last argument of any event if that is a text, and what comes
//! before CONNECT waits for it, even that of an earlier connection.

use std::sync::Arc;
use std::time::Duration;

use limpet_bus::Room;
use tokio::sync::mpsc;

use super::world::{Packet, Wire, World};

#[derive(Default)]
pub(crate) struct Client {
    pub(crate) wire: Option<usize>,
    is_connected: bool,
    offset: Option<String>,
    buffer: Vec<(u64, Option<String>)>,
    /// The sessions that it had, the present one last.
    pub(crate) sessions: Vec<Seen>,
    pub(crate) recoveries: usize,
}

/// What a client has seen in one session.
pub(crate) struct Seen {
    pub(crate) id: Room,
    pub(crate) pid: Arc<str>,
    /// The numbers of the events, as they came.
    pub(crate) received: Vec<u64>,
    /// Rooms, and the length of the log when the client knew that it was in.
    pub(crate) rooms: Vec<(Room, usize)>,
    /// The rooms that it asked for.
    pub(crate) asked: Vec<Room>,
    /// How many events were in the log when the session was known to be over.
    pub(crate) end: Option<usize>,
}

impl Client {
    pub(crate) fn session(&self) -> Option<&Seen> {
        self.sessions.last()
    }

    fn event(&mut self, number: u64, text: Option<String>) {
        if let Some(session) = self.sessions.last_mut() {
            session.received.push(number);
            self.offset = text.or_else(|| self.offset.take());
        }
    }
}

impl World {
    /// Connects a client to a process, after a while.
    pub(crate) fn connect_later(self: &Arc<Self>, client: usize, after: Duration) {
        let world = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            while !world.connect(client) {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
    }

    fn connect(self: &Arc<Self>, client: usize) -> bool {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (wire, instance) = {
            let mut state = self.lock();
            let alive: Vec<_> =
                (0..state.instances.len()).filter(|instance| state.instances[*instance].is_alive).collect();
            let Some(instance) = state.chance.one_of(&alive).copied() else { return false };
            let (is_client_open, is_server_open) = (true, true);
            let wire = state.wires.len();
            state.wires.push(Wire { client, instance, down: sender, is_client_open, is_server_open, left: None });
            state.clients[client].wire = Some(wire);
            (wire, instance)
        };
        tokio::spawn(self.clone().carry(wire, receiver));
        let world = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(world.delay(20)).await;
            let (server, pid, offset) = {
                let mut state = world.lock();
                let client = &state.clients[client];
                let pid = client.session().map(|session| session.pid.to_string());
                let offset = client.offset.clone().filter(|_| pid.is_some());
                // Who dies meanwhile does not hear of it.
                if state.wires[wire].left.is_some() {
                    state.wires[wire].is_server_open = false;
                    return;
                }
                (state.instances[instance].server.clone(), pid, offset)
            };
            let Some(server) = server else { return world.cut(wire) };
            let watch = world.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_secs(20)).await;
                let is_waiting = {
                    let state = watch.lock();
                    state.clients[client].wire == Some(wire) && !state.clients[client].is_connected
                };
                if is_waiting {
                    watch.cut(wire);
                }
            });
            server.accept(wire, pid, offset).await;
        });
        true
    }

    /// Carries packets to a client, in order.
    async fn carry(self: Arc<Self>, wire: usize, mut packets: mpsc::UnboundedReceiver<Packet>) {
        while let Some(packet) = packets.recv().await {
            tokio::time::sleep(self.delay(10)).await;
            {
                let mut state = self.lock();
                if !state.wires[wire].is_client_open {
                    return;
                }
                match &mut state.wires[wire].left {
                    Some(0) => return,
                    Some(left) => *left -= 1,
                    None => {}
                }
            }
            self.received(wire, packet);
        }
    }

    fn received(self: &Arc<Self>, wire: usize, packet: Packet) {
        let mut state = self.lock();
        let state = &mut *state;
        let index = state.wires[wire].client;
        let length = state.log.len();
        let client = &mut state.clients[index];
        match packet {
            Packet::Connect { id, pid } => {
                client.is_connected = true;
                let is_recovered = client.session().is_some_and(|session| session.pid == pid);
                if is_recovered {
                    client.recoveries += 1;
                } else {
                    if let Some(session) = client.sessions.last_mut() {
                        session.end = Some(length);
                    }
                    let rooms = vec![(id.clone(), length)];
                    client.sessions.push(Seen { id, pid, received: Vec::new(), rooms, asked: Vec::new(), end: None });
                }
                for (number, text) in std::mem::take(&mut client.buffer) {
                    client.event(number, text);
                }
                if !is_recovered {
                    self.ask(index, Room::from("room 0"));
                }
            }
            Packet::Event { number, text } if client.is_connected => client.event(number, text),
            Packet::Event { number, text } => client.buffer.push((number, text)),
            Packet::Joined { room } => {
                if let Some(session) = client.sessions.last_mut()
                    && !session.rooms.iter().any(|(known, _)| *known == room)
                {
                    session.rooms.push((room, length));
                }
            }
            Packet::Close => {
                state.wires[wire].left = Some(0);
                let world = self.clone();
                tokio::spawn(async move { world.client_closed(wire) });
            }
        }
    }

    /// Lets a client ask for a room, a little later.
    pub(crate) fn ask(self: &Arc<Self>, client: usize, room: Room) {
        let world = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(world.delay(10)).await;
            let (server, wire) = {
                let mut state = world.lock();
                let Some(wire) = state.clients[client].wire.filter(|_| state.clients[client].is_connected) else {
                    return;
                };
                let instance = state.wires[wire].instance;
                if state.wires[wire].left.is_some() {
                    return;
                }
                if let Some(session) = state.clients[client].sessions.last_mut() {
                    session.asked.push(room.clone());
                }
                (state.instances[instance].server.clone(), wire)
            };
            if let Some(server) = server {
                server.join_room(wire, room).await;
            }
        });
    }

    /// Tells a client that its connection is gone; it comes back.
    pub(crate) fn client_closed(self: &Arc<Self>, wire: usize) {
        let (client, after) = {
            let mut state = self.lock();
            if !std::mem::take(&mut state.wires[wire].is_client_open) {
                return;
            }
            let client = state.wires[wire].client;
            if state.clients[client].wire != Some(wire) {
                return;
            }
            state.clients[client].wire = None;
            state.clients[client].is_connected = false;
            // At times at once, before the server has noticed.
            let after = if state.chance.percent(30) { 20 } else { 1500 };
            (client, state.chance.millis(after))
        };
        self.connect_later(client, after);
    }
}
