//! Rooms and broadcasts: who is meant, and who gets it how often.

use limpet_server::{Ack, Fetched, Options, Server, Socket};
use serde_json::Value;

use crate::script::{listen, run, start};

/// A server whose clients name the rooms they join, and say with which words a broadcast is made.
async fn roomy() -> (Server, limpet_server::Listening) {
    let (io, listening) = start().await;
    io.on_connection(|socket: Socket| async move {
        socket.on("join", |socket: Socket, rooms: Vec<String>, ack: Ack| async move {
            socket.join(rooms);
            let mut rooms = socket.rooms();
            rooms.remove(0);
            ack.send((rooms,)).unwrap();
        });
        socket.on("leave", |socket: Socket, room: String, ack: Ack| async move {
            socket.leave(room);
            ack.send(socket.rooms().len()).unwrap();
        });
        socket.on("cast", |socket: Socket, how: String| async move {
            let io = socket.namespace().clone();
            let broadcast = match how.as_str() {
                "all" => io.all(),
                "broadcast" => socket.broadcast(),
                "to red" => socket.to("red"),
                "in red" => io.in_room("red"),
                "red or blue" => io.to("red").to("blue"),
                "red or blue at once" => io.to(["red", "blue"]),
                "all but red" => io.except("red"),
                "broadcast but blue" => socket.except("blue"),
                "red but blue" => io.to("red").except("blue"),
                "local" => socket.local(),
                "loud" => socket.compress(false).volatile().to(vec!["red".to_owned()]),
                id => io.to(id),
            };
            broadcast.emit("heard", how).unwrap();
            socket.emit("end", ()).unwrap();
            io.emit("end", ()).unwrap();
        });
    });
    (io, listening)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broadcast_reaches_whom_it_means_once() {
    let (_io, listening) = roomy().await;
    run(
        &[&listening],
        r#"
        const [a, b, c] = [await connected("", { transports: ["websocket"] }), await connected(), await connected()];
        assert.deepEqual(await ask(a, "join", ["red", "red"]), ["red"]);
        await ask(b, "join", ["red", "blue"]);
        await ask(c, "join", ["blue", "green"]);
        const heard = [a, b, c].map((socket) => collect(socket, "heard"));
        const ends = [a, b, c].map((socket) => collect(socket, "end"));
        const expected = {
            "all": [1, 1, 1],
            "broadcast": [0, 1, 1],
            "to red": [0, 1, 0],
            "in red": [1, 1, 0],
            "red or blue": [1, 1, 1],
            "red or blue at once": [1, 1, 1],
            "all but red": [0, 0, 1],
            "broadcast but blue": [0, 0, 0],
            "red but blue": [1, 0, 0],
            "local": [0, 1, 1],
            [c.id]: [0, 0, 1],
            "nobody": [0, 0, 0],
        };
        let count = 0;
        for (const [how, counts] of Object.entries(expected)) {
            a.emit("cast", how);
            count += 1;
            while (ends[1].length < count) await once(b, "end");
            while (ends[2].length < count) await once(c, "end");
            while (ends[0].length < 2 * count) await once(a, "end");
            assert.deepEqual(heard.map((seen) => seen.splice(0).length), counts, how);
        }
        a.emit("cast", "loud");
        await once(b, "heard");
        assert.equal(await ask(b, "leave", "blue"), 2);
        assert.equal(await ask(b, "leave", b.id), 2);
        "#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_are_found_and_moved_together() {
    let (io, listening) = start().await;
    io.on_connection(|socket: Socket| async move {
        socket.set_data("name", &socket.handshake().query("name"));
        socket.join("lobby");
        socket.on("move", |socket: Socket, ack: Ack| async move {
            let io = socket.namespace();
            io.in_room("lobby").except(socket.id()).sockets_join(["hall", "tower"]);
            io.in_room("hall").sockets_leave("lobby");
            let Fetched { sockets, missing, .. } = io.fetch_sockets().await;
            assert!(missing.is_empty());
            let mut found: Vec<(String, Vec<String>, Value)> = Vec::new();
            for one in sockets {
                let rooms = one.rooms().iter().skip(1).map(ToString::to_string).collect();
                assert_eq!(&*one.rooms()[0], one.id());
                found.push((one.data("name").unwrap(), rooms, one.handshake()["query"]["name"].clone()));
                one.emit("found", ()).unwrap();
            }
            found.sort_by(|one, other| one.0.cmp(&other.0));
            ack.send((found,)).unwrap();
            io.in_room("hall").disconnect_sockets(false);
        });
    });
    run(
        &[&listening],
        r#"
        const named = (name) => connected("", { query: { name } });
        const [a, b, c] = [await named("a"), await named("b"), await named("c")];
        const gone = [b, c].map((socket) => once(socket, "disconnect"));
        const found = [b, c].map((socket) => once(socket, "found"));
        const rooms = await ask(a, "move");
        assert.deepEqual(rooms, [["a", ["lobby"], "a"], ["b", ["hall", "tower"], "b"], ["c", ["hall", "tower"], "c"]]);
        await Promise.all(found);
        assert.deepEqual((await Promise.all(gone)).flat(), ["io server disconnect", "io server disconnect"]);
        assert.ok(a.connected);
        "#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_handshake_tells_what_the_client_said() {
    let io = Server::new(Options::default());
    let listening = listen(&io).await;
    io.on_connection(|socket: Socket| async move {
        let handshake = socket.handshake();
        assert!(handshake.address().ip().is_loopback() && !handshake.is_secure());
        let auth: Value = handshake.auth().unwrap();
        let json = handshake.to_json();
        let told = (auth, handshake.header("x-test"), handshake.query("a"), json["query"]["a"].clone(), socket.id());
        socket.emit("told", told).unwrap();
        assert!(json["time"].as_str().unwrap().contains("GMT") && json["issued"].is_u64());
        assert!(json["headers"]["x-test"] == "yes" && json["url"].as_str().unwrap().starts_with("/socket.io/?"));
    });
    run(
        &[&listening],
        r#"
        const socket = open("", { auth: { token: "t" }, query: { a: "ü" }, extraHeaders: { "x-test": "yes" } });
        const told = await once(socket, "told");
        assert.deepEqual(told, [{ token: "t" }, "yes", "ü", "ü", socket.id]);
        assert.match(socket.id, /^[A-Za-z0-9_-]{20}$/);
        assert.notEqual(socket.id, socket.io.engine.id);
        "#,
    )
    .await;
}
