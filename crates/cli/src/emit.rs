//! `limpet emit`: speaks to the clients of a cluster from outside.

mod lines;

use anyhow::Context as _;
use clap::Args;
use limpet_bus::{Emitter, StreamsOptions};
use serde_json::Value;

use crate::failure::Failure;

/// Emits an event to the clients of a cluster, through its Redis.
///
/// Reaches nodes that run Node's @socket.io/redis-adapter or Limpet's, with --streams those that share Redis Streams, and
/// with --python those of python-socketio.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    limpet emit --bus redis://127.0.0.1:6379 hi '\"all sockets\"'\n  \
    limpet emit --bus redis://127.0.0.1:6379 --namespace /chat --room lobby said '\"ada\"' '{\"text\":\"hello\"}'\n  \
    limpet emit --bus redis://127.0.0.1:6379 --room lobby --join archive\n  \
    limpet emit --bus redis://127.0.0.1:6379 --streams hi '\"all sockets, and those who come back\"'\n  \
    tail -f events.jsonl | limpet emit --bus redis://127.0.0.1:6379 --lines\n\n\
    A line for --lines is [\"event\", argument, …] or {\"event\": …, \"args\": […], \"namespace\": …, \"rooms\": […], \
    \"except\": […]}.")]
pub(crate) struct Emit {
    /// Redis of the cluster: redis://[USER:PASSWORD@]HOST[:PORT][/DB]
    #[arg(long, value_name = "URL", env = "LIMPET_BUS")]
    bus: String,
    /// What the cluster's channels begin with
    #[arg(long, value_name = "KEY", default_value = "socket.io")]
    key: String,
    /// Speak to python-socketio and Flask-SocketIO, on this channel
    #[arg(long, value_name = "CHANNEL", num_args = 0..=1, default_missing_value = "socketio", require_equals = true)]
    python: Option<String>,
    /// Add to Redis Streams, for nodes that share them; of this name
    #[arg(
        long, value_name = "NAME", num_args = 0..=1, default_missing_value = "socket.io", require_equals = true,
        conflicts_with = "python"
    )]
    streams: Option<String>,
    /// How many streams the nodes share
    #[arg(long, value_name = "COUNT", default_value_t = 1, requires = "streams",
        value_parser = clap::value_parser!(u16).range(1..))]
    stream_count: u16,
    /// Namespace of the sockets that are meant
    #[arg(long, value_name = "NAME", default_value = "/")]
    namespace: String,
    /// Mean the sockets in this room, or the one of this id; can be repeated [default: all]
    #[arg(long, value_name = "ROOM", allow_hyphen_values = true)]
    room: Vec<String>,
    /// Leave out the sockets in this room; can be repeated
    #[arg(long, value_name = "ROOM", allow_hyphen_values = true)]
    except: Vec<String>,
    /// Drop the event for clients that cannot take it right now
    #[arg(long)]
    volatile: bool,
    /// Tell the servers themselves instead of their clients
    #[arg(long, group = "act", requires = "event", conflicts_with_all = ["room", "except"])]
    server_side: bool,
    /// Let the sockets join a room instead
    #[arg(long, value_name = "ROOM", group = "act", conflicts_with = "event", allow_hyphen_values = true)]
    join: Option<String>,
    /// Let the sockets leave a room instead
    #[arg(long, value_name = "ROOM", group = "act", conflicts_with = "event", allow_hyphen_values = true)]
    leave: Option<String>,
    /// Disconnect the sockets instead
    #[arg(long, group = "act", conflicts_with = "event")]
    disconnect: bool,
    /// With --disconnect: close the connections below the sockets too
    #[arg(long, requires = "disconnect")]
    close: bool,
    /// Read events from standard input, one a line
    #[arg(long, group = "act", conflicts_with = "event")]
    lines: bool,
    /// Name of the event
    #[arg(required_unless_present = "act")]
    event: Option<String>,
    /// Arguments of the event, each as JSON; text needs its quotes
    #[arg(value_name = "JSON", value_parser = parse, allow_negative_numbers = true)]
    arguments: Vec<Value>,
}

impl Emit {
    /// Emits, and ends when Redis has taken everything.
    pub(crate) fn run(self) -> Result<(), Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("the runtime")?;
        Ok(runtime.block_on(self.emit())?)
    }

    async fn emit(&self) -> anyhow::Result<()> {
        let emitter = match (&self.python, &self.streams) {
            (Some(channel), _) => Emitter::connect_python(&self.bus, channel).await,
            (None, Some(stream)) => {
                let mut options = StreamsOptions::default();
                options.stream.clone_from(stream);
                options.stream_count = self.stream_count;
                options.channel_prefix.clone_from(&self.key);
                Emitter::connect_streams(&self.bus, &options).await
            }
            (None, None) => Emitter::connect_with_key(&self.bus, &self.key).await,
        };
        let mut emitter = aim(emitter.context("the bus")?.of(&self.namespace), &self.room, &self.except);
        if self.volatile {
            emitter = emitter.volatile();
        }
        if self.lines {
            return lines::emit(&emitter).await;
        }
        let nodes = if let Some(room) = &self.join {
            emitter.sockets_join(room.as_str()).await?
        } else if let Some(room) = &self.leave {
            emitter.sockets_leave(room.as_str()).await?
        } else if self.disconnect {
            emitter.disconnect_sockets(self.close).await?
        } else {
            let event = self.event.as_deref().unwrap_or_default();
            if self.server_side {
                emitter.server_side_emit_values(event, &self.arguments).await?
            } else {
                emitter.emit_values(event, &self.arguments).await?
            }
        };
        if nodes == 0 {
            tracing::warn!("nobody listens: is the cluster on this Redis, with this key and this namespace?");
        }
        Ok(())
    }
}

fn aim(mut emitter: Emitter, rooms: &[String], except: &[String]) -> Emitter {
    for room in rooms {
        emitter = emitter.to(room.as_str());
    }
    for room in except {
        emitter = emitter.except(room.as_str());
    }
    emitter
}

fn parse(argument: &str) -> Result<Value, String> {
    serde_json::from_str(argument)
        .map_err(|error| format!("no JSON ({error}); text needs its quotes: '\"{argument}\"'"))
}
