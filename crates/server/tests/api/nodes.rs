//! Several nodes that are joined, and what one of them can do with the sockets of the others.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use limpet_bus::{BusError, Link, Message, Peers, Receiver, To};
use limpet_server::{Ack, Adapter, Listening, Local, NodeId, Options, Server, Socket};

use crate::script::{listen, run};

async fn three() -> (Vec<Server>, Vec<Listening>) {
    let bus = Local::new();
    let (mut servers, mut listening) = (Vec::new(), Vec::new());
    for name in ["one", "two", "three"] {
        let io =
            Server::new(Options { adapter: Arc::new(bus.clone()), node: NodeId::from(name), ..Options::default() });
        io.on_connection(|socket: Socket| async move {
            socket.set_data("node", &socket.node());
            socket.join("all");
            socket.on_disconnect(|socket: Socket, _| async move {
                tokio::time::sleep(Duration::from_millis(20)).await;
                socket.broadcast().emit("left", socket.node()).unwrap();
            });
            socket
                .on("say", |socket: Socket, text: String| async move { socket.to("all").emit("said", text).unwrap() });
            socket.on("local", |socket: Socket| async move { socket.local().emit("near", ()).unwrap() });
            socket.on("who", |socket: Socket, ack: Ack| async move {
                let found = socket.namespace().fetch_sockets().await;
                let mut nodes: Vec<String> = found.sockets.iter().map(|socket| socket.data("node").unwrap()).collect();
                nodes.sort();
                ack.send((nodes,)).unwrap();
            });
            socket.on("names", |socket: Socket, ack: Ack| async move {
                let within = socket.namespace().timeout(Duration::from_secs(5));
                let mut names: Vec<String> = within.emit_with_ack("name?", ()).await.unwrap();
                names.sort();
                ack.send((names,)).unwrap();
            });
            socket.on("servers", |socket: Socket, ack: Ack| async move {
                let namespace = socket.namespace();
                namespace.server_side_emit("note", ("a", 1)).unwrap();
                let mut names: Vec<String> = namespace.server_side_emit_with_ack("who are you?", 7).await.unwrap();
                names.sort();
                ack.send((names,)).unwrap();
            });
            socket.on("send off", |socket: Socket, id: String| async move {
                socket.namespace().to(&id).sockets_join("off");
                socket.to("off").emit("bye", ()).unwrap();
                socket.namespace().in_room("off").disconnect_sockets(true);
            });
        });
        let own = io.clone();
        io.on_server_event("note", move |event| {
            own.local().emit("note", (event.node(), event.get::<String>(0).unwrap(), event.is_reply_wanted())).unwrap();
            std::future::ready(())
        });
        io.on_server_event("who are you?", move |event| async move {
            assert_eq!(event.get::<u8>(0).unwrap(), 7);
            event.reply(name).unwrap();
            event.reply("never").unwrap();
        });
        listening.push(listen(&io).await);
        servers.push(io);
    }
    (servers, listening)
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_act_as_one() {
    let (_servers, listening) = three().await;
    run(
        &listening.iter().collect::<Vec<_>>(),
        r#"
        const [a, b, c] = await Promise.all([0, 1, 2].map((node) => connected("", {}, node)));
        const said = [a, b, c].map((socket) => collect(socket, "said"));
        const near = [a, b, c].map((socket) => collect(socket, "near"));
        const notes = Promise.all([once(b, "note"), once(c, "note")]);
        a.emit("local");
        a.emit("say", "hello");
        await Promise.all([once(b, "said"), once(c, "said")]);
        assert.deepEqual([said, near], [[[], [["hello"]], [["hello"]]], [[], [], []]]);
        assert.deepEqual(await ask(a, "who"), ["one", "three", "two"]);
        for (const [socket, name] of [[a, "a"], [b, "b"], [c, "c"]]) socket.on("name?", (answer) => answer(name));
        assert.deepEqual(await ask(b, "names"), ["a", "b", "c"]);
        assert.deepEqual(await ask(a, "servers"), ["three", "two"]);
        assert.deepEqual(await notes, [["one", "a", false], ["one", "a", false]]);
        const bye = Promise.all([once(c, "bye"), gone(c)]);
        a.emit("send off", c.id);
        assert.deepEqual(await bye, [[], "io server disconnect"]);
        assert.deepEqual(await ask(a, "who"), ["one", "two"]);
        "#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_closes_says_its_last_words_and_is_not_waited_for() {
    let (servers, mut listening) = three().await;
    let urls = listening.iter().map(|one| format!("http://{}", one.addr())).collect();
    let third = Arc::new(std::sync::Mutex::new(listening.pop()));
    servers[0].on_connection(move |socket: Socket| {
        let third = third.clone();
        async move {
            socket.on("stop the third", move |_: Socket, ack: Ack| {
                let third = third.lock().unwrap().take().unwrap();
                async move {
                    third.close(Duration::ZERO).await;
                    ack.send(()).unwrap();
                }
            });
        }
    });
    crate::script::run_at(
        urls,
        r#"
        const [a, b, c] = await Promise.all([0, 1, 2].map((node) => connected("", { transports: ["websocket"] }, node)));
        const left = Promise.all([once(a, "left"), once(b, "left"), gone(c)]);
        await ask(a, "stop the third");
        assert.deepEqual(await left, [["three"], ["three"], "transport close"]);
        const before = Date.now();
        assert.deepEqual(await ask(a, "who"), ["one", "two"]);
        assert.deepEqual(await ask(a, "servers"), ["two"]);
        assert.ok(Date.now() - before < 2000);
        "#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_are_joined_by_an_adapter_of_ones_own() {
    use std::process::{Command, Stdio};
    let folder = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples");
    let free = || std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let bus = [free(), free()];
    let mut nodes = Vec::new();
    for (name, own, other) in [("one", 0, 1), ("two", 1, 0)] {
        let mut command = Command::new(folder.join("tcp_adapter"));
        command.args([name, "127.0.0.1:0", &bus[own], &bus[other]]).stdin(Stdio::null());
        nodes.push(limpet_testkit::process::Process::spawn(name, &mut command).unwrap());
    }
    let mut urls = Vec::new();
    for (node, other) in nodes.iter().zip(["two", "one"]) {
        let port = |line: &str| Some(format!("http://{}", line.strip_prefix("listening on ")?));
        urls.push(node.wait_for("its address", port).unwrap());
        node.wait_for("its peer", |line| (line == format!("joined {other}")).then_some(())).unwrap();
    }
    crate::script::run_at(
        urls,
        r#"
        const [a, b] = await Promise.all([0, 1].map((node) => connected("", {}, node)));
        a.emit("say", "hello");
        assert.deepEqual(await once(b, "said"), ["one", "hello"]);
        const who = (socket) => new Promise((resolve) => socket.emit("who", (...values) => resolve(values)));
        assert.deepEqual(await who(a), [[a.id, b.id].sort(), 0]);
        for (const [socket, name] of [[a, "a"], [b, "b"]]) socket.on("name?", (answer) => answer(name));
        assert.deepEqual(await new Promise((resolve) => b.emit("poll", (...values) => resolve(values))), [["a", "b"]]);
        "#,
    )
    .await;
}

/// An adapter whose other nodes cannot be asked.
struct Silent(Local);

struct SilentLink(Box<dyn Link>);

impl Adapter for Silent {
    fn join(&self, namespace: &str, node: NodeId, receiver: Arc<dyn Receiver>) -> Result<Box<dyn Link>, BusError> {
        Ok(Box::new(SilentLink(self.0.join(namespace, node, receiver)?)))
    }
}

impl Link for SilentLink {
    fn publish(&self, to: To<'_>, message: Message) -> Result<(), BusError> {
        self.0.publish(to, message)
    }

    fn peers(&self) -> BoxFuture<'_, Result<Peers, BusError>> {
        Box::pin(async { Err(BusError::Closed) })
    }

    fn close(&self) {
        self.0.close();
    }
}

#[tokio::test]
async fn who_finds_sockets_knows_that_the_other_nodes_were_not_asked() {
    let io = Server::new(Options { adapter: Arc::new(Silent(Local::new())), ..Options::default() });
    let found = io.fetch_sockets().await;
    assert!(matches!(found.error.as_deref(), Some(BusError::Closed)), "{found:?}");
    assert!(io.local().fetch_sockets().await.error.is_none());
}
