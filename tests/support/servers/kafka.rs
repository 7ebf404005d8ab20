//! Apache Kafka 4.3 without ZooKeeper, from the jars that `make servers` fetches: one node that is broker and controller,
//! three of them, and a broker apart from its controller.
//!
//! Each node has a listener of every kind; the plain one lets everybody do everything, and is where tests give orders.

mod client;

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{LazyLock, OnceLock};

use tempfile::TempDir;

use super::super::process::{Launch, Server};
use super::super::tls::{Ca, Identity, Leaf};
use super::super::{free_port, scratch};
use super::{PASSWORD, USER, farm, program};

pub(crate) use client::{Client, Right};

/// A user with [`PASSWORD`] and no right.
pub(crate) const BARE: &str = "bare";

/// The topic of round trips.
pub(crate) const CANARY: &str = "probity.canary";

/// The name of every cluster here: 16 bytes in base64.
const CLUSTER: &str = "MkU3OEVBNTcwNTJENDM2Qg";

/// The kinds of listeners, and the protocol of each.
const LISTENERS: [(&str, &str); 6] = [
    ("PLAINTEXT", "PLAINTEXT"),
    ("CONTROLLER", "PLAINTEXT"),
    ("SASL", "SASL_PLAINTEXT"),
    ("SASLTLS", "SASL_SSL"),
    ("TLS", "SSL"),
    ("MUTUAL", "SSL"),
];

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Both,
    Broker,
    Controller,
}

/// A server that is about to be started.
#[derive(Clone, Debug)]
pub(crate) struct Builder {
    settings: Vec<(String, String)>,
    identity: Identity,
    nodes: usize,
    apart: bool,
    broken_dir: bool,
    /// Listeners that tell clients another port than their own.
    advertised: Vec<(&'static str, u16)>,
}

impl Builder {
    /// A setting of every node; a later one wins.
    pub(crate) fn setting(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// With this certificate.
    pub(crate) fn identity(mut self, identity: &Identity) -> Self {
        self.identity = identity.clone();
        self
    }

    /// The second of its folders is no folder.
    pub(crate) fn broken_dir(mut self) -> Self {
        self.broken_dir = true;
        self
    }

    /// Tells clients of a listener that it is at another port.
    pub(crate) fn advertise(mut self, listener: &'static str, port: u16) -> Self {
        self.advertised.push((listener, port));
        self
    }

    /// A cluster of one, and waits until it serves.
    #[track_caller]
    pub(crate) fn start(self) -> Kafka {
        self.start_all().nodes.swap_remove(0)
    }

    /// Starts all nodes and waits until they serve.
    #[track_caller]
    pub(crate) fn start_all(self) -> Cluster {
        let ports: Vec<Ports> = (0..self.nodes).map(|_| Ports::free()).collect();
        let voters: Vec<_> = (ports.iter().enumerate())
            .filter(|(at, _)| !self.apart || *at == 1)
            .map(|(at, ports)| format!("{}@127.0.0.1:{}", at + 1, ports.of("CONTROLLER")))
            .collect();
        let nodes: Vec<_> =
            ports.into_iter().enumerate().map(|(at, ports)| self.launch(at + 1, ports, &voters.join(","))).collect();
        let cluster = Cluster { nodes };
        cluster.brokers().for_each(|node| node.wait_until_serving(cluster.brokers().count()));
        cluster
    }

    #[track_caller]
    fn launch(&self, id: usize, ports: Ports, voters: &str) -> Kafka {
        let folder = scratch();
        let role = match (self.apart, id) {
            (false, _) => Role::Both,
            (true, 1) => Role::Broker,
            (true, _) => Role::Controller,
        };
        let dirs = ["a", "b"].map(|name| folder.path().join(name));
        for (at, dir) in dirs.iter().enumerate() {
            if at == 1 && self.broken_dir {
                fs::write(dir, "").expect("a file can be written");
            } else {
                copy(&formatted(id).join(["a", "b"][at]), dir);
            }
        }
        let settings = self.properties(id, role, &ports, voters, &dirs);
        let file = folder.path().join("server.properties");
        fs::write(&file, settings).expect("a file can be written");
        let process = java(folder.path().join("log")).arg("kafka.Kafka").arg(file).start();
        Kafka { process, ports, role, folder }
    }

    fn properties(&self, id: usize, role: Role, ports: &Ports, voters: &str, dirs: &[PathBuf; 2]) -> String {
        let bundle = dirs[0].with_file_name("bundle.pem");
        let pem = [&self.identity.key, &self.identity.certificate, &self.identity.ca]
            .map(|file| fs::read_to_string(file).expect("it was issued"));
        fs::write(&bundle, pem.concat()).expect("a file can be written");
        let listens = |name: &str| match role {
            Role::Both => true,
            Role::Broker => name != "CONTROLLER",
            Role::Controller => name == "CONTROLLER",
        };
        let names = || LISTENERS.iter().filter(|(name, _)| listens(name));
        let listeners: Vec<_> = names().map(|(name, _)| format!("{name}://127.0.0.1:{}", ports.of(name))).collect();
        let told = |name: &'static str| {
            let other = self.advertised.iter().find(|(of, _)| *of == name).map(|(_, port)| *port);
            format!("{name}://127.0.0.1:{}", other.unwrap_or_else(|| ports.of(name)))
        };
        let advertised: Vec<_> = names().filter(|(name, _)| *name != "CONTROLLER").map(|(name, _)| told(name)).collect();
        let protocols: Vec<_> = LISTENERS.iter().map(|(name, protocol)| format!("{name}:{protocol}")).collect();
        let replicas = if self.apart { 1 } else { self.nodes };
        let mut text = format!(
            "node.id={id}\ncontroller.quorum.voters={voters}\nlisteners={}\nlistener.security.protocol.map={}\n\
             log.dirs={},{}\nssl.keystore.location={}\nssl.truststore.location={}\n",
            listeners.join(","),
            protocols.join(","),
            dirs[0].display(),
            dirs[1].display(),
            bundle.display(),
            Ca::shared().certificate().display(),
        );
        let roles = match role {
            Role::Both => "broker,controller",
            Role::Broker => "broker",
            Role::Controller => "controller",
        };
        let _ = writeln!(text, "process.roles={roles}\noffsets.topic.replication.factor={replicas}");
        if role != Role::Controller {
            let _ = writeln!(text, "inter.broker.listener.name=PLAINTEXT\nadvertised.listeners={}", advertised.join(","));
        }
        for listener in ["sasl", "sasltls"] {
            let _ = writeln!(
                text,
                "listener.name.{listener}.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule \
                 required user_{USER}=\"{PASSWORD}\" user_{BARE}=\"{PASSWORD}\";"
            );
            for hash in ["256", "512"] {
                let _ = writeln!(
                    text,
                    "listener.name.{listener}.scram-sha-{hash}.sasl.jaas.config=\
                     org.apache.kafka.common.security.scram.ScramLoginModule required;"
                );
            }
        }
        text.push_str(FIXED);
        for (name, value) in &self.settings {
            let _ = writeln!(text, "{name}={value}");
        }
        text
    }
}

/// Small, quick, and with sessions of brokers that end soon.
const FIXED: &str = "\
controller.listener.names=CONTROLLER
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
ssl.keystore.type=PEM
ssl.truststore.type=PEM
listener.name.mutual.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:ANONYMOUS
offsets.topic.num.partitions=1
num.network.threads=1
num.io.threads=2
background.threads=2
log.cleaner.dedupe.buffer.size=4194304
log.cleaner.io.buffer.size=65536
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=2000
";

/// The ports of a node, in the order of [`LISTENERS`].
#[derive(Clone, Copy, Debug)]
struct Ports([u16; LISTENERS.len()]);

impl Ports {
    fn free() -> Self {
        Self(LISTENERS.map(|_| free_port()))
    }

    fn of(&self, listener: &str) -> u16 {
        let at = LISTENERS.iter().position(|(name, _)| *name == listener);
        self.0[at.expect("there is such a listener")]
    }
}

/// A running node.
#[derive(Debug)]
pub(crate) struct Kafka {
    process: Server,
    ports: Ports,
    role: Role,
    folder: TempDir,
}

impl Kafka {
    /// One node, unless the builder is told otherwise.
    pub(crate) fn builder() -> Builder {
        let identity = Ca::shared().issue(&Leaf::server());
        Builder { settings: Vec::new(), identity, nodes: 1, apart: false, broken_dir: false, advertised: Vec::new() }
    }

    /// A healthy one of one's own.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// Where everybody may do everything.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.at("PLAINTEXT")
    }

    /// The listener of this name.
    pub(crate) fn at(&self, listener: &str) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.of(listener)).into()
    }

    /// The process, to be frozen, killed, or read the log of.
    pub(crate) fn process(&self) -> &Server {
        &self.process
    }

    /// Starts it again after a kill (or kills it first) and waits until it serves.
    #[track_caller]
    pub(crate) fn restart(&self) {
        self.process.restart();
        self.wait_until_serving(1);
    }

    /// Somebody who may do everything.
    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        Client::connect(self.addr()).expect("it takes connections")
    }

    /// Makes the topic of round trips.
    #[track_caller]
    pub(crate) fn with_canary(self) -> Self {
        self.client().create_topic(CANARY, 1, 1, &[]);
        self
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    #[track_caller]
    fn wait_until_serving(&self, brokers: usize) {
        self.process.wait_until("it knows the brokers", || {
            let known = Client::connect(self.addr()).ok()?.brokers().ok()?;
            (known >= brokers).then_some(())
        });
        // The first of each question costs a JVM on a busy machine more than a second.
        self.process.wait_until("it is warm", || Client::connect(self.addr()).ok()?.warm_up().ok());
    }
}

/// Several nodes.
#[derive(Debug)]
pub(crate) struct Cluster {
    nodes: Vec<Kafka>,
}

impl Cluster {
    /// Three nodes, each a broker and a controller.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Builder { nodes: 3, ..Kafka::builder() }.start_all()
    }

    /// A broker, and its only controller apart from it.
    #[track_caller]
    pub(crate) fn apart() -> Self {
        Builder { nodes: 2, apart: true, ..Kafka::builder() }.start_all()
    }

    /// The node of this id.
    pub(crate) fn node(&self, id: usize) -> &Kafka {
        &self.nodes[id - 1]
    }

    fn brokers(&self) -> impl Iterator<Item = &Kafka> {
        self.nodes.iter().filter(|node| node.role != Role::Controller)
    }
}

/// One that many tests may ask at once: [`USER`] may look at everything and write to [`CANARY`], and there is a topic
/// `orders`.
pub(crate) fn shared() -> &'static Kafka {
    static SHARED: LazyLock<Kafka> = LazyLock::new(|| {
        let server = Kafka::start().with_canary();
        let mut client = server.client();
        client.create_topic("orders", 3, 1, &[]);
        client.allow(USER, &[Right::Look, Right::Write(CANARY), Right::Read(CANARY)]);
        server
    });
    &SHARED
}

/// A JVM with the jars, small and quick to start.
fn java(log: PathBuf) -> Launch {
    let farm = farm("kafka").expect("it was fetched");
    Launch::new(program("java"), log)
        .args(["-Xmx160m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xlog:cds=off"])
        .arg(format!("-XX:SharedArchiveFile={}", farm.join("classes.jsa").display()))
        .arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn")
        .arg("-cp")
        .arg(format!("{}/lib/*", farm.display()))
}

/// The folders of a node as they are before its first start, with its users; made once.
#[track_caller]
fn formatted(id: usize) -> &'static Path {
    static MADE: [OnceLock<TempDir>; 3] = [const { OnceLock::new() }; 3];
    let made = MADE[id - 1].get_or_init(|| {
        let folder = scratch();
        let file = folder.path().join("server.properties");
        let settings = format!(
            "node.id={id}\nprocess.roles=broker,controller\ncontroller.quorum.voters={id}@127.0.0.1:1\n\
             listeners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1\ncontroller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\nlog.dirs={0}/a,{0}/b\n",
            folder.path().display()
        );
        fs::write(&file, settings).expect("a file can be written");
        let mut format =
            java(folder.path().join("log")).args(["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c"]).arg(file);
        for hash in ["256", "512"] {
            for user in [USER, BARE] {
                format = format.arg("--add-scram").arg(format!("SCRAM-SHA-{hash}=[name={user},password={PASSWORD}]"));
            }
        }
        format.run();
        folder
    });
    made.path()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder can be made");
    for file in fs::read_dir(from).expect("it was made").flatten() {
        fs::copy(file.path(), to.join(file.file_name())).expect("a file can be copied");
    }
}
