//! Arguments of an event that nobody has looked at: each value is one.

use rmpv::Value;
use serde::ser::{Serialize, SerializeTuple as _, Serializer};

pub(crate) struct Rest(pub(crate) Vec<Value>);

impl Serialize for Rest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|value| tuple.serialize_element(value))?;
        tuple.end()
    }
}
