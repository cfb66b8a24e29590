use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::log::Entry;
use crate::target::Room;

const BOUNDS: TailBounds = TailBounds { time: Duration::from_secs(60), entries: 3, bytes: 1 << 20 };

fn offset(millis: u64) -> Offset {
    Offset { millis, counter: 0 }
}

fn push(tail: &mut Tail, millis: u64, text: &str) {
    let arguments = Arguments::event("ev", &(text,)).unwrap();
    tail.push(offset(millis), &arguments, &Targets::all(), Flags::default(), Instant::now());
}

fn read(tail: &Tail, after: u64, upto: u64) -> (Vec<u64>, bool) {
    let stretch = tail.read(offset(after), offset(upto));
    (stretch.entries.iter().map(|entry| entry.offset.millis).collect(), stretch.is_whole)
}

#[tokio::test(start_paused = true)]
async fn a_stretch_is_whole_until_its_first_entry_has_gone() {
    let mut tail = Tail::new(BOUNDS, offset(4));
    for millis in [5, 7, 8] {
        push(&mut tail, millis, "");
    }
    assert_eq!(read(&tail, 4, 9), (vec![5, 7, 8], true));
    assert_eq!(read(&tail, 5, 7), (vec![7], true));
    assert_eq!(read(&tail, 6, 6), (vec![], true));
    assert_eq!(read(&tail, 9, 5), (vec![], true));
    assert_eq!(read(&tail, 3, 9), (vec![5, 7, 8], false), "what was before the tail is not known");
    push(&mut tail, 9, "");
    assert_eq!(read(&tail, 5, 9), (vec![7, 8, 9], true));
    assert_eq!(read(&tail, 4, 9), (vec![7, 8, 9], false));
    // Not behind the last one: there already.
    push(&mut tail, 9, "");
    push(&mut tail, 8, "");
    assert_eq!(tail.len(), 3);
    tail.restart(offset(20));
    assert_eq!((read(&tail, 9, 30), tail.floor(), tail.is_empty()), ((vec![], false), offset(20), true));
}

#[tokio::test(start_paused = true)]
async fn time_and_bytes_are_bounded() {
    let mut tail = Tail::new(BOUNDS, Offset::ZERO);
    push(&mut tail, 1, "");
    tokio::time::advance(Duration::from_secs(40)).await;
    push(&mut tail, 2, "");
    tokio::time::advance(Duration::from_secs(30)).await;
    tail.trim(Instant::now());
    assert_eq!(read(&tail, 0, 9), (vec![2], false));
    tokio::time::advance(Duration::from_secs(90)).await;
    tail.trim(Instant::now());
    assert_eq!((tail.len(), tail.bytes, tail.floor(), tail.chunks.len()), (0, 0, offset(2), 0));
    let one = form::size(&Arguments::event("ev", &("some text",)).unwrap(), &Targets::all(), Flags::default());
    let mut tail = Tail::new(TailBounds { bytes: 3 * one - 1, ..BOUNDS }, Offset::ZERO);
    for millis in 1..=3 {
        push(&mut tail, millis, "some text");
    }
    assert_eq!(read(&tail, 1, 9), (vec![2, 3], true));
    push(&mut tail, 4, &"x".repeat(2000));
    assert_eq!(read(&tail, 3, 9), (vec![4], true), "one is kept whatever it takes");
}

/// What is kept, one by one.
struct Model {
    entries: VecDeque<(Entry, Instant, usize)>,
    bounds: TailBounds,
    floor: Offset,
}

impl Model {
    fn push(&mut self, entry: Entry, now: Instant) {
        if entry.offset <= self.entries.back().map_or(self.floor, |(last, ..)| last.offset) {
            return;
        }
        let lengths = |rooms: &[Room]| rooms.iter().map(|room| 4 + room.len()).sum::<usize>();
        let attachments: usize = entry.arguments.attachments().iter().map(|bytes| 4 + bytes.len()).sum();
        let timeout = entry.flags.timeout.map_or(0, |_| 12);
        let names = lengths(&entry.targets.rooms) + lengths(&entry.targets.except);
        let size = 45 + timeout + entry.arguments.text().len() + names + attachments;
        self.entries.push_back((entry, now, size));
        self.trim(now);
    }

    fn trim(&mut self, now: Instant) {
        while let Some((first, at, _)) = self.entries.front() {
            let is_too_much = self.entries.len() > self.bounds.entries || self.bytes() > self.bounds.bytes;
            if now - *at <= self.bounds.time && (!is_too_much || self.entries.len() == 1) {
                break;
            }
            self.floor = first.offset;
            self.entries.pop_front();
        }
    }

    fn read(&self, after: Offset, upto: Offset) -> (Vec<Entry>, bool) {
        let wanted = self.entries.iter().map(|(entry, ..)| entry).filter(|entry| entry.offset > after);
        (wanted.filter(|entry| entry.offset <= upto).cloned().collect(), after >= self.floor)
    }

    fn bytes(&self) -> usize {
        self.entries.iter().map(|(.., size)| size).sum()
    }
}

#[derive(Debug, Clone)]
enum Step {
    /// With a place so far behind the last one.
    Push(i64, Entry),
    Wait(Duration),
    Trim,
    Restart(u64),
}

fn entry() -> impl Strategy<Value = Entry> {
    let text = prop_oneof![8 => 0_usize..300, 2 => 300_usize..5_000, 1 => 60_000_usize..70_000];
    let rooms = || prop::collection::vec("[a-zé]{0,6}".prop_map(Room::from), 0..4);
    let attachments = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from), 0..3);
    let timeout = prop::option::of((0_u64..u64::MAX, 0_u32..1_000_000_000));
    let flags = (any::<[bool; 3]>(), timeout).prop_map(|([volatile, local, compress], timeout)| {
        let timeout = timeout.map(|(seconds, nanos)| Duration::new(seconds, nanos));
        Flags { volatile, local, compress, timeout }
    });
    (text, rooms(), rooms(), attachments, flags).prop_map(|(length, rooms, except, attachments, flags)| Entry {
        offset: Offset::ZERO,
        arguments: Arguments::from_parts(format!(r#"["é","{}"]"#, "x".repeat(length)), attachments).unwrap(),
        targets: Targets { rooms, except },
        flags,
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (-2_i64..4, entry()).prop_map(|(gap, entry)| Step::Push(gap, entry)),
        4 => (0_u64..4_000).prop_map(|millis| Step::Wait(Duration::from_millis(millis))),
        2 => Just(Step::Trim),
        1 => (0_u64..4).prop_map(Step::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Also: what the chunks take is bounded, and what is read is what was written, to the last bit.
    #[test]
    fn as_a_list_of_entries_would_say(
        steps in prop::collection::vec(step(), 1..120),
        (entries, bytes) in (1_usize..60, 100_usize..300_000),
        places in prop::collection::vec((0_u64..200, 0_u64..200), 8),
    ) {
        let bounds = TailBounds { time: Duration::from_secs(8), entries, bytes };
        let floor = Offset { millis: 3, counter: 20 };
        let (mut tail, mut now, mut last) = (Tail::new(bounds, floor), Instant::now(), floor);
        let mut model = Model { entries: VecDeque::new(), bounds, floor };
        for step in steps {
            match step {
                Step::Push(gap, entry) => {
                    let offset = Offset { counter: last.counter.saturating_add_signed(gap), ..last };
                    let Entry { arguments, targets, flags, .. } = &entry;
                    tail.push(offset, arguments, targets, *flags, now);
                    model.push(Entry { offset, ..entry }, now);
                    last = last.max(offset);
                }
                Step::Wait(time) => now += time,
                Step::Trim => {
                    tail.trim(now);
                    model.trim(now);
                }
                Step::Restart(gap) => {
                    last.counter += gap;
                    tail.restart(last);
                    model = Model { entries: VecDeque::new(), bounds, floor: last };
                }
            }
            prop_assert_eq!((tail.len(), tail.bytes, tail.floor()), (model.entries.len(), model.bytes(), model.floor));
            let memory: usize = tail.chunks.iter().map(|chunk| chunk.bytes.capacity()).sum();
            prop_assert!(memory <= 2 * (tail.bytes + CHUNK.1), "{memory} for {}", tail.bytes);
        }
        for (after, upto) in places {
            let at = |counter| Offset { millis: 3, counter };
            let (read, expected) = (tail.read(at(after), at(upto)), model.read(at(after), at(upto)));
            prop_assert_eq!(read.is_whole, expected.1);
            prop_assert_eq!(read.entries, expected.0);
        }
    }
}
