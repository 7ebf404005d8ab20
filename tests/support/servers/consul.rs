//! Consul 1.22 (`make servers`): a server with everything it needs, or three of them.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::super::http::{self, Response};
use super::super::process::{Launch, Server};
use super::super::tls::{Ca, Identity, Leaf};
use super::super::{PATIENCE, eventually, free_port, scratch};
use super::farm;

/// How long an answer may take; without a leader most take this long and longer.
const ANSWER: Duration = Duration::from_secs(5);

/// The token that may do everything, where there are ACLs.
pub(crate) const MANAGEMENT: &str = "11111111-2222-3333-4444-555555555555";

/// A Consul server that is about to be started.
#[derive(Debug)]
pub(crate) struct Builder {
    acl: bool,
    identity: Option<Identity>,
}

impl Builder {
    /// Nobody may do anything without a token; [`MANAGEMENT`] may do everything.
    pub(crate) fn acl(mut self) -> Self {
        self.acl = true;
        self
    }

    /// Its TLS port shows this certificate.
    pub(crate) fn identity(mut self, identity: &Identity) -> Self {
        self.identity = Some(identity.clone());
        self
    }

    /// Starts a single server and waits until it leads itself and is content.
    #[track_caller]
    pub(crate) fn start(self) -> Consul {
        let consul = self.begin();
        consul.wait_until_led();
        consul
    }

    /// Starts one of three, which waits for the others and has never had a leader.
    #[track_caller]
    pub(crate) fn alone(self) -> Consul {
        let consul = self.launch("n1", 3, Ports::free(), &[free_port(), free_port()]);
        consul.process.wait_until("it says that nobody leads", || consul.leader().filter(String::is_empty));
        consul
    }

    /// Starts a single server and does not wait for it.
    #[track_caller]
    pub(crate) fn begin(self) -> Consul {
        self.launch("n1", 1, Ports::free(), &[])
    }

    #[track_caller]
    fn launch(self, node: &str, expect: usize, ports: Ports, others: &[u16]) -> Consul {
        let folder = scratch();
        let identity = self.identity.unwrap_or_else(|| Ca::shared().issue(&Leaf::server()));
        let conf = folder.path().join("consul.json");
        let text = configuration(folder.path(), node, expect, ports, others, &identity, self.acl);
        fs::write(&conf, text.to_string()).expect("consul.json can be written");
        let program = farm("consul").expect("whoever starts it has asked for it").join("consul");
        let launch = Launch::new(program, folder.path().join("log"));
        let process = launch.args(["agent", "-config-file"]).arg(&conf).start();
        Consul { process, node: node.to_owned(), ports, acl: self.acl, _folder: folder }
    }
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    http: u16,
    https: u16,
    server: u16,
    serf: u16,
}

impl Ports {
    fn free() -> Self {
        Self { http: free_port(), https: free_port(), server: free_port(), serf: free_port() }
    }
}

/// Impatient, so that failures are seen in seconds, and not to leave when it is ended.
fn configuration(
    folder: &Path,
    node: &str,
    expect: usize,
    ports: Ports,
    others: &[u16],
    identity: &Identity,
    acl: bool,
) -> Value {
    let mut text = json!({
        "server": true, "bootstrap_expect": expect, "node_name": node, "data_dir": folder.join("data"),
        "bind_addr": "127.0.0.1", "client_addr": "127.0.0.1", "disable_update_check": true, "log_level": "WARN",
        "ui_config": { "enabled": false }, "connect": { "enabled": false },
        "performance": { "raft_multiplier": 1 }, "leave_on_terminate": false, "skip_leave_on_interrupt": true,
        "autopilot": {
            "cleanup_dead_servers": false, "last_contact_threshold": "500ms", "server_stabilization_time": "1s"
        },
        "gossip_lan": { "probe_interval": "200ms", "probe_timeout": "100ms", "suspicion_mult": 2 },
        "ports": {
            "http": ports.http, "https": ports.https, "server": ports.server, "serf_lan": ports.serf,
            "serf_wan": -1, "dns": -1, "grpc": -1, "grpc_tls": -1
        },
        "tls": { "defaults": {
            "ca_file": identity.ca, "cert_file": identity.certificate, "key_file": identity.key,
            "verify_incoming": false, "verify_outgoing": false
        } },
        "retry_join": others.iter().map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>(), "retry_interval": "1s",
    });
    if acl {
        text["acl"] = json!({
            "enabled": true, "default_policy": "deny", "tokens": { "initial_management": MANAGEMENT, "agent": MANAGEMENT }
        });
    }
    text
}

/// A running Consul server.
#[derive(Debug)]
pub(crate) struct Consul {
    process: Server,
    node: String,
    ports: Ports,
    acl: bool,
    _folder: TempDir,
}

impl Consul {
    /// One that asks for no token, and whatever else the builder is told.
    pub(crate) fn builder() -> Builder {
        Builder { acl: false, identity: None }
    }

    /// A healthy one of one's own.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// Where its API is.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.http).into()
    }

    /// The same with TLS.
    pub(crate) fn tls_addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.https).into()
    }

    /// The process, to be frozen, killed, or read the log of.
    pub(crate) fn process(&self) -> &Server {
        &self.process
    }

    /// Starts it again after a kill and waits until there is a leader.
    #[track_caller]
    pub(crate) fn restart(&self) {
        self.process.restart();
        self.wait_until_led();
    }

    /// A request as [`MANAGEMENT`]; panics when it is refused.
    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: &Value) -> Response {
        let response = self.request("PUT", path, &body.to_string()).expect("it answers");
        assert_eq!(response.status, 200, "PUT {path}: {}", response.body);
        response
    }

    /// What a page says.
    pub(crate) fn get(&self, path: &str) -> io::Result<Response> {
        self.request("GET", path, "")
    }

    /// The secret of a new token with these rules, such as `operator = "read"`.
    #[track_caller]
    pub(crate) fn token(&self, rules: &str) -> String {
        let name = format!("policy-{}", free_port());
        self.put("/v1/acl/policy", &json!({ "Name": name, "Rules": rules }));
        let token = self.put("/v1/acl/token", &json!({ "Policies": [{ "Name": name }] })).json();
        token["SecretID"].as_str().expect("a token has a secret").to_owned()
    }

    /// A service with a check that always has this status.
    #[track_caller]
    pub(crate) fn register(&self, service: &str, id: &str, status: &str) {
        let check = json!({ "TTL": "1h", "Status": status });
        self.put("/v1/agent/service/register", &json!({ "ID": id, "Name": service, "Check": check }));
    }

    /// Who leads, as this server knows it; empty when nobody does.
    pub(crate) fn leader(&self) -> Option<String> {
        self.get("/v1/status/leader").ok()?.json().as_str().map(str::to_owned)
    }

    fn request(&self, method: &str, path: &str, body: &str) -> io::Result<Response> {
        let token: &[(&str, &str)] = if self.acl { &[("X-Consul-Token", MANAGEMENT)] } else { &[] };
        http::request(self.addr(), method, path, token, body, ANSWER)
    }

    #[track_caller]
    fn wait_until_led(&self) {
        self.process.wait_until("autopilot is content", || {
            self.leader().filter(|leader| !leader.is_empty())?;
            (self.get("/v1/operator/autopilot/health").ok()?.status == 200).then_some(())
        });
    }
}

/// Three servers that elect a leader.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Consul>,
}

impl Cluster {
    /// A healthy one.
    #[track_caller]
    pub(crate) fn start() -> Self {
        let ports: Vec<_> = (0..3).map(|_| Ports::free()).collect();
        let start = |at: usize| {
            let others: Vec<_> = (0..3).filter(|other| *other != at).map(|other| ports[other].serf).collect();
            Consul::builder().launch(&format!("n{}", at + 1), 3, ports[at], &others)
        };
        let cluster = Self { nodes: (0..3).map(start).collect() };
        for node in &cluster.nodes {
            node.wait_until_led();
        }
        eventually(PATIENCE, "one server may fail", || {
            let health = cluster.nodes[0].get("/v1/operator/autopilot/health").ok()?.json();
            (health["FailureTolerance"] == 1).then_some(())
        });
        cluster
    }

    /// Those that do not lead, and the one that does.
    #[track_caller]
    pub(crate) fn followers_and_leader(&self) -> (Vec<&Consul>, &Consul) {
        let running: Vec<_> = self.nodes.iter().filter(|node| node.process.is_running()).collect();
        let leader = running.iter().find_map(|node| node.leader()).expect("somebody leads");
        let port = |node: &Consul| format!("127.0.0.1:{}", node.ports.server);
        let (leading, following): (Vec<_>, Vec<_>) = running.into_iter().partition(|node| port(node) == leader);
        (following, leading[0])
    }
}

/// A server without ACLs for many tests at once.
#[track_caller]
pub(crate) fn shared() -> &'static Consul {
    static SHARED: LazyLock<Consul> = LazyLock::new(Consul::start);
    &SHARED
}

/// A server with ACLs for many tests at once.
#[track_caller]
pub(crate) fn guarded() -> &'static Consul {
    static SHARED: LazyLock<Consul> = LazyLock::new(|| Consul::builder().acl().start());
    &SHARED
}
