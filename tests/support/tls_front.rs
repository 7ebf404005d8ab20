//! TLS in front of a server that has none, or not this kind: from the first byte, with or without client certificates.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::background::{Background, adopt, listener};
use super::tls::{Ca, Identity};

/// Ends TLS and passes what is inside on to a server; gone when this is dropped.
#[derive(Debug)]
pub(crate) struct TlsFront {
    addr: SocketAddr,
    _thread: Background,
}

impl TlsFront {
    /// Takes every client.
    pub(crate) fn start(upstream: SocketAddr, identity: &Identity) -> Self {
        let config = builder(rustls::ALL_VERSIONS).with_no_client_auth();
        Self::serve(upstream, config.with_single_cert(chain(identity), key(identity)).expect("a usable certificate"))
    }

    /// Wants a certificate of [`Ca::shared`] from each client, and speaks only this version.
    pub(crate) fn mutual(upstream: SocketAddr, identity: &Identity, version: &'static SupportedProtocolVersion) -> Self {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(Ca::shared().certificate()).expect("a PEM file");
        roots.add(ca).expect("a usable authority");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("a verifier");
        let config = builder(&[version]).with_client_cert_verifier(verifier);
        Self::serve(upstream, config.with_single_cert(chain(identity), key(identity)).expect("a usable certificate"))
    }

    /// Where it listens.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    fn serve(upstream: SocketAddr, config: ServerConfig) -> Self {
        let listener = listener();
        let addr = listener.local_addr().expect("a listener has an address");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let accept = move || async move {
            let listener = adopt(listener);
            while let Ok((client, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut client = acceptor.accept(client).await?;
                    let mut server = TcpStream::connect(upstream).await?;
                    copy_bidirectional(&mut client, &mut server).await
                });
            }
        };
        Self { addr, _thread: Background::spawn("tls-front", accept) }
    }
}

fn builder(versions: &[&'static SupportedProtocolVersion]) -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ServerConfig::builder_with_provider(provider).with_protocol_versions(versions).expect("versions that exist")
}

fn chain(identity: &Identity) -> Vec<CertificateDer<'static>> {
    vec![CertificateDer::from_pem_file(&identity.certificate).expect("a PEM file")]
}

fn key(identity: &Identity) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(&identity.key).expect("a PEM file")
}
