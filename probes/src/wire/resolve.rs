//! Names become addresses, and services hosts: a look-up that can be cut at the deadline, with a typed answer.
//!
//! The system's configuration is followed (hosts file, search list, ndots), read again for each look-up,
//! and nothing is cached: a probe that answers from memory does not tell whether names resolve.

use std::{
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
};

use hickory_resolver::{
    Hosts, TokioResolver,
    config::{ConnectionConfig, LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData},
    },
    system_conf::parse_resolv_conf,
};
use tokio::time::Instant;

use crate::{
    failure::{Failure, FailureKind, FaultDomain},
    files::{self, Shared, Trouble},
};

/// Where name servers are named, and how large that may be.
const RESOLV_CONF: (&str, u64) = ("/etc/resolv.conf", files::LIMIT);

/// Names that are looked up in no server. Lists of blocked names make it large.
const HOSTS: (&str, u64) = ("/etc/hosts", 8 * 1024 * 1024);

/// Who is asked for addresses.
#[derive(Clone, Debug, Default)]
pub enum Resolver {
    /// Whom the system's configuration names.
    #[default]
    System,
    /// One name server, and no hosts file.
    Server(SocketAddr),
}

/// What the system's files say.
#[derive(Clone)]
struct System {
    config: ResolverConfig,
    options: ResolverOpts,
    hosts: Arc<Hosts>,
}

impl System {
    /// Reads and parses the files, on a thread that may block.
    fn read() -> Result<Self, Failure> {
        let (path, limit) = (Path::new(RESOLV_CONF.0), RESOLV_CONF.1);
        let bytes = files::read(path, limit).map_err(|trouble| unusable(trouble.sentence(FILE, path)))?;
        let (config, options) = parse_resolv_conf(&*bytes).map_err(|error| unusable(error.to_string()))?;
        let (path, limit) = (Path::new(HOSTS.0), HOSTS.1);
        let mut hosts = Hosts::default();
        match files::read(path, limit) {
            // As far as it can be understood: a line that is not text ends it.
            Ok(bytes) => drop(hosts.read_hosts_conf(&bytes[..])),
            Err(trouble @ (Trouble::NotRegular(_) | Trouble::TooLarge(_))) => {
                return Err(unusable(trouble.sentence(FILE, path)));
            }
            // Some containers have none.
            Err(_) => {}
        }
        Ok(Self { config, options, hosts: Arc::new(hosts) })
    }
}

const FILE: &str = "file";

fn unusable(words: String) -> Failure {
    Failure::new(FailureKind::Dns, "the resolver configuration of this machine cannot be used")
        .with_code("configuration")
        .with_words(words)
        .with_domain(FaultDomain::Probe)
}

impl Resolver {
    /// A resolver of the configuration as it is now. The files are read before the deadline, or it fails.
    pub(crate) async fn ready(&self, deadline: Instant) -> Result<Ready, Failure> {
        static READS: Shared<Result<System, Failure>> = Shared::new();
        let system = match self {
            Self::System => {
                let path = Path::new(RESOLV_CONF.0);
                let read = READS.get(path, deadline, System::read).await;
                read.map_err(|late| unusable(late.sentence(FILE, path)))??
            }
            Self::Server(address) => {
                let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                for connection in &mut connections {
                    connection.port = address.port();
                }
                let server = NameServerConfig::new(address.ip(), true, connections.into());
                let config = ResolverConfig::from_name_servers(vec![server]);
                System { config, options: ResolverOpts::default(), hosts: Arc::default() }
            }
        };
        let mut builder = TokioResolver::builder_with_config(system.config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        *options = system.options;
        options.cache_size = 0;
        options.attempts = 1;
        options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
        // It was read above: the library would read it on this thread.
        options.use_hosts_file = ResolveHosts::Never;
        let mut resolver = builder.build().map_err(|error| unusable(error.to_string()))?;
        resolver.set_hosts(system.hosts);
        Ok(Ready(resolver))
    }
}

/// A resolver that can be asked.
pub(crate) struct Ready(TokioResolver);

impl Ready {
    /// The addresses of a host, in the order of the answer.
    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        let found = self.0.lookup_ip(host).await.map_err(|error| unresolved(host, "address", &error))?;
        let addresses: Vec<IpAddr> = found.iter().collect();
        if addresses.is_empty() { Err(failed(host, "address", "nodata")) } else { Ok(addresses) }
    }

    /// Who offers a service (RFC 2782), in the order of the answer: priorities and weights are nothing to a probe.
    pub(crate) async fn services(&self, name: &Name) -> Result<Vec<(Name, u16)>, Failure> {
        let plain = without_dot(name);
        let found = self.0.srv_lookup(name.clone()).await.map_err(|error| unresolved(&plain, SRV, &error))?;
        let services = found.answers().iter().filter_map(|record| match &record.data {
            // The root stands for a service that is not offered.
            RData::SRV(service) if !service.target.is_root() => Some((service.target.clone(), service.port)),
            _ => None,
        });
        let services: Vec<_> = services.collect();
        if services.is_empty() { Err(failed(&plain, SRV, "nodata")) } else { Ok(services) }
    }

    /// The texts of a name, each in one piece; none where there are none.
    pub(crate) async fn texts(&self, name: &Name) -> Result<Vec<String>, Failure> {
        let found = match self.0.txt_lookup(name.clone()).await {
            Err(NetError::Dns(DnsError::NoRecordsFound(nothing)))
                if matches!(nothing.response_code, ResponseCode::NXDomain | ResponseCode::NoError) =>
            {
                return Ok(Vec::new());
            }
            found => found.map_err(|error| unresolved(&without_dot(name), "TXT record", &error))?,
        };
        let texts = found.answers().iter().filter_map(|record| match &record.data {
            RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
            _ => None,
        });
        Ok(texts.collect())
    }
}

const SRV: &str = "SRV record";

/// A name as people write it.
pub(crate) fn without_dot(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_owned()
}

fn unresolved(name: &str, what: &str, error: &NetError) -> Failure {
    let code = match error {
        NetError::Dns(DnsError::NoRecordsFound(nothing)) => match nothing.response_code {
            ResponseCode::NXDomain => "nxdomain",
            ResponseCode::NoError => "nodata",
            ResponseCode::ServFail => "servfail",
            ResponseCode::Refused => "refused",
            _ => "error",
        },
        NetError::Dns(DnsError::ResponseCode(code)) => match code {
            ResponseCode::ServFail => "servfail",
            ResponseCode::Refused => "refused",
            _ => "error",
        },
        NetError::Timeout => "timeout",
        error => return failed(name, what, "unreachable").with_words(error.to_string()),
    };
    failed(name, what, code)
}

fn failed(name: &str, what: &str, code: &str) -> Failure {
    let message = match code {
        "nxdomain" => format!("the name {name} does not exist"),
        "nodata" => format!("the name {name} exists, but has no {what}"),
        "servfail" => format!("the resolver failed to look up {name} (SERVFAIL)"),
        "refused" => format!("the resolver refused to look up {name}"),
        "timeout" => format!("the resolver did not answer in time for {name}"),
        _ => format!("the name {name} could not be looked up"),
    };
    Failure::new(FailureKind::Dns, message).with_code(code)
}
