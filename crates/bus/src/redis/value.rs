//! Decides how the arguments of an event stand in msgpack, and back: as Node's adapters and emitters write them.
//!
//! Node's encoder (notepack 3) writes whole numbers as integers, others as 64-bit floats, buffers as bytes and dates as
//! timestamps (extension -1). Clients get from us what they get from Node: text for a date, `null` for what is no number.

use bytes::Bytes;
use limpet_proto::socketio::arguments::Arguments;
use rmpv::Value;
use serde_json::{Map, Number, Value as Json, json};

use crate::adapter::BusError;

/// How deep values may lie in each other.
pub(super) const MAX_DEPTH: usize = 128;

/// The largest whole number that JavaScript holds exactly.
const MAX_SAFE: f64 = 9_007_199_254_740_991.0;

/// The extension of a point in time.
const TIMESTAMP: i8 = -1;

const PLACEHOLDER: &str = "_placeholder";

/// Returns the arguments as values.
pub(super) fn values(arguments: &Arguments) -> Result<Vec<Value>, BusError> {
    let list: Vec<Json> =
        serde_json::from_str(arguments.text()).map_err(|error| BusError::Malformed(error.to_string()))?;
    Ok(list.into_iter().map(|json| to_value(json, arguments.attachments())).collect())
}

/// Makes arguments out of values.
pub(super) fn arguments(values: Vec<Value>) -> Result<Arguments, BusError> {
    let mut attachments = Vec::new();
    let list = values.into_iter().map(|value| to_json(value, &mut attachments)).collect();
    let text = Json::Array(list).to_string();
    Arguments::from_parts(text, attachments).map_err(|error| BusError::Malformed(error.to_string()))
}

/// Turns JSON into a value; placeholders become the bytes that they stand for.
pub(super) fn to_value(json: Json, attachments: &[Bytes]) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(yes) => Value::Boolean(yes),
        Json::Number(number) => number_value(&number),
        Json::String(text) => Value::from(text),
        Json::Array(items) => Value::Array(items.into_iter().map(|item| to_value(item, attachments)).collect()),
        Json::Object(object) => match attachment(&object, attachments) {
            Some(bytes) => Value::Binary(bytes.to_vec()),
            None => {
                let members = object.into_iter().map(|(name, json)| (Value::from(name), to_value(json, attachments)));
                Value::Map(members.collect())
            }
        },
    }
}

fn attachment<'a>(object: &Map<String, Json>, attachments: &'a [Bytes]) -> Option<&'a Bytes> {
    if object.get(PLACEHOLDER) != Some(&Json::Bool(true)) {
        return None;
    }
    attachments.get(usize::try_from(object.get("num")?.as_u64()?).ok()?)
}

fn number_value(number: &Number) -> Value {
    if let Some(whole) = number.as_i64() {
        return Value::from(whole);
    }
    if let Some(whole) = number.as_u64() {
        return Value::from(whole);
    }
    let float = number.as_f64().unwrap_or_default();
    if float.fract() == 0.0 && float.abs() <= MAX_SAFE { Value::from(float as i64) } else { Value::from(float) }
}

/// Turns a value into JSON; bytes become attachments, with placeholders where they were.
pub(super) fn to_json(value: Value, attachments: &mut Vec<Bytes>) -> Json {
    match value {
        Value::Nil => Json::Null,
        Value::Boolean(yes) => Json::Bool(yes),
        Value::Integer(whole) => match (whole.as_i64(), whole.as_u64()) {
            (Some(whole), _) => whole.into(),
            (None, Some(whole)) => whole.into(),
            (None, None) => Json::Null,
        },
        Value::F32(float) => float_json(f64::from(float)),
        Value::F64(float) => float_json(float),
        Value::String(text) => Json::String(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        Value::Binary(bytes) => {
            attachments.push(bytes.into());
            json!({ PLACEHOLDER: true, "num": attachments.len() - 1 })
        }
        Value::Array(items) => items.into_iter().map(|item| to_json(item, attachments)).collect(),
        Value::Map(members) => {
            let members = members.into_iter().map(|(name, value)| (key(&name), to_json(value, attachments)));
            Json::Object(members.collect())
        }
        Value::Ext(TIMESTAMP, bytes) => timestamp(&bytes).map_or(Json::Null, Json::String),
        Value::Ext(..) => Json::Null,
    }
}

/// Returns a number, whole if it is: JavaScript has one kind.
fn float_json(float: f64) -> Json {
    if float.fract() == 0.0 && float.abs() <= MAX_SAFE {
        return (float as i64).into();
    }
    Number::from_f64(float).map_or(Json::Null, Json::Number)
}

/// Returns the name of a member: an object's names are text.
fn key(value: &Value) -> String {
    match value {
        Value::String(text) => String::from_utf8_lossy(text.as_bytes()).into_owned(),
        other => other.to_string(),
    }
}

/// Reads a timestamp of 4, 8 or 12 bytes (the specification of msgpack) and writes it as JavaScript writes a date.
fn timestamp(bytes: &[u8]) -> Option<String> {
    let (seconds, nanos) = match bytes.len() {
        4 => (i64::from(u32::from_be_bytes(bytes.try_into().ok()?)), 0),
        8 => {
            let both = u64::from_be_bytes(bytes.try_into().ok()?);
            ((both & ((1 << 34) - 1)) as i64, (both >> 34) as u32)
        }
        12 => {
            let (nanos, seconds) = bytes.split_first_chunk::<4>()?;
            (i64::from_be_bytes(seconds.try_into().ok()?), u32::from_be_bytes(*nanos))
        }
        _ => return None,
    };
    // The range of JavaScript's dates: 100,000,000 days around 1970.
    if seconds.abs() > 8_640_000_000_000 || nanos > 999_999_999 {
        return None;
    }
    let (year, month, day) = civil(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let year = match year {
        0..=9999 => format!("{year:04}"),
        _ => format!("{}{:06}", if year < 0 { '-' } else { '+' }, year.abs()),
    };
    Some(format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", nanos / 1_000_000))
}

/// Returns year, month and day of a day counted from 1970 (the proleptic Gregorian calendar, in years that begin in
/// March and eras of 400 years).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(text: &str, attachments: &[&'static [u8]]) -> Arguments {
        let attachments = attachments.iter().map(|bytes| Bytes::from_static(bytes)).collect();
        arguments(values(&Arguments::from_parts(text.to_owned(), attachments).unwrap()).unwrap()).unwrap()
    }

    #[test]
    fn arguments_come_back() {
        let text =
            r#"["say",null,true,-1,1.5,"größe",[1,[]],{"a":{"_placeholder":true,"num":0}},18446744073709551615]"#;
        let back = round(text, &[b"\x00\xff"]);
        assert_eq!(back.text(), text);
        assert_eq!(back.attachments(), [Bytes::from_static(b"\x00\xff")]);
    }

    #[test]
    fn a_placeholder_without_attachment_is_an_object() {
        let text = r#"["x",{"_placeholder":true,"num":3}]"#;
        assert_eq!(round(text, &[]).text(), text);
    }

    #[test]
    fn what_is_whole_is_an_integer() {
        assert_eq!(
            values(&Arguments::from_parts("[2.0,1e3]".to_owned(), vec![]).unwrap()).unwrap(),
            [2.into(), 1000.into()]
        );
        assert_eq!(arguments(vec![Value::F64(3.0), Value::F64(f64::NAN)]).unwrap().text(), "[3,null]");
    }

    #[test]
    fn dates_are_text_as_javascript_writes_it() {
        // Date(0), 2026-11-21T12:34:56.789Z, and one before 1970.
        let table: [(&[u8], &str); 4] = [
            (&[0, 0, 0, 0], "1970-01-01T00:00:00.000Z"),
            (&(789_000_000_u64 << 34 | 1_795_264_496).to_be_bytes(), "2026-11-21T12:34:56.789Z"),
            (&[0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255], "1969-12-31T23:59:59.000Z"),
            (&1_709_164_800_u32.to_be_bytes(), "2024-02-29T00:00:00.000Z"),
        ];
        for (bytes, text) in table {
            assert_eq!(timestamp(bytes).as_deref(), Some(text));
        }
        assert_eq!(timestamp(&[1, 2]), None);
        assert_eq!(timestamp(&[255; 12]), None);
    }
}
