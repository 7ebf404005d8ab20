//! Names become addresses: a look-up that can be cut at the deadline, with a typed answer.
//!
//! The system's configuration is followed (hosts file, search list, ndots), read anew for each look-up,
//! and nothing is cached: a probe that answers from memory does not tell whether names resolve.

use std::net::{IpAddr, SocketAddr};

use hickory_resolver::{
    TokioResolver,
    config::{ConnectionConfig, NameServerConfig, ResolverConfig},
    net::{DnsError, NetError, runtime::TokioRuntimeProvider},
    proto::op::ResponseCode,
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
        let resolver = self.build().map_err(|error| {
            Failure::new(FailureKind::Dns, "the resolver configuration of this machine cannot be used")
                .with_code("configuration")
                .with_words(error.to_string())
                .with_domain(FaultDomain::Probe)
        })?;
        match resolver.lookup_ip(host).await {
            Ok(found) => {
                let addresses: Vec<IpAddr> = found.iter().collect();
                if addresses.is_empty() { Err(unresolved(host, "nodata")) } else { Ok(addresses) }
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => Err(unresolved(
                host,
                match nothing.response_code {
                    ResponseCode::NXDomain => "nxdomain",
                    ResponseCode::NoError => "nodata",
                    ResponseCode::ServFail => "servfail",
                    ResponseCode::Refused => "refused",
                    _ => "error",
                },
            )),
            Err(NetError::Dns(DnsError::ResponseCode(code))) => Err(unresolved(
                host,
                match code {
                    ResponseCode::ServFail => "servfail",
                    ResponseCode::Refused => "refused",
                    _ => "error",
                },
            )),
            Err(NetError::Timeout) => Err(unresolved(host, "timeout")),
            Err(error) => Err(unresolved(host, "unreachable").with_words(error.to_string())),
        }
    }
}

fn unresolved(host: &str, code: &str) -> Failure {
    let message = match code {
        "nxdomain" => format!("the name {host} does not exist"),
        "nodata" => format!("the name {host} exists, but has no address"),
        "servfail" => format!("the resolver failed to look up {host} (SERVFAIL)"),
        "refused" => format!("the resolver refused to look up {host}"),
        "timeout" => format!("the resolver did not answer in time for {host}"),
        _ => format!("the name {host} could not be looked up"),
    };
    Failure::new(FailureKind::Dns, message).with_code(code)
}
