//! What applications see of clients that come back, and what they do not see.

#[path = "api/script.rs"]
mod script;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use limpet_bus::log::{Adopted, Hold, Lease, Log, Offset, Refreshed, Session, Stretch};
use limpet_bus::{BusError, Link, Peers, Receiver, To};
use limpet_server::{
    Ack, Adapter, DisconnectReason, EmitError, Local, NodeId, Options, Recovery, Room, Server, Socket,
};
use script::{listen, run};
use serde_json::{Value, json};

/// What a script needs to cut a client off and to let it return.
const CUT: &str = r"
const cut = async (socket) => {
    const end = gone(socket);
    socket.io.engine.transport.ws.terminate();
    await end;
};
const back = async (socket) => {
    const come = once(socket, 'connect');
    socket.connect();
    await come;
};
const ws = { transports: ['websocket'] };
";

fn recovering() -> Options {
    Options { recovery: Some(Recovery::default()), ..Options::default() }
}

async fn run_cut(io: &Server, script: &str) {
    let listening = listen(io).await;
    script::run_at(vec![format!("http://{}", listening.addr())], &format!("{CUT}{script}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_socket_that_came_back_says_so_and_keeps_its_secret() {
    let io = Server::new(recovering());
    let seen: Arc<Mutex<Vec<(bool, Value, String)>>> = Arc::default();
    let list = seen.clone();
    io.on_connection(move |socket: Socket| {
        let auth: Value = socket.handshake().auth().unwrap();
        let shown = format!("{socket:?} {:?} {}", socket.handshake(), socket.handshake().to_json());
        list.lock().unwrap().push((socket.recovered(), auth, shown));
        socket.emit("hello", ()).unwrap();
        std::future::ready(())
    });
    run_cut(
        &io,
        r#"
        const socket = open("", { ...ws, auth: { name: "a", "größe": 1 } });
        await once(socket, "hello");
        assert.equal(socket._pid.length, 20);
        await cut(socket);
        const hello = once(socket, "hello");
        await back(socket);
        assert.equal(socket.recovered, true);
        await hello;
        "#,
    )
    .await;
    let seen = seen.lock().unwrap();
    let auth = json!({ "name": "a", "größe": 1 });
    assert_eq!(seen.iter().map(|seen| seen.0).collect::<Vec<_>>(), [false, true]);
    assert!(seen.iter().all(|seen| seen.1 == auth && !seen.2.contains("pid")), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_missed_more_than_may_wait_begins_anew() {
    let mut options = recovering();
    options.engine.max_queued_messages = 50;
    let io = Server::new(options);
    io.on_connection(|socket: Socket| async move {
        socket.join("all");
        socket.emit("hello", socket.recovered()).unwrap();
        socket.on("cast", |socket: Socket, count: u32, ack: Ack| async move {
            (0..count).for_each(|n| socket.broadcast().emit("n", n).unwrap());
            ack.send(()).unwrap();
        });
    });
    run_cut(
        &io,
        r#"
        const other = await connected("", ws);
        const socket = open("", ws);
        await once(socket, "hello");
        const id = socket.id;
        await cut(socket);
        await ask(other, "cast", 30);
        const few = collect(socket, "n");
        await back(socket);
        assert.deepEqual([socket.recovered, socket.id], [true, id]);
        await ask(other, "cast", 1);
        while (few.length < 31) await once(socket, "n");
        assert.equal(few.length, 31);
        await cut(socket);
        await ask(other, "cast", 60);
        const hello = once(socket, "hello");
        await back(socket);
        assert.equal(socket.recovered, false);
        assert.notEqual(socket.id, id);
        assert.equal((await hello)[0], false);
        assert.equal(few.length, 31);
        "#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_loses_its_connection_to_the_server_comes_back_by_itself() {
    let io = Server::new(recovering());
    let ends: Arc<Mutex<Vec<DisconnectReason>>> = Arc::default();
    let list = ends.clone();
    io.on_connection(move |socket: Socket| {
        socket.emit("hello", ()).unwrap();
        socket.on("go", |socket: Socket| async move {
            socket.emit("word", "before").unwrap();
            socket.close_connection();
            socket.emit("word", "after").unwrap();
        });
        let list = list.clone();
        socket.on_disconnect(move |_: Socket, reason| {
            list.lock().unwrap().push(reason);
            std::future::ready(())
        });
        std::future::ready(())
    });
    run_cut(
        &io,
        r#"
        for (const transport of ["websocket", "polling"]) {
            const socket = open("", { transports: [transport], reconnection: true, reconnectionDelay: 10 });
            await once(socket, "hello");
            const id = socket.id;
            const words = collect(socket, "word");
            const end = gone(socket);
            const hello = once(socket, "hello");
            socket.emit("go");
            assert.equal(await end, "transport close");
            await hello;
            assert.deepEqual([socket.recovered, socket.id], [true, id]);
            assert.deepEqual(words.map(([word]) => word), ["before", "after"]);
            socket.disconnect();
        }
        "#,
    )
    .await;
    let ends = ends.lock().unwrap();
    assert_eq!(ends[0], DisconnectReason::ForcedClose);
}

/// Joins nobody, and keeps no log.
struct Alone;

struct NoLink;

impl Adapter for Alone {
    fn join(&self, _: &str, _: NodeId, _: Arc<dyn Receiver>) -> Result<Box<dyn Link>, BusError> {
        Ok(Box::new(NoLink))
    }
}

impl Link for NoLink {
    fn publish(&self, _: To<'_>, _: limpet_bus::Message) -> Result<(), BusError> {
        Err(BusError::Full)
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, BusError>> {
        Box::pin(std::future::ready(Ok(Peers::Known(Vec::new()))))
    }

    fn close(&self) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_log_nobody_recovers_and_nothing_else_changes() {
    let io = Server::new(Options { adapter: Arc::new(Alone), ..recovering() });
    io.on_connection(|socket: Socket| async move { socket.emit("hello", ("a", 1)).unwrap() });
    run_cut(
        &io,
        r#"
        const socket = open("", ws);
        assert.deepEqual(await once(socket, "hello"), ["a", 1]);
        assert.equal(socket._pid, undefined);
        await cut(socket);
        const hello = once(socket, "hello");
        await back(socket);
        assert.notEqual(socket.recovered, true);
        assert.deepEqual(await hello, ["a", 1]);
        "#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_2_x_are_served_as_ever() {
    let mut options = recovering();
    options.engine.allow_eio3 = true;
    let io = Server::new(options);
    io.on_connection(|socket: Socket| async move {
        assert!(!socket.recovered());
        socket.emit("hello", "a").unwrap();
    });
    run_cut(
        &io,
        r#"
        const hello = await once(open2("", ws), "hello");
        assert.equal(hello[0], "a");
        "#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_event_is_on_its_way_before_it_is_waited_for() {
    let io = Server::new(recovering());
    io.on_connection(|socket: Socket| async move {
        let first = socket.emit_confirmed("n", 1);
        let second = socket.namespace().emit_confirmed("n", 2);
        socket.emit("n", 3).unwrap();
        second.await.unwrap();
        first.await.unwrap();
        drop(socket.namespace().to(socket.id()).emit_confirmed("n", 4));
        let reserved = socket.namespace().all().emit_confirmed("connect", ()).await;
        assert!(matches!(reserved, Err(EmitError::ReservedName(_))), "{reserved:?}");
        socket.disconnect(false);
        assert!(matches!(socket.emit_confirmed("n", 5).await, Err(EmitError::Disconnected)));
    });
    run_cut(
        &io,
        r#"
        const socket = open("", ws);
        const seen = collect(socket, "n");
        await gone(socket);
        assert.deepEqual(seen.map(([n]) => n), [1, 2, 3, 4]);
        "#,
    )
    .await;
}

#[tokio::test]
async fn an_event_that_the_bus_does_not_take_is_not_confirmed() {
    let io = Server::new(Options { adapter: Arc::new(Alone), ..Options::default() });
    let refused = tokio::time::timeout(Duration::from_secs(5), io.emit_confirmed("n", 1)).await.unwrap();
    assert!(matches!(refused, Err(EmitError::Bus(BusError::Full))), "{refused:?}");
}

/// Joins nodes as [`Local`] does, with a log that takes its time to write.
#[derive(Default)]
struct Slow {
    local: Local,
    /// The rooms of each session that was written.
    written: Arc<Mutex<Vec<Vec<Room>>>>,
}

struct SlowLog {
    log: Arc<dyn Log>,
    written: Arc<Mutex<Vec<Vec<Room>>>>,
}

impl Adapter for Slow {
    fn join(&self, namespace: &str, node: NodeId, receiver: Arc<dyn Receiver>) -> Result<Box<dyn Link>, BusError> {
        self.local.join(namespace, node, receiver)
    }

    fn log(&self, retention: Duration) -> Option<Arc<dyn Log>> {
        Some(Arc::new(SlowLog { log: self.local.log(retention)?, written: self.written.clone() }))
    }
}

impl Log for SlowLog {
    fn read(&self, namespace: &str, after: Offset, upto: Offset) -> BoxFuture<'_, Result<Stretch, BusError>> {
        self.log.read(namespace, after, upto)
    }

    fn save(&self, namespace: &str, session: &Session, lease: &Lease) -> BoxFuture<'_, Result<Hold, BusError>> {
        let (namespace, session, lease) = (namespace.to_owned(), session.clone(), lease.clone());
        Box::pin(async move {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let hold = self.log.save(&namespace, &session, &lease).await;
            self.written.lock().unwrap().push(session.rooms);
            hold
        })
    }

    fn adopt(&self, namespace: &str, secret: &str, node: &NodeId) -> BoxFuture<'_, Result<Option<Adopted>, BusError>> {
        self.log.adopt(namespace, secret, node)
    }

    fn refresh(
        &self,
        namespace: &str,
        sessions: &[(Arc<str>, Lease)],
    ) -> BoxFuture<'_, Result<Vec<Refreshed>, BusError>> {
        self.log.refresh(namespace, sessions)
    }

    fn forget(&self, namespace: &str, secret: &str, lease: &Lease) -> BoxFuture<'_, Result<(), BusError>> {
        self.log.forget(namespace, secret, lease)
    }

    fn retention(&self) -> Duration {
        self.log.retention()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_closes_waits_for_what_is_to_be_written() {
    let slow = Slow::default();
    let written = slow.written.clone();
    let io = Server::new(Options { adapter: Arc::new(slow), ..recovering() });
    let (sender, mut joined) = tokio::sync::mpsc::channel(1);
    io.on_connection(move |socket: Socket| {
        let sender = sender.clone();
        async move {
            socket.join("late");
            sender.send(()).await.unwrap();
        }
    });
    let listening = listen(&io).await;
    let script = run(
        &[&listening],
        r#"assert.equal(await gone(await connected("", { transports: ["websocket"] })), "transport close");"#,
    );
    let close = async {
        joined.recv().await.unwrap();
        io.close(Duration::ZERO).await;
        // The first one was written before the client was in.
        let written = written.lock().unwrap();
        assert_eq!(written[0].len(), 1);
        assert!(written.iter().any(|rooms| rooms.iter().any(|room| &**room == "late")), "{written:?}");
    };
    tokio::join!(script, close);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_returns_ends_its_old_socket_once() {
    let io = Server::new(recovering());
    let (sender, mut ends) = tokio::sync::mpsc::unbounded_channel();
    io.on_connection(move |socket: Socket| {
        let sender = sender.clone();
        async move {
            socket.emit("hello", ()).unwrap();
            let recovered = socket.recovered();
            socket.on_disconnect(move |_: Socket, reason| {
                sender.send((recovered, reason)).unwrap();
                std::future::ready(())
            });
        }
    });
    let listening = listen(&io).await;
    // The second client brings the secret of the first one, whose connection is alive.
    let script = run(
        &[&listening],
        r#"
        const first = open("", { transports: ["websocket"] });
        await once(first, "hello");
        const second = open("", { transports: ["websocket"], autoConnect: false });
        Object.assign(second, { _pid: first._pid, _lastOffset: first._lastOffset });
        const end = gone(first);
        const { id } = first;
        second.connect();
        await once(second, "connect");
        assert.deepEqual([second.recovered, second.id, await end], [true, id, "transport close"]);
        second.disconnect();
        "#,
    );
    script.await;
    use limpet_server::DisconnectReason::{ClientNamespaceDisconnect, TransportClose};
    assert_eq!(ends.recv().await, Some((false, TransportClose)));
    assert_eq!(ends.recv().await, Some((true, ClientNamespaceDisconnect)));
    assert!(ends.try_recv().is_err());
}
