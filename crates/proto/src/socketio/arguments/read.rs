//! Decides how values are found in the text of arguments and read by position.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::UnitDeserializer;
use serde::de::{
    Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, SeqAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::attached::Attached;
use super::{Arguments, ArgumentsError};

/// Counts the values.
pub(super) fn count(text: &str) -> usize {
    struct Count;
    impl<'de> Visitor<'de> for Count {
        type Value = usize;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<usize, A::Error> {
            let mut count = 0;
            while list.next_element::<IgnoredAny>()?.is_some() {
                count += 1;
            }
            Ok(count)
        }
    }
    serde_json::Deserializer::from_str(text).deserialize_seq(Count).unwrap_or_default()
}

/// Reads the value at a place, as something that may borrow from the text; `None` behind the last one.
pub(super) fn nth<'de, T: Deserialize<'de>>(text: &'de str, index: usize) -> Result<Option<T>, serde_json::Error> {
    struct Nth<T>(usize, PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Nth<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Option<T>, A::Error> {
            for _ in 0..self.0 {
                if list.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(None);
                }
            }
            let found = list.next_element()?;
            // The parser asks for the end of the list.
            while found.is_some() && list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(found)
        }
    }
    serde_json::Deserializer::from_str(text).deserialize_seq(Nth(index, PhantomData))
}

/// Reads the value at a place of a text without attachments; null behind the last one.
pub(super) fn get<T: DeserializeOwned>(text: &str, index: usize) -> Result<T, ArgumentsError> {
    match nth(text, index)? {
        Some(value) => Ok(value),
        None => Ok(missing()?),
    }
}

/// Reads null.
fn missing<'de, T: Deserialize<'de>>() -> Result<T, serde_json::Error> {
    serde_json::from_str("null")
}

/// Gives the values from one on to a type, by the spread rule.
#[derive(Clone, Copy)]
pub(super) struct Spread<'a> {
    pub(super) arguments: &'a Arguments,
    pub(super) next: usize,
}

impl<'de> Deserializer<'de> for Spread<'_> {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.one(|value| value.deserialize_any(visitor))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_unit()
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Self::Error> {
        let list = self.arguments.raw_values().into_iter().skip(self.next);
        visitor.visit_seq(Values { list, arguments: self.arguments })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.one(|value| value.deserialize_option(visitor))
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.one(|value| value.deserialize_bytes(visitor))
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.one(|value| value.deserialize_byte_buf(visitor))
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.one(|value| value.deserialize_seq(visitor))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.one(|value| value.deserialize_newtype_struct(name, visitor))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.one(|value| value.deserialize_tuple_struct(name, len, visitor))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.one(|value| value.deserialize_struct(name, fields, visitor))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.one(|value| value.deserialize_enum(name, variants, visitor))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string unit_struct map identifier ignored_any
    }
}

impl Spread<'_> {
    fn one<T>(self, read: impl FnOnce(Attached<'_>) -> Result<T, serde_json::Error>) -> Result<T, serde_json::Error> {
        let value = serde_json::from_str(self.arguments.raw(self.next).unwrap_or("null"))?;
        read(Attached { value, attachments: self.arguments.attachments() })
    }
}

/// Gives values one by one, and then nulls without end.
struct Values<'a, I> {
    list: I,
    arguments: &'a Arguments,
}

impl<'de, 'a, I: Iterator<Item = &'a str>> SeqAccess<'de> for Values<'a, I> {
    type Error = serde_json::Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Self::Error> {
        let Some(text) = self.list.next() else {
            let null: UnitDeserializer<Self::Error> = ().into_deserializer();
            return seed.deserialize(Null(null)).map(Some);
        };
        let value = serde_json::from_str(text)?;
        seed.deserialize(Attached { value, attachments: self.arguments.attachments() }).map(Some)
    }
}

/// Null, which also reads as "there is none".
struct Null(UnitDeserializer<serde_json::Error>);

impl<'de> Deserializer<'de> for Null {
    type Error = serde_json::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.0.deserialize_any(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_none()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
