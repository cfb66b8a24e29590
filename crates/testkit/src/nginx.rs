//! nginx before or behind the balancer, with the settings that people use for Socket.IO, or with a whole configuration
//! of the test's own beside it as an oracle.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::port::Bound;
use crate::process::{Process, program};

/// What a configuration writes for the address of its `listen` line; the test's own socket takes its place.
pub const LISTEN: &str = "{listen}";

/// A running nginx.
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
        Self::start(&format!(
            r#"
events {{ worker_connections 1024; }}
http {{
    upstream next {{ server {upstream}; keepalive 16; }}
    server {{
        listen {LISTEN};
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
        ))
    }

    /// Starts nginx with a whole configuration in which [`LISTEN`] stands once for the address.
    ///
    /// What belongs to the machine is added here and must not be in the text: `daemon`, `pid`, `user`, `error_log`, and
    /// the temporary folders and the access log of the first `http` block.
    ///
    /// # Errors
    /// When nginx is not installed, does not start, or the configuration does not have the placeholder.
    pub fn start(configuration: &str) -> Result<Self> {
        ensure!(configuration.contains(LISTEN), "the configuration has no {LISTEN}");
        let folder = tempfile::tempdir()?;
        let bound = Bound::loopback()?;
        let address = bound.address();
        let config = folder.path().join("nginx.conf");
        let text = configuration.replace(LISTEN, &address.to_string());
        fs::write(&config, text.replacen("http {", &format!("http {{ {FOLDERS}"), 1))?;
        let mut command = Command::new(program("nginx"));
        command.arg("-c").arg(&config).arg("-p").arg(folder.path()).args(["-e", "stderr"]);
        // Without this the worker is another user, who cannot write into the folder.
        let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
        command.args(["-g", &format!("daemon off; pid nginx.pid; error_log stderr notice; {user}")]);
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

/// Folders below the prefix, because those that are compiled in need root.
const FOLDERS: &str = "access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; \
                       uwsgi_temp_path uwsgi; scgi_temp_path scgi;";
