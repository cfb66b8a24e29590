//! Decides how a POST is read and handed over.

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::{Buf as _, Bytes, BytesMut};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use http_body::Body;
use limpet_proto::engineio::packet::{Data, Packet, PacketType};
use limpet_proto::engineio::session::read_form;
use limpet_proto::engineio::{Version, payload};

use super::still_polls;
use crate::engine::application::{Application, Incoming, Receiver as _};
use crate::engine::core::{Core, Entry, State, now};
use crate::engine::head::Head;
use crate::engine::query::Pairs;
use crate::engine::request::{Query, Refusal};
use crate::engine::respond::{self, Answer};
use crate::engine::{BoxError, Engine};

/// The type of a body of bytes.
const BINARY: &str = "application/octet-stream";

/// What a body held.
struct Taken {
    messages: Vec<Incoming>,
    end: BodyEnd,
}

/// How the packets of a body end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum BodyEnd {
    Sound,
    /// By the packet with which the client closes; nothing behind it counts.
    Closes,
    /// By something that is no packet.
    Garbage,
}

/// Why a body could not be read.
enum BodyError {
    TooLarge,
    Broken,
}

impl<A: Application> Engine<A> {
    pub(super) async fn answer_post<B>(
        &self,
        entry: &Arc<Entry<A::Receiver>>,
        head: &Head,
        query: &Query<'_>,
        body: B,
    ) -> Result<Answer, Refusal>
    where
        B: Body + Send,
        B::Data: Send,
        B::Error: Into<BoxError>,
    {
        let core = &*entry.core;
        let begun = core.update(|state| {
            still_polls(&state.session)?;
            Ok(state.session.handle_post())
        })?;
        if begun.is_err() {
            return Ok(respond::empty(StatusCode::BAD_REQUEST));
        }
        let mut guard = PostGuard { core, is_answered: false };
        let is_binary = head.get(&CONTENT_TYPE).is_some_and(|kind| kind == BINARY.as_bytes());
        if is_binary && core.version == Version::V4 {
            return Ok(respond::empty(StatusCode::BAD_REQUEST));
        }
        let body = match read_body(body, self.0.options.max_payload_bytes).await {
            Ok(body) => body,
            Err(BodyError::TooLarge) => {
                guard.is_answered = true;
                return Ok(respond::empty(StatusCode::PAYLOAD_TOO_LARGE));
            }
            Err(BodyError::Broken) => return Ok(respond::empty(StatusCode::BAD_REQUEST)),
        };
        let taken = take_packets(core, &body, is_binary, query.jsonp.is_some());
        drop(body);
        for message in taken.messages {
            deliver::<A>(entry, message).await;
        }
        guard.is_answered = true;
        match taken.end {
            BodyEnd::Sound => {}
            // Only now: the application may have answered what stood before it.
            BodyEnd::Closes => {
                core.update(|state| state.session.handle_packet(PacketType::Close, now()));
            }
            BodyEnd::Garbage => return Ok(respond::empty(StatusCode::BAD_REQUEST)),
        }
        let mut answer = respond::with_body(StatusCode::OK, "text/html", "ok");
        self.put_headers(answer.headers_mut(), head, false);
        Ok(answer)
    }
}

/// Hands a message over and waits until it has been taken, or the session has ended.
async fn deliver<A: Application>(entry: &Entry<A::Receiver>, message: Incoming) {
    let mut delivery = pin!(entry.receiver.message(message));
    poll_fn(|cx| match delivery.as_mut().poll(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => entry.core.poll_closed_for_post(cx),
    })
    .await;
}

/// Gives the session the packets of a body.
fn take_packets(core: &Core, body: &[u8], is_binary: bool, is_form: bool) -> Taken {
    let text;
    let body = if is_binary {
        payload::Body::Binary(body)
    } else {
        text = String::from_utf8_lossy(body);
        if is_form {
            return match form_field(&text) {
                Some(field) => core.update(|state| take_from(state, payload::Body::Text(&field))),
                // As the reference server does.
                None => Taken { messages: Vec::new(), end: BodyEnd::Sound },
            };
        }
        payload::Body::Text(&text)
    };
    core.update(|state| take_from(state, body))
}

/// Returns the only field `d` of a form.
fn form_field(form: &str) -> Option<String> {
    let mut fields = Pairs::new(form).filter(|(name, _)| name == "d").map(|(_, value)| value);
    let field: Cow<'_, str> = fields.next()?;
    fields.next().is_none().then(|| read_form(&field))
}

fn take_from(state: &mut State, body: payload::Body<'_>) -> Taken {
    let session = &mut state.session;
    let mut taken = Taken { messages: Vec::new(), end: BodyEnd::Sound };
    let Ok(packets) = payload::read(session.version(), body) else {
        session.handle_garbage();
        return Taken { end: BodyEnd::Garbage, ..taken };
    };
    let now = now();
    for packet in packets {
        let Ok(packet) = packet else {
            session.handle_garbage();
            return Taken { end: BodyEnd::Garbage, ..taken };
        };
        if packet.kind == PacketType::Close {
            return Taken { end: BodyEnd::Closes, ..taken };
        }
        if session.handle_packet(packet.kind, now) {
            taken.messages.push(incoming(packet));
        }
    }
    taken
}

fn incoming(packet: Packet<'_>) -> Incoming {
    debug_assert_eq!(packet.kind, PacketType::Message);
    match packet.data {
        Data::Text(text) => Incoming::Text(text.into_owned()),
        Data::Binary(bytes) => Incoming::Binary(bytes.into_owned().into()),
    }
}

/// Reads a body of at most this many bytes. One that comes in one piece is not copied.
async fn read_body<B>(body: B, max_bytes: usize) -> Result<Bytes, BodyError>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    if body.size_hint().lower() > max_bytes as u64 {
        return Err(BodyError::TooLarge);
    }
    let mut body = pin!(body);
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(mut data) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        if data.remaining() > max_bytes - first.len() - all.len() {
            return Err(BodyError::TooLarge);
        }
        let piece = data.copy_to_bytes(data.remaining());
        if all.is_empty() && first.is_empty() {
            first = piece;
        } else {
            if all.is_empty() {
                all.extend_from_slice(&std::mem::take(&mut first));
            }
            all.extend_from_slice(&piece);
        }
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// Tells the session when a POST has ended, and how.
struct PostGuard<'a> {
    core: &'a Core,
    is_answered: bool,
}

impl Drop for PostGuard<'_> {
    fn drop(&mut self) {
        self.core.update(|state| {
            state.post = None;
            if self.is_answered {
                state.session.handle_post_end();
            } else {
                state.session.handle_post_broken();
            }
            state.wake_websocket();
        });
    }
}
