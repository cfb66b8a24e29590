//! Connections to endpoints that want a PROXY header: its bytes are the first.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;

use limpet_proto::proxy_header::{self, Origin};

use super::prepare::Request;
use crate::client::Client;
use crate::net::connect;
use crate::net::deadline::Deadline;
use crate::net::stream::{Outgoing, Stream};
use crate::tunnel::berth::Berth;
use crate::upstream::Upstream;
use crate::upstream::endpoint::Endpoint;

/// Writes the header that names the client of a request, if its upstream wants one.
///
/// It is the client behind trusted proxies too. Their connections' ports are not the client's: such a header has port 0.
pub(super) fn as_client(client: &Client, request: &Request) -> Option<Outgoing> {
    let version = request.upstream.config().send_proxy.version()?;
    let peer = client.origin().peer;
    let source = if peer.ip() == request.client { peer } else { SocketAddr::new(request.client, 0) };
    let origin = match client.destination() {
        Some(destination) => Origin::Proxied { source, destination },
        None => Origin::Unknown,
    };
    Some(header(version, origin))
}

/// Writes the header of a connection that is nobody's but ours, if the upstream wants one.
pub(super) fn as_ourselves(upstream: &Upstream) -> Option<Outgoing> {
    upstream.config().send_proxy.version().map(|version| header(version, Origin::Local))
}

/// Opens a connection and sends the header on it.
///
/// # Errors
/// What the socket says; nothing of a request was sent.
pub(super) async fn connect(
    endpoint: &Endpoint,
    mut header: Outgoing,
    deadline: &Deadline,
    berth: Option<&Rc<Berth>>,
) -> io::Result<Stream> {
    let mut stream = connect::connect(endpoint.address(), &mut header, deadline, berth).await?;
    poll_fn(|cx| match stream.poll_flush(cx, &mut header) {
        Poll::Pending => deadline.poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into())),
        ready => ready,
    })
    .await?;
    Ok(stream)
}

fn header(version: proxy_header::Version, origin: Origin) -> Outgoing {
    let mut header = Outgoing::default();
    proxy_header::write(version, origin, &mut header.bytes);
    header
}
