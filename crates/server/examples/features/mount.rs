//! A server that listens: by itself, or mounted in an application of axum.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::map_request;
use limpet_server::engine::RemoteAddr;
use limpet_server::{Listening, Server};
use tokio::net::TcpListener;

/// A running server.
pub(crate) enum Mounted {
    Alone(Listening),
    InAxum(Server, SocketAddr),
}

impl Mounted {
    /// Listens on a free port.
    pub(crate) async fn start(server: Server, in_axum: bool) -> io::Result<Self> {
        if !in_axum {
            return Ok(Self::Alone(server.bind("127.0.0.1:0").await?));
        }
        // Axum knows the address of the client; the server finds it with the request.
        let name = |ConnectInfo(address): ConnectInfo<SocketAddr>, mut request: Request| async move {
            request.extensions_mut().insert(RemoteAddr(address));
            request
        };
        let app = Router::new().route_service("/socket.io/", server.service()).layer(map_request(name));
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        tokio::spawn(async { axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await });
        Ok(Self::InAxum(server, address))
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        match self {
            Self::Alone(listening) => listening.addr().port(),
            Self::InAxum(_, address) => address.port(),
        }
    }

    /// Ends the sessions over this time.
    pub(crate) async fn close(self, within: Duration) {
        match self {
            Self::Alone(listening) => listening.close(within).await,
            Self::InAxum(server, _) => server.close(within).await,
        }
    }
}
