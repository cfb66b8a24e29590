use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};

use bytes::Bytes;
use limpet_proto::engineio::message::Message;
use limpet_proto::engineio::sid::Sid;
use limpet_proto::engineio::{Transport, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadBuf};

use super::*;
use crate::engine::handshake::{Facts, Handshake};
use crate::engine::{Connection, Engine, Options, Receiver};

struct Silent;

impl Application for Silent {
    type Receiver = Self;

    fn open(&self, _: &Connection, _: Arc<Handshake>) -> Self {
        Self
    }
}

impl Receiver for Silent {
    async fn message(&self, _: Incoming) {}

    fn close(&self, _: CloseReason) {}
}

/// Counts how often a task is woken.
#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Answers each message, but those that it is to wait with.
struct Talker;

struct TalkerSession(Connection);

impl Application for Talker {
    type Receiver = TalkerSession;

    fn open(&self, connection: &Connection, _: Arc<Handshake>) -> TalkerSession {
        TalkerSession(connection.clone())
    }
}

impl Receiver for TalkerSession {
    async fn message(&self, message: Incoming) {
        let Incoming::Text(text) = message else { return };
        if text == "wait" {
            return std::future::pending().await;
        }
        self.0.send(&[Message::text(&text)]).unwrap();
    }

    fn close(&self, _: CloseReason) {}
}

/// Counts the writes to a stream.
struct Counted<S>(S, Arc<AtomicUsize>);

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// A masked text frame with a mask of zeros, of less than 126 bytes.
fn frame(text: &str) -> Vec<u8> {
    [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat()
}

/// Answers to messages that came together leave in few writes, in their order, and wait for no slow handler.
#[tokio::test(start_paused = true)]
async fn answers_to_messages_that_came_together_leave_together() {
    let engine = Engine::new(Options::default(), Talker);
    let (connection, entry) = open(&engine);
    let (mut client, server) = tokio::io::duplex(100_000);
    let writes = Arc::new(AtomicUsize::new(0));
    let server = Counted(server, Arc::clone(&writes));
    let mut socket = Socket::new(server, Asked::Upgrade, Version::V4, Bytes::new(), 1000, None);
    let mut task = pin!(run(&engine.0, &entry, &mut socket));
    let mut turn = || {
        // Whoever is woken is asked again.
        (0..5).for_each(|_| assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()));
        writes.swap(0, Ordering::Relaxed)
    };
    turn();
    // The open packet, of less than 126 bytes.
    let mut head = [0; 2];
    client.read_exact(&mut head).await.unwrap();
    client.read_exact(&mut vec![0; usize::from(head[1])]).await.unwrap();
    for (messages, most) in [(8, 1), (200, 4)] {
        let texts: Vec<String> = (0..messages).map(|number| format!("4{number:03}")).collect();
        let together: Vec<u8> = texts.iter().flat_map(|text| frame(text)).collect();
        client.write_all(&together).await.unwrap();
        let writes = turn();
        assert!((1..=most).contains(&writes), "{writes} writes for {messages} answers");
        let expected: Vec<u8> = texts.iter().flat_map(|text| [&[0x81, 4], text.as_bytes()].concat()).collect();
        let mut heard = vec![0; expected.len()];
        client.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, expected);
    }
    // One that waits holds up what stands behind it, and nothing before it.
    client.write_all(&["4abc", "4wait", "4xyz"].map(frame).concat()).await.unwrap();
    assert_eq!(turn(), 1);
    let mut heard = [0; 6];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"\x81\x044abc");
    connection.close(CloseReason::ForcedClose, false);
    turn();
    assert_eq!(engine.sessions(), 0);
}

fn open<A: Application>(engine: &Engine<A>) -> (Connection, Arc<Entry<A::Receiver>>) {
    let facts = Facts {
        address: ([127, 0, 0, 1], 1).into(),
        version: Version::V4,
        transport: Transport::Websocket,
        secure: false,
        jsonp: false,
        base64: false,
    };
    let handshake = Arc::new(Handshake::new(&http::Request::new(()).into_parts().0.into(), facts));
    let core = Arc::new(engine.new_core(Sid::parse("abc").unwrap(), &handshake, false));
    let Ok(entry) = engine.open(Arc::clone(&core), handshake) else { panic!("the session opens") };
    (Connection(core), entry)
}

/// Whatever wakes the task of such a client, it does not wake itself again and again; and at the end all that was sent
/// leaves before the Close frame.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_costs_no_turns_and_gets_all_in_the_end() {
    let engine = Engine::new(Options::default(), Silent);
    let (connection, entry) = open(&engine);
    let (mut client, server) = tokio::io::duplex(1024);
    let mut socket = Socket::new(server, Asked::Upgrade, Version::V4, Bytes::new(), 1000, None);
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let mut task = pin!(run(&engine.0, &entry, &mut socket));
    // As a runtime does: only when it was woken.
    waker.wake_by_ref();
    let mut turns = || {
        let mut turns = 0;
        while wakes.0.swap(0, Ordering::Relaxed) > 0 && turns < 100 {
            turns += 1;
            if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
                break;
            }
        }
        turns
    };
    turns();
    connection.send(&[Message::text(&"a".repeat(5000))]).unwrap();
    assert!(turns() <= 2);
    connection.send(&[Message::text(&"b".repeat(5000))]).unwrap();
    assert!(turns() <= 2, "more waits behind what is not written");
    tokio::time::advance(Duration::from_secs(26)).await;
    assert!(turns() <= 3, "a ping waits as well");
    connection.close(CloseReason::ForcedClose, false);
    assert!(turns() <= 2, "the end waits");
    let mut all = Vec::new();
    let mut some = [0; 1000];
    while !all.ends_with(&[0x88, 0]) {
        let read = tokio::time::timeout(Duration::from_secs(1), client.read(&mut some)).await;
        match read.expect("the task goes on when it is read").unwrap() {
            0 => panic!("the end without a Close frame"),
            count => all.extend_from_slice(&some[..count]),
        }
        assert!(turns() <= 4);
    }
    let text = String::from_utf8_lossy(&all);
    assert!(text.contains(&"a".repeat(5000)) && text.contains(&"b".repeat(5000)));
    assert_eq!(engine.sessions(), 0);
}
