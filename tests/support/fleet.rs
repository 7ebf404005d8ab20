//! One real server of each kind, with the entry that a catalog has for it: what the demonstration and the bench run on.

use std::any::Any;
use std::path::Path;

use super::servers::{self, PASSWORD, USER};
use super::tls::Ca;

/// A running server and its entry; gone when this is dropped.
pub(crate) struct Member {
    pub(crate) backend: &'static str,
    pub(crate) entry: String,
    pub(crate) pid: u32,
    _server: Box<dyn Any>,
}

/// What every entry of a fleet has in common.
#[derive(Clone, Debug)]
pub(crate) struct Manner {
    /// The line that names the password.
    password: String,
    /// The line that switches TLS on; empty without it.
    tls: String,
}

impl Manner {
    /// The password is typed, which takes `allow_literal_secrets`.
    pub(crate) fn literal() -> Self {
        Self { password: format!("password = \"{PASSWORD}\"\n"), tls: String::new() }
    }

    /// The password is in a file.
    pub(crate) fn file(path: &Path) -> Self {
        Self { password: format!("password = {{ file = \"{}\" }}\n", path.display()), ..Self::literal() }
    }

    /// Everything is asked over TLS.
    pub(crate) fn over_tls(self) -> Self {
        Self { tls: format!("tls = {{ ca = \"{}\" }}\n", Ca::shared().certificate().display()), ..self }
    }

    /// What is there in two kinds.
    fn pick<T>(&self, plain: T, secured: T) -> T {
        if self.tls.is_empty() { plain } else { secured }
    }
}

/// Starts the servers of these backends, of all when none is named; `tell` hears of each, or why it is missing.
pub(crate) fn start(manner: &Manner, only: &[&str], mut tell: impl FnMut(&str, Result<&Member, String>)) -> Vec<Member> {
    let mut members = Vec::new();
    for (backend, start) in STARTERS.into_iter().filter(|(backend, _)| only.is_empty() || only.contains(backend)) {
        if let Some(missing) = servers::missing(backend) {
            tell(backend, Err(missing));
            continue;
        }
        let member = start(manner);
        tell(backend, Ok(&member));
        members.push(member);
    }
    members
}

type Starter = fn(&Manner) -> Member;

const STARTERS: [(&str, Starter); 9] = [
    ("clickhouse", analytics),
    ("http", website),
    ("memcached", sessions),
    ("mqtt", sensors),
    ("mysql", shop),
    ("nats", events),
    ("postgres", orders),
    ("rabbitmq", mails),
    ("redis", cache),
];

fn analytics(manner: &Manner) -> Member {
    let server = servers::clickhouse::Clickhouse::start();
    let url = manner.pick(format!("http://{USER}@{}", server.addr()), format!("https://{USER}@{}", server.tls_addr()));
    let Manner { password, tls } = manner;
    let entry = format!(
        "[dependencies.analytics]\nbackend = \"clickhouse\"\nurl = \"{url}\"\n{password}{tls}criticality = \"informational\"\n"
    );
    Member { backend: "clickhouse", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn website(manner: &Manner) -> Member {
    let server = servers::nginx::Nginx::start();
    let url = manner.pick(format!("http://{}/health", server.http()), format!("https://{}/health", server.https()));
    let entry = format!(
        "[dependencies.website]\nbackend = \"http\"\nurl = \"{url}\"\n{}expect = {{ json = {{ \"/status\" = \"UP\" }} }}\n",
        manner.tls
    );
    Member { backend: "http", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn sessions(manner: &Manner) -> Member {
    let builder = servers::memcached::Memcached::builder();
    let server = manner.pick(builder, servers::memcached::Memcached::builder().tls()).start();
    let scheme = manner.pick("memcached", "memcached+tls");
    let entry =
        format!("[dependencies.sessions]\nbackend = \"memcached\"\nurl = \"{scheme}://{}\"\n{}", server.addr(), manner.tls);
    Member { backend: "memcached", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn sensors(manner: &Manner) -> Member {
    let server = servers::mosquitto::Mosquitto::builder().login().tls().start();
    let url = manner.pick(format!("mqtt://{USER}@{}", server.addr()), format!("mqtts://{USER}@{}", server.tls_addr()));
    let Manner { password, tls } = manner;
    let entry = format!("[dependencies.sensors]\nbackend = \"mqtt\"\nurl = \"{url}\"\n{password}{tls}");
    Member { backend: "mqtt", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn shop(manner: &Manner) -> Member {
    let server = servers::mysql::Mysql::start();
    let Manner { password, tls } = manner;
    let entry = format!(
        "[dependencies.shop-db]\nbackend = \"mysql\"\nurl = \"mysql://{USER}@{}/{}\"\n{password}{tls}expect = {{ role = \"source\" }}\n",
        server.addr(),
        servers::mysql::DATABASE
    );
    Member { backend: "mysql", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn events(manner: &Manner) -> Member {
    let builder = servers::nats::Nats::builder().jetstream();
    let server = manner.pick(builder, servers::nats::Nats::builder().jetstream().tls()).start();
    let entry = format!(
        "[dependencies.events]\nbackend = \"nats\"\nurl = \"{}://{}\"\n{}monitor = \"http://{}\"\nexpect = {{ jetstream = true }}\n",
        manner.pick("nats", "tls"),
        server.addr(),
        manner.tls,
        server.monitor()
    );
    Member { backend: "nats", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn orders(manner: &Manner) -> Member {
    let server = servers::postgres::Postgres::start();
    let Manner { password, tls } = manner;
    let entry = format!(
        "[dependencies.orders-db]\nbackend = \"postgres\"\nurl = \"postgres://{USER}@{}/{}\"\n{password}{tls}\
         criticality = \"required\"\nshared = false\nexpect = {{ role = \"primary\" }}\n",
        server.addr(),
        servers::postgres::DATABASE
    );
    Member { backend: "postgres", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn mails(manner: &Manner) -> Member {
    let server = servers::rabbitmq::Rabbitmq::start();
    let url = manner.pick(format!("amqp://{USER}@{}", server.addr()), format!("amqps://{USER}@{}", server.tls_addr()));
    let Manner { password, tls } = manner;
    let entry = format!("[dependencies.mails]\nbackend = \"rabbitmq\"\nurl = \"{url}\"\n{password}{tls}");
    Member { backend: "rabbitmq", entry, pid: server.process().pid(), _server: Box::new(server) }
}

fn cache(manner: &Manner) -> Member {
    let server = servers::redis::Redis::builder().password().tls().start();
    let url = manner.pick(format!("redis://{}", server.addr()), format!("rediss://{}", server.tls_addr()));
    let Manner { password, tls } = manner;
    let entry =
        format!("[dependencies.cache]\nbackend = \"redis\"\nurl = \"{url}\"\n{password}{tls}expect = {{ writable = true }}\n");
    Member { backend: "redis", entry, pid: server.process().pid(), _server: Box::new(server) }
}
