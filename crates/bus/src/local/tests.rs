use std::sync::Weak;

use limpet_proto::socketio::arguments::Arguments;
use serde_json::json;

use super::*;
use crate::log::Progress;
use crate::target::{Flags, Targets};

const RETENTION: Duration = Duration::from_secs(60);

/// What a node is given: where it came in, and the places and texts of events.
#[derive(Default)]
struct Ear {
    seen: Mutex<Vec<(Option<Offset>, String)>>,
    begun: Mutex<Option<Offset>>,
    /// Answers each event with another one, once.
    answers: Mutex<Option<Weak<dyn Link>>>,
}

impl Ear {
    fn texts(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(_, text)| text.clone()).collect()
    }
}

impl Receiver for Ear {
    fn receive(&self, envelope: Envelope) {
        let text = match &envelope.message {
            Message::Broadcast { arguments, .. } => arguments.get(1).unwrap(),
            other => format!("{other:?}").split_whitespace().next().unwrap_or_default().to_owned(),
        };
        self.seen.lock().unwrap().push((envelope.offset, text.clone()));
        let link = self.answers.lock().unwrap().as_ref().and_then(Weak::upgrade);
        if let Some(link) = link
            && !text.ends_with('!')
        {
            link.publish(To::All, event(&format!("{text}!"))).unwrap();
        }
    }

    fn advance(&self, offset: Offset) {
        *self.begun.lock().unwrap() = Some(offset);
    }

    fn left(&self, _: &NodeId) {}
}

fn event(text: &str) -> Message {
    let arguments = Arguments::event("ev", &(text,)).unwrap();
    Message::Broadcast { arguments, targets: Targets::all(), flags: Flags::default(), request: None }
}

fn join(bus: &Local, name: &str) -> (Arc<dyn Link>, Arc<Ear>) {
    let ear = Arc::new(Ear::default());
    (bus.join("/", name.into(), ear.clone()).unwrap().into(), ear)
}

fn session(secret: &str) -> Session {
    let (rooms, progress) = (Vec::new(), Progress::default());
    Session { id: "id".into(), secret: secret.into(), rooms, data: json!({}), progress }
}

#[test]
fn all_nodes_see_one_order_whoever_publishes() {
    let bus = Local::new();
    bus.log(RETENTION).unwrap();
    let nodes: Vec<_> = ["a", "b", "c"].map(|name| join(&bus, name)).into();
    // One of them publishes from where it receives.
    *nodes[0].1.answers.lock().unwrap() = Some(Arc::downgrade(&nodes[0].0));
    std::thread::scope(|scope| {
        for (index, (link, _)) in nodes.iter().enumerate() {
            scope.spawn(move || {
                for number in 0..300 {
                    link.publish(To::All, event(&format!("{index} {number}"))).unwrap();
                }
            });
        }
    });
    let seen: Vec<_> = nodes.iter().map(|(_, ear)| ear.seen.lock().unwrap().clone()).collect();
    assert_eq!(seen[0].len(), 1800);
    assert!(seen[0] == seen[1] && seen[1] == seen[2]);
    assert!(seen[0].windows(2).all(|pair| pair[0].0 < pair[1].0));
    for index in 0..3 {
        let own: Vec<_> = seen[0].iter().filter(|(_, text)| text.starts_with(&format!("{index} "))).collect();
        let own: Vec<_> = own.into_iter().filter(|(_, text)| !text.ends_with('!')).collect();
        let expected: Vec<_> = (0..300).map(|number| format!("{index} {number}")).collect();
        assert!(own.iter().map(|(_, text)| text).eq(&expected));
    }
}

#[tokio::test(start_paused = true)]
async fn who_joins_begins_at_the_end_and_gets_back_its_own() {
    let bus = Local::new();
    let (before, plain) = join(&bus, "plain");
    before.publish(To::All, event("nobody is there")).unwrap();
    let log = bus.log(RETENTION).unwrap();
    let (first, ear) = join(&bus, "a");
    first.publish(To::All, event("1")).unwrap();
    let volatile = Flags { volatile: true, ..Flags::default() };
    let arguments = Arguments::event("ev", &("2",)).unwrap();
    first
        .publish(To::All, Message::Broadcast { arguments, targets: Targets::all(), flags: volatile, request: None })
        .unwrap();
    first.publish(To::All, Message::Join { targets: Targets::all(), rooms: Vec::new() }).unwrap();
    let (_second, late) = join(&bus, "b");
    let one = ear.seen.lock().unwrap()[0].0;
    assert_eq!(*late.begun.lock().unwrap(), one);
    first.publish(To::Node(&"b".into()), Message::Bye).unwrap();
    before.publish(To::All, event("3")).unwrap();
    assert_eq!(ear.texts(), ["1", "2", "Join", "3"]);
    assert_eq!(late.texts(), ["Bye", "3"]);
    assert_eq!(plain.texts(), ["1", "2", "Join", "3"]);
    let stretch = log.read("/", Offset::ZERO, Offset { millis: u64::MAX, counter: 0 }).await.unwrap();
    let texts: Vec<String> = stretch.entries.iter().map(|entry| entry.arguments.get(1).unwrap()).collect();
    assert_eq!((texts, stretch.is_whole), (vec!["1".to_owned(), "3".to_owned()], true));
    let other = log.read("/other", Offset::ZERO, Offset::ZERO).await.unwrap();
    assert!(!other.is_whole, "of a namespace that nobody has joined nothing is known");
    first.close();
    before.publish(To::All, event("4")).unwrap();
    assert_eq!(ear.texts().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_is_in_is_forgotten_after_its_time() {
    let bus = Local::new();
    bus.log(RETENTION).unwrap();
    for number in 0..10 {
        let link = bus.join(&format!("/{number}"), "a".into(), Arc::new(Ear::default())).unwrap();
        link.publish(To::All, event("x")).unwrap();
        link.close();
    }
    assert_eq!(bus.0.lock().spaces.len(), 10);
    tokio::time::advance(2 * RETENTION).await;
    let (_link, _ear) = join(&bus, "b");
    assert_eq!(bus.0.lock().spaces.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_session_has_one_holder() {
    let bus = Local::new();
    let log = bus.log(RETENTION).unwrap();
    let (_link, _ear) = join(&bus, "a");
    let lease = |node: &str, epoch| Lease { node: node.into(), epoch };
    let held = [("s".into(), lease("a", 1))];
    assert_eq!(log.refresh("/", &held).await.unwrap(), [Refreshed::Lost]);
    assert_eq!(log.save("/", &session("s"), &lease("a", 1)).await.unwrap(), Hold::Kept);
    assert!(log.adopt("/other", "s", &"b".into()).await.unwrap().is_none());
    let adopted = log.adopt("/", "s", &"b".into()).await.unwrap().unwrap();
    assert_eq!((adopted.epoch, adopted.former), (2, Some("a".into())));
    assert_eq!(log.save("/", &session("s"), &lease("a", 1)).await.unwrap(), Hold::Taken);
    assert_eq!(log.refresh("/", &held).await.unwrap(), [Refreshed::Taken]);
    log.forget("/", "s", &lease("a", 1)).await.unwrap();
    assert_eq!(log.save("/", &session("s"), &lease("b", 2)).await.unwrap(), Hold::Kept);
    let adopted = log.adopt("/", "s", &"c".into()).await.unwrap().unwrap();
    assert_eq!((adopted.epoch, adopted.former), (3, None), "b has not joined, so nobody need tell it");
    log.forget("/", "s", &lease("c", 3)).await.unwrap();
    assert!(log.adopt("/", "s", &"d".into()).await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn sessions_are_bounded_by_time_and_number() {
    let bus = Local::with_options(LocalOptions { max_sessions: 2, ..LocalOptions::default() });
    let log = bus.log(RETENTION).unwrap();
    let lease = Lease { node: "a".into(), epoch: 1 };
    log.save("/", &session("1"), &lease).await.unwrap();
    tokio::time::advance(RETENTION / 2).await;
    log.save("/", &session("2"), &lease).await.unwrap();
    assert_eq!(log.refresh("/", &[("1".into(), lease.clone())]).await.unwrap(), [Refreshed::Kept]);
    tokio::time::advance(Duration::from_secs(1)).await;
    log.save("/", &session("1"), &lease).await.unwrap();
    log.save("/", &session("3"), &lease).await.unwrap();
    let all = ["1", "2", "3"].map(|secret| (Arc::from(secret), lease.clone()));
    assert_eq!(log.refresh("/", &all).await.unwrap(), [Refreshed::Kept, Refreshed::Lost, Refreshed::Kept]);
    tokio::time::advance(RETENTION).await;
    assert_eq!(log.refresh("/", &all).await.unwrap(), [Refreshed::Lost; 3]);
    let state = bus.0.lock();
    assert!(format!("{:?}", state.sessions).contains("kept: {}, ends: {}"));
}
