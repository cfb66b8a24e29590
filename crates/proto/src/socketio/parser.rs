//! Stand-in until the real parser is merged.
use super::arguments::Arguments;
use super::packet::{Kind, write_head};
use crate::engineio::message::Message;

/// How packets are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Parser {
    /// JSON.
    #[default]
    Json,
    /// msgpack.
    Msgpack,
}

impl Parser {
    /// Writes a packet.
    pub fn encode(self, kind: Kind, namespace: &str, id: Option<u64>, arguments: Option<&Arguments>) -> Vec<Message> {
        let mut text = String::new();
        write_head(kind, namespace, id, 0, &mut text);
        text.push_str(arguments.map_or("", Arguments::text));
        vec![Message::text(&text)]
    }

    /// Writes a packet with a payload that is no list.
    pub fn encode_control(self, kind: Kind, namespace: &str, payload: Option<&serde_json::Value>) -> Vec<Message> {
        let mut text = String::new();
        write_head(kind, namespace, None, 0, &mut text);
        if let Some(payload) = payload {
            text.push_str(&payload.to_string());
        }
        vec![Message::text(&text)]
    }
}
