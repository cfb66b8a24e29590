//! Decides how a message to clients is kept: encoded once, as the WebSocket frame that most clients get, and shared.
//!
//! A message for ten thousand clients is one allocation and ten thousand counts. What one client needs in another form
//! (base64 in a polling body, the type byte of a version 3 binary message) is made from the payload when it leaves.

use std::fmt;
use std::sync::{Arc, OnceLock};

use super::packet::PacketType;
use crate::websocket::deflate::Deflater;
use crate::websocket::message::{Form, write, write_head};

/// The most bytes that a frame header without a mask takes.
const MAX_HEADER_BYTES: usize = 10;

/// A message of the application on its way to clients. Clones share its bytes.
#[derive(Clone)]
pub struct Message(Arc<Inner>);

struct Inner {
    /// The whole frame as a server sends it: header and payload.
    frame: Box<[u8]>,
    /// Where the payload begins in the frame.
    payload_at: u8,
    is_binary: bool,
    compress: bool,
    /// The compressed frame, made when the first client that takes compression gets the message.
    deflated: OnceLock<Option<Box<[u8]>>>,
}

impl Message {
    /// Makes a text message out of what the application says; the digit of a message goes in front of it.
    pub fn text(text: &str) -> Self {
        Self::text_parts(&[text])
    }

    /// Makes a text message out of parts that follow one another, as [`text`](Self::text) does out of one.
    pub fn text_parts(parts: &[&str]) -> Self {
        let digit = [PacketType::Message.digit()];
        Self::new(Form::Text, std::iter::once(&digit[..]).chain(parts.iter().map(|part| part.as_bytes())))
    }

    /// Makes a message of bytes.
    pub fn binary(bytes: &[u8]) -> Self {
        Self::new(Form::Binary, std::iter::once(bytes))
    }

    fn new<'a>(form: Form, parts: impl Iterator<Item = &'a [u8]> + Clone) -> Self {
        let len = parts.clone().map(<[u8]>::len).sum();
        // With exactly as much as is needed nothing is moved when it becomes a slice.
        let head = match len {
            0..=125 => 2,
            126..=0xffff => 4,
            _ => MAX_HEADER_BYTES,
        };
        let mut frame = Vec::with_capacity(head + len);
        write_head(form, false, len, None, &mut frame);
        // A header has at most 10 bytes.
        let payload_at = frame.len() as u8;
        parts.for_each(|part| frame.extend_from_slice(part));
        Self(Arc::new(Inner {
            frame: frame.into_boxed_slice(),
            payload_at,
            is_binary: form == Form::Binary,
            compress: true,
            deflated: OnceLock::new(),
        }))
    }

    /// Says that the message must never be compressed. Counts only before the message is shared.
    #[must_use]
    pub fn uncompressed(mut self) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            inner.compress = false;
        }
        self
    }

    /// Returns whether the message is bytes.
    pub fn is_binary(&self) -> bool {
        self.0.is_binary
    }

    /// Returns whether the message may be compressed.
    pub fn may_compress(&self) -> bool {
        self.0.compress
    }

    /// Returns the frame that a WebSocket client of version 4 gets, and one of version 3 if the message is text.
    pub fn frame(&self) -> &[u8] {
        &self.0.frame
    }

    /// Returns the payload of the frame: of text the digit 4 and the text, of bytes the bytes alone.
    pub fn payload(&self) -> &[u8] {
        self.0.frame.get(usize::from(self.0.payload_at)..).unwrap_or_default()
    }

    /// Returns the compressed frame for clients with whom permessage-deflate without a window of the server was agreed
    /// on; `None` when the message may not be compressed, or cannot. The work is done once.
    pub fn deflated_frame(&self) -> Option<&[u8]> {
        let inner = &*self.0;
        if !inner.compress {
            return None;
        }
        let deflated = inner.deflated.get_or_init(|| {
            let payload = Deflater::new(true).deflate(self.payload())?;
            let mut frame = Vec::with_capacity(MAX_HEADER_BYTES + payload.len());
            let form = if inner.is_binary { Form::Binary } else { Form::Text };
            write(form, true, &payload, None, &mut frame);
            Some(frame.into_boxed_slice())
        });
        deflated.as_deref()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.0.is_binary { "binary" } else { "text" };
        write!(f, "Message({kind}, {} bytes)", self.payload().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::websocket::deflate::Inflater;
    use crate::websocket::frame::Sender;
    use crate::websocket::message::{Decoder, Message as Received};

    fn received(frame: &[u8]) -> Received {
        Decoder::new(Sender::Server, 1 << 20, true).handle_bytes(&mut &*frame).unwrap().unwrap()
    }

    #[test]
    fn text_is_a_frame_with_the_type_in_front() {
        let message = Message::text("2[\"größe\"]");
        assert_eq!(received(message.frame()), Received::Text("42[\"größe\"]".to_owned()));
        assert_eq!(message.payload(), "42[\"größe\"]".as_bytes());
    }

    #[test]
    fn bytes_are_a_frame_of_their_own() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let bytes = vec![7; len];
            let message = Message::binary(&bytes);
            assert_eq!(received(message.frame()), Received::Binary(bytes.clone()));
            assert_eq!(message.payload(), bytes);
        }
    }

    #[test]
    fn the_compressed_frame_is_made_once_and_reads_back() {
        let message = Message::text(&"ab".repeat(1000));
        let frame = message.deflated_frame().unwrap();
        assert!(frame.len() < 100);
        assert_eq!(frame.as_ptr(), message.clone().deflated_frame().unwrap().as_ptr());
        let Received::Compressed { text: true, bytes } = received(frame) else { panic!("not compressed") };
        let inflated = Inflater::new(true).inflate(&bytes, 10_000).unwrap();
        assert_eq!(inflated, message.payload());
        assert!(Message::text("x").uncompressed().deflated_frame().is_none());
    }
}
