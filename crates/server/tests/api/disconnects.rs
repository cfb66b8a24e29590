//! How sockets end, and who is told what.

use std::time::{Duration, Instant};

use limpet_server::{Ack, DisconnectReason, Event, Options, Room, Server, Socket, engine};
use limpet_testkit::wait::PATIENCE;
use tokio::sync::mpsc;

use crate::script::{listen, run};

/// What a server was told of the end of a socket.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Disconnecting(DisconnectReason, usize),
    Disconnect(DisconnectReason, usize),
    Event,
}

fn watched(options: Options) -> (Server, mpsc::UnboundedReceiver<Told>) {
    let io = Server::new(options);
    let (sender, told) = mpsc::unbounded_channel();
    io.of("/other").on_connection(|socket: Socket| async move {
        socket.on("flushed", |_: Socket, ack: Ack| async move { ack.send(()).unwrap() });
    });
    io.on_connection(move |socket: Socket| {
        let (events, sender, last) = (sender.clone(), sender.clone(), sender.clone());
        async move {
            socket.join(["a", "b"]);
            socket.on("leave me", |socket: Socket| async move { socket.disconnect(false) });
            socket.on("close me", |socket: Socket| async move { socket.disconnect(true) });
            socket.on("slow", move |_: Socket, _: Event| {
                let events = events.clone();
                async move {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    events.send(Told::Event).unwrap();
                }
            });
            socket.on_disconnecting(move |socket: Socket, reason| {
                let rooms: Vec<Room> = socket.rooms();
                assert_eq!(&*rooms[0], socket.id());
                assert!(!socket.connected() && socket.emit("gone", ()).is_err());
                sender.send(Told::Disconnecting(reason, rooms.len())).unwrap();
                std::future::ready(())
            });
            socket.on_disconnect(move |socket: Socket, reason| {
                last.send(Told::Disconnect(reason, socket.rooms().len())).unwrap();
                std::future::ready(())
            });
        }
    });
    (io, told)
}

async fn expect(told: &mut mpsc::UnboundedReceiver<Told>, reason: DisconnectReason) {
    assert_eq!(told.recv().await, Some(Told::Disconnecting(reason, 3)));
    assert_eq!(told.recv().await, Some(Told::Disconnect(reason, 0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_end_has_its_reason() {
    let (io, mut told) = watched(Options::default());
    let listening = listen(&io).await;
    let end = |script: &'static str| run(&[&listening], script);
    end(r#"
        const socket = await connected();
        const other = socket.io.socket("/other");
        await once(other, "connect");
        socket.disconnect();
        await ask(other, "flushed");
    "#)
    .await;
    expect(&mut told, DisconnectReason::ClientNamespaceDisconnect).await;
    end(r#"const socket = await connected("", { transports: ["websocket"] }); socket.io.engine.close();"#).await;
    expect(&mut told, DisconnectReason::TransportClose).await;
    end(r#"
        const socket = await connected("", { transports: ["websocket"] });
        socket.emit("leave me");
        assert.equal(await gone(socket), "io server disconnect");
    "#)
    .await;
    expect(&mut told, DisconnectReason::ServerNamespaceDisconnect).await;
    end(r#"
        const socket = await connected("", { transports: ["websocket"] });
        const closed = new Promise((resolve) => socket.io.engine.once("close", resolve));
        socket.emit("close me");
        assert.equal(await gone(socket), "io server disconnect");
        await closed;
    "#)
    .await;
    expect(&mut told, DisconnectReason::ServerNamespaceDisconnect).await;
    end(r#"
        const socket = await connected("", { transports: ["websocket"] });
        socket.io.engine.write("9 no packet");
        await once(socket, "disconnect");
    "#)
    .await;
    expect(&mut told, DisconnectReason::ForcedClose).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_answers_no_ping_has_timed_out() {
    let engine = engine::Options {
        ping_interval: Duration::from_millis(300),
        ping_timeout: Duration::from_millis(200),
        ..engine::Options::default()
    };
    let (io, mut told) = watched(Options { engine, ..Options::default() });
    let listening = listen(&io).await;
    // It stays for longer than a busy server is late, since its leaving would be another reason.
    run(
        &[&listening],
        r#"
        const socket = await connected("", { transports: ["websocket"] });
        socket.io.engine.transport.ws.pause();
        await new Promise((resolve) => setTimeout(resolve, 4000));
        "#,
    )
    .await;
    expect(&mut told, DisconnectReason::PingTimeout).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_came_before_the_end_are_handled_before_it() {
    let (io, mut told) = watched(Options::default());
    let listening = listen(&io).await;
    run(
        &[&listening],
        r#"
        const socket = await connected();
        const other = socket.io.socket("/other");
        await once(other, "connect");
        for (let n = 0; n < 3; n++) socket.emit("slow");
        socket.disconnect();
        await ask(other, "flushed");
        "#,
    )
    .await;
    for _ in 0..3 {
        assert_eq!(told.recv().await, Some(Told::Event));
    }
    expect(&mut told, DisconnectReason::ClientNamespaceDisconnect).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_joins_nothing_is_sent_away() {
    let io = Server::new(Options { connect_timeout: Duration::from_secs(1), ..Options::default() });
    let listening = listen(&io).await;
    run(
        &[&listening],
        r#"
        import { Socket as Engine } from "engine.io-client";
        const engine = new Engine(urls[0], { path: "/socket.io/" });
        await new Promise((resolve) => engine.on("close", resolve));
        const socket = await connected("", { transports: ["websocket"] });
        await new Promise((resolve) => setTimeout(resolve, 1500));
        assert.ok(socket.connected);
        "#,
    )
    .await;
    let deadline = Instant::now() + PATIENCE;
    while io.engine().sessions() > 0 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(io.engine().sessions(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_graceful_close_spreads_the_ends() {
    let (io, mut told) = watched(Options::default());
    let listening = listen(&io).await;
    let clients = run(
        &[&listening],
        r#"
        const all = await Promise.all([...Array(20).keys()].map((n) =>
            connected("", { transports: n % 2 ? ["websocket"] : ["polling"] })));
        const ends = all.map(async (socket) => [(await once(socket, "disconnect"))[0], Date.now()]);
        all[0].emit("slow");
        const done = await Promise.all(ends);
        assert.deepEqual([...new Set(done.map(([reason]) => reason))], ["transport close"]);
        const times = done.map(([, at]) => at);
        assert.ok(Math.max(...times) - Math.min(...times) > 500, `${times}`);
        "#,
    );
    let close = async {
        assert_eq!(told.recv().await, Some(Told::Event));
        // Much longer than what is asserted: a client that stands still meanwhile hears of several ends at once.
        listening.close(Duration::from_secs(3)).await;
        for _ in 0..20 {
            expect_either(&mut told).await;
            expect_either(&mut told).await;
        }
    };
    tokio::join!(clients, close);
    assert_eq!(io.engine().sessions(), 0);
}

async fn expect_either(told: &mut mpsc::UnboundedReceiver<Told>) {
    let told = told.recv().await.unwrap();
    let reason = DisconnectReason::ServerShuttingDown;
    assert!([Told::Disconnecting(reason, 3), Told::Disconnect(reason, 0)].contains(&told), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_handlers_hold_is_freed_with_the_socket() {
    let io = Server::new(Options::default());
    let listening = listen(&io).await;
    let token = std::sync::Arc::new(());
    let held = std::sync::Arc::downgrade(&token);
    io.on_connection(move |socket: Socket| {
        let token = token.clone();
        async move {
            let (own, for_end) = (socket.clone(), socket.clone());
            socket.on("never", move |_: Socket| {
                let _held = (&token, &own);
                std::future::ready(())
            });
            socket.on_disconnect(move |_: Socket, _| {
                assert!(!for_end.connected());
                std::future::ready(())
            });
        }
    });
    run(&[&listening], r#"await Promise.all([connected(), connected("", { transports: ["websocket"] })]);"#).await;
    let deadline = Instant::now() + PATIENCE;
    // The handler of the namespace holds one.
    while held.strong_count() > 1 && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(held.strong_count(), 1);
}
