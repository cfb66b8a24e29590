//! What each candidate is told: its configuration file and its arguments.

use std::fs;
use std::net::SocketAddrV4;
use std::path::Path;

use super::Candidate;
use crate::network::Network;

/// Writes the candidate's configuration into `directory` and gives the arguments that make it serve on `port` for endpoints with these ports.
///
/// # Errors
///
/// Fails when the file cannot be written.
pub(super) fn arguments(
    candidate: Candidate,
    directory: &Path,
    network: Network,
    port: u16,
    endpoints: [u16; 2],
) -> anyhow::Result<Vec<String>> {
    let bind = SocketAddrV4::new(network.server(), port);
    let endpoints = endpoints.map(|port| SocketAddrV4::new(network.client(), port));
    let [first, second] = endpoints;
    let file = directory.join("config");
    let path = file.display().to_string();
    let place = directory.display().to_string();
    let (text, arguments) = match candidate {
        Candidate::Haproxy => (haproxy(bind, first, second), vec!["-db".into(), "-f".into(), path]),
        Candidate::Nginx => (
            nginx(bind, first, second, &place),
            vec!["-p".into(), place, "-c".into(), path, "-e".into(), "stderr".into()],
        ),
        Candidate::Caddy => (
            caddy(bind, first, second),
            ["run", "--config", &path, "--adapter", "caddyfile"].map(str::to_owned).to_vec(),
        ),
        Candidate::LimpetCookie => {
            (limpet_with_cookie(bind, first, second, &place), ["run", "-c", &path].map(str::to_owned).to_vec())
        }
        Candidate::Limpet | Candidate::LimpetTwoWorkers => (String::new(), limpet(candidate, bind, endpoints, &place)),
    };
    fs::write(file, text)?;
    Ok(arguments)
}

fn limpet(candidate: Candidate, bind: SocketAddrV4, endpoints: [SocketAddrV4; 2], directory: &str) -> Vec<String> {
    let workers = if candidate == Candidate::LimpetTwoWorkers { "2" } else { "1" };
    let mut arguments = vec!["proxy".to_owned(), bind.to_string()];
    arguments.extend(endpoints.map(|endpoint| endpoint.to_string()));
    arguments.extend(["--workers", workers, "--state-directory", directory].map(str::to_owned));
    arguments
}

fn limpet_with_cookie(bind: SocketAddrV4, first: SocketAddrV4, second: SocketAddrV4, directory: &str) -> String {
    format!(
        "workers = 1
state_directory = \"{directory}\"
[listener.web]
bind = \"{bind}\"
[upstream.app]
endpoints = [\"{first}\", \"{second}\"]
affinity = [{{ by = \"cookie\", name = \"SERVERID\", mode = \"insert\", indirect = true, nocache = true }}]
"
    )
}

/// 9,000 connections are what the descriptor limit of 20,000 leaves room for.
fn haproxy(bind: SocketAddrV4, first: SocketAddrV4, second: SocketAddrV4) -> String {
    format!(
        "global
    nbthread 1
    maxconn 9000
defaults
    mode http
    option forwardfor
    timeout connect 5s
    timeout client 60s
    timeout server 60s
    timeout http-request 10s
    timeout http-keep-alive 60s
    timeout tunnel 1h
frontend web
    bind {bind}
    default_backend nodes
backend nodes
    balance leastconn
    cookie SERVERID insert indirect nocache
    server e1 {first} cookie e1
    server e2 {second} cookie e2
"
    )
}

/// `ip_hash` is what the Socket.IO documentation recommends; nginx 1.22 cannot set a cookie for affinity. Clients come
/// from several addresses, so that both endpoints are used. Without `keepalive_requests` both sides would reconnect
/// every 1,000 requests.
fn nginx(bind: SocketAddrV4, first: SocketAddrV4, second: SocketAddrV4, directory: &str) -> String {
    format!(
        "daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {directory}/nginx.pid;
events {{
    worker_connections 12000;
}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    keepalive_requests 1000000000;
    map $http_upgrade $connection_upgrade {{
        default upgrade;
        '' '';
    }}
    upstream nodes {{
        ip_hash;
        server {first};
        server {second};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {bind};
        location / {{
            proxy_pass http://nodes;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_read_timeout 1h;
        }}
    }}
}}
"
    )
}

/// Caddy keeps only 32 idle connections to an endpoint unless told otherwise.
fn caddy(bind: SocketAddrV4, first: SocketAddrV4, second: SocketAddrV4) -> String {
    let (address, port) = (bind.ip(), bind.port());
    format!(
        "{{
    admin off
    auto_https off
}}
http://:{port} {{
    bind {address}
    reverse_proxy {first} {second} {{
        lb_policy cookie
        transport http {{
            keepalive_idle_conns_per_host 1024
        }}
    }}
}}
"
    )
}
