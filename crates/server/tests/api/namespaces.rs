//! Namespaces: middlewares, dynamic ones, clients of 2.x, the msgpack parser.

use std::time::{Duration, Instant};

use limpet_server::{Ack, ConnectError, Options, Parser, Server, Socket, engine};
use limpet_testkit::wait::PATIENCE;
use serde_json::{Value, json};

use crate::script::{listen, run, start};

#[tokio::test(flavor = "multi_thread")]
async fn middlewares_let_in_or_refuse() {
    let (io, listening) = start().await;
    let admin = io.of("admin");
    assert_eq!(admin.name(), "/admin");
    admin.middleware(|socket: Socket| async move {
        socket.join("before");
        tokio::time::sleep(Duration::from_millis(5)).await;
        let auth: Value = socket.handshake().auth().unwrap();
        match auth["token"].as_str() {
            Some("panic") => panic!("at the door"),
            Some(token) => {
                socket.set_data("token", &token);
                Ok(())
            }
            None => Err(ConnectError::new("no token").with_data(&json!({ "code": 7 }))),
        }
    });
    admin.middleware(|socket: Socket| async move {
        if socket.data::<String>("token").unwrap() == "bad" { Err(ConnectError::new("bad token")) } else { Ok(()) }
    });
    admin.on_connection(|socket: Socket| async move {
        assert!(socket.rooms().iter().any(|room| &**room == "before"));
        socket.emit("in", socket.data::<String>("token")).unwrap();
    });
    run(
        &[&listening],
        r#"
        const refused = async (auth) => (await once(open("/admin", { auth }), "connect_error"))[0];
        let error = await refused({});
        assert.deepEqual([error.message, error.data], ["no token", { code: 7 }]);
        error = await refused({ token: "bad" });
        assert.deepEqual([error.message, error.data], ["bad token", undefined]);
        error = await refused({ token: "panic" });
        assert.equal(error.message, "internal error");
        error = (await once(open("/nowhere"), "connect_error"))[0];
        assert.equal(error.message, "Invalid namespace");
        assert.deepEqual(await once(open("/admin", { auth: { token: "good" } }), "in"), ["good"]);
        "#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_session_carries_several_namespaces() {
    let (io, listening) = start().await;
    for name in ["/", "/a", "/b"] {
        io.of(name).on_connection(|socket: Socket| async move {
            socket.on("where", |socket: Socket, ack: Ack| async move { ack.send(socket.namespace().name()).unwrap() });
            socket.on("leave", |socket: Socket| async move { socket.disconnect(false) });
        });
    }
    run(
        &[&listening],
        r#"
        const root = await connected();
        const [a, b] = [root.io.socket("/a"), root.io.socket("/b")];
        await Promise.all([once(a, "connect"), once(b, "connect")]);
        assert.deepEqual(await Promise.all([root, a, b].map((socket) => ask(socket, "where"))), ["/", "/a", "/b"]);
        assert.equal(new Set([root.id, a.id, b.id, root.io.engine.id]).size, 4);
        a.emit("leave");
        await once(a, "disconnect");
        assert.equal(await ask(b, "where"), "/b");
        a.connect();
        await once(a, "connect");
        assert.equal(await ask(a, "where"), "/a");
        "#,
    )
    .await;
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamic_namespaces_come_and_go_with_their_clients() {
    let (io, listening) = start().await;
    let rooms = io.of_matching(|name, auth| name.starts_with("/room-") && auth["key"] != "wrong");
    rooms.on_connection(|socket: Socket| async move {
        socket.namespace().emit("joined", socket.namespace().name()).unwrap();
        socket.on("all", |socket: Socket| async move { drop(socket.namespace().emit("only here", ())) });
    });
    let all = rooms.clone();
    io.on_connection(move |socket: Socket| {
        let rooms = all.clone();
        async move {
            socket.on("names", move |_: Socket, ack: Ack| {
                let mut names: Vec<String> = rooms.namespaces().iter().map(|one| one.name().to_owned()).collect();
                names.sort();
                rooms.emit("to all rooms", names.len()).unwrap();
                async move { ack.send((names,)).unwrap() }
            });
        }
    });
    run(
        &[&listening],
        r#"
        const root = await connected();
        const [one, two] = [open("/room-1"), open("/room-2", { auth: { key: "right" } })];
        assert.deepEqual(await Promise.all([once(one, "joined"), once(two, "joined")]), [["/room-1"], ["/room-2"]]);
        const error = (await once(open("/room-3", { auth: { key: "wrong" } }), "connect_error"))[0];
        assert.equal(error.message, "Invalid namespace");
        const both = Promise.all([once(one, "to all rooms"), once(two, "to all rooms")]);
        assert.deepEqual(await ask(root, "names"), ["/room-1", "/room-2"]);
        assert.deepEqual(await both, [[2], [2]]);
        two.close();
        while ((await ask(root, "names")).length > 1);
        const again = open("/room-2");
        await once(again, "joined");
        assert.deepEqual(await ask(root, "names"), ["/room-1", "/room-2"]);
        "#,
    )
    .await;
    until("the rooms are gone", || rooms.namespaces().is_empty() && io.namespaces().len() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_2_x_are_served() {
    let engine = engine::Options { allow_eio3: true, ..engine::Options::default() };
    let io = Server::new(Options { engine, ..Options::default() });
    let listening = listen(&io).await;
    for name in ["/", "/chat"] {
        io.of(name).on_connection(|socket: Socket| async move {
            assert_eq!(socket.protocol(), 4);
            let auth: Value = socket.handshake().auth().unwrap();
            socket.emit("hello", (socket.id(), auth)).unwrap();
            socket.on("echo", |socket: Socket, value: bytes::Bytes, ack: Ack| async move {
                let answer: String = socket.emit_with_ack("back", value).await.unwrap();
                ack.send(answer).unwrap();
            });
        });
    }
    io.of("/closed").middleware(|_: Socket| async { Err(ConnectError::new("closed")) });
    run(
        &[&listening],
        r#"
        for (const options of [{ transports: ["polling"] }, { transports: ["websocket"] }, {}]) {
            const socket = open2("", options);
            const [id, auth] = await once(socket, "hello");
            assert.deepEqual([id, auth], [socket.id, {}]);
            assert.equal(socket.id, socket.io.engine.id);
            socket.on("back", (bytes, answer) => answer(Buffer.from(bytes).toString("hex")));
            assert.equal(await new Promise((resolve) => socket.emit("echo", Buffer.from([1, 255]), resolve)), "01ff");
            const chat = open2("/chat?token=t", options);
            const [chatId, query] = await once(chat, "hello");
            assert.equal(chatId, chat.id);
            assert.equal(chatId, `/chat#${chat.io.engine.id}`);
            assert.equal(query.token, "t");
            assert.deepEqual(await once(open2("/closed", options), "error"), ["closed"]);
        }
        "#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_may_be_made_before_the_runtime() {
    let io = std::thread::spawn(|| {
        let io = Server::new(Options::default());
        io.of("/early").on_connection(|socket: Socket| async move {
            socket.emit("hi", ()).unwrap();
            socket.on("leave", |socket: Socket| async move {
                // From a thread without a runtime.
                std::thread::spawn(move || socket.disconnect(false));
            });
        });
        io
    })
    .join()
    .unwrap();
    let listening = listen(&io).await;
    run(
        &[&listening],
        r#"
        const socket = open("/early");
        await once(socket, "hi");
        socket.emit("leave");
        await once(socket, "disconnect");
        "#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_msgpack_parser_carries_the_same() {
    let io = Server::new(Options { parser: Parser::Msgpack, ..Options::default() });
    let listening = listen(&io).await;
    io.of("/").middleware(|socket: Socket| async move {
        let auth: Value = socket.handshake().auth().unwrap();
        if auth["ok"] == true { Ok(()) } else { Err(ConnectError::new("no").with_data(&7)) }
    });
    io.on_connection(|socket: Socket| async move {
        socket.on("echo", |socket: Socket, value: Value, bytes: bytes::Bytes, ack: Ack| async move {
            socket.emit("echo", (value, bytes.clone())).unwrap();
            let back: bytes::Bytes = socket.emit_with_ack("back", (bytes,)).await.unwrap();
            ack.send((back.len(), back)).unwrap();
        });
    });
    run(
        &[&listening],
        r#"
        import parser from "socket.io-msgpack-parser";
        const error = (await once(open("/", { parser, auth: {} }), "connect_error"))[0];
        assert.deepEqual([error.message, error.data], ["no", 7]);
        for (const transports of [["polling"], ["websocket"]]) {
            const socket = await connected("/", { parser, transports, auth: { ok: true } });
            socket.on("back", (bytes, answer) => answer(Buffer.concat([bytes, bytes])));
            const echo = once(socket, "echo");
            const value = { a: [1, -2.5, "ü", null, true, { b: 4294967296 }] };
            const acked = new Promise((resolve) => socket.emit("echo", value, Buffer.from([1, 2]), (...all) => resolve(all)));
            const [back, bytes] = await echo;
            assert.deepEqual([back, Buffer.from(bytes)], [value, Buffer.from([1, 2])]);
            const [length, doubled] = await acked;
            assert.deepEqual([length, Buffer.from(doubled)], [4, Buffer.from([1, 2, 1, 2])]);
        }
        "#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_mounted_in_axum() {
    let io = Server::new(Options::default());
    io.on_connection(|socket: Socket| async move {
        socket.on("echo", |_: Socket, text: String, ack: Ack| async move { ack.send(text).unwrap() });
    });
    let hello = axum::routing::get(|| async { "hello" });
    let app: axum::Router = axum::Router::new().route("/", hello).route_service("/socket.io/", io.service());
    // The service keeps the server.
    drop(io);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    crate::script::run_at(
        vec![url],
        r#"
        assert.equal(await (await fetch(urls[0])).text(), "hello");
        for (const options of [{ transports: ["polling"] }, { transports: ["websocket"] }, {}]) {
            assert.equal(await ask(await connected("", options), "echo", "x"), "x");
        }
        "#,
    )
    .await;
}
