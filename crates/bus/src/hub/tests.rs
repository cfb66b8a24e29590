use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;

fn rooms(names: &[&str]) -> Vec<Room> {
    names.iter().map(|name| Room::from(*name)).collect()
}

fn targets(to: &[&str], except: &[&str]) -> Targets {
    Targets { rooms: rooms(to), except: rooms(except) }
}

fn reached(hub: &Hub<&'static str>, to: &[&str], except: &[&str]) -> Vec<&'static str> {
    let mut reached = hub.select(&targets(to, except));
    reached.sort_unstable();
    reached
}

fn three() -> Hub<&'static str> {
    let hub = Hub::new();
    for (id, joined) in [("a", ["red", "all"]), ("b", ["blue", "all"]), ("c", ["red", "blue"])] {
        hub.insert(id, id);
        assert!(hub.join(id, &rooms(&joined)));
    }
    hub
}

#[test]
fn a_broadcast_reaches_each_socket_once() {
    let hub = three();
    assert_eq!(reached(&hub, &[], &[]), ["a", "b", "c"]);
    assert_eq!(reached(&hub, &["red", "blue", "all"], &[]), ["a", "b", "c"]);
    assert_eq!(reached(&hub, &["red"], &[]), ["a", "c"]);
    assert_eq!(reached(&hub, &["nobody"], &[]), [""; 0]);
}

#[test]
fn who_is_in_an_excepted_room_is_left_out() {
    let hub = three();
    assert_eq!(reached(&hub, &[], &["red"]), ["b"]);
    assert_eq!(reached(&hub, &["all"], &["blue"]), ["a"]);
    assert_eq!(reached(&hub, &["red", "blue"], &["a", "nobody"]), ["b", "c"]);
}

#[test]
fn a_socket_is_in_the_room_of_its_id_and_never_leaves_it() {
    let hub = three();
    assert_eq!(reached(&hub, &["a"], &[]), ["a"]);
    hub.leave("a", &rooms(&["a", "red", "red"]));
    assert_eq!(reached(&hub, &["a"], &[]), ["a"]);
    assert_eq!(hub.rooms("a"), rooms(&["a", "all"]));
    // Another may join the room of an id.
    hub.join("b", &rooms(&["a"]));
    assert_eq!(reached(&hub, &["a"], &[]), ["a", "b"]);
    hub.remove("a");
    assert_eq!(reached(&hub, &["a"], &[]), ["b"]);
}

#[test]
fn rooms_are_gone_with_their_last_member() {
    let hub = three();
    assert_eq!(hub.remove("a").unwrap(), rooms(&["a", "red", "all"]));
    assert_eq!(hub.remove("a"), None);
    hub.remove("c");
    let mut names = hub.room_names();
    names.sort();
    assert_eq!(names, rooms(&["all", "blue"]));
    hub.remove("b");
    assert!(hub.is_empty() && hub.room_names().is_empty());
}

#[test]
fn sockets_that_are_meant_join_and_leave_together() {
    let hub = three();
    hub.join_all(&targets(&["red"], &["c"]), &rooms(&["new", "red"]));
    assert_eq!(reached(&hub, &["new"], &[]), ["a"]);
    hub.leave_all(&targets(&[], &[]), &rooms(&["red"]));
    assert_eq!(reached(&hub, &["red"], &[]), [""; 0]);
    assert!(!hub.join("nobody", &rooms(&["red"])) && !hub.leave("nobody", &rooms(&["red"])));
}

#[derive(Debug, Clone)]
enum Step {
    Insert(u8),
    Remove(u8),
    Join(u8, u8),
    Leave(u8, u8),
    JoinAll(Vec<u8>, u8),
    LeaveAll(Vec<u8>, u8),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..8_u8).prop_map(Step::Insert),
        (0..8_u8).prop_map(Step::Remove),
        (0..8_u8, 0..10_u8).prop_map(|(id, room)| Step::Join(id, room)),
        (0..8_u8, 0..10_u8).prop_map(|(id, room)| Step::Join(id, room)),
        (0..8_u8, 0..10_u8).prop_map(|(id, room)| Step::Leave(id, room)),
        (prop::collection::vec(0..10_u8, 0..3), 0..10_u8).prop_map(|(to, room)| Step::JoinAll(to, room)),
        (prop::collection::vec(0..10_u8, 0..3), 0..10_u8).prop_map(|(to, room)| Step::LeaveAll(to, room)),
    ]
}

/// Rooms 6 to 9 are rooms; below, a room is the id of a socket.
fn name(number: u8) -> Room {
    number.to_string().into()
}

/// The same as plainly as possible: of each socket its rooms.
type Model = BTreeMap<u8, BTreeSet<u8>>;

fn change(model: &mut Model, id: u8, change: impl FnOnce(&mut BTreeSet<u8>) -> bool) {
    if let Some(own) = model.get_mut(&id) {
        change(own);
    }
}

fn meant(model: &Model, to: &[u8], except: &[u8]) -> Vec<u8> {
    let any = |own: &BTreeSet<u8>, rooms: &[u8]| rooms.iter().any(|room| own.contains(room));
    let is_meant = |own: &BTreeSet<u8>| (to.is_empty() || any(own, to)) && !any(own, except);
    model.iter().filter(|(_, own)| is_meant(own)).map(|(id, _)| *id).collect()
}

proptest! {
    #[test]
    fn is_what_the_plain_model_is(
        steps in prop::collection::vec(step(), 0..60),
        to in prop::collection::vec(0..10_u8, 0..3),
        except in prop::collection::vec(0..10_u8, 0..3),
    ) {
        let hub = Hub::new();
        let mut model = Model::new();
        for step in steps {
            match step {
                Step::Insert(id) => {
                    hub.insert(name(id), id);
                    model.insert(id, BTreeSet::from([id]));
                }
                Step::Remove(id) => prop_assert_eq!(hub.remove(&name(id)).is_some(), model.remove(&id).is_some()),
                Step::Join(id, room) => {
                    hub.join(&name(id), &[name(room)]);
                    change(&mut model, id, |own| own.insert(room));
                }
                Step::Leave(id, room) => {
                    hub.leave(&name(id), &[name(room)]);
                    change(&mut model, id, |own| room == id || own.remove(&room));
                }
                Step::JoinAll(to, room) => {
                    let all = Targets { rooms: to.iter().copied().map(name).collect(), except: Vec::new() };
                    hub.join_all(&all, &[name(room)]);
                    for id in meant(&model, &to, &[]) {
                        change(&mut model, id, |own| own.insert(room));
                    }
                }
                Step::LeaveAll(to, room) => {
                    let all = Targets { rooms: to.iter().copied().map(name).collect(), except: Vec::new() };
                    hub.leave_all(&all, &[name(room)]);
                    for id in meant(&model, &to, &[]) {
                        change(&mut model, id, |own| room == id || own.remove(&room));
                    }
                }
            }
        }
        let all = Targets {
            rooms: to.iter().copied().map(name).collect(),
            except: except.iter().copied().map(name).collect(),
        };
        let mut reached = hub.select(&all);
        reached.sort_unstable();
        prop_assert_eq!(reached, meant(&model, &to, &except));
        for (id, own) in &model {
            let rooms: BTreeSet<Room> = hub.rooms(&name(*id)).into_iter().collect();
            prop_assert_eq!(rooms, own.iter().copied().map(name).collect());
        }
        prop_assert_eq!(hub.len(), model.len());
    }
}

#[test]
fn a_later_socket_of_an_id_stays() {
    let hub = Hub::new();
    let insert = |id: &str, socket: u32| hub.insert_over(id, socket, &rooms(&["red", id]), |other| *other < socket);
    assert_eq!(insert("a", 2), (true, None));
    assert_eq!(insert("a", 1), (false, None));
    assert_eq!(hub.get("a"), Some(2));
    assert_eq!(insert("a", 3), (true, Some(2)));
    assert_eq!(hub.select(&targets(&["red"], &[])), [3]);
    assert_eq!(hub.remove_if("a", |socket| *socket == 2), None);
    assert_eq!(hub.remove_if("a", |socket| *socket == 3), Some(rooms(&["a", "red"])));
    assert!(hub.is_empty() && hub.room_names().is_empty());
}
