//! An adapter of one's own: joins servers in several processes over plain TCP.
//!
//! ```text
//! tcp_adapter one 127.0.0.1:3001 127.0.0.1:4001 127.0.0.1:4002
//! tcp_adapter two 127.0.0.1:3002 127.0.0.1:4002 127.0.0.1:4001
//! ```
//!
//! The arguments are the name of the node, where clients connect, where other nodes connect, and where those are. Each
//! node dials every other: what it publishes goes out on connections that it dialled, what it receives comes in on those
//! that it accepted. Nothing is encrypted or authenticated, and what is published while a peer is away is lost for it.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use limpet_bus::{Adapter, BusError, Envelope, Link, Message, NodeId, Peers, Receiver, To};
use limpet_server::{Ack, Options, Server, Socket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// How many messages wait for a peer that does not read.
const QUEUE: usize = 1024;

/// The largest message that is taken from a peer.
const MAX_BYTES: u32 = 16 << 20;

/// Joins nodes over TCP.
#[derive(Clone)]
struct TcpAdapter(Arc<Shared>);

struct Shared {
    /// Of each namespace of this node, who takes what others publish.
    receivers: Mutex<HashMap<String, Arc<dyn Receiver>>>,
    /// One queue for each node that is dialled.
    queues: Vec<mpsc::Sender<Bytes>>,
    /// The nodes from which a connection was accepted.
    peers: Mutex<HashSet<NodeId>>,
}

impl TcpAdapter {
    /// Listens for other nodes and dials them.
    async fn start(node: NodeId, listen: &str, peers: Vec<String>) -> io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let mut queues = Vec::new();
        for peer in peers {
            let (sender, queue) = mpsc::channel(QUEUE);
            queues.push(sender);
            tokio::spawn(dial(node.clone(), peer, queue));
        }
        let shared = Arc::new(Shared { receivers: Mutex::default(), queues, peers: Mutex::default() });
        tokio::spawn(accept(shared.clone(), listener));
        Ok(Self(shared))
    }
}

impl Adapter for TcpAdapter {
    fn join(&self, namespace: &str, node: NodeId, receiver: Arc<dyn Receiver>) -> Result<Box<dyn Link>, BusError> {
        self.0.receivers.lock().unwrap().insert(namespace.to_owned(), receiver);
        Ok(Box::new(TcpLink { shared: self.0.clone(), namespace: namespace.into(), node }))
    }
}

struct TcpLink {
    shared: Arc<Shared>,
    namespace: Arc<str>,
    node: NodeId,
}

impl Link for TcpLink {
    fn publish(&self, _to: To<'_>, message: Message) -> Result<(), BusError> {
        // An answer goes to all: who did not ask drops it.
        let envelope = Envelope { node: self.node.clone(), namespace: self.namespace.clone(), offset: None, message };
        let bytes = Bytes::from(envelope.to_bytes());
        let mut result = Ok(());
        for queue in &self.shared.queues {
            if queue.try_send(bytes.clone()).is_err() {
                result = Err(BusError::Full);
            }
        }
        result
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, BusError>> {
        let peers = self.shared.peers.lock().unwrap().iter().cloned().collect();
        std::future::ready(Ok(Peers::Known(peers))).boxed()
    }

    fn close(&self) {
        self.shared.receivers.lock().unwrap().remove(&*self.namespace);
    }
}

/// Connects to a peer, again and again, and writes what is published.
async fn dial(node: NodeId, peer: String, mut queue: mpsc::Receiver<Bytes>) {
    let hello = Envelope { node, namespace: "/".into(), offset: None, message: Message::Hello }.to_bytes();
    loop {
        if let Ok(mut stream) = TcpStream::connect(&peer).await
            && write(&mut stream, &hello).await.is_ok()
        {
            loop {
                let Some(bytes) = queue.recv().await else { return };
                if write(&mut stream, &bytes).await.is_err() {
                    break;
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(hear(shared.clone(), stream));
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Takes what a peer publishes, until its connection ends.
async fn hear(shared: Arc<Shared>, mut stream: TcpStream) {
    let Ok(Envelope { node, message: Message::Hello, .. }) = read(&mut stream).await else { return };
    shared.peers.lock().unwrap().insert(node.clone());
    println!("joined {node}");
    while let Ok(envelope) = read(&mut stream).await {
        let receiver = shared.receivers.lock().unwrap().get(&*envelope.namespace).cloned();
        if let Some(receiver) = receiver {
            receiver.receive(envelope);
        }
    }
    shared.peers.lock().unwrap().remove(&node);
    let receivers: Vec<_> = shared.receivers.lock().unwrap().values().cloned().collect();
    receivers.iter().for_each(|receiver| receiver.left(&node));
    println!("left {node}");
}

async fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
    stream.write_u32(u32::try_from(bytes.len()).map_err(io::Error::other)?).await?;
    stream.write_all(bytes).await
}

async fn read(stream: &mut TcpStream) -> io::Result<Envelope> {
    let len = stream.read_u32().await?;
    if len > MAX_BYTES {
        return Err(io::Error::other("a message that is too large"));
    }
    let mut bytes = vec![0; len as usize];
    stream.read_exact(&mut bytes).await?;
    Envelope::from_bytes(&bytes.into()).map_err(io::Error::other)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [name, listen, bus, peers @ ..] = arguments.as_slice() else {
        return Err(io::Error::other("usage: tcp_adapter NAME LISTEN BUS PEER..."));
    };
    let node = NodeId::from(name.as_str());
    let adapter = TcpAdapter::start(node.clone(), bus, peers.to_vec()).await?;
    let io = Server::new(Options { node, adapter: Arc::new(adapter), ..Options::default() });
    io.on_connection(|socket: Socket| async move {
        socket.on("say", |socket: Socket, text: String| async move {
            socket.broadcast().emit("said", (socket.node().as_str(), text)).ok();
        });
        socket.on("who", |socket: Socket, ack: Ack| async move {
            let found = socket.namespace().fetch_sockets().await;
            let mut ids: Vec<&str> = found.sockets.iter().map(|socket| socket.id()).collect();
            ids.sort_unstable();
            ack.send((ids, found.missing.nodes.len())).ok();
        });
        socket.on("poll", |socket: Socket, ack: Ack| async move {
            let asked = socket.namespace().timeout(Duration::from_secs(2)).emit_with_ack::<String>("name?", ()).await;
            let mut names = asked.unwrap_or_else(|error| error.answers);
            names.sort();
            ack.send(names).ok();
        });
    });
    let listening = io.bind(listen).await?;
    println!("listening on {}", listening.addr());
    std::future::pending().await
}
