//! Decides what a node remembers of one client for its recovery: by what right it holds the session, and how far the
//! client is.

use std::collections::HashSet;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Stamp;
use super::replay::MAX_MISTAKEN;
use crate::log::{Lease, Offset, Progress};
use crate::target::Room;

/// How many different texts one connection may take for offsets. With more, a client whose last event was one of them gets a
/// fresh session.
const MAX_TEXTS: usize = 256;

/// A session that this node holds. The socket keeps it, and asks it about each event. Clones are the same.
#[derive(Clone)]
pub struct Holding(Arc<Inner>);

struct Inner {
    serial: u64,
    id: Room,
    secret: Arc<str>,
    lease: Lease,
    track: Mutex<Track>,
}

struct Track {
    progress: Progress,
    /// The client has everything up to here, or it is not its concern.
    done: Offset,
    /// The offset that the client brought from an earlier session, if it is behind the beginning of this one: until the
    /// events are there, it says nothing.
    stale: Option<Offset>,
    /// The texts that the client has taken for offsets, by their hashes.
    texts: HashSet<u64>,
    /// Whether one of them came again, there were too many, or the session has had another holder: they do not say where
    /// the client is.
    is_ambiguous: bool,
}

impl Holding {
    pub(super) fn new(serial: u64, id: Room, secret: Arc<str>, lease: Lease, mut progress: Progress) -> Self {
        let is_ambiguous = lease.epoch > 1;
        if is_ambiguous && is_text(&progress) {
            progress.mistaken = None;
        }
        let done = progress.start.unwrap_or_default();
        let texts = progress.mistaken.iter().map(|(text, _)| hash(text)).collect();
        let brought = progress.mistaken.as_ref().and_then(|(text, _)| text.parse().ok());
        let stale = brought.filter(|brought| *brought > done);
        let track = Mutex::new(Track { progress, done, stale, texts, is_ambiguous });
        Self(Arc::new(Inner { serial, id, secret, lease, track }))
    }

    /// Returns the public id of the socket.
    pub fn id(&self) -> &Room {
        &self.0.id
    }

    /// Returns the secret by which the client proves that the session is its own.
    pub fn secret(&self) -> &Arc<str> {
        &self.0.secret
    }

    /// Returns which holder this is: 1 for the first, and more for each that took the session over.
    pub fn epoch(&self) -> u64 {
        self.0.lease.epoch
    }

    /// Notes that an event is about to be sent to the client, and returns with what stamp; `None` if it must not be sent,
    /// since the client has it.
    ///
    /// To be called for each event, in their order, as soon as it reaches a socket that is not held back, or is released,
    /// and before it is tried to send it: what is sent to a connection that is already dead counts too. The stamp that is
    /// returned is another one only for what is not in the log, and seldom: behind what was held back, and on a node that is
    /// behind what the client has.
    pub fn admit(&self, stamp: Stamp) -> Option<Stamp> {
        let mut track = self.lock();
        match stamp {
            Stamp::None => Some(Stamp::None),
            Stamp::Last(offset) => Some(Stamp::Last(offset.max(track.done))),
            Stamp::Own(offset) if offset <= track.done => None,
            Stamp::Own(offset) => {
                track.done = offset;
                let before = track.progress.sent.replace(offset);
                if let Some(stale) = track.stale.filter(|stale| *stale <= offset) {
                    track.stale = None;
                    // From here on it is one of this session, unless events were sent before it, and none at its place.
                    if stale == offset || before.is_none() {
                        track.progress.mistaken = None;
                    }
                }
                Some(stamp)
            }
        }
    }

    /// Notes that an event without a stamp is about to be sent whose last argument is this text: the client takes it for
    /// its offset.
    pub fn mistake(&self, text: &str) {
        let mut track = self.lock();
        let before = track.progress.sent;
        if track.progress.mistaken.as_ref().is_some_and(|(last, sent)| last == text && *sent == before) {
            return;
        }
        if !track.is_ambiguous {
            // Of one that was sent before, with something in between, nobody knows which the client has seen last.
            let is_new = track.texts.len() < MAX_TEXTS && track.texts.insert(hash(text));
            track.is_ambiguous = !is_new;
            track.stale = None;
        } else if !is_text(&track.progress) {
            return;
        }
        let is_clear = !track.is_ambiguous && text.len() <= MAX_MISTAKEN;
        track.progress.mistaken = is_clear.then(|| (text.to_owned(), before));
    }

    pub(super) fn serial(&self) -> u64 {
        self.0.serial
    }

    pub(super) fn lease(&self) -> &Lease {
        &self.0.lease
    }

    /// Returns how far the client is, if everything up to `as_of` has reached its socket. While the socket lives, a text that
    /// is no offset is left out: it may be sent again, and the node die before that is saved.
    pub(super) fn progress(&self, as_of: Option<Offset>, is_last: bool) -> Progress {
        let mut progress = Progress { as_of, ..self.lock().progress.clone() };
        if !is_last && is_text(&progress) {
            progress.mistaken = None;
        }
        progress
    }

    /// Notes what the client gets before everything else, and up to where it has everything then.
    pub(super) fn replayed(&self, last: Option<Offset>, upto: Offset) {
        let mut track = self.lock();
        track.progress.sent = last.or(track.progress.sent);
        track.done = track.done.max(upto);
    }

    fn lock(&self) -> MutexGuard<'_, Track> {
        self.0.track.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns what can be relied on of what a holder saved, for the one that comes next. Texts that are no offsets only from the
/// first to the second: later ones do not know which of them the client was sent before.
pub(super) fn trusted(saved: &Progress, epoch: u64) -> Progress {
    let mut progress = saved.clone();
    if epoch > 2 && is_text(&progress) {
        progress.mistaken = None;
    }
    progress
}

/// Returns whether what the client takes for its offset is a text that may be sent to it again.
fn is_text(progress: &Progress) -> bool {
    progress.mistaken.as_ref().is_some_and(|(text, _)| text.parse::<Offset>().is_err())
}

fn hash(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

impl PartialEq for Holding {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Holding {}

impl fmt::Debug for Holding {
    /// Leaves the secret out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holding").field("id", &self.0.id).field("epoch", &self.0.lease.epoch).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recovery::replay;

    fn at(millis: u64) -> Offset {
        Offset { millis, counter: 0 }
    }

    fn holding(progress: Progress) -> Holding {
        Holding::new(1, "id".into(), "secret".into(), Lease { node: "a".into(), epoch: 1 }, progress)
    }

    #[test]
    fn an_event_of_the_log_is_sent_once_and_in_order() {
        let holding = holding(replay::begin(Some(at(10)), None));
        for (stamp, expected) in [
            (Stamp::None, Some(Stamp::None)),
            (Stamp::Own(at(10)), None),
            (Stamp::Last(at(10)), Some(Stamp::Last(at(10)))),
            (Stamp::Own(at(12)), Some(Stamp::Own(at(12)))),
            (Stamp::Own(at(12)), None),
            (Stamp::Own(at(11)), None),
            // A client's offset never moves back.
            (Stamp::Last(at(11)), Some(Stamp::Last(at(12)))),
            (Stamp::Last(at(15)), Some(Stamp::Last(at(15)))),
            (Stamp::Own(at(14)), Some(Stamp::Own(at(14)))),
        ] {
            assert_eq!(holding.admit(stamp), expected, "{stamp:?}");
        }
        assert_eq!(holding.progress(Some(at(20)), true).sent, Some(at(14)));
        holding.replayed(None, at(30));
        assert_eq!((holding.admit(Stamp::Own(at(30))), holding.progress(None, true).sent), (None, Some(at(14))));
        holding.replayed(Some(at(33)), at(35));
        assert_eq!((holding.admit(Stamp::Own(at(35))), holding.progress(None, true).sent), (None, Some(at(33))));
    }

    #[test]
    fn a_text_says_where_the_client_is_unless_it_came_twice() {
        let holding = holding(replay::begin(Some(at(10)), None));
        let mistaken = || holding.progress(None, true).mistaken;
        holding.mistake("hi");
        assert_eq!(mistaken(), Some(("hi".to_owned(), None)));
        assert_eq!(holding.progress(None, false).mistaken, None);
        holding.admit(Stamp::Own(at(12)));
        assert_eq!(mistaken(), Some(("hi".to_owned(), None)), "events behind it may not have arrived");
        holding.mistake("ho");
        holding.mistake("ho");
        assert_eq!(mistaken(), Some(("ho".to_owned(), Some(at(12)))));
        holding.admit(Stamp::Own(at(13)));
        holding.mistake("hi");
        assert_eq!(mistaken(), None);
        holding.mistake("something else");
        assert_eq!(mistaken(), None);
    }

    #[test]
    fn texts_are_relied_on_from_the_first_holder_to_the_second() {
        let saved = Progress { mistaken: Some(("hi".to_owned(), None)), ..replay::begin(Some(at(10)), None) };
        assert!(trusted(&saved, 2).mistaken.is_some());
        assert!(trusted(&saved, 3).mistaken.is_none());
        let lease = Lease { node: "b".into(), epoch: 2 };
        let second = |brought| {
            let progress = replay::begin(Some(at(10)), Some(brought));
            let second = Holding::new(1, "id".into(), "secret".into(), lease.clone(), progress);
            second.mistake("ho");
            second.progress(None, true).mistaken
        };
        assert_eq!(second("hi"), None);
        assert_eq!(second("9-0"), Some(("9-0".to_owned(), None)), "who brings that has got nothing since");
    }

    #[test]
    fn texts_are_bounded() {
        let long = holding(replay::begin(Some(at(10)), None));
        long.mistake(&"x".repeat(MAX_MISTAKEN + 1));
        assert_eq!(long.progress(None, true).mistaken, None);
        let many = holding(replay::begin(Some(at(10)), None));
        (0..MAX_TEXTS).for_each(|text| many.mistake(&text.to_string()));
        assert!(many.progress(None, true).mistaken.is_some());
        many.mistake("one more");
        assert_eq!((many.progress(None, true).mistaken, many.lock().texts.len()), (None, MAX_TEXTS));
    }

    #[test]
    fn an_offset_from_before_becomes_one_of_this_session() {
        let holding = holding(replay::begin(Some(at(10)), Some("15-0")));
        let from = |brought| replay::from(&holding.progress(Some(at(11)), true), Some(brought));
        assert_eq!(from("15-0"), None, "the event there may be sent before the next save");
        let later = holding.progress(Some(at(16)), false);
        assert!(later.mistaken.is_some());
        assert_eq!(replay::from(&later, Some("15-0")), Some(at(16)), "nothing was sent up to there");
        holding.admit(Stamp::Own(at(12)));
        assert_eq!((from("15-0"), from("12-0")), (None, Some(at(12))));
        holding.admit(Stamp::Own(at(15)));
        assert_eq!((from("15-0"), from("12-0")), (Some(at(15)), Some(at(12))));
        // A text of the application that looks like an offset is none.
        holding.mistake("12-05");
        holding.admit(Stamp::Own(at(3000)));
        assert_eq!(from("12-05"), Some(at(15)));
    }

    #[test]
    fn an_offset_from_before_that_is_passed_over_is_no_place_of_this_session() {
        let brought = |offsets: &[u64]| {
            let holding = holding(replay::begin(Some(at(10)), Some("15-0")));
            offsets.iter().for_each(|offset| assert!(holding.admit(Stamp::Own(at(*offset))).is_some()));
            replay::from(&holding.progress(Some(at(30)), true), Some("15-0"))
        };
        assert_eq!(brought(&[]), Some(at(30)));
        assert_eq!(brought(&[20]), Some(at(15)), "there was nothing before it");
        assert_eq!(brought(&[12, 15, 20]), Some(at(15)), "it has that, from here or from before");
        assert_eq!(brought(&[12, 20]), None, "the client has nothing of this session, or all up to there");
    }

    #[test]
    fn the_secret_is_not_shown() {
        assert!(!format!("{:?}", holding(Progress::default())).contains("secret"));
    }
}
