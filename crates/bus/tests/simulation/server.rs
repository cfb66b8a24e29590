//! A server as far as recovery sees it: sockets in rooms, some of them held back, each on a connection.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::Duration;

use limpet_bus::cluster::{OnAck, Reply};
use limpet_bus::recovery::{Holding, Lost, Snapshot, Stamp};
use limpet_bus::{Cluster, ClusterOptions, Flags, NodeId, Room, SocketInfo, Sockets, Targets};
use limpet_proto::socketio::arguments::Arguments;
use serde_json::{Value, json};

use super::bus::{Bus, RETENTION};
use super::world::{Instance, Packet, World};

pub(crate) struct Server {
    world: Arc<World>,
    instance: usize,
    cluster: OnceLock<Arc<Cluster>>,
    sockets: Mutex<Vec<Socket>>,
}

pub(crate) struct Socket {
    pub(crate) wire: usize,
    pub(crate) holding: Holding,
    rooms: Vec<Room>,
    /// What waits until the client has got what it missed.
    held: Option<Vec<(u64, Stamp, bool)>>,
}

impl Server {
    /// Starts a process of a node.
    pub(crate) fn start(world: &Arc<World>, node: usize) {
        let instance = world.lock().instances.len();
        let name = NodeId::from(format!("{node}.{instance}"));
        let server =
            Arc::new(Self { world: world.clone(), instance, cluster: OnceLock::new(), sockets: Mutex::default() });
        let (is_alive, is_stalled) = (true, false);
        let process =
            Instance { name: name.clone(), is_alive, is_stalled, server: Some(server.clone()), receiver: None };
        world.lock().instances.push(process);
        let weak: Weak<dyn Sockets> = Arc::downgrade(&server) as _;
        let options = ClusterOptions { timeout: Duration::from_secs(5), recovery: Some(RETENTION) };
        let cluster = Cluster::new(name, weak, options);
        cluster.join(&Bus { world: world.clone(), instance }, "/");
        server.cluster.set(cluster).ok();
    }

    pub(crate) fn cluster(&self) -> &Arc<Cluster> {
        self.cluster.get().unwrap()
    }

    fn sockets(&self) -> MutexGuard<'_, Vec<Socket>> {
        self.sockets.lock().unwrap()
    }

    /// Returns the ids of its sockets, with their connections.
    pub(crate) fn present(&self) -> Vec<(Room, usize)> {
        self.sockets().iter().map(|socket| (socket.holding.id().clone(), socket.wire)).collect()
    }

    /// Takes a client that connects.
    pub(crate) async fn accept(self: Arc<Self>, wire: usize, pid: Option<String>, offset: Option<String>) {
        let recovery = self.cluster().recovery().unwrap();
        if let Some(pid) = &pid {
            match recovery.adopt(pid, offset.as_deref()).await {
                Err(_) => return self.world.close(wire),
                Ok(None) => {}
                Ok(Some(adoption)) => {
                    if !self.is_open(wire) {
                        return;
                    }
                    let holding = adoption.holding().clone();
                    let rooms = adoption.session().rooms.clone();
                    let socket = Socket { wire, holding: holding.clone(), rooms, held: Some(Vec::new()) };
                    self.sockets().push(socket);
                    let missed = recovery.missed(&adoption).await;
                    if !self.is_open(wire) {
                        self.take_out(&holding);
                        return;
                    }
                    match missed {
                        Ok(missed) => {
                            self.go_on(wire, &holding, missed.events);
                            if recovery.resume(adoption).is_none() {
                                self.take_out(&holding);
                                self.world.close(wire);
                            }
                            return;
                        }
                        Err(Lost::Gap) => {
                            self.take_out(&holding);
                        }
                        Err(_) => {
                            self.take_out(&holding);
                            return self.world.close(wire);
                        }
                    }
                }
            }
        }
        let (id, pid) = {
            let mut state = self.world.lock();
            let client = state.wires[wire].client;
            let number = state.chance.next();
            (Room::from(format!("{client} {number}")), format!("pid of {client} {number}"))
        };
        let snapshot = Snapshot { rooms: vec![id.clone()], data: json!({}) };
        let holding = recovery.begin(&id, &pid, offset.as_deref(), snapshot);
        let is_saved = recovery.saved(&holding).await;
        if !is_saved || !self.is_open(wire) {
            recovery.end(&holding, None);
            return self.world.close(wire);
        }
        self.sockets().push(Socket { wire, holding, rooms: vec![id.clone()], held: None });
        self.world.send(wire, Packet::Connect { id, pid: pid.into() });
    }

    /// Gives a client what it has missed, and what was held back.
    fn go_on(&self, wire: usize, holding: &Holding, missed: Vec<(limpet_bus::Offset, Arguments)>) {
        let connect = Packet::Connect { id: holding.id().clone(), pid: holding.secret().clone() };
        if !self.world.without.connect_first {
            self.world.send(wire, connect.clone());
        }
        for (offset, arguments) in missed {
            let number = arguments.get(1).unwrap();
            self.world.send(wire, Packet::Event { number, text: Some(offset.to_string()) });
        }
        if self.world.without.connect_first {
            self.world.send(wire, connect);
        }
        let mut sockets = self.sockets();
        let Some(socket) = sockets.iter_mut().find(|socket| socket.holding == *holding) else { return };
        for (number, stamp, is_volatile) in socket.held.take().unwrap_or_default() {
            self.pass(socket, number, stamp, is_volatile);
        }
    }

    fn pass(&self, socket: &mut Socket, number: u64, stamp: Stamp, is_volatile: bool) {
        if let Some(held) = &mut socket.held {
            if !is_volatile {
                held.push((number, stamp, is_volatile));
            }
            return;
        }
        if let Some(stamp) = socket.holding.admit(stamp) {
            let text = stamp.offset().map(|offset| offset.to_string());
            self.world.send(socket.wire, Packet::Event { number, text });
        }
    }

    /// Lets the socket of a connection join a room, and says so when that is saved.
    pub(crate) async fn join_room(self: Arc<Self>, wire: usize, room: Room) {
        let holding = {
            let mut sockets = self.sockets();
            let Some(socket) = sockets.iter_mut().find(|socket| socket.wire == wire) else { return };
            if !socket.rooms.contains(&room) {
                socket.rooms.push(room.clone());
            }
            socket.holding.clone()
        };
        let recovery = self.cluster().recovery().unwrap();
        recovery.changed(&holding);
        if recovery.saved(&holding).await {
            self.world.send(wire, Packet::Joined { room });
        }
    }

    /// Takes the news that a connection is gone.
    pub(crate) fn closed(&self, wire: usize) {
        let holding = self.sockets().iter().find(|socket| socket.wire == wire).map(|socket| socket.holding.clone());
        let Some(holding) = holding else { return };
        let recovery = self.cluster().recovery().unwrap();
        recovery.leaving(&holding);
        if let Some(socket) = self.take_out(&holding)
            && socket.held.is_none()
        {
            recovery.end(&holding, Some(Snapshot { rooms: socket.rooms, data: json!({}) }));
        }
    }

    fn is_open(&self, wire: usize) -> bool {
        let state = self.world.lock();
        state.wires[wire].is_server_open && state.instances[self.instance].is_alive
    }

    fn take_out(&self, holding: &Holding) -> Option<Socket> {
        let mut sockets = self.sockets();
        let index = sockets.iter().position(|socket| socket.holding == *holding)?;
        Some(sockets.remove(index))
    }
}

fn is_meant(socket: &Socket, targets: &Targets) -> bool {
    let is_in = |rooms: &[Room]| rooms.iter().any(|room| socket.rooms.contains(room));
    (targets.rooms.is_empty() || is_in(&targets.rooms)) && !is_in(&targets.except)
}

impl Sockets for Server {
    fn broadcast(&self, arguments: &Arguments, targets: &Targets, flags: Flags, stamp: Stamp) {
        let number = arguments.get(1).unwrap();
        for socket in self.sockets().iter_mut().filter(|socket| is_meant(socket, targets)) {
            self.pass(socket, number, stamp, flags.volatile);
        }
    }

    fn broadcast_with_ack(&self, arguments: &Arguments, targets: &Targets, _: Flags, _: &Arc<OnAck>) -> usize {
        let (number, text) = arguments.to::<(u64, String)>(1).unwrap();
        let mut sockets = self.sockets();
        let meant = sockets.iter_mut().filter(|socket| is_meant(socket, targets) && socket.held.is_none());
        for socket in meant {
            socket.holding.mistake(&text);
            self.world.send(socket.wire, Packet::Event { number, text: Some(text.clone()) });
        }
        0
    }

    fn join(&self, _: &Targets, _: &[Room]) {}

    fn leave(&self, _: &Targets, _: &[Room]) {}

    fn disconnect(&self, _: &Targets, _: bool) {}

    fn fetch(&self, _: &Targets) -> Vec<SocketInfo> {
        Vec::new()
    }

    fn rooms(&self) -> Vec<Room> {
        Vec::new()
    }

    fn server_side_emit(&self, _: &NodeId, _: Arguments, _: Option<Reply>) {}

    fn snapshot(&self, holding: &Holding) -> Option<Snapshot> {
        let sockets = self.sockets();
        let socket = sockets.iter().find(|socket| socket.holding == *holding)?;
        Some(Snapshot { rooms: socket.rooms.clone(), data: Value::Null })
    }

    fn fenced(&self, holding: &Holding) {
        if let Some(socket) = self.take_out(holding) {
            self.world.close(socket.wire);
        }
    }
}
