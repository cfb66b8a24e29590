//! Reads values out of TOML tables: notes the line of each key, replaces variables and collects every error.

use toml::Spanned;
use toml::de::{DeTable, DeValue, Error};

use super::defaults;
use super::environment::Lookup;
use super::journal::Journal;
use super::part::Part;
use super::suggest::nearest;
use super::value::{self, Parsed};
use super::variables::expand;

/// Reads one file into the journal and into whatever slots its caller offers.
pub(super) struct Reader<'a> {
    text: &'a str,
    lookup: Lookup<'a>,
    journal: &'a mut Journal,
}

/// A key with its value: `path` is the whole key, `key` its last part.
#[derive(Clone, Copy)]
pub(super) struct Entry<'e> {
    pub(super) path: &'e str,
    pub(super) key: &'e str,
    pub(super) value: &'e DeValue<'e>,
}

impl<'a> Reader<'a> {
    /// Begins to read the text of a file.
    pub(super) fn new(text: &'a str, lookup: Lookup<'a>, journal: &'a mut Journal) -> Self {
        Self { text, lookup, journal }
    }

    /// Adds the errors of the TOML syntax, the first of each line: those after it follow from it.
    pub(super) fn complain_about_syntax(&mut self, errors: &[Error]) {
        let mut last = None;
        for error in errors {
            let line = error.span().map(|span| self.line(span.start));
            if line.is_some() && line == last {
                continue;
            }
            last = line;
            // Messages of the parser may span lines; an error is one line here.
            let message = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
            self.journal.complain_at_line(line, message);
        }
    }

    /// Adds an error at an offset of the text that concerns no key.
    pub(super) fn complain_at_offset(&mut self, offset: usize, message: impl Into<String>) {
        let line = self.line(offset);
        self.journal.complain_at_line(Some(line), message);
    }

    /// Adds an error about a value.
    pub(super) fn complain(&mut self, entry: Entry<'_>, message: impl Into<String>) {
        self.journal.complain(entry.path, message);
    }

    /// Offers each key of a table that the part knows, in the order of the file; other keys are errors.
    pub(super) fn part(
        &mut self,
        part: &Part,
        path: &str,
        table: &DeTable<'_>,
        mut take: impl FnMut(&mut Self, Entry<'_>),
    ) {
        self.each(path, table, |reader, entry| {
            if part.knows(entry.key) {
                take(reader, entry);
            } else {
                let known: Vec<&str> = part.names().collect();
                let elsewhere: Vec<_> = defaults::PARTS.iter().filter(|part| part.knows(entry.key)).collect();
                let message = if !elsewhere.is_empty() && nearest(entry.key, known.iter().copied()).is_none() {
                    let mut titles: Vec<_> = elsewhere.iter().map(|part| part.title).collect();
                    titles.dedup();
                    format!("unknown key here; it belongs in {}", titles.join(" or "))
                } else {
                    format!("unknown key; {}", value::choices(entry.key, &known))
                };
                reader.complain(entry, message);
            }
        });
    }

    /// Offers each key of a table, in the order of the file.
    pub(super) fn each(&mut self, path: &str, table: &DeTable<'_>, mut take: impl FnMut(&mut Self, Entry<'_>)) {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            // An error is one line, whatever somebody calls a key.
            let name: String = key.get_ref().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
            let path = if path.is_empty() { name } else { format!("{path}.{name}") };
            let line = self.line(key.span().start);
            self.journal.note_line(&path, line);
            take(self, Entry { path: &path, key: key.get_ref(), value: value.get_ref() });
        }
    }

    /// Offers each item of an array; its key is that of the array with the number of the item, counted from one.
    pub(super) fn items(
        &mut self,
        entry: Entry<'_>,
        items: &[Spanned<DeValue<'_>>],
        mut take: impl FnMut(&mut Self, Entry<'_>),
    ) {
        for (n, item) in items.iter().enumerate() {
            let path = format!("{}[{}]", entry.path, n + 1);
            let line = self.line(item.span().start);
            self.journal.note_line(&path, line);
            take(self, Entry { path: &path, key: entry.key, value: item.get_ref() });
        }
    }

    /// Puts a value into its slot, if it is right.
    pub(super) fn set<T>(&mut self, entry: Entry<'_>, parse: impl Fn(&str) -> Parsed<T>, slot: &mut T) {
        if let Some(value) = self.value(entry, parse) {
            *slot = value;
        }
    }

    /// Puts a list into its slot: an array, or one string that separates its items by commas or spaces.
    pub(super) fn set_list<T>(&mut self, entry: Entry<'_>, parse: impl Fn(&str) -> Parsed<T>, slot: &mut Vec<T>) {
        slot.clear();
        if let DeValue::Array(array) = entry.value {
            self.items(entry, array, |reader, item| slot.extend(reader.value(item, &parse)));
        } else if let Some(text) = self.text(entry) {
            for item in value::split(&text) {
                match parse(item) {
                    Ok(value) => slot.push(value),
                    Err(message) => self.complain(entry, message),
                }
            }
        }
    }

    /// Returns a value, if it is right.
    pub(super) fn value<T>(&mut self, entry: Entry<'_>, parse: impl Fn(&str) -> Parsed<T>) -> Option<T> {
        let text = self.text(entry)?;
        parse(&text).map_err(|message| self.complain(entry, message)).ok()
    }

    /// Returns a table.
    pub(super) fn table<'e>(&mut self, entry: Entry<'e>, example: &str) -> Option<&'e DeTable<'e>> {
        if let DeValue::Table(table) = entry.value {
            return Some(table);
        }
        self.complain(entry, format!("expected a table, found {}; write {example}", kind(entry.value)));
        None
    }

    /// Returns the text of a single value with its variables replaced; numbers and switches as one would write them.
    pub(super) fn text(&mut self, entry: Entry<'_>) -> Option<String> {
        match entry.value {
            DeValue::String(text) => expand(text, self.lookup).map_err(|message| self.complain(entry, message)).ok(),
            DeValue::Integer(number) => Some(number.to_string()),
            DeValue::Boolean(value) => Some(value.to_string()),
            other => {
                self.complain(entry, format!("expected a single value, found {}", kind(other)));
                None
            }
        }
    }

    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().get(..offset).unwrap_or(self.text.as_bytes());
        memchr::memchr_iter(b'\n', before).count() + 1
    }
}

/// Names the kind of a value as people say it.
pub(super) fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

/// Reports a key that the documentation promises and nothing here reads; the test of the defaults finds these.
pub(super) fn unread(reader: &mut Reader<'_>, entry: Entry<'_>) {
    reader.complain(entry, "is documented but not read");
}
