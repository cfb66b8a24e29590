//! The connection of a probe.

use std::io;
use std::net::SocketAddr;

use limpet_proto::proxy_header::{self, Origin};
use tokio::net::TcpStream;

use crate::config::SendProxy;
use crate::upstream::health::{Check, CheckStatus};

/// Opens a connection, or says why there is none.
pub(super) async fn connect(address: SocketAddr) -> Result<TcpStream, Check> {
    TcpStream::connect(address).await.map_err(|error| {
        let status = match error.kind() {
            io::ErrorKind::TimedOut => CheckStatus::Layer4Timeout,
            io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown => CheckStatus::Layer4Connection,
            _ => CheckStatus::SocketError,
        };
        Check::new(status, None, &error.to_string())
    })
}

/// Says that the connection is nobody's but ours, to an endpoint that wants a PROXY header.
pub(super) async fn announce(connection: &TcpStream, send_proxy: SendProxy) -> Result<(), Check> {
    let Some(version) = send_proxy.version() else {
        return Ok(());
    };
    let mut header = Vec::new();
    proxy_header::write(version, Origin::Local, &mut header);
    send(connection, &header).await
}

/// Sends all of these bytes.
pub(super) async fn send(connection: &TcpStream, bytes: &[u8]) -> Result<(), Check> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match connection.try_write(rest) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                connection.writable().await.map_err(|error| broken(&error))?;
            }
            Err(error) => return Err(broken(&error)),
        }
    }
    Ok(())
}

/// Appends what arrives to `bytes`, and returns how much that is: 0 at the end of the stream.
pub(super) async fn receive(connection: &TcpStream, bytes: &mut Vec<u8>) -> Result<usize, Check> {
    let mut chunk = [0; 4096];
    loop {
        match connection.try_read(&mut chunk) {
            Ok(count) => {
                bytes.extend_from_slice(chunk.get(..count).unwrap_or_default());
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                connection.readable().await.map_err(|error| broken(&error))?;
            }
            Err(error) => return Err(broken(&error)),
        }
    }
}

/// A connection that was open and broke.
fn broken(error: &io::Error) -> Check {
    Check::new(CheckStatus::SocketError, None, &error.to_string())
}
