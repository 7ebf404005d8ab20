//! OpenSearch with its real security plugin: TLS, users and roles.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use tempfile::TempDir;

use super::super::super::process::{Launch, Server};
use super::super::super::tls::{Ca, Identity, Leaf};
use super::super::super::{free_port, scratch};
use super::super::farm;
use super::{ANSWER, java};

/// A running node. Its users are the plugin's own: `admin`, and `kibanaro`, who may not look at the cluster; their
/// passwords are their names.
#[derive(Debug)]
pub(crate) struct Secure {
    _process: Server,
    port: u16,
    _folder: TempDir,
}

impl Secure {
    /// Starts one whose HTTP port shows this certificate, and does not wait.
    #[track_caller]
    pub(crate) fn launch(identity: &Identity, is_set_up: bool) -> Self {
        let farm = farm("opensearch-secure").expect("it was fetched");
        let folder = scratch();
        let (port, transport) = (free_port(), free_port());
        install(&farm.join("plugin"), folder.path(), identity);
        let plain = [
            format!("path.home={}", folder.path().display()),
            format!("http.port={port}"),
            format!("transport.port={transport}"),
        ];
        let secured = [
            "ssl.transport.pemcert_filepath=certs/node.crt",
            "ssl.transport.pemkey_filepath=certs/node.key",
            "ssl.transport.pemtrustedcas_filepath=certs/ca.crt",
            "ssl.transport.enforce_hostname_verification=false",
            "ssl.http.enabled=true",
            "ssl.http.pemcert_filepath=certs/server.crt",
            "ssl.http.pemkey_filepath=certs/server.key",
            "ssl.http.pemtrustedcas_filepath=certs/ca.crt",
            "nodes_dn=CN=localhost",
            "authcz.admin_dn=CN=admin",
            "audit.type=noop",
        ];
        let launch: Launch = java(&farm, "OsNode", folder.path())
            .args(plain)
            .args(["cluster.name=farm", "node.name=n1", "network.host=127.0.0.1", "discovery.type=single-node"])
            .arg("cluster.routing.allocation.disk.threshold_enabled=false")
            .args(secured.map(|setting| format!("plugins.security.{setting}")))
            .arg(format!("plugins.security.allow_default_init_securityindex={is_set_up}"));
        Self { _process: launch.start(), port, _folder: folder }
    }

    /// Tells it something as its administrator.
    pub(crate) fn put(&self, path: &str, body: &str) -> io::Result<()> {
        const ADMIN: &str = "YWRtaW46YWRtaW4=";
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(Ca::shared().certificate()).map_err(io::Error::other)?;
        roots.add(ca).map_err(io::Error::other)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(io::Error::other)?;
        let config = Arc::new(config.with_root_certificates(roots).with_no_client_auth());
        let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
        let socket = TcpStream::connect(self.addr())?;
        socket.set_read_timeout(Some(ANSWER))?;
        let mut stream = StreamOwned::new(ClientConnection::new(config, name).map_err(io::Error::other)?, socket);
        write!(
            stream,
            "PUT {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Basic {ADMIN}\r\nContent-Type: application/json\r\n\
             Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut status = [0; 10];
        stream.read_exact(&mut status)?;
        if status.ends_with(b" 2") { Ok(()) } else { Err(io::Error::other(String::from_utf8_lossy(&status).into_owned())) }
    }

    /// Where it speaks HTTP in TLS.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

/// The plugin, its configuration, and certificates.
fn install(plugin: &Path, home: &Path, identity: &Identity) {
    let [own, config, certs] =
        ["plugins/opensearch-security", "config/opensearch-security", "config/certs"].map(|path| home.join(path));
    for folder in [&own, &config, &certs] {
        fs::create_dir_all(folder).expect("a folder can be made");
    }
    let copy = |from: &Path, to: &Path| {
        for file in fs::read_dir(from).expect("the plugin is there").flatten().filter(|file| file.path().is_file()) {
            fs::copy(file.path(), to.join(file.file_name())).expect("a file can be copied");
        }
    };
    copy(plugin, &own);
    copy(&plugin.join("config"), &config);
    let node = Ca::shared().issue(&Leaf::server());
    let files = [
        (&identity.certificate, "server.crt"),
        (&identity.key, "server.key"),
        (&node.certificate, "node.crt"),
        (&node.key, "node.key"),
        (&node.ca, "ca.crt"),
    ];
    for (from, to) in files {
        fs::copy(from, certs.join(to)).expect("a PEM file can be copied");
    }
}
