//! Decides from where events are sent again to a client that comes back, and which of them.

use crate::log::{Offset, Progress};

/// The longest text of a client, in bytes, that is remembered as one which it takes for an offset.
pub(super) const MAX_MISTAKEN: usize = 1024;

/// Returns behind which place events are sent again, given the offset that the client brought; `None` if it is not known
/// what the client has.
///
/// What is trusted of a text that is no offset is less; see `holding::trusted`.
///
/// | the client brings | it has everything up to |
/// |---|---|
/// | what it brought when the session began, or a text that it took for an offset | the last event that was sent before |
/// | an offset that is not before the beginning of the session | there |
/// | nothing | the beginning of the session |
/// | anything else | not known |
///
/// Nor is it known when it brings an offset behind the place where events would begin again, as after it came from a session
/// that the store has lost to a node that was behind: it may have got the event there before this session, or in it.
///
/// If no event was sent to it behind that place, there is nothing for it up to `as_of` either. So a client that nobody speaks
/// to does not depend on how far the log reaches back.
pub(super) fn from(progress: &Progress, brought: Option<&str>) -> Option<Offset> {
    let has = match (brought, &progress.mistaken) {
        (None, _) => progress.start?,
        (Some(text), Some((mistaken, before))) if text == mistaken => (*before).max(progress.start)?,
        (Some(text), _) => text.parse().ok().filter(|offset| Some(*offset) >= progress.start)?,
    };
    let reached = progress.sent.max(progress.start);
    let place = match (reached, progress.as_of) {
        (Some(reached), Some(as_of)) if has >= reached => has.max(as_of),
        _ => has,
    };
    let brought: Option<Offset> = brought.and_then(|text| text.parse().ok());
    Some(place).filter(|place| brought.is_none_or(|brought| brought <= *place))
}

/// Returns how far a client is whose session begins or goes on here, since it has everything up to `start` that concerns it.
/// What it brings it will bring again, until an event of this session arrives.
pub(super) fn begin(start: Option<Offset>, brought: Option<&str>) -> Progress {
    let brought = brought.filter(|text| text.len() <= MAX_MISTAKEN);
    Progress { start, sent: None, as_of: start, mistaken: brought.map(|text| (text.to_owned(), None)) }
}

#[cfg(test)]
mod tests {
    use limpet_proto::socketio::arguments::Arguments;

    use super::*;
    use crate::log::Entry;
    use crate::target::{Flags, Room, Targets};

    fn at(millis: u64) -> Offset {
        Offset { millis, counter: 0 }
    }

    fn progress(start: u64, sent: Option<u64>, as_of: u64) -> Progress {
        Progress { start: Some(at(start)), sent: sent.map(at), as_of: Some(at(as_of)), mistaken: None }
    }

    fn mistaken(text: &str, before: Option<u64>, progress: Progress) -> Progress {
        Progress { mistaken: Some((text.to_owned(), before.map(at))), ..progress }
    }

    #[test]
    fn where_events_begin_again() {
        let quiet = progress(10, None, 50);
        let spoken = progress(10, Some(30), 50);
        let asked = mistaken("hi", Some(30), spoken.clone());
        let asked_first = mistaken("hi", None, quiet.clone());
        let asked_before = mistaken("hi", Some(20), spoken.clone());
        let came_with = mistaken("9-0", None, quiet.clone());
        let came_ahead = mistaken("50-0", None, quiet.clone());
        let came_far_ahead = mistaken("51-0", None, quiet.clone());
        let spoken_ahead = mistaken("40-0", None, spoken.clone());
        let asked_ahead = mistaken("60-0", Some(30), spoken.clone());
        let by_node = Progress::default();
        let table: [(&Progress, Option<&str>, Option<u64>); 35] = [
            // An offset of the last event that was sent, or of a later one that was not saved any more.
            (&spoken, Some("30-0"), Some(50)),
            (&spoken, Some("40-0"), Some(50)),
            (&spoken, Some("60-0"), Some(60)),
            // Something was sent to the client that it has not got.
            (&spoken, Some("29-0"), Some(29)),
            (&spoken, Some("10-0"), Some(10)),
            // The offset is of an earlier session.
            (&spoken, Some("9-0"), None),
            (&quiet, Some("9-0"), None),
            (&came_with, Some("9-0"), Some(50)),
            (&came_with, Some("8-0"), None),
            (&came_with, None, Some(50)),
            (&quiet, Some("10-0"), Some(50)),
            (&quiet, Some("20-0"), Some(50)),
            (&quiet, Some("60-0"), Some(60)),
            // It is ahead of the beginning of the session, and nothing was sent up to there.
            (&came_ahead, Some("50-0"), Some(50)),
            // Since this was saved, the event there may have been sent.
            (&came_far_ahead, Some("51-0"), None),
            (&came_far_ahead, Some("20-0"), Some(50)),
            // Either all of it has arrived, or nothing.
            (&spoken_ahead, Some("40-0"), None),
            (&spoken_ahead, Some("20-0"), Some(20)),
            (&asked_ahead, Some("60-0"), None),
            // No event has arrived.
            (&quiet, None, Some(50)),
            (&spoken, None, Some(10)),
            // An event without an offset was the last one.
            (&asked, Some("hi"), Some(50)),
            (&asked, Some("30-0"), Some(50)),
            (&asked, Some("20-0"), Some(20)),
            (&asked, Some("ho"), None),
            (&asked, None, Some(10)),
            (&asked_first, Some("hi"), Some(50)),
            (&asked_first, None, Some(50)),
            // Events were sent behind it that the client has not got.
            (&asked_before, Some("hi"), Some(20)),
            // Texts that nobody sent, and almost offsets.
            (&spoken, Some(""), None),
            (&spoken, Some("30"), None),
            (&spoken, Some("+30-0"), None),
            // A Node server has kept the session.
            (&by_node, Some("30-0"), Some(30)),
            (&by_node, None, None),
            (&by_node, Some("hi"), None),
        ];
        for (progress, brought, expected) in table {
            assert_eq!(from(progress, brought), expected.map(at), "{progress:?} with {brought:?}");
        }
    }

    #[test]
    fn who_comes_back_again_at_once_begins_at_the_same_place() {
        let before = mistaken("hi", Some(30), progress(10, Some(30), 50));
        for brought in [Some("30-0"), Some("20-0"), Some("70-0"), Some("hi"), None] {
            let place = from(&before, brought).unwrap();
            let after = begin(Some(place), brought);
            assert_eq!(from(&after, brought), Some(place), "{brought:?}");
            // When something was sent that did not arrive: there too.
            let more = Progress { sent: Some(at(90)), as_of: Some(at(95)), ..after };
            assert_eq!(from(&more, brought), Some(place), "{brought:?}");
        }
    }

    #[test]
    fn a_fresh_session_is_not_confused_by_the_offset_of_an_earlier_one() {
        for brought in [None, Some("5-0"), Some("10-0"), Some("30-0"), Some("hi")] {
            let is_ahead = brought == Some("30-0");
            let begun = Progress { as_of: Some(at(20)), ..begin(Some(at(10)), brought) };
            assert_eq!(from(&begun, brought), (!is_ahead).then(|| at(20)), "{brought:?}");
            let later = Progress { as_of: Some(at(30)), ..begun.clone() };
            assert_eq!(from(&later, brought), Some(at(30)), "{brought:?}");
            let spoken = Progress { sent: Some(at(25)), ..begun };
            assert_eq!(from(&spoken, brought), (!is_ahead).then(|| at(10)), "{brought:?}");
        }
    }

    #[test]
    fn only_what_is_for_its_rooms_is_wanted() {
        let room = |names: &[&str]| names.iter().map(|name| Room::from(*name)).collect::<Vec<_>>();
        let entry = |rooms: &[&str], except: &[&str], volatile| Entry {
            offset: at(1),
            arguments: Arguments::default(),
            targets: Targets { rooms: room(rooms), except: room(except) },
            flags: Flags { volatile, ..Flags::default() },
        };
        let own = room(&["id", "a", "b"]);
        let table: [(&[&str], &[&str], bool, bool); 8] = [
            (&[], &[], false, true),
            (&["a"], &[], false, true),
            (&["x", "b"], &[], false, true),
            (&["x"], &[], false, false),
            (&["id"], &[], false, true),
            (&[], &["id"], false, false),
            (&["a"], &["b"], false, false),
            (&["a"], &[], true, false),
        ];
        for (rooms, except, volatile, expected) in table {
            assert_eq!(entry(rooms, except, volatile).is_for(&own), expected, "{rooms:?} but {except:?}");
        }
    }
}
