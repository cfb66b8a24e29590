//! The chat nodes of the demonstration, and what the balancer is told of them.
//!
//! The balancer knows of a node through the handle that delivers endpoints at run time, and in no other way.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use limpet_balancer::config::{AdminState, EndpointConfig};
use limpet_balancer::discovery::Endpoints;
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;

use super::balancer::UPSTREAM;
use crate::chat::node::{Bus, Node};

/// The name under which the endpoints are delivered.
const SOURCE: &str = "demo";
/// The most nodes.
const MOST: usize = 16;
/// How long the users of a node that drains take to move.
const MOVE: Duration = Duration::from_secs(4);

/// The nodes by their number, from 1 on.
pub(super) struct Nodes {
    nodes: BTreeMap<u32, Member>,
    bus: Bus,
    endpoints: Endpoints,
    /// The port of node 0, so to speak; 0 if they take free ones.
    base_port: u16,
    /// What is said later, such as that a node has drained.
    later: mpsc::Sender<String>,
}

/// One node.
struct Member {
    /// Where it listens, or did.
    address: SocketAddr,
    state: State,
}

enum State {
    Running(Node),
    /// Its users are being sent away by a task.
    Draining(Node, AbortHandle),
    /// The balancer has been told.
    Stopped,
    /// The balancer has to find out.
    Killed,
}

impl Nodes {
    /// Makes an empty set. Nodes take ports after `base_port` if they are free.
    pub(super) fn new(endpoints: Endpoints, base_port: u16, later: mpsc::Sender<String>) -> Self {
        Self { nodes: BTreeMap::new(), bus: Bus::local(), endpoints, base_port, later }
    }

    /// Starts so many nodes, and tells the balancer of all at once.
    pub(super) async fn begin(&mut self, count: u32) -> Result<()> {
        for number in 1..=count {
            let node = self.start_node(number, None).await?;
            self.nodes.insert(number, Member { address: node.address(), state: State::Running(node) });
        }
        self.deliver().await
    }

    /// Starts one more.
    pub(super) async fn add(&mut self) -> Result<String> {
        if self.nodes.len() >= MOST {
            bail!("{MOST} nodes are enough for a demonstration; stop and start those that there are");
        }
        let number = self.nodes.last_key_value().map_or(1, |(number, _)| number + 1);
        let node = self.start_node(number, None).await?;
        let address = node.address();
        self.nodes.insert(number, Member { address, state: State::Running(node) });
        self.deliver().await?;
        Ok(format!("node {number} takes users at http://{address}"))
    }

    /// Starts a node again, or lets one that drains take new users.
    pub(super) async fn start(&mut self, number: u32) -> Result<String> {
        let member = self.member(number)?;
        let address = member.address;
        let (state, said) = match std::mem::replace(&mut member.state, State::Killed) {
            running @ State::Running(_) => (running, format!("node {number} runs already")),
            State::Draining(node, leaving) => {
                leaving.abort();
                (State::Running(node), format!("node {number} takes new users again"))
            }
            ended => match self.start_node(number, Some(address)).await {
                Ok(node) => (State::Running(node), format!("node {number} takes users again")),
                Err(error) => {
                    self.member(number)?.state = ended;
                    return Err(error.into());
                }
            },
        };
        if let State::Running(node) = &state {
            self.member(number)?.address = node.address();
        }
        self.member(number)?.state = state;
        self.deliver().await?;
        Ok(said)
    }

    /// Takes a node out of the balancer, and ends it.
    pub(super) async fn stop(&mut self, number: u32) -> Result<String> {
        let node = self.take(number, State::Stopped)?;
        let users = node.users();
        self.deliver().await?;
        node.stop().await;
        Ok(format!("node {number} has ended; {}", moving(users)))
    }

    /// Ends a node, and leaves it to the balancer to notice.
    pub(super) async fn kill(&mut self, number: u32) -> Result<String> {
        let node = self.take(number, State::Killed)?;
        let users = node.users();
        node.stop().await;
        Ok(format!("node {number} is gone, and the balancer was not told; {}", moving(users)))
    }

    /// Sends no new users to a node, and moves those that it has.
    pub(super) async fn drain(&mut self, number: u32) -> Result<String> {
        let later = self.later.clone();
        let member = self.member(number)?;
        let node = match std::mem::replace(&mut member.state, State::Stopped) {
            State::Running(node) => node,
            other => {
                let is_draining = matches!(other, State::Draining(..));
                member.state = other;
                if is_draining {
                    bail!("node {number} drains already; start {number} takes it back");
                }
                bail!("node {number} does not run; start {number} starts it");
            }
        };
        let (users, leave) = (node.users(), node.send_away(MOVE));
        // Nobody is to come back before the balancer knows.
        let (told, is_told) = oneshot::channel();
        let leaving = tokio::spawn(async move {
            if is_told.await.is_err() {
                return;
            }
            leave.await;
            // Nobody reads it any more when all ends.
            let _ = later.send(format!("node {number} has drained; start {number} takes it back")).await;
        });
        member.state = State::Draining(node, leaving.abort_handle());
        self.deliver().await?;
        // The task waits for it, unless it was ended.
        let _ = told.send(());
        Ok(format!("node {number} gets no new users; {}", moving(users)))
    }

    /// Says how the nodes are.
    pub(super) fn list(&self) -> String {
        let mut lines = String::new();
        for (number, Member { address, state }) in &self.nodes {
            let (word, users) = match state {
                State::Running(node) => ("running", node.users()),
                State::Draining(node, _) => ("draining", node.users()),
                State::Stopped => ("stopped", 0),
                State::Killed => ("killed", 0),
            };
            let users = if users == 1 { "1 user".to_owned() } else { format!("{users} users") };
            // Writing to a string does not fail.
            let _ = writeln!(lines, "  node {number:<2}  http://{address}  {word:<8}  {users}");
        }
        lines
    }

    /// Ends all.
    pub(super) async fn end(self) {
        // Else the balancer would find out one by one, and raise an alarm. It may have ended by itself.
        let _ = self.endpoints.set(UPSTREAM, SOURCE, Vec::new()).await;
        for member in self.nodes.into_values() {
            if let State::Running(node) | State::Draining(node, _) = member.state {
                node.stop().await;
            }
        }
    }

    fn member(&mut self, number: u32) -> Result<&mut Member> {
        let most = self.nodes.len();
        self.nodes.get_mut(&number).ok_or_else(|| anyhow!("there is no node {number}; they are 1 to {most}"))
    }

    /// Takes the running node out of its place.
    fn take(&mut self, number: u32, after: State) -> Result<Node> {
        let member = self.member(number)?;
        match std::mem::replace(&mut member.state, after) {
            State::Running(node) => Ok(node),
            State::Draining(node, leaving) => {
                leaving.abort();
                Ok(node)
            }
            ended => {
                member.state = ended;
                bail!("node {number} does not run; start {number} starts it")
            }
        }
    }

    /// Starts a node where it was before, or at its port, or at a free one.
    async fn start_node(&self, number: u32, before: Option<SocketAddr>) -> io::Result<Node> {
        let own = u16::try_from(number).ok().filter(|_| self.base_port != 0);
        let own = own.and_then(|number| self.base_port.checked_add(number));
        let own = own.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let name = format!("node {number}");
        for address in before.into_iter().chain(own) {
            if let Ok(node) = Node::start(&name, address, self.bus.clone()).await {
                return Ok(node);
            }
        }
        Node::start(&name, free, self.bus.clone()).await
    }

    /// Tells the balancer which endpoints there are.
    async fn deliver(&self) -> Result<()> {
        let endpoints = self.nodes.iter().filter_map(|(number, member)| {
            let state = match member.state {
                State::Running(_) | State::Killed => AdminState::Ready,
                State::Draining(..) => AdminState::Drain,
                State::Stopped => return None,
            };
            let endpoint = EndpointConfig::new(member.address.ip().to_string(), member.address.port());
            Some(EndpointConfig { id: Some(format!("node-{number}")), state, ..endpoint })
        });
        Ok(self.endpoints.set(UPSTREAM, SOURCE, endpoints.collect()).await?)
    }
}

fn moving(users: usize) -> String {
    match users {
        0 => "it had no users".to_owned(),
        1 => "its user moves".to_owned(),
        users => format!("its {users} users move"),
    }
}
