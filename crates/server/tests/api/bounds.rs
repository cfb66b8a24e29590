//! What floods meet: bounds that are documented, and never memory without end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use limpet_server::{DisconnectReason, EmitError, Options, Server, Socket, engine};
use tokio::sync::{Semaphore, mpsc};

use crate::script::{listen, run};

#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_too_many_waiting_events_is_not_read() {
    let io = Server::new(Options { max_waiting_events: 4, ..Options::default() });
    let listening = listen(&io).await;
    let (gate, handled) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (opened, count) = (gate.clone(), handled.clone());
    io.on_connection(move |socket: Socket| {
        let (gate, handled) = (gate.clone(), handled.clone());
        async move {
            socket.on_any(|socket: Socket, _| async move { drop(socket) });
            socket.on("wait", move |socket: Socket, n: u64| {
                let (gate, handled) = (gate.clone(), handled.clone());
                async move {
                    gate.acquire().await.unwrap().forget();
                    handled.fetch_add(1, Ordering::Relaxed);
                    socket.emit("handled", n).unwrap();
                }
            });
        }
    });
    let open = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert_eq!(count.load(Ordering::Relaxed), 0);
        opened.add_permits(1000);
    };
    let script = run(
        &[&listening],
        r#"
        for (const transports of [["websocket"], ["polling"]]) {
            const socket = await connected("", { transports });
            const handled = collect(socket, "handled");
            for (let n = 0; n < 100; n++) socket.emit("wait", n);
            while (handled.length < 100) await once(socket, "handled");
            assert.deepEqual(handled.flat(), [...Array(100).keys()]);
        }
        "#,
    );
    tokio::join!(script, open);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_disconnected() {
    let engine = engine::Options { max_queued_bytes: 1 << 20, ..engine::Options::default() };
    let io = Server::new(Options { engine, ..Options::default() });
    let listening = listen(&io).await;
    let (sender, mut ends) = mpsc::unbounded_channel();
    io.on_connection(move |socket: Socket| {
        let sender = sender.clone();
        async move {
            let text = "x".repeat(100_000);
            socket.on("flood", move |socket: Socket| {
                let text = text.clone();
                async move {
                    // What is volatile is dropped instead.
                    for _ in 0..1000 {
                        socket.volatile().emit("flood", &text).unwrap();
                    }
                    let mut sent = 0;
                    while socket.emit("flood", &text).is_ok() {
                        sent += 1;
                        assert!(sent < 100_000, "the queue has no end");
                    }
                    assert!(matches!(socket.emit("flood", &text), Err(EmitError::QueueFull | EmitError::Disconnected)));
                }
            });
            socket.on_disconnect(move |_: Socket, reason| {
                sender.send(reason).unwrap();
                std::future::ready(())
            });
        }
    });
    run(
        &[&listening],
        r#"
        const socket = await connected("", { transports: ["websocket"] });
        socket.emit("flood");
        await new Promise((resolve) => setTimeout(resolve, 50));
        socket.io.engine.transport.ws._socket.pause();
        await new Promise((resolve) => setTimeout(resolve, 500));
        "#,
    )
    .await;
    assert_eq!(ends.recv().await, Some(DisconnectReason::TransportError));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_may_be_in_so_many_namespaces_only() {
    let io = Server::new(Options { max_namespaces_per_client: 3, ..Options::default() });
    io.of_matching(|_, _| true).on_connection(|_: Socket| async {});
    let listening = listen(&io).await;
    run(
        &[&listening],
        r#"
        const root = await connected();
        for (const name of ["/a", "/b"]) await once(root.io.socket(name).connect(), "connect");
        root.io.socket("/c").connect();
        await once(root, "disconnect");
        "#,
    )
    .await;
}
