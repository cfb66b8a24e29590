//! Events in both directions: types, order, catch-alls, middlewares of a socket, errors, panics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use limpet_server::{Ack, EmitError, Event, EventError, Socket};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::script::{run, start};

#[derive(Serialize, Deserialize)]
struct Photo {
    name: String,
    bytes: Bytes,
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_have_the_types_of_the_parameters() {
    let (io, listening) = start().await;
    io.on_connection(|socket: Socket| async move {
        socket.on("typed", |socket: Socket, a: String, b: u32, c: Option<bool>, d: Vec<f64>| async move {
            socket.emit("typed", (a, b, c, d)).unwrap();
        });
        socket.on("photo", |socket: Socket, photo: Photo| async move {
            let doubled = [photo.bytes.clone(), photo.bytes.clone()].concat();
            socket.emit("photo", (Photo { name: photo.name, bytes: doubled.into() }, photo.bytes)).unwrap();
        });
        socket.on("count", |_: Socket, event: Event, ack: Ack| async move {
            ack.send((event.len(), event.name().into_owned())).unwrap();
        });
        socket.on(7.to_string(), |socket: Socket| async move { socket.emit("number", ()).unwrap() });
        assert!(matches!(socket.emit("disconnect", ()), Err(EmitError::ReservedName(_))));
        assert!(matches!(socket.emit("map", BTreeMap::from([(vec![1], 1)])), Err(EmitError::Arguments(_))));
        socket.emit("none", ()).unwrap();
        socket.emit("one", "x").unwrap();
        socket.emit("list", (vec![1, 2],)).unwrap();
    });
    run(
        &[&listening],
        r#"
        for (const options of [{ transports: ["polling"] }, { transports: ["websocket"] }, {}]) {
            const socket = open("", options);
            const seen = [];
            socket.onAny((...values) => seen.push(values));
            await once(socket, "list");
            assert.deepEqual(seen, [["none"], ["one", "x"], ["list", [1, 2]]]);
            socket.emit("typed", "größe", 7, null, [1, 2.5], "too much");
            assert.deepEqual(await once(socket, "typed"), ["größe", 7, null, [1, 2.5]]);
            const bytes = Buffer.from([0, 1, 255]);
            socket.emit("photo", { name: "x", bytes });
            const [photo, again] = await once(socket, "photo");
            assert.deepEqual(Buffer.from(photo.bytes), Buffer.concat([bytes, bytes]));
            assert.deepEqual([photo.name, Buffer.from(again)], ["x", bytes]);
            socket.emit("count", 1, 2, 3, (count, name) => socket.emit("counted", count, name));
            assert.deepEqual(await new Promise((resolve) => socket.emit("count", 1, 2, (...values) => resolve(values))), [2, "count"]);
            socket.emit(7);
            await once(socket, "number");
        }
        "#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn handlers_run_in_order_even_if_they_wait() {
    let (io, listening) = start().await;
    io.on_connection(|socket: Socket| async move {
        socket.on("item", |socket: Socket, n: u64| async move {
            if n.is_multiple_of(3) {
                tokio::time::sleep(Duration::from_millis(20 - n)).await;
            }
            socket.emit("done", n).unwrap();
        });
        // The first events of a client wait for this.
        tokio::time::sleep(Duration::from_millis(50)).await;
        socket.on("early", |socket: Socket| async move { socket.emit("in time", ()).unwrap() });
    });
    run(
        &[&listening],
        r#"
        const socket = open();
        const done = collect(socket, "done");
        socket.emit("early");
        await once(socket, "in time");
        for (let n = 0; n < 20; n++) socket.emit("item", n);
        while (done.length < 20) await once(socket, "done");
        assert.deepEqual(done.flat(), [...Array(20).keys()]);
        "#,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn catch_alls_see_everything_and_middlewares_refuse() {
    let (io, listening) = start().await;
    let errors = Arc::new(Mutex::new(Vec::new()));
    let seen_errors = errors.clone();
    io.on_connection(move |socket: Socket| {
        let errors = errors.clone();
        async move {
            socket.middleware(|event: &Event| if event.name() == "bad" { Err("a bad event") } else { Ok(()) });
            socket.on_any(|socket: Socket, event: Event| async move {
                socket.emit("any", (event.name(), event.get::<Value>(0).unwrap())).unwrap();
            });
            socket.on("good", |socket: Socket| async move { socket.emit("handled", "good").unwrap() });
            socket.on("good", |socket: Socket| async move { socket.emit("handled", "again").unwrap() });
            socket.on("bad", |socket: Socket| async move { socket.emit("handled", "bad").unwrap() });
            socket.on("number", |socket: Socket, n: u8| async move { socket.emit("handled", n).unwrap() });
            socket.once("once", |socket: Socket| async move { socket.emit("handled", "once").unwrap() });
            socket.on("off", |socket: Socket| async move { socket.emit("handled", "off").unwrap() });
            socket.off("off");
            socket.on_error(move |socket: Socket, event: Event, error: Arc<EventError>| {
                errors.lock().unwrap().push(format!("{}: {error}", event.name()));
                async move { socket.emit("handled", "error").unwrap() }
            });
            socket.on_any_outgoing(|socket, event| {
                if event.name() == "handled" {
                    socket.emit("outgoing", event.get::<Value>(0).unwrap()).unwrap();
                }
            });
        }
    });
    run(
        &[&listening],
        r#"
        const socket = await connected();
        const [any, handled, outgoing] = ["any", "handled", "outgoing"].map((name) => collect(socket, name));
        for (const name of ["good", "bad", "once", "once", "off"]) socket.emit(name, name.length);
        socket.emit("number", 7);
        socket.emit("number", "seven");
        socket.emit("number", 8);
        while (outgoing.length < 7) await once(socket, "outgoing");
        assert.deepEqual(any.map(([name]) => name), ["good", "bad", "once", "once", "off", "number", "number", "number"]);
        assert.deepEqual(handled.flat(), ["good", "again", "error", "once", 7, "error", 8]);
        assert.deepEqual(outgoing.flat(), handled.flat());
        "#,
    )
    .await;
    let errors = seen_errors.lock().unwrap().clone();
    assert_eq!(errors[0], "bad: a bad event");
    assert!(errors[1].starts_with("number: argument 0 is not what was expected"), "{}", errors[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_ends_its_socket_and_nothing_else() {
    let (io, listening) = start().await;
    io.on_connection(|socket: Socket| async move {
        socket.on("at once", |_: Socket| -> std::future::Ready<()> { panic!("at once") });
        socket.on("soon", |_: Socket| async { panic!("soon") });
        socket.on("later", |_: Socket| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            panic!("later");
        });
        socket.on("echo", |_: Socket, text: String, ack: Ack| async move { ack.send(text).unwrap() });
    });
    run(
        &[&listening],
        r#"
        const other = await connected();
        for (const name of ["at once", "soon", "later"]) {
            const socket = await connected();
            socket.emit(name);
            assert.equal(await gone(socket), "io server disconnect");
        }
        assert.equal(await ask(other, "echo", "x"), "x");
        assert.equal(await ask(await connected(), "echo", "y"), "y");
        "#,
    )
    .await;
}
