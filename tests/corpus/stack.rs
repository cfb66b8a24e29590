//! The chain that an entry goes through: the balancer, then Node's HTTP server, or nginx before it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Instant;

use limpet_testkit::corpus::SeenRequest;
use limpet_testkit::limpet::{Launch, Limpet};
use limpet_testkit::port::Bound;
use limpet_testkit::process::Process;
use limpet_testkit::wait::PATIENCE;
use serde_json::Value;
use tempfile::TempDir;

/// Which HTTP implementation reads what the balancer sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EndpointKind {
    /// Node's `node:http`.
    Node,
    /// nginx, which hands every request that it understood on to Node.
    Nginx,
}

/// A running chain.
pub(crate) struct Stack {
    limpet: Limpet,
    events: Receiver<Value>,
    /// Requests that have begun and neither ended nor broken off, by the recorder's number.
    pending: Vec<(u64, SeenRequest)>,
    nginx: Option<Nginx>,
    _recorder: Process,
    _directory: TempDir,
}

/// What the endpoint told since the last look.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The requests in the order of their ends, those that broke off without a length.
    pub(crate) requests: Vec<SeenRequest>,
    /// Bytes that Node refused to take for a request.
    pub(crate) refusals: Vec<String>,
    /// Method and target of every request that nginx did not hand on to Node.
    pub(crate) not_handed_on: Vec<(String, String)>,
}

impl Stack {
    /// Starts the chain.
    pub(crate) fn start(kind: EndpointKind) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let control = TcpListener::bind("127.0.0.1:0").expect("a control port");
        let control_port = control.local_addr().expect("an address").port();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/corpus/recorder.mjs");
        let mut node = Command::new("node");
        let recorder = Process::spawn("recorder", node.arg(script).arg(control_port.to_string()));
        let recorder = recorder.expect("Node is installed");
        let (sender, events) = mpsc::channel();
        thread::spawn(move || {
            let Ok((stream, _)) = control.accept() else { return };
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                let event: Value = serde_json::from_str(&line).expect("the recorder writes JSON");
                if sender.send(event).is_err() {
                    return;
                }
            }
        });
        let hello = events.recv_timeout(PATIENCE).expect("the recorder starts");
        let port = hello["port"].as_u64().and_then(|port| u16::try_from(port).ok()).expect("a port");
        let mut endpoint = SocketAddr::from(([127, 0, 0, 1], port));
        let mut nginx = None;
        if kind == EndpointKind::Nginx {
            let started = Nginx::start(directory.path(), endpoint);
            endpoint = started.address;
            nginx = Some(started);
        }
        let limpet = Launch::proxy(env!("CARGO_BIN_EXE_limpet"), [endpoint]).start().expect("the balancer starts");
        Self { limpet, events, pending: Vec::new(), nginx, _recorder: recorder, _directory: directory }
    }

    /// Where the balancer listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.limpet.address
    }

    /// Everything that the endpoint saw, until it has seen the end of a GET for `barrier` and knows what became of
    /// every other request.
    pub(crate) fn seen_until(&mut self, barrier: &str) -> Result<Seen, String> {
        let deadline = Instant::now() + PATIENCE;
        let mut seen = Seen::default();
        let mut passed = false;
        while !passed || !self.pending.is_empty() {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self.events.recv_timeout(left).map_err(|_| {
                format!("the endpoint told no end of {barrier} and of {:?}, only {seen:?}", self.pending)
            })?;
            self.take(&event, &mut seen);
            if seen.requests.last().is_some_and(|request| request.target == barrier) {
                passed = true;
                seen.requests.pop();
            }
        }
        if let Some(nginx) = &mut self.nginx {
            seen.not_handed_on = nginx.not_handed_on_until(barrier)?;
        }
        Ok(seen)
    }

    fn take(&mut self, event: &Value, seen: &mut Seen) {
        if let Some(id) = event["begin"].as_u64() {
            let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
            let (method, target) = (text("method"), text("target"));
            let fields = fields_of(event);
            self.pending.push((id, SeenRequest { method, target, body_bytes: None, fields }));
        } else if let Some(id) = event["end"].as_u64().or_else(|| event["cut"].as_u64()) {
            let Some(at) = self.pending.iter().position(|(other, _)| *other == id) else { return };
            let (_, mut request) = self.pending.remove(at);
            request.body_bytes = event["bytes"].as_u64();
            request.fields.extend(fields_of(event));
            seen.requests.push(request);
        } else {
            seen.refusals.push(event.to_string());
        }
    }
}

fn fields_of(event: &Value) -> Vec<(String, String)> {
    let pairs = event["fields"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    pairs.map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
}

/// nginx with the recorder behind it.
struct Nginx {
    address: SocketAddr,
    process: Process,
    /// How many lines of its output have been looked at.
    read_lines: usize,
}

impl Nginx {
    /// Starts it on a free port: it takes the listening socket over as its standard input, in the way in which a new
    /// nginx takes over those of an old one.
    fn start(directory: &Path, recorder: SocketAddr) -> Self {
        let bound = Bound::loopback().expect("a port for nginx");
        let address = bound.address();
        let config = directory.join("nginx.conf");
        fs::write(&config, configuration(directory, address, recorder)).expect("the configuration is written");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(directory).arg("-c").arg(config).args(["-e", "stderr"]).env("NGINX", "0;");
        let process = Process::spawn_with_stdin("nginx", &mut command, bound.into_stdin()).expect("nginx is installed");
        process.wait_for("its worker", |line| line.contains("start worker process ").then_some(())).expect("a worker");
        Self { address, process, read_lines: 0 }
    }

    /// What the access log says since the last look, until `barrier` was handed on, about requests that were not.
    fn not_handed_on_until(&mut self, barrier: &str) -> Result<Vec<(String, String)>, String> {
        let last = |line: &str| log_fields(line).filter(|fields| fields[1] == barrier).map(|_| ());
        self.process.wait_for_after(self.read_lines, barrier, last).map_err(|error| error.to_string())?;
        let output = self.process.output();
        let new_lines = output.lines().skip(self.read_lines);
        let fields: Vec<_> = new_lines.inspect(|_| self.read_lines += 1).filter_map(log_fields).collect();
        let refused = fields.into_iter().filter(|fields| fields[2].is_empty() || fields[2] == "-");
        Ok(refused.map(|[method, target, _]| (method.to_owned(), target.to_owned())).collect())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Killing it would leave its worker behind: only an orderly end takes that along.
        let _ = self.process.terminate();
    }
}

/// Method, target and the status of the recorder, out of a line of the access log.
fn log_fields(line: &str) -> Option<[&str; 3]> {
    let mut fields = line.strip_prefix("seen\x1f")?.split('\x1f');
    Some([fields.next()?, fields.next()?, fields.next()?])
}

fn configuration(directory: &Path, listen: SocketAddr, recorder: SocketAddr) -> String {
    let path = directory.display();
    format!(
        "daemon off; worker_processes 1; user root; pid {path}/pid; error_log stderr notice;
         events {{ worker_connections 256; }}
         http {{
           log_format seen escape=json 'seen\x1f$request_method\x1f$request_uri\x1f$upstream_status';
           access_log /dev/stderr seen; large_client_header_buffers 4 64k; proxy_buffer_size 32k; proxy_buffers 8 32k;
           client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;
           uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;
           client_max_body_size 0; keepalive_requests 1000000; keepalive_timeout 60s; ignore_invalid_headers off;
           map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
           upstream recorder {{ server {recorder}; keepalive 8; keepalive_requests 1000000; }}
           server {{
             listen {listen};
             location / {{
               proxy_pass http://recorder; proxy_http_version 1.1; proxy_set_header Host $http_host;
               proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
             }}
           }}
         }}"
    )
}
