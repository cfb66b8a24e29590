//! Stand-in until the real arguments are merged.
use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// Arguments of an event or an acknowledgement.
#[derive(Debug, Clone)]
pub struct Arguments {
    text: Arc<str>,
    attachments: Vec<Bytes>,
}

impl Arguments {
    /// Writes an event.
    ///
    /// # Errors
    /// When it is no JSON.
    pub fn event<T: Serialize + ?Sized>(name: &str, values: &T) -> Result<Self, serde_json::Error> {
        let values = Self::values(values)?;
        let name = serde_json::to_string(name)?;
        let rest = &values.text[1..];
        let comma = if rest == "]" { "" } else { "," };
        Ok(Self { text: format!("[{name}{comma}{rest}").into(), attachments: Vec::new() })
    }

    /// Writes values.
    ///
    /// # Errors
    /// When they are no JSON.
    pub fn values<T: Serialize + ?Sized>(values: &T) -> Result<Self, serde_json::Error> {
        let is_tuple = std::any::type_name::<T>().trim_start_matches('&').starts_with('(');
        let json = serde_json::to_string(values)?;
        let text = match (is_tuple, json.as_str()) {
            (true, "null") => "[]".to_owned(),
            (true, _) => json,
            (false, _) => format!("[{json}]"),
        };
        Ok(Self { text: text.into(), attachments: Vec::new() })
    }

    /// Takes text and attachments.
    ///
    /// # Errors
    /// When the text is no JSON array.
    pub fn from_parts(text: String, attachments: Vec<Bytes>) -> Result<Self, serde_json::Error> {
        serde_json::from_str::<Vec<&RawValue>>(&text)?;
        Ok(Self { text: text.into(), attachments })
    }

    /// Returns the JSON.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the attachments.
    pub fn attachments(&self) -> &[Bytes] {
        &self.attachments
    }

    /// Returns how many there are, a name among them.
    pub fn len(&self) -> usize {
        self.list().len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the name.
    pub fn event_name(&self) -> Cow<'_, str> {
        self.get::<String>(0).unwrap_or_default().into()
    }

    /// Reads one.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn get<T: DeserializeOwned>(&self, index: usize) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.list().get(index).map_or("null", |raw| raw.get()))
    }

    fn list(&self) -> Vec<&RawValue> {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}
