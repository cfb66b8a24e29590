//! The command line: the same as that of the reference, `tests/peers/node/features.js`.

use std::time::Duration;

use limpet_proto::engineio::Transport;
use limpet_server::engine::{self, AllowRequest, CookieOptions, Cors, Origins};
use limpet_server::{Options, Parser};

/// What the command line asks for.
pub(crate) struct Settings {
    /// How many servers to start, joined in this process.
    pub(crate) nodes: usize,
    /// Whether axum listens and the servers are mounted in it.
    pub(crate) in_axum: bool,
    parser: Parser,
    engine: engine::Options,
}

impl Settings {
    /// Reads the arguments of this process.
    pub(crate) fn read() -> Result<Self, String> {
        let mut settings = Self { nodes: 1, in_axum: false, parser: Parser::Json, engine: engine::Options::default() };
        // A client is let in unless it asks to be refused.
        settings.engine.allow_request = Some(AllowRequest::new(|handshake| async move {
            if handshake.header("x-refuse").is_some() { Err(None) } else { Ok(()) }
        }));
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
            let engine = &mut settings.engine;
            match word.as_str() {
                "--end-with-stdin" => {}
                "--nodes" => settings.nodes = number(&value()?)?,
                "--in-axum" => settings.in_axum = true,
                "--parser" if value()? == "msgpack" => settings.parser = Parser::Msgpack,
                "--parser" => {}
                "--eio3" => engine.allow_eio3 = true,
                "--cookie" => engine.cookie = Some(CookieOptions::default()),
                "--deflate" => engine.per_message_deflate = Some(1024),
                "--cors" => {
                    engine.cors = Some(Cors { origins: Origins::Reflect, credentials: true, ..Cors::default() });
                }
                "--transports" => {
                    engine.transports = value()?.split(',').filter_map(transport).collect();
                }
                "--ping-interval" => engine.ping_interval = Duration::from_millis(number(&value()?)?),
                "--ping-timeout" => engine.ping_timeout = Duration::from_millis(number(&value()?)?),
                "--upgrade-timeout" => engine.upgrade_timeout = Duration::from_millis(number(&value()?)?),
                "--max-payload" => engine.max_payload_bytes = number(&value()?)?,
                other => return Err(format!("unknown argument {other}")),
            }
        }
        Ok(settings)
    }

    /// The options of each server.
    pub(crate) fn options(&self) -> Options {
        Options { engine: self.engine.clone(), parser: self.parser, ..Options::default() }
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

fn transport(name: &str) -> Option<Transport> {
    match name {
        "polling" => Some(Transport::Polling),
        "websocket" => Some(Transport::Websocket),
        _ => None,
    }
}
