//! Everything that takes part in a run: Redis, nodes, balancer, cutter, clients.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use super::store::Store;
use super::{Ordeal, Report, Settings};
use crate::conformance::{Maker, example};
use crate::limpet::{Launch, Limpet};
use crate::peers::{Client, node};
use crate::process::{PATIENCE, Process};

/// A node, at the same address in all its lives.
#[derive(Debug)]
pub(super) struct Node {
    name: String,
    maker: Maker,
    redis: String,
    address: SocketAddr,
    process: Option<Process>,
}

impl Node {
    fn spawn(name: String, maker: Maker, redis: &str) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut node = Self { name, maker, redis: redis.to_owned(), address, process: None };
        node.launch()?;
        Ok(node)
    }

    fn launch(&mut self) -> Result<()> {
        let mut command = match self.maker {
            Maker::Node => node("chaos-node.js")?,
            Maker::Limpet => Command::new(example("chaos_fixture")?),
        };
        command.env("PORT", self.address.port().to_string()).env("REDIS_URL", &self.redis).env("BUS", "streams");
        self.process = Some(Process::spawn(&self.name, command.arg("--end-with-stdin"))?);
        Ok(())
    }

    fn running(&mut self) -> Result<&mut Process> {
        self.process.as_mut().with_context(|| format!("{} is down", self.name))
    }

    fn wait_until_ready(&mut self) -> Result<()> {
        let port = self.running()?.wait_for("its port", |line| line.strip_prefix("listening ")?.parse().ok())?;
        self.address.set_port(port);
        Ok(())
    }

    /// Kills it as a crash would.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.running()?.kill()?;
        self.process = None;
        Ok(())
    }

    /// Asks it to end, and waits for it.
    pub(super) fn stop(&mut self) -> Result<()> {
        self.running()?.terminate()?;
        self.process = None;
        Ok(())
    }

    /// Starts it again on its port. Connections of its former life may hold the port for a moment.
    pub(super) fn restart(&mut self) -> Result<()> {
        let started = Instant::now();
        loop {
            self.launch()?;
            match self.wait_until_ready() {
                Err(_) if self.running()?.output().contains("in use") && started.elapsed() < PATIENCE => {}
                outcome => return outcome,
            }
        }
    }
}

/// Who takes part.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) nodes: Vec<Node>,
    pub(super) store: Store,
    clients: Client,
    cutter: Option<Process>,
    story: Vec<String>,
    began: Instant,
    // They end after the clients.
    _balancer: Limpet,
    _outside: Node,
}

impl Stage {
    /// Starts everything and waits until all clients are in their rooms.
    pub(super) fn start(balancer: &str, settings: &Settings) -> Result<Self> {
        let store = Store::start()?;
        let spawn = |name: String| Node::spawn(name, settings.maker, &store.url());
        let mut nodes = (0..settings.nodes).map(|n| spawn(format!("node {n}"))).collect::<Result<Vec<_>>>()?;
        let mut outside = spawn("the node outside".to_owned())?;
        for node in nodes.iter_mut().chain([&mut outside]) {
            node.wait_until_ready()?;
        }
        let balancer = Launch::proxy(balancer, nodes.iter().map(|node| node.address)).start()?;
        let (mut door, mut cutter) = (balancer.address, None);
        if settings.ordeal.cuts() {
            let mut command = node("chaos-cutter.js")?;
            command.args(["--target", &door.to_string(), "--seed", &settings.seed.to_string()]);
            let process = Process::spawn("the cutter", &mut command)?;
            door.set_port(process.wait_for("its port", |line| line.strip_prefix("listening ")?.parse().ok())?);
            cutter = Some(process);
        }
        let patience = usize::try_from(settings.patience.as_secs())?;
        let numbers = [
            ("--clients", settings.clients),
            ("--rooms", settings.rooms),
            ("--rate", settings.rate),
            ("--patience", patience),
        ];
        let mut arguments = vec!["--outside".to_owned(), format!("http://{}", outside.address)];
        arguments.extend(numbers.iter().flat_map(|(name, value)| [(*name).to_owned(), value.to_string()]));
        if settings.ordeal == Ordeal::KillPublishers {
            arguments.push("--through".to_owned());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let clients = Client::start("the clients", node("chaos-clients.js")?, &format!("http://{door}"), &arguments)?;
        let story = Vec::new();
        let stage = Self {
            nodes,
            store,
            clients,
            cutter,
            story,
            began: Instant::now(),
            _balancer: balancer,
            _outside: outside,
        };
        stage.clients.process.wait_for("`joined`", |line| (line == "joined").then_some(()))?;
        Ok(stage)
    }

    /// Lets the publishers begin, and waits until the first message is accepted.
    pub(super) fn begin_traffic(&mut self) -> Result<()> {
        self.clients.process.send_line("traffic")?;
        self.clients.process.wait_for("`traffic`", |line| (line == "traffic").then_some(()))?;
        self.began = Instant::now();
        Ok(())
    }

    /// Cuts connections in a way that the cutter knows; so many, or `all`.
    pub(super) fn cut(&mut self, kind: &str, count: &str) -> Result<()> {
        let Some(cutter) = &mut self.cutter else { bail!("nothing stands between clients and balancer") };
        let before = cutter.line_count();
        cutter.send_line(&format!("cut {kind} {count}"))?;
        let said =
            cutter.wait_for_after(before, "what was cut", |line| line.starts_with("cut").then(|| line.to_owned()))?;
        self.tell(&said);
        Ok(())
    }

    /// Notes what happened.
    pub(super) fn tell(&mut self, what: &str) {
        self.story.push(format!("{:6.2} s: {what}", self.began.elapsed().as_secs_f64()));
    }

    /// Ends the traffic and asks the clients what they heard.
    pub(super) fn finish(mut self, blows: usize) -> Result<Report> {
        self.tell("finish");
        self.clients.finish()?;
        Ok(Report { verdict: self.clients.verdict()?, blows, story: self.story })
    }
}
