//! nginx before or behind the balancer, with the settings that people use for Socket.IO.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use rustix::process::Signal;
use tempfile::TempDir;

use crate::port::Bound;
use crate::process::Process;

/// A running nginx that proxies everything to one address.
#[derive(Debug)]
pub struct Nginx {
    /// Where it listens.
    pub address: SocketAddr,
    /// The process, for its log.
    pub process: Process,
    _folder: TempDir,
}

impl Nginx {
    /// Starts nginx in front of `upstream`.
    ///
    /// Every request gets `Connection: upgrade`, also the polls: that is what the common snippet does, and a
    /// balancer behind it has to live with it.
    ///
    /// # Errors
    /// When nginx is not installed or does not start.
    pub fn before(upstream: SocketAddr) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let bound = Bound::loopback()?;
        let address = bound.address();
        let config = folder.path().join("nginx.conf");
        fs::write(&config, configuration(address, upstream))?;
        let mut command = Command::new("nginx");
        command.arg("-c").arg(&config).arg("-p").arg(folder.path()).args(["-e", "stderr"]);
        // nginx takes over listening sockets that this variable names: here descriptor 0, its standard input.
        command.env("NGINX", "0;");
        let process = Process::spawn_with_stdin("nginx", &mut command, bound.into_stdin())?;
        process.wait_for("its start", |line| line.contains("start worker process ").then_some(()))?;
        Ok(Self { address, process, _folder: folder })
    }

    /// The base URL for HTTP clients, without a slash at the end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // The master ends its worker, which a killed master would leave behind. Failing means that it has ended.
        let _ = self.process.signal(Signal::TERM);
        let _ = self.process.wait_within(Duration::from_secs(5));
    }
}

fn configuration(listen: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        r#"
daemon off;
error_log stderr notice;
pid nginx.pid;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    upstream next {{ server {upstream}; keepalive 16; }}
    server {{
        listen {listen};
        location / {{
            proxy_pass http://next;
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection "upgrade";
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header Host $host;
        }}
    }}
}}
"#
    )
}
