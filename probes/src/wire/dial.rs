//! From an endpoint to a stream: resolve, connect, TLS, each its own phase, each failure typed.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use hickory_resolver::proto::rr::Name;
use rustls::version::TLS12;
use tokio::{
    net::{TcpStream, UnixStream},
    time::{Instant, sleep},
};
use tokio_rustls::TlsConnector;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::{
    address::Endpoint,
    failure::{Failure, FailureKind},
    finding::Finding,
    run::{Phase, Run},
    tls::{TlsConfig, UnmetWish},
    wire::{
        guard::Grammar,
        resolve::without_dot,
        sniff::Protocol,
        stream::{Envelope, Socket, Stream, Wire},
    },
};

/// A name must become addresses within this.
const RESOLVE_BUDGET: Duration = Duration::from_secs(1);
/// One address has this long to accept.
const CONNECT_BUDGET: Duration = Duration::from_secs(1);
/// The next address is tried after this, while the first may still answer.
const RACE: Duration = Duration::from_millis(250);
/// More addresses than these are not tried.
const MOST_ADDRESSES: usize = 8;

/// Where a dependency is and how TLS is done there.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its addresses, in the order in which they are tried; at least one.
    endpoints: Vec<Endpoint>,
    /// Whether, when nobody was the one looked for, all are looked at again with lower demands.
    second_look: bool,
    /// How TLS is done, if it is.
    pub tls: Option<TlsConfig>,
    /// Whether the protocol begins in plain text and asks for TLS later ([`Run::upgrade`]).
    pub upgrade: bool,
    /// The protocols offered inside TLS.
    pub alpn: &'static [&'static [u8]],
    /// What the handshake of a later TLS is put into, where it does not go as it is. It is one of TLS 1.2 then.
    pub envelope: Option<&'static dyn Envelope>,
}

impl Target {
    /// Plain text.
    ///
    /// # Panics
    /// Without an address.
    #[must_use]
    pub fn plain(endpoints: Vec<Endpoint>) -> Self {
        assert!(!endpoints.is_empty(), "a target has an address");
        Self { endpoints, second_look: false, tls: None, upgrade: false, alpn: &[], envelope: None }
    }

    /// TLS from the first byte.
    #[must_use]
    pub fn tls(endpoints: Vec<Endpoint>, tls: TlsConfig) -> Self {
        Self { tls: Some(tls), ..Self::plain(endpoints) }
    }

    /// TLS after some words in plain text.
    #[must_use]
    pub fn upgraded(endpoints: Vec<Endpoint>, tls: TlsConfig) -> Self {
        Self { upgrade: true, ..Self::tls(endpoints, tls) }
    }

    /// The address that a candidate has. A target beside a list, which has one address, always has that.
    pub(crate) fn endpoint(&self, candidate: usize) -> &Endpoint {
        &self.endpoints[candidate % self.endpoints.len()]
    }

    /// How many candidates there are: addresses, and looks at them.
    #[must_use]
    pub fn candidates(&self) -> usize {
        self.endpoints.len() * if self.second_look { 2 } else { 1 }
    }

    /// Another address that is spoken to in the same way.
    #[must_use]
    pub fn elsewhere(&self, endpoint: Endpoint) -> Self {
        self.at(vec![endpoint])
    }

    /// Other addresses, at least one, that are spoken to in the same way.
    #[must_use]
    pub(crate) fn at(&self, endpoints: Vec<Endpoint>) -> Self {
        Self { endpoints, second_look: false, ..self.clone() }
    }

    /// Whether nobody else can read what is said there: under TLS, or on a socket of this machine.
    #[must_use]
    pub fn is_private(&self) -> bool {
        self.tls.is_some() || self.endpoints.iter().all(|endpoint| matches!(endpoint, Endpoint::Unix(_)))
    }

    /// The same, looked at twice.
    #[must_use]
    pub fn with_second_look(self) -> Self {
        Self { second_look: true, ..self }
    }
}

impl Run {
    /// Resolves, connects and, where the protocol begins with it, does TLS.
    ///
    /// # Errors
    /// A typed failure of one of these phases.
    pub async fn dial(&mut self, target: &Target) -> Result<Stream, Failure> {
        self.dial_as(target, self.speaks, self.guard).await
    }

    /// Like [`Run::dial`], to a peer that speaks something else than the backend's own protocol.
    pub(crate) async fn dial_as(&mut self, target: &Target, speaks: Protocol, guard: Option<Grammar>) -> Result<Stream, Failure> {
        let first = if target.tls.is_some() && !target.upgrade { Protocol::Tls } else { speaks };
        let endpoint = target.endpoint(self.candidate);
        let socket = match endpoint {
            Endpoint::Unix(path) => {
                let socket = self.phase(Phase::Connect, connect_unix(path)).await;
                Socket::Unix(socket.map_err(|failure| at(failure, endpoint))?)
            }
            Endpoint::Tcp { host, port } => {
                let addresses = self.resolve(host).await?;
                let budget = (self.remaining() / 2).min(CONNECT_BUDGET + RACE * u32::try_from(addresses.len()).unwrap_or(1));
                let candidates: Vec<_> = addresses.into_iter().map(|ip| SocketAddr::new(ip, *port)).collect();
                let socket = self.phase_within(Phase::Connect, budget, race(&candidates)).await;
                Socket::Tcp(socket.map_err(|failure| at(failure, endpoint))?)
            }
        };
        if self.phase_now().is_none()
            && let Some(peer) = socket.peer(endpoint)
        {
            self.fact("remote_address", peer);
        }
        let (wire, connection) =
            Wire::new(socket, first, guard).map_err(|error| self.stamp(Phase::Connect, Failure::from_io(&error)))?;
        self.connections.push(connection);
        let stream = Stream::Plain(wire);
        if target.tls.is_some() && !target.upgrade { self.upgrade(stream, target).await } else { Ok(stream) }
    }

    async fn resolve(&mut self, host: &str) -> Result<Vec<IpAddr>, Failure> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![ip]);
        }
        let (resolver, deadline) = (self.resolver.clone(), self.resolve_deadline());
        let addresses = async { resolver.ready(deadline).await?.addresses(host).await };
        Ok(interleave(self.look_up(host, addresses).await?))
    }

    /// Who offers a service, and the texts that stand beside it, whose name is another one.
    ///
    /// # Errors
    /// `dns`, as [`Run::dial`]; that nobody offers it, too, but not that there are no texts.
    pub async fn services(&mut self, service: &Name, beside: &Name) -> Result<(Vec<(Name, u16)>, Vec<String>), Failure> {
        let (resolver, deadline) = (self.resolver.clone(), self.resolve_deadline());
        let both = async {
            let resolver = resolver.ready(deadline).await?;
            tokio::try_join!(resolver.services(service), resolver.texts(beside))
        };
        self.look_up(&without_dot(service), both).await
    }

    /// A file of the system that is not read by then says so itself.
    fn resolve_deadline(&self) -> Instant {
        self.deadline().min(Instant::now() + RESOLVE_BUDGET)
    }

    async fn look_up<T>(&mut self, name: &str, found: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let found = self.phase_within(Phase::Resolve, RESOLVE_BUDGET, found).await;
        found.map_err(|failure| match failure.code.as_deref() {
            Some("timeout") => Failure { message: format!("the resolver did not answer in time for {name}"), ..failure },
            _ => failure,
        })
    }

    /// Does TLS on a stream that has been plain text so far.
    ///
    /// # Errors
    /// `config` when the files cannot be used, otherwise `tls`, or what the operating system reports.
    pub async fn upgrade(&mut self, stream: Stream, target: &Target) -> Result<Stream, Failure> {
        let (Stream::Plain(mut wire), Some(tls)) = (stream, &target.tls) else {
            return Err(self.stamp(Phase::Tls, Failure::new(FailureKind::Unexpected, "TLS was asked for twice")));
        };
        let host = match target.endpoint(self.candidate) {
            Endpoint::Tcp { host, .. } => host.as_str(),
            Endpoint::Unix(_) => "localhost",
        };
        wire.tether().expect_tls();
        // The tickets of TLS 1.3 follow behind the handshake, and nobody could tell whether as they are.
        let versions = if target.envelope.is_some() { &[&TLS12][..] } else { rustls::ALL_VERSIONS };
        if let Some(envelope) = target.envelope {
            wire.enclose(envelope);
        }
        let unmet = Arc::new(UnmetWish::default());
        let prepared = tls.read(self).await.and_then(|material| {
            let config = tls.client(material, versions, target.alpn, &unmet)?;
            Ok((config, tls.name(host)?))
        });
        let (config, name) = prepared.map_err(|failure| self.stamp(Phase::Tls, failure))?;
        let handshake = self.phase(Phase::Tls, TlsConnector::from(config).connect(name, wire)).await;
        let mut secured = handshake.map_err(|failure| match failure.code.as_deref() {
            Some("negotiation" | "closed") if unmet.was_made() => {
                let words = failure.server_message.unwrap_or_default();
                Failure { phase: failure.phase, ..Failure::client_certificate(words) }
            }
            _ => failure,
        })?;
        secured.get_mut().0.disclose();
        let stream = Stream::Tls(Box::new(secured));
        if self.phase_now().is_none() {
            self.note_tls(&stream, tls.insecure);
        }
        Ok(stream)
    }

    /// Does TLS anew on a connection that has it: what was agreed on is forgotten, as the peer has forgotten it.
    ///
    /// # Errors
    /// The same, and a peer that asks for it in plain text.
    pub async fn renegotiate(&mut self, stream: Stream, target: &Target) -> Result<Stream, Failure> {
        match stream {
            Stream::Tls(tls) => self.upgrade(Stream::Plain(tls.into_inner().0), target).await,
            Stream::Plain(_) => {
                let failure = Failure::new(FailureKind::Protocol, "the peer wants TLS anew where there is none");
                Err(self.stamp(Phase::Tls, failure))
            }
        }
    }

    /// What a handshake tells of the peer, and whether its certificates last.
    fn note_tls(&mut self, stream: &Stream, insecure: bool) {
        let Stream::Tls(tls) = stream else { return };
        let (_, session) = tls.get_ref();
        self.fact_if("tls_version", session.protocol_version().and_then(|v| v.as_str()).map(|v| v.replace("TLSv1_", "1.")));
        self.fact_if("tls_cipher", session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()));
        if insecure {
            self.fact("tls_verification", "off");
        }
        let chain: Vec<X509Certificate<'_>> = session
            .peer_certificates()
            .unwrap_or_default()
            .iter()
            .filter_map(|der| X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate))
            .collect();
        let Some(leaf) = chain.first() else { return };
        self.fact("certificate_subject", leaf.subject().to_string());
        self.fact("certificate_issuer", leaf.issuer().to_string());
        let Some(expiry) = chain.iter().map(|certificate| certificate.validity().not_after.timestamp()).min() else { return };
        self.fact("certificate_expiry_timestamp_seconds", expiry);
        let left = expiry - jiff::Timestamp::now().as_second();
        let warning = i64::try_from(self.certificate_warning.as_secs()).unwrap_or(i64::MAX);
        if left < warning {
            self.finding(Finding::degraded("certificate_expiring", left / 86_400).against(warning / 86_400));
        }
    }
}

/// A failure of the dial, with the address in its sentence.
fn at(mut failure: Failure, endpoint: &Endpoint) -> Failure {
    failure.message = match failure.kind {
        FailureKind::ConnectRefused => format!("nobody listens on {endpoint}: {}", failure.message),
        FailureKind::ConnectTimeout => format!("{endpoint} did not accept the connection in time"),
        _ => format!("{endpoint}: {}", failure.message),
    };
    failure
}

/// The addresses of both families in turn, so that a broken one costs one step of the race (RFC 8305, 4).
fn interleave(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let first_is_v6 = addresses.first().is_some_and(IpAddr::is_ipv6);
    let (mut first, mut second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|ip| ip.is_ipv6() == first_is_v6);
    let mut mixed = Vec::with_capacity(first.len() + second.len());
    while mixed.len() < MOST_ADDRESSES && (!first.is_empty() || !second.is_empty()) {
        for family in [&mut first, &mut second] {
            if !family.is_empty() {
                mixed.push(family.remove(0));
            }
        }
    }
    mixed
}

/// Connects to the first address that accepts; each further one starts a little later, or at once when
/// the one before it failed (RFC 8305, 5).
async fn race(candidates: &[SocketAddr]) -> io::Result<TcpStream> {
    let mut waiting = candidates.iter();
    let mut attempts = FuturesUnordered::new();
    let mut last = io::Error::new(io::ErrorKind::AddrNotAvailable, "the name has no address");
    loop {
        if let Some(address) = waiting.next() {
            attempts.push(connect(*address));
        } else if attempts.is_empty() {
            return Err(last);
        }
        let more = !waiting.as_slice().is_empty();
        tokio::select! {
            Some(result) = attempts.next() => match result {
                Ok(socket) => return Ok(socket),
                Err(error) => last = error,
            },
            () = sleep(RACE), if more => {}
        }
    }
}

/// Unlike TCP, whose request to connect is repeated, a socket says at once when nobody accepts (connect(2), EAGAIN).
async fn connect_unix(path: &Path) -> Result<UnixStream, Failure> {
    UnixStream::connect(path).await.map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => {
            Failure::new(FailureKind::Overload, "its queue of connections is full: the server does not accept them")
        }
        _ => Failure::from_io(&error),
    })
}

async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpStream::connect(address).await?;
    // These fail where the peer has reset the connection already: whoever reads from it will know better.
    let _ = socket.set_nodelay(true);
    // On loopback a connection to a closed ephemeral port may meet itself (simultaneous open).
    if matches!((socket.local_addr(), socket.peer_addr()), (Ok(own), Ok(peer)) if own == peer) {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let ips = |texts: &[&str]| texts.iter().map(|t| t.parse().expect("an address")).collect::<Vec<IpAddr>>();
        assert_eq!(interleave(ips(&["::1", "::2", "127.0.0.1", "::3"])), ips(&["::1", "127.0.0.1", "::2", "::3"]));
        assert_eq!(interleave(vec![]), vec![] as Vec<IpAddr>);
    }
}
