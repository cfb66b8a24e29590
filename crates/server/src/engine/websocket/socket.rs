//! Decides how bytes of a WebSocket become packets, and what of it is held between them.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use limpet_proto::engineio::Version;
use limpet_proto::engineio::packet::{Data, Packet, PacketType};
use limpet_proto::engineio::session::{Batch, CloseReason};
use limpet_proto::websocket::close::CloseCode;
use limpet_proto::websocket::deflate::{InflateError, Inflater};
use limpet_proto::websocket::frame::Sender;
use limpet_proto::websocket::message::{Decoder, Form, Message, write};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::accept::Asked;
use super::frames::Frames;
use crate::engine::application::Incoming;
use crate::scratch;

/// What came.
pub(in crate::engine) enum Event {
    /// A message of the application.
    Message(Incoming),
    /// A packet without data, or whose data means nothing.
    Packet(PacketType),
    /// What is no packet.
    Garbage,
    /// The connection has ended, or its rest cannot be read.
    End(CloseReason),
}

/// One WebSocket.
pub(in crate::engine) struct Socket<S> {
    stream: S,
    carrier: Asked,
    version: Version,
    decoder: Decoder,
    max_message_bytes: usize,
    /// From how many bytes on messages are compressed, if that was agreed.
    deflate_from: Option<usize>,
    pub(super) frames: Frames,
    /// The answer to the client's last ping.
    pong: Option<Vec<u8>>,
    /// What has been read and is for the application.
    first: Option<Incoming>,
    rest: VecDeque<Incoming>,
    /// What came with the request's head, and behind a candidate's last packet.
    early: Bytes,
    /// Whether the client has not taken all that was written.
    pub(super) was_blocked: bool,
    /// Whether the client will send no more.
    pub(super) has_ended: bool,
    /// Whether the connection is gone.
    pub(super) is_broken: bool,
    /// What our Close frame says.
    pub(super) close_code: Option<CloseCode>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(in crate::engine) fn new(
        stream: S,
        carrier: Asked,
        version: Version,
        early: Bytes,
        max_message_bytes: usize,
        deflate_from: Option<usize>,
    ) -> Self {
        Self {
            stream,
            carrier,
            version,
            decoder: Decoder::new(Sender::Client, max_message_bytes, deflate_from.is_some()),
            max_message_bytes,
            deflate_from,
            frames: Frames::default(),
            pong: None,
            first: None,
            rest: VecDeque::new(),
            early,
            was_blocked: false,
            has_ended: false,
            is_broken: false,
            close_code: None,
        }
    }

    pub(super) fn push_batch(&mut self, version: Version, batch: Batch) {
        self.frames.push_batch(version, batch, self.deflate_from);
    }

    pub(super) fn has_message(&self) -> bool {
        self.first.is_some()
    }

    pub(super) fn owes_pong(&self) -> bool {
        self.pong.is_some()
    }

    pub(super) fn take_message(&mut self) -> Option<Incoming> {
        let message = self.first.take()?;
        self.first = self.rest.pop_front();
        if self.first.is_none() && self.rest.capacity() > 0 {
            self.rest = VecDeque::new();
        }
        Some(message)
    }

    /// Writes what there is. `true` says that something was written and nothing is left, `false` that there was nothing.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if let Some(pong) = self.pong.take() {
            let mut frame = Vec::with_capacity(pong.len() + 2);
            write(Form::Pong, false, &pong, None, &mut frame);
            self.frames.push_own(frame.into());
        }
        if self.frames.is_empty() {
            return Poll::Ready(Ok(false));
        }
        let written = ready!(self.frames.poll_write(&mut self.stream, cx));
        if written.is_err() {
            self.is_broken = true;
            self.has_ended = true;
        }
        Poll::Ready(written.map(|()| true))
    }

    /// Ends our side. A stream of HTTP/2 that is let go before the client has ended its own is reset, and the client may
    /// lose our last words; so that is waited for.
    pub(super) fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let ended = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
        if ended.is_err() || self.carrier == Asked::Upgrade {
            return Poll::Ready(());
        }
        scratch::with(|scratch| {
            loop {
                let mut buffer = ReadBuf::new(scratch);
                let read = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
                if read.is_err() || buffer.filled().is_empty() {
                    return Poll::Ready(());
                }
            }
        })
    }

    /// Reads once and hands over what came; messages for the application are kept.
    pub(super) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(Event) -> Option<Incoming>,
    ) -> Poll<()> {
        if self.has_ended {
            return Poll::Pending;
        }
        scratch::with(|scratch| {
            let early = std::mem::take(&mut self.early);
            let Some(mut input) = ready!(self.poll_input(&early, scratch, cx)) else {
                take(Event::End(CloseReason::TransportClose));
                return Poll::Ready(());
            };
            while !input.is_empty() && !self.has_ended {
                let message = self.decoder.handle_bytes(&mut input);
                self.handle_message(message.map_err(|error| error.close_code()), take);
            }
            Poll::Ready(())
        })
    }

    /// Returns what came early, and what has been read otherwise; `None` says that the connection has ended.
    fn poll_input<'a>(
        &mut self,
        early: &'a [u8],
        scratch: &'a mut [u8],
        cx: &mut Context<'_>,
    ) -> Poll<Option<&'a [u8]>> {
        if !early.is_empty() {
            return Poll::Ready(Some(early));
        }
        let mut buffer = ReadBuf::new(scratch);
        let result = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer));
        let filled = buffer.filled().len();
        if result.is_err() || filled == 0 {
            self.has_ended = true;
            self.is_broken = result.is_err();
            return Poll::Ready(None);
        }
        Poll::Ready(scratch.get(..filled))
    }

    /// Reads for a candidate: at most one packet is handed over, and what is behind it stays. `false` says that the
    /// connection has ended.
    pub(super) fn poll_read_one(
        &mut self,
        cx: &mut Context<'_>,
        take: &mut dyn FnMut(Option<&Packet<'_>>),
    ) -> Poll<bool> {
        scratch::with(|scratch| {
            let early = std::mem::take(&mut self.early);
            let Some(mut input) = ready!(self.poll_input(&early, scratch, cx)) else { return Poll::Ready(false) };
            while !input.is_empty() {
                let packet = match self.decoder.handle_bytes(&mut input) {
                    Ok(None) => continue,
                    Ok(Some(Message::Ping(bytes))) => {
                        self.pong = Some(bytes);
                        continue;
                    }
                    Ok(Some(Message::Pong(_))) => continue,
                    Ok(Some(Message::Text(text))) => {
                        take(Packet::from_text(self.version, &text).ok().as_ref());
                        true
                    }
                    Ok(Some(Message::Close(code, _))) => {
                        self.has_ended = true;
                        self.close_code = Some(code);
                        false
                    }
                    Ok(Some(Message::Compressed { text: true, bytes })) => {
                        let text = Inflater::new(true).inflate(&bytes, self.max_message_bytes).ok();
                        let text = text.and_then(|text| String::from_utf8(text).ok());
                        take(text.as_deref().and_then(|text| Packet::from_text(self.version, text).ok()).as_ref());
                        true
                    }
                    Ok(Some(Message::Binary(_) | Message::Compressed { .. })) => {
                        take(None);
                        true
                    }
                    Err(error) => {
                        self.close_code = Some(error.close_code());
                        false
                    }
                };
                self.early = Bytes::copy_from_slice(input);
                return Poll::Ready(packet);
            }
            Poll::Ready(true)
        })
    }

    fn handle_message(
        &mut self,
        message: Result<Option<Message>, CloseCode>,
        take: &mut dyn FnMut(Event) -> Option<Incoming>,
    ) {
        let event = match message {
            Ok(None) | Ok(Some(Message::Pong(_))) => return,
            Ok(Some(Message::Ping(bytes))) => {
                self.pong = Some(bytes);
                return;
            }
            Ok(Some(Message::Text(text))) => read_text(self.version, text),
            Ok(Some(Message::Binary(bytes))) => read_binary(self.version, bytes),
            Ok(Some(Message::Compressed { text, bytes })) => match self.inflate(text, &bytes) {
                Ok(event) => event,
                Err(code) => self.fail(code),
            },
            Ok(Some(Message::Close(code, _))) => {
                self.has_ended = true;
                self.close_code = Some(code);
                Event::End(CloseReason::TransportClose)
            }
            Err(code) => self.fail(code),
        };
        if let Some(message) = take(event) {
            match self.first {
                None => self.first = Some(message),
                Some(_) => self.rest.push_back(message),
            }
        }
    }

    fn fail(&mut self, code: CloseCode) -> Event {
        self.close_code = Some(code);
        Event::End(CloseReason::TransportError)
    }

    /// Inflates a message. The client was told to keep no window, so neither do we.
    fn inflate(&self, text: bool, bytes: &[u8]) -> Result<Event, CloseCode> {
        let inflated = Inflater::new(true).inflate(bytes, self.max_message_bytes).map_err(|error| match error {
            InflateError::TooBig => CloseCode::TOO_BIG,
            _ => CloseCode::INVALID_PAYLOAD,
        })?;
        if text {
            let text = String::from_utf8(inflated).map_err(|_| CloseCode::INVALID_PAYLOAD)?;
            Ok(read_text(self.version, text))
        } else {
            Ok(read_binary(self.version, inflated))
        }
    }
}

fn read_text(version: Version, mut text: String) -> Event {
    if text.starts_with('4') {
        text.remove(0);
        return Event::Message(Incoming::Text(text));
    }
    match Packet::from_text(version, &text) {
        Ok(packet) => read_packet(packet),
        Err(_) => Event::Garbage,
    }
}

fn read_binary(version: Version, bytes: Vec<u8>) -> Event {
    if version == Version::V4 {
        return Event::Message(Incoming::Binary(bytes.into()));
    }
    match Packet::from_binary(version, &bytes) {
        Ok(packet) if packet.kind == PacketType::Message => {
            Event::Message(Incoming::Binary(Bytes::from(bytes).slice(1..)))
        }
        Ok(packet) => read_packet(packet),
        Err(_) => Event::Garbage,
    }
}

fn read_packet(packet: Packet<'_>) -> Event {
    match (packet.kind, packet.data) {
        (PacketType::Message, Data::Text(text)) => Event::Message(Incoming::Text(text.into_owned())),
        (PacketType::Message, Data::Binary(bytes)) => Event::Message(Incoming::Binary(bytes.into_owned().into())),
        (kind, _) => Event::Packet(kind),
    }
}
