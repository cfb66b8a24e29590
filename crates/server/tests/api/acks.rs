//! Acknowledgements in both directions, of one client and of many.

use std::time::Duration;

use bytes::Bytes;
use limpet_server::{Ack, AckError, Options, Server, Socket};

use crate::script::{listen, run, start};

#[tokio::test(flavor = "multi_thread")]
async fn events_are_answered_once() {
    let (io, listening) = start().await;
    io.on_connection(|socket: Socket| async move {
        socket.on("sum", |_: Socket, a: i64, b: i64, ack: Ack| async move {
            assert!(ack.is_wanted());
            let again = ack.clone();
            ack.send(a + b).unwrap();
            assert!(!again.is_wanted());
            again.send("never").unwrap();
        });
        socket.on("several", |_: Socket, ack: Ack| async move { ack.send(("a", 1, ())).unwrap() });
        socket.on("none", |_: Socket, ack: Ack| async move { ack.send(()).unwrap() });
        socket.on("bytes", |_: Socket, bytes: Bytes, ack: Ack| async move { ack.send(bytes).unwrap() });
        socket.on("unasked", |socket: Socket, ack: Ack| async move { socket.emit("wanted", ack.is_wanted()).unwrap() });
    });
    run(
        &[&listening],
        r#"
        const socket = await connected();
        assert.equal(await ask(socket, "sum", 2, 40), 42);
        const several = (name) => new Promise((resolve) => socket.emit(name, (...values) => resolve(values)));
        assert.deepEqual(await several("several"), ["a", 1, null]);
        assert.deepEqual(await several("none"), []);
        assert.deepEqual(Buffer.from(await ask(socket, "bytes", Buffer.from([1, 2]))), Buffer.from([1, 2]));
        socket.emit("unasked");
        assert.deepEqual(await once(socket, "wanted"), [false]);
        "#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_may_wait_for_the_client_it_serves() {
    let (io, listening) = start().await;
    io.on_connection(|socket: Socket| async move {
        socket.on("ask me", |socket: Socket, ack: Ack| async move {
            let colour: String = socket.emit_with_ack("which colour?", "cars").await.unwrap();
            let bytes: Bytes = socket.emit_with_ack("bytes?", ()).await.unwrap();
            ack.send((colour, bytes.len())).unwrap();
        });
        socket.on("silence", |socket: Socket, ack: Ack| async move {
            let quick = socket.timeout(Duration::from_millis(20));
            let timeout = quick.emit_with_ack::<()>("never answered", ()).await;
            let wrong = socket.emit_with_ack::<u8>("which colour?", "none").await;
            ack.send((matches!(timeout, Err(AckError::Timeout)), matches!(wrong, Err(AckError::Decode(_))))).unwrap();
        });
    });
    run(
        &[&listening],
        r#"
        const socket = await connected();
        socket.on("which colour?", (what, answer) => answer(`red ${what}`));
        socket.on("bytes?", (answer) => answer(Buffer.alloc(7)));
        const answers = (name) => new Promise((resolve) => socket.emit(name, (...values) => resolve(values)));
        assert.deepEqual(await answers("ask me"), ["red cars", 7]);
        assert.deepEqual(await answers("silence"), [true, true]);
        "#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_collects_answers_and_counts_who_is_silent() {
    let (io, listening) = start().await;
    io.on_connection(|socket: Socket| async move {
        socket.join("all");
        socket.on("poll", |socket: Socket, ack: Ack| async move {
            let all = socket.namespace().timeout(Duration::from_secs(5)).emit_with_ack::<String>("name?", ()).await;
            let mut all = all.unwrap();
            all.sort();
            // Who answers at all must not be late on a busy machine.
            let short = Duration::from_secs(3);
            let error = socket.to("all").timeout(short).emit_with_ack::<u8>("not all answer", ()).await.unwrap_err();
            let nobody = socket.to("nobody").timeout(short).emit_with_ack::<u8>("name?", ()).await.unwrap();
            ack.send((all, error.answers, error.missing, error.missing_nodes.is_empty(), nobody.len())).unwrap();
        });
    });
    run(
        &[&listening],
        r#"
        const [a, b, c] = await Promise.all([connected(), connected("", { transports: ["websocket"] }), connected()]);
        for (const [socket, name] of [[a, "a"], [b, "b"], [c, "c"]]) socket.on("name?", (answer) => answer(name));
        a.on("not all answer", (answer) => answer(1));
        b.on("not all answer", (answer) => answer(2));
        const answers = await new Promise((resolve) => a.emit("poll", (...values) => resolve(values)));
        assert.deepEqual(answers, [["a", "b", "c"], [2], 1, true, 0]);
        "#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_never_come_end_with_the_socket_and_are_bounded() {
    let io = Server::new(Options { max_waiting_acks: 3, ..Options::default() });
    let listening = listen(&io).await;
    let (sender, mut results) = tokio::sync::mpsc::unbounded_channel();
    io.on_connection(move |socket: Socket| {
        let sender = sender.clone();
        async move {
            // What is dropped is no longer waited for.
            for _ in 0..10 {
                drop(socket.emit_with_ack::<()>("dropped", ()));
            }
            let waiting: Vec<_> = (0..4).map(|_| socket.emit_with_ack::<()>("never", ())).collect();
            for answer in waiting {
                sender.send(answer.await.unwrap_err()).unwrap();
            }
            sender.send(socket.emit_with_ack::<()>("too late", ()).await.unwrap_err()).unwrap();
        }
    });
    run(&[&listening], r#"const socket = open(); await once(socket, "never"); socket.close();"#).await;
    for _ in 0..3 {
        assert!(matches!(results.recv().await, Some(AckError::Disconnected)));
    }
    assert!(matches!(results.recv().await, Some(AckError::TooMany)));
    assert!(matches!(results.recv().await, Some(AckError::Emit(_))));
}
