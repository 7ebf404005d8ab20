//! Names become addresses, and services hosts: a look-up that can be cut at the deadline, with a typed answer.
//!
//! The system's configuration is followed (hosts file, search list, ndots), read anew for each look-up,
//! and nothing is cached: a probe that answers from memory does not tell whether names resolve.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::{
        op::ResponseCode,
        rr::{Name, RData},
    },
};

use crate::failure::{Failure, FailureKind, FaultDomain};

/// Who is asked for addresses.
#[derive(Clone, Debug, Default)]
pub enum Resolver {
    /// Whom the system's configuration names.
    #[default]
    System,
    /// One name server, and no hosts file.
    Server(SocketAddr),
}

impl Resolver {
    fn build(&self) -> Result<TokioResolver, NetError> {
        let mut builder = match self {
            Self::System => TokioResolver::builder_tokio()?,
            Self::Server(address) => {
                let mut connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
                for connection in &mut connections {
                    connection.port = address.port();
                }
                let server = NameServerConfig::new(address.ip(), true, connections.into());
                let config = ResolverConfig::from_name_servers(vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let options = builder.options_mut();
        options.cache_size = 0;
        options.attempts = 1;
        options.ip_strategy = hickory_resolver::config::LookupIpStrategy::Ipv4AndIpv6;
        builder.build()
    }

    /// The addresses of a host, in the order of the answer.
    pub(crate) async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        let found = self.ready()?.lookup_ip(host).await.map_err(|error| unresolved(host, "address", &error))?;
        let addresses: Vec<IpAddr> = found.iter().collect();
        if addresses.is_empty() { Err(failed(host, "address", "nodata")) } else { Ok(addresses) }
    }

    /// Who offers a service (RFC 2782), in the order of the answer: priorities and weights are nothing to a probe.
    pub(crate) async fn services(&self, name: &Name) -> Result<Vec<(Name, u16)>, Failure> {
        let plain = without_dot(name);
        let found = self.ready()?.srv_lookup(name.clone()).await.map_err(|error| unresolved(&plain, SRV, &error))?;
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
        let found = match self.ready()?.txt_lookup(name.clone()).await {
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

    fn ready(&self) -> Result<TokioResolver, Failure> {
        self.build().map_err(|error| {
            Failure::new(FailureKind::Dns, "the resolver configuration of this machine cannot be used")
                .with_code("configuration")
                .with_words(error.to_string())
                .with_domain(FaultDomain::Probe)
        })
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
