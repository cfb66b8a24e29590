//! Thousands of Socket.IO clients by hand: half of them poll, half hold a WebSocket, from several loopback addresses.
//!
//! Each step (connect, ask, read) is done for all clients before the next one, by a few threads, so that the server has
//! all of them before it at once. A client that is dropped is cut: no close packet, no Close frame.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::raw::websocket::{Frame, RawWebSocket, handshake};
use crate::raw::{RawClient, Response};

/// How many clients share one source address: far fewer than it has ports.
const CLIENTS_PER_ADDRESS: usize = 5000;

/// How many threads drive the clients.
const THREADS: usize = 4;

/// How long one client may wait for one answer while thousands are served.
const LIMIT: Duration = Duration::from_secs(60);

/// The path and query of a new session.
const OPEN: &str = "/socket.io/?EIO=4&transport=";

/// One connected client.
#[derive(Debug)]
enum Member {
    Polling { client: RawClient, sid: String },
    WebSocket(Box<RawWebSocket>),
}

/// Connected clients.
#[derive(Debug, Default)]
pub struct Crowd {
    members: Vec<Member>,
    /// How many there have ever been, which gives the next one its source address.
    made: usize,
}

impl Crowd {
    /// The number of clients.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is no client.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Connects more clients at once, to `/`. Each has seen its CONNECT packet when this returns.
    ///
    /// # Errors
    /// When a single one does not get in.
    pub fn join(&mut self, address: SocketAddr, count: usize) -> Result<()> {
        let numbers: Vec<usize> = (self.made..self.made + count).collect();
        self.made += count;
        let share = count.div_ceil(THREADS).max(1);
        let joined = thread::scope(|scope| {
            let threads: Vec<_> = numbers.chunks(share).map(|own| scope.spawn(move || join(address, own))).collect();
            threads.into_iter().map(|thread| thread.join().expect("a thread of the crowd")).collect::<Vec<_>>()
        });
        for members in joined {
            self.members.extend(members?);
        }
        Ok(())
    }

    /// Waits until every client has got the event `text`, written as a packet (`2["name",...]`).
    ///
    /// # Errors
    /// When one gets something else, or nothing.
    pub fn hear(&mut self, text: &str) -> Result<()> {
        let share = self.members.len().div_ceil(THREADS).max(1);
        let packet = format!("4{text}");
        thread::scope(|scope| {
            let threads: Vec<_> =
                self.members.chunks_mut(share).map(|own| scope.spawn(|| hear(own, &packet))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("a thread of the crowd"))
        })
    }

    /// Cuts every `nth` client, or all for 1.
    pub fn cut(&mut self, nth: usize) {
        let mut index = 0;
        self.members.retain(|_| {
            index += 1;
            index % nth != 0
        });
    }
}

/// Raises the number of files that this process and its children may open, and fails when it stays below `needed`.
///
/// # Errors
/// Says how to raise it by hand.
pub fn raise_open_files(needed: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let maximum = limit.maximum.map_or(needed, |maximum| maximum.max(needed));
    // Beyond the hard limit only root may go.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(needed), maximum: Some(maximum) })
        .or_else(|_| setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }));
    let current = getrlimit(Resource::Nofile).current;
    ensure!(
        current.is_none_or(|current| current >= needed),
        "{needed} open files are needed, {current:?} are allowed: raise `ulimit -n`"
    );
    Ok(())
}

fn source(number: usize) -> IpAddr {
    let host = u8::try_from(number / CLIENTS_PER_ADDRESS % 200).unwrap_or_default();
    IpAddr::V4(Ipv4Addr::new(127, 0, 1, host + 1))
}

fn join(address: SocketAddr, numbers: &[usize]) -> Result<Vec<Member>> {
    let mut connected = Vec::with_capacity(numbers.len());
    for &number in numbers {
        let mut client = RawClient::connect_from(source(number), address).context("a client cannot connect")?;
        client.set_limit(LIMIT);
        let is_polling = number % 2 == 0;
        if is_polling {
            get(&mut client, &format!("{OPEN}polling"))?;
        } else {
            client.send(handshake(&format!("{OPEN}websocket")).as_bytes())?;
        }
        connected.push((client, is_polling));
    }
    let mut opened = Vec::with_capacity(numbers.len());
    for (mut client, is_polling) in connected {
        let response = client.response().map_err(anyhow::Error::new).context("no answer to a handshake")?;
        opened.push(if is_polling {
            let sid = sid_of(&answered(response, 200)?)?;
            post(&mut client, &sid, "40")?;
            Member::Polling { client, sid }
        } else {
            answered(response, 101)?;
            Member::WebSocket(Box::new(RawWebSocket::over(client)))
        });
    }
    for member in &mut opened {
        match member {
            Member::Polling { client, sid } => {
                let posted = answered(client.response()?, 200)?;
                ensure!(posted == "ok", "a POST was answered {posted:?}");
                poll(client, sid)?;
            }
            Member::WebSocket(socket) => {
                sid_of(&text(socket)?)?;
                socket.send(&Frame::text("40"))?;
            }
        }
    }
    for member in &mut opened {
        let reply = member.receive()?;
        ensure!(reply.starts_with("40{\"sid\":\""), "CONNECT was answered {reply:?}");
    }
    Ok(opened)
}

impl Member {
    /// The next packet other than a ping, which is answered. A polling client polls on before it returns.
    fn next(&mut self) -> Result<String> {
        loop {
            let packet = match self {
                Self::Polling { client, sid } => {
                    let packet = answered(client.response()?, 200)?;
                    if packet == "2" {
                        post(client, sid, "3")?;
                        answered(client.response()?, 200)?;
                    }
                    poll(client, sid)?;
                    packet
                }
                Self::WebSocket(socket) => {
                    let packet = text(socket)?;
                    if packet == "2" {
                        socket.send(&Frame::text("3"))?;
                    }
                    packet
                }
            };
            if packet != "2" {
                return Ok(packet);
            }
        }
    }
}

fn hear(members: &mut [Member], packet: &str) -> Result<()> {
    for member in members {
        let heard = member.receive()?;
        ensure!(heard == packet, "a client heard {heard:?}");
    }
    Ok(())
}

fn get(client: &mut RawClient, target: &str) -> Result<()> {
    Ok(client.send(format!("GET {target} HTTP/1.1\r\nHost: limpet.test\r\n\r\n").as_bytes())?)
}

fn poll(client: &mut RawClient, sid: &str) -> Result<()> {
    get(client, &format!("{OPEN}polling&sid={sid}"))
}

fn post(client: &mut RawClient, sid: &str, body: &str) -> Result<()> {
    let head = format!("POST {OPEN}polling&sid={sid} HTTP/1.1\r\nHost: limpet.test\r\n");
    Ok(client.send(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())?)
}

fn answered(response: Response, status: u16) -> Result<String> {
    ensure!(response.status == status, "the server answered {}: {}", response.status, response.text());
    Ok(response.text())
}

fn text(socket: &mut RawWebSocket) -> Result<String> {
    let frame = socket.frame().map_err(anyhow::Error::new)?;
    if frame.opcode != 1 {
        bail!("a frame with opcode {} came", frame.opcode);
    }
    Ok(String::from_utf8(frame.payload)?)
}

fn sid_of(open: &str) -> Result<String> {
    let open: serde_json::Value = serde_json::from_str(open.strip_prefix('0').context("no open packet")?)?;
    Ok(open["sid"].as_str().context("no sid")?.to_owned())
}
