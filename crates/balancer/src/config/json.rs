//! Reads JSON into the tables that the reader of TOML knows, with the place of every value, so that errors name lines.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

/// How deep lists and objects may lie in each other; an endpoint needs three.
const MAX_DEPTH: usize = 8;

/// What is wrong with a text, and where: an offset in bytes.
pub(super) type Wrong = (usize, String);

/// Reads a JSON object, or a list, which becomes the only value of a table under `key`.
///
/// # Errors
/// [`Wrong`] when the text is not JSON.
pub(super) fn parse<'t>(text: &'t str, key: &'static str) -> Result<DeTable<'t>, Wrong> {
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| (offset(text, &error), in_words(&error)))?;
    let value = value(text, whole, MAX_DEPTH)?;
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) => Ok(table),
        other => Ok([(Spanned::new(span.clone(), key.into()), Spanned::new(span, other))].into_iter().collect()),
    }
}

fn value<'t>(text: &'t str, raw: &'t RawValue, depth: usize) -> Result<Spanned<DeValue<'t>>, Wrong> {
    // Raw values are slices of the text.
    let start = (raw.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    let wrong = |error: serde_json::Error| (start, in_words(&error));
    if depth == 0 {
        return Err((start, "lists and objects lie too deep in each other".to_owned()));
    }
    let value = match raw.get().as_bytes().first() {
        Some(b'{') => {
            let pairs: Pairs<'t> = serde_json::from_str(raw.get()).map_err(wrong)?;
            let mut table = DeTable::new();
            for (key, raw) in pairs.0 {
                let value = value(text, raw, depth - 1)?;
                let at = value.span();
                let message = format!("the key {key:?} is there twice");
                if table.insert(Spanned::new(at.clone(), key.into()), value).is_some() {
                    return Err((at.start, message));
                }
            }
            DeValue::Table(table)
        }
        Some(b'[') => {
            let items: Vec<&'t RawValue> = serde_json::from_str(raw.get()).map_err(wrong)?;
            let items: Result<DeArray<'t>, Wrong> = items.into_iter().map(|raw| value(text, raw, depth - 1)).collect();
            DeValue::Array(items?)
        }
        Some(b'"') => DeValue::String(serde_json::from_str::<String>(raw.get()).map_err(wrong)?.into()),
        Some(b't') => DeValue::Boolean(true),
        Some(b'f') => DeValue::Boolean(false),
        Some(b'n') => return Err((start, "null is no value; leave the key out".to_owned())),
        // A number, as it is written; whoever reads it says what would be right.
        _ => DeValue::String(raw.get().into()),
    };
    Ok(Spanned::new(start..start + raw.get().len(), value))
}

/// The pairs of an object in the order of the text.
struct Pairs<'t>(Vec<(String, &'t RawValue)>);

impl<'t> serde::Deserialize<'t> for Pairs<'t> {
    fn deserialize<D: Deserializer<'t>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfObject;
        impl<'t> Visitor<'t> for OfObject {
            type Value = Pairs<'t>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(OfObject)
    }
}

/// Returns where in the text an error is.
fn offset(text: &str, error: &serde_json::Error) -> usize {
    let before: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    (before + error.column().saturating_sub(1)).min(text.len())
}

/// Returns what is wrong, without the place, which is said besides.
fn in_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    format!("not JSON: {}", &text[..end])
}
