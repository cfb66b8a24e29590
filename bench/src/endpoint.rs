//! Answers what the proxies forward: Engine.IO polls, handshakes, upgrades and echoed frames.
//!
//! One process with two listening ports plays both endpoints. It shares a core with the load generator, so it does one
//! receive and one send per request and allocates nothing per request.

mod accept_key;
mod connection;
mod reply;

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use self::connection::{Connection, Desk, Progress};
use crate::spin;

const PORTS: usize = 2;

/// Listens on two free ports of this address, prints them on one line of stdout and serves until the process is ended.
///
/// # Errors
///
/// Fails when a port cannot be bound or the poll breaks.
pub(crate) fn serve(address: Ipv4Addr) -> anyhow::Result<()> {
    let mut poll = Poll::new()?;
    let mut listeners = Vec::with_capacity(PORTS);
    for index in 0..PORTS {
        let mut listener = listen(address).context("endpoint cannot listen")?;
        poll.registry().register(&mut listener, Token(index), Interest::READABLE)?;
        listeners.push(listener);
    }
    let mut line = String::new();
    for listener in &listeners {
        line.push_str(&format!("{} ", listener.local_addr()?.port()));
    }
    println!("{}", line.trim_end());
    io::stdout().flush()?;

    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut desk = Desk::new();
    let mut events = Events::with_capacity(1024);
    loop {
        spin::poll(&mut poll, &mut events)?;
        for event in &events {
            let index = event.token().0;
            if let Some(listener) = listeners.get(index) {
                accept_all(listener, b'a' + index as u8, &poll, &mut connections, &mut free)?;
                continue;
            }
            let Some(slot) = connections.get_mut(index - PORTS) else {
                continue;
            };
            let Some(connection) = slot.as_mut() else { continue };
            if let Progress::Closed = connection.turn(event.is_read_closed(), &mut desk) {
                *slot = None;
                free.push(index - PORTS);
            }
        }
    }
}

fn listen(address: Ipv4Addr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM.nonblocking(), None)?;
    // Accepted sockets inherit the option, which saves one call for each.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&SocketAddr::from((address, 0)).into())?;
    socket.listen(4096)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn accept_all(
    listener: &TcpListener,
    mark: u8,
    poll: &Poll,
    connections: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
) -> io::Result<()> {
    loop {
        let mut stream = match listener.accept() {
            Ok((stream, _)) => stream,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => return Err(error),
        };
        let index = free.pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        poll.registry().register(&mut stream, Token(index + PORTS), Interest::READABLE | Interest::WRITABLE)?;
        if let Some(slot) = connections.get_mut(index) {
            *slot = Some(Connection::new(stream, mark));
        }
    }
}
