//! Connections that wait in the engine until they become tunnels, or do not.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

use mio::Interest;

use super::super::berth::From;
use super::*;
use crate::net::socket::Socket;

/// Runs a test on an engine that relays.
fn with_engine<F: Future<Output = ()>>(test: impl FnOnce(Rc<Engine>) -> F) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(tokio::runtime::LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let engine = Rc::new(Engine::new(shared()).unwrap());
        let relaying = Rc::clone(&engine);
        let relaying = tokio::task::spawn_local(async move { relaying.run().await });
        tokio::time::timeout(PATIENCE, test(engine)).await.expect("it comes to its end");
        relaying.abort();
    });
}

/// Two ends of a connection: one for the test, one as an accept gives it.
fn accepted() -> (TcpStream, mio::net::TcpStream) {
    let (near, far) = pair();
    far.set_nonblocking(true).unwrap();
    (near, mio::net::TcpStream::from_std(far))
}

async fn read(socket: &mut Socket, most: usize) -> Vec<u8> {
    let mut bytes = vec![0; most];
    let count = poll_fn(|cx| socket.poll_read(cx, &mut bytes)).await.unwrap();
    bytes.truncate(count);
    bytes
}

fn tunnel(client: Socket, upstream: Socket) -> Tunnel {
    Tunnel {
        client: client.release().unwrap(),
        upstream: upstream.release().unwrap(),
        head: b"101".to_vec(),
        to_client: None,
        to_upstream: None,
        record: record(HOUR, false),
    }
}

#[test]
fn what_came_to_a_berth_is_not_lost_to_its_tunnel() {
    with_engine(|engine| async move {
        let ((mut client, client_far), (mut endpoint, endpoint_far)) = (accepted(), accepted());
        let mut client_far = Socket::accepted(client_far);
        client.write_all(b"request").unwrap();
        assert_eq!(read(&mut client_far, 64).await, b"request");
        let berth = engine.reserve();
        client_far.take_berth(&berth, From::Client).unwrap();
        let mut upstream_far =
            Socket::in_engine(endpoint_far.into(), &berth, From::Upstream, Interest::READABLE).unwrap();
        let (client_berth, upstream_berth) = (client_far.berth().unwrap(), upstream_far.berth().unwrap());
        assert!(Rc::ptr_eq(client_berth, upstream_berth));
        assert_eq!(engine.len(), 0, "a berth is no tunnel");
        let began = tokio::task::spawn_local(async move {
            let head = read(&mut upstream_far, 4).await;
            (head, upstream_far)
        });
        // More than is read at once, and bytes of the client that nobody reads before the tunnel begins.
        endpoint.write_all(b"headfirst").unwrap();
        client.write_all(b"early").unwrap();
        let (head, upstream_far) = began.await.unwrap();
        assert_eq!(head, b"head");
        poll_fn(|cx| berth.poll(From::Client, cx, |heard| heard.readable)).await;
        engine.adopt(tunnel(client_far, upstream_far));
        drop(berth);
        assert_eq!(engine.len(), 1);
        let test = tokio::task::spawn_blocking(move || {
            assert_eq!(read_exact(&mut client, 8), b"101first");
            assert_eq!(read_exact(&mut endpoint, 5), b"early");
            endpoint.write_all(b"then").unwrap();
            assert_eq!(read_exact(&mut client, 4), b"then");
        });
        test.await.unwrap();
        engine.wait_until_empty().await;
    });
}

#[test]
fn a_berth_that_no_tunnel_takes_is_free_again() {
    with_engine(|engine| async move {
        let (_near, far) = accepted();
        for _ in 0..3 {
            let berth = engine.reserve();
            assert!(format!("{berth:?}").contains("key: 0"), "{berth:?}");
        }
        let berth = engine.reserve();
        let socket = Socket::in_engine(far.into(), &berth, From::Upstream, Interest::READABLE).unwrap();
        drop(berth);
        // The socket holds it.
        assert!(format!("{:?}", engine.reserve()).contains("key: 1"));
        drop(socket);
        assert!(format!("{:?}", engine.reserve()).contains("key: 0"));
    });
}

#[test]
fn whoever_leaves_a_berth_reads_on_where_it_was() {
    with_engine(|engine| async move {
        let (mut near, far) = accepted();
        let berth = engine.reserve();
        let mut socket = Socket::in_engine(far.into(), &berth, From::Upstream, Interest::READABLE).unwrap();
        assert!(socket.is_quiet());
        near.write_all(b"one two").unwrap();
        assert_eq!(read(&mut socket, 4).await, b"one ");
        assert!(!socket.is_quiet());
        socket.join_runtime().unwrap();
        assert!(socket.berth().is_none());
        assert_eq!(read(&mut socket, 64).await, b"two");
        let reading = tokio::task::spawn_local(async move { read(&mut socket, 64).await });
        tokio::task::yield_now().await;
        drop(near);
        assert_eq!(reading.await.unwrap(), b"");
    });
}

#[test]
fn a_berth_hears_of_the_end_behind_the_last_bytes() {
    with_engine(|engine| async move {
        let (mut near, far) = accepted();
        let berth = engine.reserve();
        near.write_all(b"last").unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        let mut socket = Socket::in_engine(far.into(), &berth, From::Upstream, Interest::READABLE).unwrap();
        assert_eq!(read(&mut socket, 64).await, b"last");
        assert_eq!(read(&mut socket, 64).await, b"");
    });
}

#[test]
fn a_slow_reader_is_waited_for_before_and_after_a_socket_is_watched() {
    with_engine(|engine| async move {
        for in_engine in [false, true] {
            let (mut near, far) = accepted();
            let berth = engine.reserve();
            let mut socket = match in_engine {
                true => Socket::in_engine(far.into(), &berth, From::Upstream, Interest::READABLE).unwrap(),
                false => Socket::accepted(far),
            };
            let mut sent = 0;
            let chunk = [7; 64 * 1024];
            // Until it takes no more.
            while let Poll::Ready(count) = poll_fn(|cx| Poll::Ready(socket.poll_write(cx, &chunk))).await {
                sent += count.unwrap();
            }
            let reader = tokio::task::spawn_blocking(move || read_to_end(&mut near).len());
            sent += poll_fn(|cx| socket.poll_write(cx, &chunk)).await.unwrap();
            drop(socket);
            assert_eq!(reader.await.unwrap(), sent);
        }
    });
}
