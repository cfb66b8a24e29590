//! Decides how values are read whose bytes are attachments: as JSON, but for the placeholders.
//!
//! serde_json reads everything else; this follows it in what it accepts, so that a type reads the same with and without
//! bytes beside it.

use bytes::Bytes;
use serde::de::value::{SeqDeserializer, StringDeserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess,
    Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Map, Value};

use super::ArgumentsError;
use crate::socketio::packet::placeholder;

/// Reads a value.
pub(super) fn get<T: DeserializeOwned>(json: &str, attachments: &[Bytes]) -> Result<T, ArgumentsError> {
    let value = serde_json::from_str(json)?;
    T::deserialize(Attached { value, attachments }).map_err(ArgumentsError::Json)
}

/// A value with the bytes that its placeholders name.
pub(super) struct Attached<'a> {
    pub(super) value: Value,
    pub(super) attachments: &'a [Bytes],
}

impl<'a> Attached<'a> {
    /// Returns the bytes if the value is the place of some.
    fn bytes(&self) -> Result<Option<&'a Bytes>, Error> {
        let Value::Object(object) = &self.value else { return Ok(None) };
        if self.attachments.is_empty() {
            return Ok(None);
        }
        let Some(number) = placeholder(object) else { return Ok(None) };
        let bytes = number.and_then(|number| self.attachments.get(number));
        bytes.map(Some).ok_or_else(|| Error::custom("a placeholder without its attachment"))
    }

    fn list(values: Vec<Value>, attachments: &'a [Bytes]) -> List<'a> {
        List { values: values.into_iter(), attachments }
    }
}

impl<'de> Deserializer<'de> for Attached<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if let Some(bytes) = self.bytes()? {
            return visitor.visit_byte_buf(bytes.to_vec());
        }
        match self.value {
            Value::Array(values) => {
                let mut list = Self::list(values, self.attachments);
                let value = visitor.visit_seq(&mut list)?;
                list.end(value)
            }
            Value::Object(object) => {
                visitor.visit_map(Members { members: object.into_iter(), value: None, attachments: self.attachments })
            }
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.bytes()? {
            Some(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied())),
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let attachments = self.attachments;
        let (name, value) = match self.value {
            Value::String(name) => (name, None),
            Value::Object(object) if object.len() == 1 => only(object)?,
            Value::Object(_) => return Err(Error::invalid_value(Unexpected::Map, &"map with a single key")),
            _ => return Err(Error::custom("invalid type: expected string or map")),
        };
        visitor.visit_enum(Choice { name, value: value.map(|value| Self { value, attachments }) })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct
        tuple tuple_struct map struct identifier
    }
}

fn only(object: Map<String, Value>) -> Result<(String, Option<Value>), Error> {
    let member = object.into_iter().next();
    member.map(|(name, value)| (name, Some(value))).ok_or_else(|| Error::custom("an empty map"))
}

struct List<'a> {
    values: std::vec::IntoIter<Value>,
    attachments: &'a [Bytes],
}

impl List<'_> {
    fn end<T>(self, value: T) -> Result<T, Error> {
        match self.values.len() {
            0 => Ok(value),
            left => Err(Error::custom(format_args!("{left} values too many in a list"))),
        }
    }
}

impl<'de> SeqAccess<'de> for &mut List<'_> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        let attachments = self.attachments;
        self.values.next().map(|value| seed.deserialize(Attached { value, attachments })).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.values.len())
    }
}

struct Members<'a> {
    members: serde_json::map::IntoIter,
    value: Option<Value>,
    attachments: &'a [Bytes],
}

impl<'de> MapAccess<'de> for Members<'_> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        let Some((key, value)) = self.members.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(Key(key)).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Error> {
        let value = self.value.take().unwrap_or_default();
        seed.deserialize(Attached { value, attachments: self.attachments })
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.members.len())
    }
}

/// The key of a member: text, from which numbers can be read.
struct Key(String);

macro_rules! numbers {
    ($($method:ident $visit:ident $kind:ty;)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            match self.0.parse::<$kind>() {
                Ok(number) => visitor.$visit(number),
                Err(_) => visitor.visit_string(self.0),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Key {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_string(self.0)
    }

    numbers! {
        deserialize_bool visit_bool bool;
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let text: StringDeserializer<Error> = self.0.into_deserializer();
        text.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map struct identifier
        ignored_any
    }
}

struct Choice<'a> {
    name: String,
    value: Option<Attached<'a>>,
}

impl<'de, 'a> EnumAccess<'de> for Choice<'a> {
    type Error = Error;
    type Variant = Chosen<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Chosen<'a>), Error> {
        let name: StringDeserializer<Error> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, Chosen(self.value)))
    }
}

struct Chosen<'a>(Option<Attached<'a>>);

impl<'a> Chosen<'a> {
    fn value(self) -> Result<Attached<'a>, Error> {
        self.0.ok_or_else(|| Error::invalid_type(Unexpected::UnitVariant, &"a variant with a value"))
    }
}

impl<'de> VariantAccess<'de> for Chosen<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        match self.0 {
            None => Ok(()),
            Some(Attached { value: Value::Null, .. }) => Ok(()),
            Some(_) => Err(Error::invalid_type(Unexpected::NewtypeVariant, &"a variant without a value")),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.value()?)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Error> {
        self.value()?.deserialize_any(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.value()?.deserialize_any(visitor)
    }
}
