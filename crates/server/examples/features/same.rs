//! The arguments of an event, to be sent on as they came.

use limpet_server::Event;
use rmpv::Value;
use serde::ser::{Serialize, SerializeTuple as _, Serializer};
use serde_json::value::RawValue;

/// The arguments without the name. They are written as a tuple is: each is an argument again.
pub(crate) struct Same(pub(crate) Event);

impl Serialize for Same {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let arguments = self.0.arguments();
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        for index in 1..=self.0.len() {
            // Text stays the text that it was; bytes need a value that can hold them.
            let raw = arguments.raw(index).unwrap_or("null");
            match serde_json::from_str::<&RawValue>(raw) {
                Ok(raw) if arguments.attachments().is_empty() => tuple.serialize_element(raw)?,
                _ => tuple.serialize_element(&arguments.get::<Value>(index).unwrap_or(Value::Nil))?,
            }
        }
        tuple.end()
    }
}
