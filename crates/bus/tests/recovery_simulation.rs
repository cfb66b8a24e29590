//! Clients come back to nodes that are killed, are slow, or do not know yet that the client has gone, over a log that is
//! written twice, answers late or not at all, and forgets. The nodes are the real ones; what is around them is a world that a
//! seed decides. Each client must have every event of its rooms once and in order, or be told by a fresh session that it has not.
//!
//! `LIMPET_SEEDS=100000` looks at more seeds than the 500, and `LIMPET_SEED=7` at one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use limpet_bus::{Flags, Message, NodeId, Room, Targets};
use limpet_proto::socketio::arguments::Arguments;

#[path = "simulation/bus.rs"]
mod bus;
#[path = "simulation/client.rs"]
mod client;
#[path = "simulation/server.rs"]
mod server;
#[path = "simulation/world.rs"]
mod world;

use bus::{RETENTION, Writer};
use client::{Client, Seen};
use server::Server;
use world::{Weather, Without, World};

const NODES: usize = 3;
const CLIENTS: usize = 4;
const STEPS: usize = 120;

/// What one world saw, to know that there was something to see.
#[derive(Default)]
struct Story {
    recoveries: usize,
    fresh: usize,
    events: usize,
}

fn run(seed: u64, without: Without) -> Result<Story, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let world = World::new(seed, without);
        live(&world).await;
        check(&world).map_err(|error| format!("{:?}: {error}", world.weather))
    })
}

async fn live(world: &Arc<World>) {
    for node in 0..NODES {
        Server::start(world, node);
    }
    for client in 0..CLIENTS {
        world.lock().clients.push(Client::default());
        world.connect_later(client, Duration::from_millis(10));
    }
    let outside = Writer::new(world, &NodeId::from("outside"), None);
    for _ in 0..STEPS {
        tokio::time::sleep(world.delay(200)).await;
        step(world, &outside);
    }
    world.lock().is_calm = true;
    world.appended.notify_waiters();
    tokio::time::sleep(2 * RETENTION).await;
    // All are back; now everybody hears something once more.
    for _ in 0..5 {
        emit(world, &outside);
    }
    outside.publish(message(world, Targets::all(), Flags::default()), None);
    tokio::time::sleep(Duration::from_secs(20)).await;
}

fn step(world: &Arc<World>, outside: &Writer) {
    let (what, wire, client, alive) = {
        let mut state = world.lock();
        let what = state.chance.below(100);
        let client = state.chance.below(CLIENTS as u64) as usize;
        let alive: Vec<_> = (0..state.instances.len()).filter(|index| state.instances[*index].is_alive).collect();
        (what, state.clients[client].wire, client, alive)
    };
    match (what, wire) {
        (0..60, _) => emit(world, outside),
        (60..75, Some(wire)) => world.cut(wire),
        (75..80, _) => {
            let victim = world.lock().chance.one_of(&alive).copied();
            if let Some(victim) = victim {
                world.kill(victim);
                let (world, node) = (world.clone(), victim);
                let after = world.lock().chance.millis(3000);
                tokio::spawn(async move {
                    tokio::time::sleep(after).await;
                    Server::start(&world, node);
                });
            }
        }
        (80..86, _) => {
            let room = world.lock().chance.below(3);
            world.ask(client, format!("room {room}").into());
        }
        (86..92, _) if world.weather.is_stalling => {
            let mut state = world.lock();
            if let Some(instance) = state.chance.one_of(&alive).copied() {
                state.instances[instance].is_stalled ^= true;
            }
        }
        (92..94, _) if world.weather.is_forgetful => {
            let mut state = world.lock();
            let secrets: Vec<_> = state.sessions.keys().cloned().collect();
            if let Some(secret) = state.chance.one_of(&secrets).cloned() {
                state.sessions.remove(&secret);
            }
        }
        _ => {}
    }
}

/// Writes the next event.
fn message(world: &World, targets: Targets, flags: Flags) -> Message {
    Message::Broadcast { arguments: event(world), targets, flags, request: None }
}

fn event(world: &World) -> Arguments {
    let mut state = world.lock();
    state.number += 1;
    Arguments::event("ev", &(state.number,)).unwrap()
}

/// Emits something, from a node or from outside.
fn emit(world: &Arc<World>, outside: &Writer) {
    let (targets, kind, instance, is_confirmed, text) = {
        let mut state = world.lock();
        let ids: Vec<_> =
            state.clients.iter().filter_map(|client| client.session().map(|seen| seen.id.clone())).collect();
        let id = state.chance.one_of(&ids).cloned().unwrap_or_else(|| "nobody".into());
        let room = Room::from(format!("room {}", state.chance.below(3)));
        let targets = match state.chance.below(6) {
            0 => Targets::all(),
            1 => Targets { rooms: Vec::new(), except: vec![id] },
            2 => Targets::room(id),
            3 => Targets { rooms: vec![room, id], except: Vec::new() },
            _ => Targets::room(room),
        };
        let alive: Vec<_> = (0..state.instances.len()).filter(|index| state.instances[*index].is_alive).collect();
        let instance = state.chance.one_of(&alive).copied();
        let text = format!("text {}", state.chance.below(5));
        (targets, state.chance.below(100), instance, state.chance.percent(50), text)
    };
    let instance = instance.filter(|_| kind >= 20);
    let server = instance.and_then(|instance| world.lock().instances[instance].server.clone());
    let Some(server) = server else { return outside.publish(message(world, targets, Flags::default()), None) };
    let cluster = server.cluster().clone();
    let flags = Flags { volatile: (20..27).contains(&kind), local: (27..34).contains(&kind), ..Flags::default() };
    if (34..40).contains(&kind) && world.weather.is_asking {
        let number = {
            let mut state = world.lock();
            state.number += 1;
            state.number
        };
        let arguments = Arguments::event("ev", &(number, text)).unwrap();
        tokio::spawn(async move { cluster.broadcast_with_ack(arguments, targets, flags).await });
    } else if is_confirmed {
        tokio::spawn(cluster.broadcast_confirmed(event(world), targets, flags));
    } else {
        cluster.broadcast(event(world), targets, flags).unwrap();
    }
}

/// An event of the log, as a client may have to have it.
struct Due<'a> {
    index: usize,
    number: u64,
    targets: &'a Targets,
    is_for_all_times: bool,
}

fn check(world: &World) -> Result<Story, String> {
    let state = world.lock();
    let mut story = Story::default();
    let due: Vec<Due<'_>> = state
        .log
        .iter()
        .enumerate()
        .filter(|(_, entry)| !entry.is_repeat)
        .filter_map(|(index, entry)| match &entry.message {
            Message::Broadcast { arguments, targets, flags, .. } => {
                let number = arguments.get(1).unwrap();
                Some(Due { index, number, targets, is_for_all_times: !flags.volatile })
            }
            _ => None,
        })
        .collect();
    let places: HashMap<u64, &Due<'_>> = due.iter().map(|due| (due.number, due)).collect();
    let mut present: HashMap<Room, Vec<usize>> = HashMap::new();
    for instance in state.instances.iter().filter(|instance| instance.is_alive) {
        let server = instance.server.as_ref().ok_or("a process without its server")?;
        server.present().into_iter().for_each(|(id, wire)| present.entry(id).or_default().push(wire));
    }
    for (index, client) in state.clients.iter().enumerate() {
        let last = client.sessions.len();
        let current = client.session().ok_or_else(|| format!("client {index} never had a session"))?;
        let wire = client.wire.ok_or_else(|| format!("client {index} is not connected"))?;
        if present.get(&current.id) != Some(&vec![wire]) {
            return Err(format!("client {index} is on {wire}, but its sockets on {:?}", present.get(&current.id)));
        }
        for (number, seen) in client.sessions.iter().enumerate() {
            check_session(seen, &due, &places, number + 1 == last)
                .map_err(|error| format!("client {index}, session {number} of {last}: {error}"))?;
            story.events += seen.received.len();
        }
        story.recoveries += client.recoveries;
        story.fresh += client.sessions.len() - 1;
    }
    let Weather { is_trimmed, is_forgetful, is_asking, is_stalling } = world.weather;
    let is_fair = !is_trimmed && !is_forgetful && !is_asking && !is_stalling;
    if is_fair && story.fresh > 0 {
        return Err(format!("{} fresh sessions, though nothing was lost", story.fresh));
    }
    Ok(story)
}

fn check_session(seen: &Seen, due: &[Due<'_>], places: &HashMap<u64, &Due<'_>>, is_last: bool) -> Result<(), String> {
    let mut before: Option<usize> = None;
    let mut counts: HashMap<u64, usize> = HashMap::new();
    for number in &seen.received {
        *counts.entry(*number).or_default() += 1;
        if counts[number] > 1 {
            return Err(format!("event {number} came twice: {:?}", seen.received));
        }
        // What is not in the log, or volatile, has no place in its order.
        let Some(place) = places.get(number).filter(|place| place.is_for_all_times) else { continue };
        if before.is_some_and(|before| before >= place.index) {
            return Err(format!("event {number} came too late: {:?}", seen.received));
        }
        before = Some(place.index);
        let is_its = |room: &Room| *room == seen.id || seen.asked.contains(room);
        let is_for_it = place.targets.rooms.is_empty() || place.targets.rooms.iter().any(is_its);
        if !is_for_it || place.targets.except.contains(&seen.id) {
            return Err(format!("event {number} is not for this client"));
        }
    }
    for place in due.iter().filter(|place| place.is_for_all_times) {
        let is_known = |room: &Room| seen.rooms.iter().any(|(known, since)| known == room && *since <= place.index);
        let since = seen.rooms.first().map_or(usize::MAX, |(_, since)| *since);
        let is_for_it = match place.targets.rooms.is_empty() {
            true => place.index >= since,
            false => place.targets.rooms.iter().any(is_known),
        };
        let is_over = !is_last && before.is_none_or(|before| place.index > before);
        if is_for_it && !place.targets.except.contains(&seen.id) && !is_over && !counts.contains_key(&place.number) {
            return Err(format!("event {} is missing: {:?}", place.number, seen.received));
        }
    }
    Ok(())
}

fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match number("LIMPET_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LIMPET_SEEDS").unwrap_or(500),
    }
}

#[test]
fn every_client_has_every_event_once_and_in_order() {
    let mut total = Story::default();
    for seed in seeds() {
        let story = run(seed, Without::default()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        total.recoveries += story.recoveries;
        total.fresh += story.fresh;
        total.events += story.events;
    }
    println!("{} recoveries, {} fresh sessions, {} events", total.recoveries, total.fresh, total.events);
    let count = seeds().count();
    assert!(total.recoveries >= 2 * count && total.events >= 50 * count, "hardly anything happened");
}

/// Returns how many of the first seeds show that something is missing.
fn failures(without: Without) -> usize {
    (0..60).filter(|seed| run(*seed, without).is_err()).count()
}

#[test]
fn without_fencing_it_fails() {
    assert!(failures(Without { fencing: true, ..Without::default() }) > 0);
}

#[test]
fn without_one_order_it_fails() {
    assert!(failures(Without { ordering: true, ..Without::default() }) > 0);
}

#[test]
fn without_dropping_repeats_it_fails() {
    assert!(failures(Without { deduplication: true, ..Without::default() }) > 0);
}

#[test]
fn with_the_news_behind_the_events_it_fails() {
    assert!(failures(Without { connect_first: true, ..Without::default() }) > 0);
}
