//! Decides how values become the text of arguments: which are spread, and where bytes go.

use std::fmt::Display;
use std::io;

use bytes::Bytes;
use serde::ser::{self, Impossible, Serialize, SerializeSeq, SerializeTuple, Serializer};
use serde_json::ser::Formatter;

use super::{Arguments, ArgumentsError};

/// What stands in the text for each attachment, and for nothing else when serde_json writes it.
const MARK: &[u8] = br#""_placeholder":true"#;

/// Most arguments are shorter; the room is needed until they are written only.
const USUAL_BYTES: usize = 256;

pub(super) fn write<T: Serialize + ?Sized>(name: Option<&str>, values: &T) -> Result<Arguments, ArgumentsError> {
    let mut text = Vec::with_capacity(USUAL_BYTES);
    let mut attachments = Vec::new();
    let mut json = serde_json::Serializer::with_formatter(&mut text, Attach(&mut attachments));
    let mut list = json.serialize_seq(None)?;
    if let Some(name) = name {
        SerializeSeq::serialize_element(&mut list, name)?;
    }
    match values.serialize(Spread(&mut list)) {
        Ok(()) => {}
        Err(NotSpread::Single) => SerializeSeq::serialize_element(&mut list, values)?,
        Err(NotSpread::Json(error)) => return Err(error.into()),
    }
    SerializeSeq::end(list)?;
    // A client could smuggle in a place for an attachment that does not come; whoever got that would hang up.
    if !attachments.is_empty() && memchr::memmem::find_iter(&text, MARK).count() != attachments.len() {
        return Err(ArgumentsError::Placeholder);
    }
    let text = String::from_utf8(text).map_err(|_| ArgumentsError::NoList)?;
    Ok(Arguments::trusted(text, attachments))
}

/// Writes bytes as placeholders and keeps them.
struct Attach<'a>(&'a mut Vec<Bytes>);

impl Formatter for Attach<'_> {
    fn write_byte_array<W: ?Sized + io::Write>(&mut self, writer: &mut W, value: &[u8]) -> io::Result<()> {
        write!(writer, r#"{{"_placeholder":true,"num":{}}}"#, self.0.len())?;
        self.0.push(Bytes::copy_from_slice(value));
        Ok(())
    }
}

/// Writes the members of a tuple into a list, and nothing of anything else.
struct Spread<'a, L>(&'a mut L);

#[derive(Debug)]
enum NotSpread {
    /// It is one value; nothing was written.
    Single,
    Json(serde_json::Error),
}

impl Display for NotSpread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Single => f.write_str("one value"),
            Self::Json(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NotSpread {}

impl ser::Error for NotSpread {
    fn custom<T: Display>(message: T) -> Self {
        Self::Json(ser::Error::custom(message))
    }
}

impl<L: SerializeSeq<Ok = (), Error = serde_json::Error>> SerializeTuple for Spread<'_, L> {
    type Ok = ();
    type Error = NotSpread;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NotSpread> {
        self.0.serialize_element(value).map_err(NotSpread::Json)
    }

    fn end(self) -> Result<(), NotSpread> {
        Ok(())
    }
}

macro_rules! single {
    ($($method:ident($($kind:ty),*);)*) => {
        $(fn $method(self, $(_: $kind),*) -> Result<(), NotSpread> {
            Err(NotSpread::Single)
        })*
    };
}

impl<L: SerializeSeq<Ok = (), Error = serde_json::Error>> Serializer for Spread<'_, L> {
    type Ok = ();
    type Error = NotSpread;
    type SerializeSeq = Impossible<(), NotSpread>;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Impossible<(), NotSpread>;
    type SerializeTupleVariant = Impossible<(), NotSpread>;
    type SerializeMap = Impossible<(), NotSpread>;
    type SerializeStruct = Impossible<(), NotSpread>;
    type SerializeStructVariant = Impossible<(), NotSpread>;

    fn serialize_unit(self) -> Result<(), NotSpread> {
        Ok(())
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, NotSpread> {
        Ok(self)
    }

    single! {
        serialize_bool(bool);
        serialize_i8(i8);
        serialize_i16(i16);
        serialize_i32(i32);
        serialize_i64(i64);
        serialize_i128(i128);
        serialize_u8(u8);
        serialize_u16(u16);
        serialize_u32(u32);
        serialize_u64(u64);
        serialize_u128(u128);
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_str(&str);
        serialize_bytes(&[u8]);
        serialize_none();
        serialize_unit_struct(&'static str);
        serialize_unit_variant(&'static str, u32, &'static str);
    }

    fn collect_str<T: Display + ?Sized>(self, _: &T) -> Result<(), NotSpread> {
        Err(NotSpread::Single)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), NotSpread> {
        Err(NotSpread::Single)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, _: &T) -> Result<(), NotSpread> {
        Err(NotSpread::Single)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), NotSpread> {
        Err(NotSpread::Single)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq, NotSpread> {
        Err(NotSpread::Single)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, NotSpread> {
        Err(NotSpread::Single)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, NotSpread> {
        Err(NotSpread::Single)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, NotSpread> {
        Err(NotSpread::Single)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct, NotSpread> {
        Err(NotSpread::Single)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, NotSpread> {
        Err(NotSpread::Single)
    }
}
