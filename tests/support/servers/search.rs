//! Elasticsearch (7.17) and OpenSearch (2.19), from the jars that `make servers` fetches: alone, and three of them.

mod cluster;
mod secure;

use std::fs;
use std::io;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::super::http::{self, Response};
use super::super::process::{Launch, Server};
use super::super::{free_port, scratch};
use super::{farm, program};

pub(crate) use cluster::Cluster;
pub(crate) use secure::Secure;

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(20);

/// One of the two products.
pub(crate) trait Product: Sized + Send + Sync + 'static {
    const KIND: &'static str;
    /// The class of its launcher.
    const MAIN: &'static str;
    /// The setting that lets a cluster form.
    const FIRST_MASTERS: &'static str;

    /// A healthy one, which many tests may ask at once.
    fn shared() -> &'static Node<Self>;
}

#[derive(Debug)]
pub(crate) struct Elasticsearch;

#[derive(Debug)]
pub(crate) struct Opensearch;

impl Product for Elasticsearch {
    const KIND: &'static str = "elasticsearch";
    const MAIN: &'static str = "EsNode";
    const FIRST_MASTERS: &'static str = "cluster.initial_master_nodes";

    fn shared() -> &'static Node<Self> {
        static SHARED: LazyLock<Node<Elasticsearch>> = LazyLock::new(Node::start);
        &SHARED
    }
}

impl Product for Opensearch {
    const KIND: &'static str = "opensearch";
    const MAIN: &'static str = "OsNode";
    const FIRST_MASTERS: &'static str = "cluster.initial_cluster_manager_nodes";

    fn shared() -> &'static Node<Self> {
        static SHARED: LazyLock<Node<Opensearch>> = LazyLock::new(Node::start);
        &SHARED
    }
}

/// A node that is about to be started.
#[derive(Debug)]
pub(crate) struct Builder<P> {
    settings: Vec<String>,
    product: PhantomData<P>,
}

impl<P: Product> Builder<P> {
    /// A setting of its `yml` file; a later one wins.
    pub(crate) fn setting(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.settings.push(format!("{name}={value}"));
        self
    }

    /// Starts it and waits until it is not red.
    #[track_caller]
    pub(crate) fn start(self) -> Node<P> {
        let node = self.launch();
        node.wait_until_answering();
        node
    }

    /// Starts it and waits until it says who it is; it may never have a master.
    #[track_caller]
    pub(crate) fn start_alone(self) -> Node<P> {
        let node = self.launch();
        node.process.wait_until("it says who it is", || node.get("/").ok().filter(|answer| answer.status == 200));
        node
    }

    #[track_caller]
    fn launch(self) -> Node<P> {
        let folder = scratch();
        let (port, transport) = (free_port(), free_port());
        fs::create_dir(folder.path().join("config")).expect("a folder can be made");
        let farm = farm(P::KIND).expect("it was fetched");
        let fixed = [
            format!("path.home={}", folder.path().display()),
            "cluster.name=farm".to_owned(),
            "node.name=n1".to_owned(),
            "network.host=127.0.0.1".to_owned(),
            "http.type=netty4".to_owned(),
            "transport.type=netty4".to_owned(),
            format!("http.port={port}"),
            format!("transport.port={transport}"),
            "discovery.type=single-node".to_owned(),
            // Else a full disk of the machine would make its states.
            "cluster.routing.allocation.disk.threshold_enabled=false".to_owned(),
        ];
        let launch = java(&farm, P::MAIN, folder.path()).args(fixed).args(self.settings);
        Node { process: launch.start(), port, transport, product: PhantomData, _folder: folder }
    }
}

/// A JVM with the jars of a part, small and quick to start.
fn java(farm: &Path, main: &str, folder: &Path) -> Launch {
    let archive = Some(farm.join("classes.jsa")).filter(|archive| archive.is_file());
    Launch::new(program("java"), folder.join("log"))
        .args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
        .args(archive.map(|archive| format!("-XX:SharedArchiveFile={}", archive.display())))
        .args(["-Des.distribution.flavor=default", "-Des.distribution.type=tar"])
        .arg(format!("-Dlog4j2.configurationFile={}", farm.join("log4j2.properties").display()))
        .arg("-cp")
        .arg(format!("{}/lib/*", farm.display()))
        .arg(main)
}

/// A running node.
#[derive(Debug)]
pub(crate) struct Node<P> {
    process: Server,
    port: u16,
    transport: u16,
    product: PhantomData<P>,
    _folder: TempDir,
}

impl<P: Product> Node<P> {
    /// One that is a cluster of its own, and whatever else the builder is told.
    pub(crate) fn builder() -> Builder<P> {
        Builder { settings: Vec::new(), product: PhantomData }
    }

    /// A healthy one of one's own.
    #[track_caller]
    pub(crate) fn start() -> Self {
        Self::builder().start()
    }

    /// Where it speaks HTTP.
    pub(crate) fn addr(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The process, to be frozen, killed, or read the log of.
    pub(crate) fn process(&self) -> &Server {
        &self.process
    }

    /// Starts it again after a kill (or kills it first) and waits until it is not red.
    #[track_caller]
    pub(crate) fn restart(&self) {
        self.process.restart();
        self.wait_until_answering();
    }

    /// Asks for a page of its API.
    pub(crate) fn get(&self, path: &str) -> io::Result<Response> {
        http::get(self.addr(), path, ANSWER)
    }

    /// Tells it something.
    pub(crate) fn send(&self, method: &str, path: &str, body: &Json) -> io::Result<Response> {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        http::request(self.addr(), method, path, &[("Content-Type", "application/json")], &body, ANSWER)
    }

    /// Tells it something that it must accept.
    #[track_caller]
    pub(crate) fn put(&self, path: &str, body: &Json) {
        match self.send("PUT", path, body) {
            Ok(answer) if answer.status < 300 => {}
            answer => panic!("{path} {body}: {answer:?}; its log:\n{}", self.process.log()),
        }
    }

    /// Makes an index with its settings; a shard that nobody may have is not waited for.
    #[track_caller]
    pub(crate) fn index(&self, name: &str, settings: &Json) {
        let shards = u8::from(settings.get(ELSEWHERE).is_none());
        self.put(&format!("/{name}?wait_for_active_shards={shards}"), &json!({ "settings": settings }));
    }

    /// Changes a setting of the cluster; null takes it back.
    #[track_caller]
    pub(crate) fn set(&self, name: &str, value: &Json) {
        self.put("/_cluster/settings", &json!({ "transient": { name: value } }));
    }

    /// Waits until a colour is reached, or a better one.
    #[track_caller]
    pub(crate) fn wait_for_colour(&self, index: &str, colour: &str) {
        let path = format!("/_cluster/health{index}?wait_for_status={colour}&timeout=1s&master_timeout=1s");
        self.process.wait_until(colour, || self.get(&path).ok().filter(|answer| answer.status == 200));
    }

    /// How many connections it has, without the one that asks.
    pub(crate) fn connections(&self) -> Option<usize> {
        let stats = self.get("/_nodes/_local/stats/http?filter_path=nodes.*.http.current_open").ok()?.json();
        let node = stats["nodes"].as_object()?.values().next()?.clone();
        usize::try_from(node["http"]["current_open"].as_u64()?).ok()?.checked_sub(1)
    }

    #[track_caller]
    fn wait_until_answering(&self) {
        self.wait_for_colour("", "yellow");
        // The first of each question costs a JVM on a busy machine more than a second.
        for path in ["/_cat/master", "/_nodes/_local/stats/breaker,thread_pool", "/_search?size=0"] {
            self.process.wait_until("it is warm", || self.get(path).ok());
        }
    }
}

/// With the value of a node that is not there this setting of an index leaves its shards to nobody.
pub(crate) const ELSEWHERE: &str = "index.routing.allocation.require._name";
