//! Decides what can be told of a stream from what Redis says of it: whether what was read is still there, and whether anything
//! is missing.

use redis::Value;

use super::{entry, offset};
use crate::log::Offset;

/// What XINFO STREAM says of a stream. One that does not exist is all zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::redis) struct Info {
    /// How many entries it has.
    pub(in crate::redis) length: u64,
    /// The end: the highest id that it has had.
    pub(in crate::redis) last: Offset,
    /// The first entry that is still there.
    pub(in crate::redis) first: Option<Offset>,
    /// How many entries it has ever had.
    pub(in crate::redis) added: u64,
    /// The highest id that was deleted one by one.
    pub(in crate::redis) max_deleted: Offset,
}

impl Info {
    /// Reads what XINFO STREAM answers. What an old Redis does not say reads as the worst.
    pub(in crate::redis) fn read(answer: Value) -> Self {
        let mut info = Self { added: u64::MAX, ..Self::default() };
        let members: Vec<(Value, Value)> = match answer {
            Value::Map(members) => members,
            Value::Array(list) => {
                let mut list = list.into_iter();
                std::iter::from_fn(|| list.next().zip(list.next())).collect()
            }
            _ => Vec::new(),
        };
        for (name, value) in members {
            let name = match &name {
                Value::BulkString(name) => str::from_utf8(name).unwrap_or_default(),
                Value::SimpleString(name) => name,
                _ => continue,
            };
            let number = if let Value::Int(number) = value { u64::try_from(number).ok() } else { None };
            match name {
                "length" => info.length = number.unwrap_or_default(),
                "entries-added" => info.added = number.unwrap_or(u64::MAX),
                "last-generated-id" => info.last = offset(&value).unwrap_or_default(),
                "max-deleted-entry-id" => info.max_deleted = offset(&value).unwrap_or_default(),
                "first-entry" => info.first = entry(value).map(|entry| entry.offset),
                _ => {}
            }
        }
        info
    }

    /// Says whether Redis counts the entries, as Redis 7 does.
    pub(in crate::redis) fn is_counted(&self) -> bool {
        self.added != u64::MAX
    }

    /// Says what has become of what was read up to `read`, by our count the `seen`th entry that the stream has had. Whether
    /// the entry of that place `is_there` tells a stream that begun anew from one that went on. What was trimmed before it
    /// was read is known exactly at the end of the stream, and in part before.
    pub(in crate::redis) fn compare(&self, read: Offset, seen: Option<u64>, is_there: bool) -> Compared {
        let trimmed = self.added.saturating_sub(self.length);
        if is_there || self.last == read {
            // The number that it has at least: all that were trimmed came before it.
            let number = if self.last == read { self.added } else { trimmed + 1 };
            let missed = seen.filter(|_| self.is_counted()).map_or(0, |seen| number.saturating_sub(seen));
            return if missed == 0 { Compared::Same } else { Compared::Missed(missed) };
        }
        match seen.filter(|_| self.is_counted()) {
            _ if self.last < read => Compared::Lost,
            Some(seen) if self.added < seen => Compared::Lost,
            // It should be there.
            Some(seen) if trimmed < seen => Compared::Lost,
            Some(seen) if trimmed > seen => Compared::Missed(trimmed - seen),
            Some(_) => Compared::Same,
            None if self.first.is_some_and(|first| first < read) => Compared::Lost,
            None => Compared::Same,
        }
    }

    /// Says whether everything behind `after` that was ever added is still there.
    pub(in crate::redis) fn reaches_back_to(&self, after: Offset) -> bool {
        let is_untouched = after == Offset::ZERO && self.added == self.length;
        (is_untouched || self.last <= after || self.first.is_some_and(|first| first <= after))
            && self.max_deleted <= after
    }
}

/// What has become of what was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::redis) enum Compared {
    /// The stream goes on behind it.
    Same,
    /// So many entries behind it were trimmed before they were read.
    Missed(u64),
    /// It is not there any more, although it was not trimmed.
    Lost,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Offset {
        Offset { millis, counter: 0 }
    }

    #[test]
    fn a_loss_is_told_from_a_trim() {
        // Entries 1-0 to 9-0 were added, one by one; `first` to 9-0 are there.
        let cut_to =
            |first| Info { length: 10 - first, last: at(9), first: Some(at(first)), added: 9, max_deleted: at(0) };
        let gone = Info::default();
        let anew = Info { length: 3, last: at(30), first: Some(at(21)), added: 3, ..gone };
        let table = [
            // Read up to 4-0, the fourth.
            (cut_to(1), 4, Some(4), true, Compared::Same),
            (cut_to(4), 4, Some(4), true, Compared::Same),
            (cut_to(5), 4, Some(4), false, Compared::Same),
            (cut_to(7), 4, Some(4), false, Compared::Missed(2)),
            (cut_to(2), 4, Some(4), false, Compared::Lost),
            (gone, 4, Some(4), false, Compared::Lost),
            (anew, 4, Some(4), false, Compared::Lost),
            (anew, 4, None, false, Compared::Same),
            (cut_to(2), 4, None, false, Compared::Lost),
            (cut_to(7), 4, None, false, Compared::Same),
            // Something was passed over before it: then it is the seventh entry, and it is not told apart from the fifth.
            (cut_to(5), 7, Some(4), true, Compared::Missed(1)),
            (cut_to(7), 7, Some(4), true, Compared::Missed(3)),
            (cut_to(7), 9, Some(4), true, Compared::Missed(5)),
            (cut_to(7), 9, None, true, Compared::Same),
            // Read up to the end, which may be of an entry that is not there any more.
            (cut_to(7), 9, Some(9), false, Compared::Same),
            (cut_to(7), 12, Some(12), false, Compared::Lost),
            // Nothing was there yet.
            (gone, 0, Some(0), false, Compared::Same),
            (cut_to(1), 0, Some(0), false, Compared::Same),
            (cut_to(3), 0, Some(0), false, Compared::Missed(2)),
        ];
        for (info, read, seen, is_there, expected) in table {
            assert_eq!(info.compare(at(read), seen, is_there), expected, "{info:?} {read} {seen:?} {is_there}");
        }
    }

    #[test]
    fn a_stretch_is_whole_while_its_beginning_is_there() {
        let info = Info { length: 3, last: at(9), first: Some(at(7)), added: 9, max_deleted: at(0) };
        let reaches = [0, 6, 7, 8, 9].map(|after| info.reaches_back_to(at(after)));
        assert_eq!(reaches, [false, false, true, true, true]);
        let whole = Info { added: 3, ..info };
        assert!(whole.reaches_back_to(at(0)) && !whole.reaches_back_to(at(6)));
        assert!(!Info { max_deleted: at(8), ..info }.reaches_back_to(at(7)));
    }
}
