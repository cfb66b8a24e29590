use std::cell::RefCell;
use std::io::Write as _;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use super::*;
use crate::affinity::key::{KeyRing, generate_line};
use crate::affinity::tag::TagKeys;
use crate::route::Routes;
use crate::shared::Shared;
use crate::tunnel::Engine;

fn size_of_future<A, B, C, D, F>(_: impl Fn(A, B, C, D) -> F) -> usize {
    size_of::<F>()
}

#[test]
fn a_waiting_connection_is_small() {
    // Each idle connection costs this much, and each new one moves as many bytes.
    let bytes = size_of_future(serve);
    assert!(bytes <= 2048, "{bytes}");
}

/// Waits on an idle connection for a head, while the process is told to stop and these bytes arrive. The runtime gets no
/// turn between that and the next look, as when both happen while a worker is busy.
fn at_the_end(bytes: &[u8]) -> Arrived {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build_local(tokio::runtime::LocalOptions::default()).unwrap();
    runtime.block_on(async {
        let routes = Routes::new(&[], vec![], &[]).unwrap();
        let ring = KeyRing::parse(&generate_line(1), "test").unwrap();
        let shared = Arc::new(Shared::new(routes, TagKeys::new(&ring), vec![], None, Duration::from_secs(1)));
        let engine = Engine::new(Arc::clone(&shared)).unwrap();
        let worker = Worker { shared, pool: RefCell::default(), engine };
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let mut peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (socket, address) = listener.accept().unwrap();
        socket.set_nonblocking(true).unwrap();
        let stream = Stream::new(Socket::accepted(mio::net::TcpStream::from_std(socket)));
        let config = ListenerConfig::new("test", listener.local_addr().unwrap());
        let mut client = Http1::new(Origin::new(address, false, 0), stream, config.body_timeout);
        let mut waiting = pin!(wait_for_head(&worker, &mut client, &config));
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(cx).is_pending());
        // The runtime has heard that the connection can be written, and of nothing else.
        tokio::task::yield_now().await;
        assert!(waiting.as_mut().poll(cx).is_pending());
        peer.write_all(bytes).unwrap();
        worker.shared.stop();
        match waiting.as_mut().poll(cx) {
            Poll::Ready(arrived) => arrived,
            Poll::Pending => waiting.await,
        }
    })
}

#[test]
fn a_request_that_has_arrived_when_the_process_stops_is_served() {
    let head = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert!(matches!(at_the_end(head), Arrived::Head(bytes) if bytes == head.len()));
    assert!(matches!(at_the_end(b""), Arrived::End));
}
