//! Decides how the arguments of an event or the values of an acknowledgement are kept: as the text of one JSON array, with
//! their bytes beside it.
//!
//! This form is the same whatever the parser of a connection. Bytes stand outside of the text as attachments, in their
//! place stands `{"_placeholder":true,"num":i}`. Nothing is parsed until somebody asks for a type. Clones share all.

mod attached;
mod read;
mod write;

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::packet::{PacketError, check_event_name, check_name, string};

/// The arguments of an event, its name first, or the values of an acknowledgement.
#[derive(Debug, Clone)]
pub struct Arguments {
    /// A well-formed JSON array.
    text: Arc<str>,
    attachments: Option<Arc<[Bytes]>>,
}

/// Says why values cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArgumentsError {
    /// Serde says no: a map whose keys are no text, or a value of another type than the one asked for.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// There are values that look like the place of an attachment and are none. Clients would hang up.
    #[error("a value that looks like the place of an attachment")]
    Placeholder,
    /// The text is no JSON array.
    #[error("no list of values")]
    NoList,
}

static NOTHING: LazyLock<Arc<str>> = LazyLock::new(|| "[]".into());

/// Returns whether a text is the same within JSON: letters, digits and dashes.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

impl Default for Arguments {
    fn default() -> Self {
        Self { text: NOTHING.clone(), attachments: None }
    }
}

impl Arguments {
    /// Writes an event.
    ///
    /// The values follow the spread rule: a tuple is several arguments, `()` is none, and anything else is one. To serde
    /// an array of fixed size is a tuple; to send one as one argument, put it into a tuple: `([1, 2],)`. Bytes (what
    /// serde calls so: [`Bytes`], but not `Vec<u8>`) become attachments wherever they are.
    ///
    /// # Errors
    /// When the values cannot be JSON, or look like the place of an attachment beside real ones.
    pub fn event<T: Serialize + ?Sized>(name: &str, values: &T) -> Result<Self, ArgumentsError> {
        write::write(Some(name), values)
    }

    /// Writes the values of an acknowledgement, by the same rule as [`event`](Self::event).
    ///
    /// # Errors
    /// As for [`event`](Self::event).
    pub fn values<T: Serialize + ?Sized>(values: &T) -> Result<Self, ArgumentsError> {
        write::write(None, values)
    }

    /// Takes a text and its attachments, as another node or a bus wrote them.
    ///
    /// # Errors
    /// When the text is no JSON array.
    pub fn from_parts(text: impl Into<Arc<str>>, attachments: Vec<Bytes>) -> Result<Self, ArgumentsError> {
        let text = text.into();
        if !text.starts_with('[') {
            return Err(ArgumentsError::NoList);
        }
        serde_json::from_str::<&RawValue>(&text)?;
        Ok(Self::trusted(text, attachments))
    }

    /// Returns these arguments with a text behind them, as one more. The attachments are shared.
    pub fn followed_by(&self, text: &str) -> Self {
        let (list, comma) = self.open();
        let mut longer = String::with_capacity(list.len() + text.len() + 4);
        longer.push_str(list);
        longer.push_str(comma);
        if is_plain(text) {
            longer.extend(["\"", text, "\""]);
        } else {
            longer.push_str(&serde_json::Value::from(text).to_string());
        }
        longer.push(']');
        Self { text: longer.into(), attachments: self.attachments.clone() }
    }

    /// Returns the list without its end, and what one more value has to follow.
    pub(super) fn open(&self) -> (&str, &'static str) {
        // It is a list: it was checked when it was made.
        let list = self.text.trim_end();
        let list = list.strip_suffix(']').unwrap_or(list);
        (list, if list.trim_end().ends_with('[') { "" } else { "," })
    }

    /// Returns the last value if it is a text; of an event without values the name is the last.
    pub fn last_text(&self) -> Option<Cow<'_, str>> {
        // Most events end in something else, which need not be read to be known.
        self.text.trim_end().strip_suffix(']')?.trim_end().strip_suffix('"')?;
        self.raw_values().pop().and_then(string)
    }

    /// Takes JSON that was read as a part of something else, and its attachments. It is not read again.
    ///
    /// # Errors
    /// When it is no array.
    pub fn from_raw(raw: &RawValue, attachments: Vec<Bytes>) -> Result<Self, ArgumentsError> {
        if !raw.get().starts_with('[') {
            return Err(ArgumentsError::NoList);
        }
        Ok(Self::trusted(raw.get(), attachments))
    }

    /// Takes what another one gave as its [`text`](Self::text) and its [`attachments`](Self::attachments). It is not read again.
    pub fn trusted(text: impl Into<Arc<str>>, attachments: Vec<Bytes>) -> Self {
        Self { text: text.into(), attachments: (!attachments.is_empty()).then(|| attachments.into()) }
    }

    /// Returns the JSON array as it was received or written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the bytes whose places the text names.
    pub fn attachments(&self) -> &[Bytes] {
        self.attachments.as_deref().unwrap_or_default()
    }

    /// Returns how many values there are, the name of an event among them. Counts anew each time.
    pub fn len(&self) -> usize {
        read::count(&self.text)
    }

    /// Returns whether there is no value, not even a name.
    pub fn is_empty(&self) -> bool {
        self.text.trim_start_matches(['[', ' ', '\t', '\n', '\r']).starts_with(']') && self.len() == 0
    }

    /// Returns the name of an event. One that is a number is returned as it is written; without a name it is empty.
    pub fn event_name(&self) -> Cow<'_, str> {
        if let Some(name) = self.plain_name() {
            return Cow::Borrowed(name);
        }
        let name = self.raw(0).unwrap_or_default();
        string(name).unwrap_or(Cow::Borrowed(name))
    }

    /// Says that clients take this for an event. They close the connection on one that begins with neither a text nor a number,
    /// or whose name the libraries use for themselves.
    ///
    /// # Errors
    /// [`PacketError::Payload`] or [`PacketError::ReservedEvent`].
    pub fn check_event(&self) -> Result<(), PacketError> {
        match self.plain_name() {
            Some(name) => check_name(name),
            None => check_event_name(self.raw(0).ok_or(PacketError::Payload)?),
        }
    }

    /// Returns the name of an event if it stands there as it is.
    fn plain_name(&self) -> Option<&str> {
        // Most names need no parser: the list is well-formed, and a text without escapes ends at the next quotation mark.
        let rest = self.text.strip_prefix("[\"")?;
        let (name, behind) = rest.split_at_checked(memchr::memchr2(b'"', b'\\', rest.as_bytes())?)?;
        behind.starts_with('"').then_some(name)
    }

    /// Returns the JSON of one value, in which attachments are placeholders; `None` behind the last one.
    pub fn raw(&self, index: usize) -> Option<&str> {
        read::nth::<&RawValue>(&self.text, index).ok().flatten().map(RawValue::get)
    }

    /// Returns the JSON of all values, in order.
    pub fn raw_values(&self) -> Vec<&str> {
        let list: Vec<&RawValue> = serde_json::from_str(&self.text).unwrap_or_default();
        list.into_iter().map(RawValue::get).collect()
    }

    /// Reads one value. One that is missing reads as null.
    ///
    /// Attachments read as bytes: into [`Bytes`] and other types that take bytes, and into `Vec<u8>`. A
    /// `serde_json::Value` cannot hold bytes.
    ///
    /// # Errors
    /// When the value is of another type.
    pub fn get<T: DeserializeOwned>(&self, index: usize) -> Result<T, ArgumentsError> {
        match &self.attachments {
            Some(attachments) => attached::get(self.raw(index).unwrap_or("null"), attachments),
            None => read::get(&self.text, index),
        }
    }

    /// Reads the values from `first` on by the spread rule: into a tuple by position, into `()` nothing, into anything
    /// else the value at `first`. Missing ones read as null; those too many are passed over.
    ///
    /// # Errors
    /// When a value is of another type.
    pub fn to<T: DeserializeOwned>(&self, first: usize) -> Result<T, ArgumentsError> {
        T::deserialize(read::Spread { arguments: self, next: first }).map_err(ArgumentsError::Json)
    }
}

impl PartialEq for Arguments {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.attachments() == other.attachments()
    }
}

impl From<ArgumentsError> for PacketError {
    fn from(error: ArgumentsError) -> Self {
        match error {
            ArgumentsError::Placeholder => Self::Placeholder,
            ArgumentsError::Json(_) | ArgumentsError::NoList => Self::Payload,
        }
    }
}
