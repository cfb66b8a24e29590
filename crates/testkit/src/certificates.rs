//! Certificates of an authority of the test's own, made by `openssl`: one for servers, one for clients.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

/// The files, in a folder that goes with them.
#[derive(Debug)]
pub struct Certificates(TempDir);

impl Certificates {
    /// Makes an authority, a certificate for servers at these addresses, and one for clients.
    ///
    /// # Errors
    /// When `openssl` is not installed or fails.
    pub fn new(addresses: &[IpAddr]) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path();
        let new = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        openssl(path, &format!("req -x509 {new} -keyout ca.key -out ca.pem -days 2 -subj /CN=authority"))?;
        let names: Vec<_> = addresses.iter().map(|address| format!("IP:{address}")).collect();
        fs::write(path.join("server.names"), format!("subjectAltName={}\n", names.join(",")))?;
        fs::write(path.join("client.names"), "extendedKeyUsage=clientAuth\n")?;
        for name in ["server", "client"] {
            openssl(path, &format!("req {new} -keyout {name}.key -out {name}.csr -subj /CN={name}"))?;
            openssl(
                path,
                &format!(
                    "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 \
                     -extfile {name}.names"
                ),
            )?;
        }
        Ok(Self(folder))
    }

    /// Where a file is: `ca.pem`, `server.pem`, `server.key`, `client.pem` or `client.key`.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What a URL of ours needs behind its `?` to trust the authority.
    #[must_use]
    pub fn trust(&self) -> String {
        format!("ca={}", self.file("ca.pem").display())
    }

    /// What a URL of ours needs behind its `?` to show the certificate for clients, too.
    #[must_use]
    pub fn trust_and_show(&self) -> String {
        let (cert, key) = (self.file("client.pem"), self.file("client.key"));
        format!("{}&cert={}&key={}", self.trust(), cert.display(), key.display())
    }

    /// Settings of Redis that has a port for TLS, `name value` each; clients must show a certificate or may.
    #[must_use]
    pub fn settings(&self, must_show: bool) -> Vec<[String; 2]> {
        let file = |name| self.file(name).display().to_string();
        [
            ("tls-cert-file", file("server.pem")),
            ("tls-key-file", file("server.key")),
            ("tls-ca-cert-file", file("ca.pem")),
            ("tls-auth-clients", if must_show { "yes" } else { "optional" }.to_owned()),
        ]
        .map(|(name, value)| [name.to_owned(), value])
        .to_vec()
    }
}

fn openssl(folder: &Path, words: &str) -> Result<()> {
    let output = Command::new("openssl").args(words.split_whitespace()).current_dir(folder).output();
    let output = output.context("cannot start openssl")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
