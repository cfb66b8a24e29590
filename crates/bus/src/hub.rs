//! Decides which sockets of a node a broadcast reaches: each one once, by its rooms.
//!
//! Sockets and rooms live in slots and name each other by number, so that a broadcast walks an array. A socket is in the
//! room of its own id without an entry for it. Rooms exist while somebody is in them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::adapter::RoomKind;
use crate::target::{Room, Targets};

#[cfg(test)]
mod tests;

/// The sockets of one namespace on one node.
#[derive(Debug)]
pub struct Hub<S>(RwLock<Inner<S>>);

#[derive(Debug)]
struct Inner<S> {
    sockets: Slots<Entry<S>>,
    ids: HashMap<Room, u32>,
    rooms: Slots<Members>,
    names: HashMap<Room, u32>,
    watcher: Watcher,
}

/// Is told of each room that somebody is in, or nobody any more: whether it is a socket's own, and whether it exists.
pub type OnRoom = dyn Fn(&Room, RoomKind, bool) + Send + Sync;

#[derive(Default)]
struct Watcher(Option<Box<OnRoom>>);

#[derive(Debug)]
struct Entry<S> {
    id: Room,
    socket: S,
    rooms: Vec<Seat>,
}

/// Where a socket is in the members of a room.
#[derive(Debug, Clone, Copy)]
struct Seat {
    room: u32,
    place: u32,
}

#[derive(Debug)]
struct Members {
    name: Room,
    sockets: Vec<u32>,
}

impl Watcher {
    fn tell(&self, room: &Room, kind: RoomKind, exists: bool) {
        if let Some(on_room) = &self.0 {
            on_room(room, kind, exists);
        }
    }
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "watched" } else { "unwatched" })
    }
}

impl<S> Default for Hub<S> {
    fn default() -> Self {
        Self::new()
    }
}

impl<S> Hub<S> {
    /// Makes a hub without sockets.
    pub fn new() -> Self {
        Self(RwLock::new(Inner {
            sockets: Slots::new(),
            ids: HashMap::new(),
            rooms: Slots::new(),
            names: HashMap::new(),
            watcher: Watcher::default(),
        }))
    }

    /// Adds a socket; one of the same id is replaced.
    pub fn insert(&self, id: impl Into<Room>, socket: S) {
        let id = id.into();
        let mut inner = self.write();
        inner.remove(&id);
        let slot = inner.sockets.insert(Entry { id: id.clone(), socket, rooms: Vec::new() });
        inner.watcher.tell(&id, RoomKind::Private, true);
        inner.ids.insert(id, slot);
    }

    /// Adds a socket with its rooms. One of the same id is replaced if the function says so; if it does not, nothing is
    /// done. Returns whether the socket was added, and the one that was replaced.
    pub fn insert_over(
        &self,
        id: impl Into<Room>,
        socket: S,
        rooms: &[Room],
        may_replace: impl FnOnce(&S) -> bool,
    ) -> (bool, Option<S>) {
        let id = id.into();
        let mut inner = self.write();
        let other = inner.ids.get(&id).and_then(|slot| inner.sockets.get(*slot));
        if other.is_some_and(|other| !may_replace(&other.socket)) {
            return (false, None);
        }
        let replaced = inner.take(&id).map(|(_, socket)| socket);
        let slot = inner.sockets.insert(Entry { id: id.clone(), socket, rooms: Vec::new() });
        inner.watcher.tell(&id, RoomKind::Private, true);
        inner.ids.insert(id, slot);
        for room in rooms {
            inner.join(slot, room);
        }
        (true, replaced)
    }

    /// Tells of the rooms that there are, the sockets' own too, and from now on of those that come and go. The hub is
    /// locked meanwhile: the function must not use it.
    pub fn watch(&self, on_room: Box<OnRoom>) {
        let mut inner = self.write();
        inner.watcher = Watcher(Some(on_room));
        inner.ids.keys().for_each(|id| inner.watcher.tell(id, RoomKind::Private, true));
        inner.names.keys().for_each(|name| inner.watcher.tell(name, RoomKind::Public, true));
    }

    /// Returns whether anybody is in a room.
    pub fn has_room(&self, room: &str) -> bool {
        let inner = self.read();
        inner.names.contains_key(room) || inner.ids.contains_key(room)
    }

    /// Removes a socket and returns the rooms that it was in, its own first; `None` if there is none of this id.
    pub fn remove(&self, id: &str) -> Option<Vec<Room>> {
        self.write().remove(id)
    }

    /// Removes a socket if it is the one that is meant, as [`remove`](Self::remove) does. One that came back under the same
    /// id stays.
    pub fn remove_if(&self, id: &str, is_meant: impl FnOnce(&S) -> bool) -> Option<Vec<Room>> {
        let mut inner = self.write();
        let slot = *inner.ids.get(id)?;
        if is_meant(&inner.sockets.get(slot)?.socket) { inner.remove(id) } else { None }
    }

    /// Lets a socket join rooms. Returns whether there is one of this id.
    pub fn join(&self, id: &str, rooms: &[Room]) -> bool {
        let mut inner = self.write();
        let Some(&slot) = inner.ids.get(id) else { return false };
        for room in rooms {
            inner.join(slot, room);
        }
        true
    }

    /// Lets a socket leave rooms. It never leaves its own. Returns whether there is one of this id.
    pub fn leave(&self, id: &str, rooms: &[Room]) -> bool {
        let mut inner = self.write();
        let Some(&slot) = inner.ids.get(id) else { return false };
        for room in rooms {
            inner.leave(slot, room);
        }
        true
    }

    /// Lets those who are meant join rooms.
    pub fn join_all(&self, targets: &Targets, rooms: &[Room]) {
        let mut inner = self.write();
        for slot in inner.meant(targets) {
            for room in rooms {
                inner.join(slot, room);
            }
        }
    }

    /// Lets those who are meant leave rooms.
    pub fn leave_all(&self, targets: &Targets, rooms: &[Room]) {
        let mut inner = self.write();
        for slot in inner.meant(targets) {
            for room in rooms {
                inner.leave(slot, room);
            }
        }
    }

    /// Calls the function for each socket that is meant, once. The hub is locked meanwhile: the function must not use it.
    pub fn broadcast(&self, targets: &Targets, mut each: impl FnMut(&S)) {
        let inner = self.read();
        match (targets.rooms.as_slice(), targets.except.as_slice()) {
            ([], []) => inner.sockets.iter().for_each(|(_, entry)| each(&entry.socket)),
            ([], except) => {
                let except = inner.slots_of(except);
                for (slot, entry) in inner.sockets.iter() {
                    if except.binary_search(&slot).is_err() {
                        each(&entry.socket);
                    }
                }
            }
            _ => {
                for slot in inner.meant(targets) {
                    if let Some(entry) = inner.sockets.get(slot) {
                        each(&entry.socket);
                    }
                }
            }
        }
    }

    /// Calls the function with the rooms of each socket that is meant, its own first. The hub is locked meanwhile.
    pub fn visit(&self, targets: &Targets, mut each: impl FnMut(&S, Vec<Room>)) {
        let inner = self.read();
        for slot in inner.meant(targets) {
            if let Some(entry) = inner.sockets.get(slot) {
                each(&entry.socket, inner.rooms_of(entry));
            }
        }
    }

    /// Returns the rooms of a socket, its own first; none if there is none of this id.
    pub fn rooms(&self, id: &str) -> Vec<Room> {
        let inner = self.read();
        let entry = inner.ids.get(id).and_then(|slot| inner.sockets.get(*slot));
        entry.map(|entry| inner.rooms_of(entry)).unwrap_or_default()
    }

    /// Returns the rooms that somebody is in, without the sockets' own.
    pub fn room_names(&self) -> Vec<Room> {
        self.read().names.keys().cloned().collect()
    }

    /// Returns how many sockets there are.
    pub fn len(&self) -> usize {
        self.read().ids.len()
    }

    /// Returns whether there is no socket.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner<S>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner<S>> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Clone> Hub<S> {
    /// Returns the socket of an id.
    pub fn get(&self, id: &str) -> Option<S> {
        let inner = self.read();
        inner.ids.get(id).and_then(|slot| inner.sockets.get(*slot)).map(|entry| entry.socket.clone())
    }

    /// Returns those who are meant.
    pub fn select(&self, targets: &Targets) -> Vec<S> {
        let mut selected = Vec::new();
        self.broadcast(targets, |socket| selected.push(socket.clone()));
        selected
    }
}

impl<S> Inner<S> {
    fn remove(&mut self, id: &str) -> Option<Vec<Room>> {
        self.take(id).map(|(rooms, _)| rooms)
    }

    fn take(&mut self, id: &str) -> Option<(Vec<Room>, S)> {
        let slot = self.ids.remove(id)?;
        let entry = self.sockets.get(slot)?;
        let rooms = self.rooms_of(entry);
        while let Some(seat) = self.sockets.get(slot).and_then(|entry| entry.rooms.last().copied()) {
            self.stand_up(slot, seat);
        }
        if let Some(id) = rooms.first() {
            self.watcher.tell(id, RoomKind::Private, false);
        }
        Some((rooms, self.sockets.remove(slot)?.socket))
    }

    fn join(&mut self, slot: u32, name: &Room) {
        let Some(entry) = self.sockets.get(slot) else { return };
        if entry.id == *name {
            return;
        }
        let room = match self.names.get(name) {
            Some(&room) if entry.rooms.iter().any(|seat| seat.room == room) => return,
            Some(&room) => room,
            None => {
                let room = self.rooms.insert(Members { name: name.clone(), sockets: Vec::new() });
                self.names.insert(name.clone(), room);
                self.watcher.tell(name, RoomKind::Public, true);
                room
            }
        };
        let (Some(members), Some(entry)) = (self.rooms.get_mut(room), self.sockets.get_mut(slot)) else { return };
        entry.rooms.push(Seat { room, place: members.sockets.len() as u32 });
        members.sockets.push(slot);
    }

    fn leave(&mut self, slot: u32, name: &str) {
        let Some(&room) = self.names.get(name) else { return };
        let entry = self.sockets.get(slot);
        if let Some(seat) = entry.and_then(|entry| entry.rooms.iter().find(|seat| seat.room == room).copied()) {
            self.stand_up(slot, seat);
        }
    }

    /// Takes a socket out of a room. The last member of the room takes its place.
    fn stand_up(&mut self, slot: u32, seat: Seat) {
        if let Some(entry) = self.sockets.get_mut(slot) {
            entry.rooms.retain(|other| other.room != seat.room);
        }
        let Some(members) = self.rooms.get_mut(seat.room) else { return };
        members.sockets.swap_remove(seat.place as usize);
        if let Some(&moved) = members.sockets.get(seat.place as usize) {
            let moved = self.sockets.get_mut(moved);
            if let Some(moved) = moved.and_then(|moved| moved.rooms.iter_mut().find(|other| other.room == seat.room)) {
                moved.place = seat.place;
            }
        } else if members.sockets.is_empty()
            && let Some(members) = self.rooms.remove(seat.room)
        {
            self.names.remove(&members.name);
            self.watcher.tell(&members.name, RoomKind::Public, false);
        }
    }

    fn rooms_of(&self, entry: &Entry<S>) -> Vec<Room> {
        let names = entry.rooms.iter().filter_map(|seat| self.rooms.get(seat.room)).map(|room| room.name.clone());
        std::iter::once(entry.id.clone()).chain(names).collect()
    }

    /// Returns the sockets in any of these rooms, sorted, each once.
    fn slots_of(&self, rooms: &[Room]) -> Vec<u32> {
        let mut slots = Vec::new();
        for room in rooms {
            if let Some(members) = self.names.get(room).and_then(|room| self.rooms.get(*room)) {
                slots.extend_from_slice(&members.sockets);
            }
            slots.extend(self.ids.get(room).copied());
        }
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    fn meant(&self, targets: &Targets) -> Vec<u32> {
        let mut slots = match targets.rooms.as_slice() {
            [] => self.sockets.iter().map(|(slot, _)| slot).collect(),
            rooms => self.slots_of(rooms),
        };
        if !targets.except.is_empty() {
            let except = self.slots_of(&targets.except);
            slots.retain(|slot| except.binary_search(slot).is_err());
        }
        slots
    }
}

/// Values that are named by small numbers, which are used again.
#[derive(Debug)]
struct Slots<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slots<T> {
    fn new() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }

    fn insert(&mut self, value: T) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.slots[slot as usize] = Some(value);
            return slot;
        }
        self.slots.push(Some(value));
        // Four thousand million sockets do not fit into any node.
        (self.slots.len() - 1) as u32
    }

    fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        if self.free.len() == self.slots.len() {
            *self = Self::new();
        }
        Some(value)
    }

    fn get(&self, slot: u32) -> Option<&T> {
        self.slots.get(slot as usize)?.as_ref()
    }

    fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slots.iter().enumerate().filter_map(|(slot, value)| value.as_ref().map(|value| (slot as u32, value)))
    }
}
