//! Trust, in one place: system roots or the catalog's CA, a client certificate where one is wanted.
//!
//! Verification is on. The only way to switch it off is the word `insecure = true`, and then every
//! outcome carries the fact `tls_verification = "off"`.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use rustls::{
    ClientConfig, DigitallySignedStruct, NamedGroup, RootCertStore, SignatureScheme, SupportedProtocolVersion,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    sign::CertifiedKey,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::{
    failure::{Failure, FailureKind},
    files::{Shared, Trouble},
    plain::spaced_path,
    run::Run,
};

/// How TLS towards a dependency is done. Files that change are read again.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// PEM file with the certificate authorities to trust instead of the system's.
    pub ca: Option<PathBuf>,
    /// PEM file with our client certificate and its chain; needs `key`.
    pub cert: Option<PathBuf>,
    /// PEM file with the private key of `cert`.
    pub key: Option<PathBuf>,
    /// Name that the server's certificate must carry, where it is not the host of the address.
    pub server_name: Option<String>,
    /// Accept any certificate. Every surface shows it. Never for production.
    pub insecure: bool,
}

impl TlsConfig {
    /// What is wrong with it before any file is read.
    ///
    /// # Errors
    /// The key at fault and a sentence.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        match (&self.cert, &self.key) {
            (Some(_), None) => Err(("tls.cert", "`tls.cert` needs `tls.key` beside it".into())),
            (None, Some(_)) => Err(("tls.key", "`tls.key` needs `tls.cert` beside it".into())),
            _ => Ok(()),
        }?;
        match &self.server_name {
            Some(name) if ServerName::try_from(name.as_str()).is_err() => {
                Err(("tls.server_name", "`tls.server_name` is neither a host name nor an address".into()))
            }
            _ => Ok(()),
        }
    }

    /// The name that the peer's certificate must carry.
    pub(crate) fn name(&self, host: &str) -> Result<ServerName<'static>, Failure> {
        let name = self.server_name.as_deref().unwrap_or(host).trim_end_matches('.');
        ServerName::try_from(name.to_owned()).map_err(|_| {
            Failure::new(FailureKind::Config, format!("`{name}` cannot be verified: it is neither a host name nor an address"))
                .with_remedy("Set `tls.server_name` to the name that the certificate carries.")
        })
    }

    /// Reads the files, which takes its time where they lie on a slow file system.
    pub(crate) async fn read(&self, run: &mut Run) -> Result<Material, Failure> {
        let roots = match &self.ca {
            _ if self.insecure => None,
            Some(path) => Some(Arc::new(roots_of(path, &read_pem(path, "CA file", run).await?)?)),
            None => Some(system_roots(run.deadline()).await?),
        };
        let pair = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                let chain = chain_of(cert, &read_pem(cert, CLIENT_CERTIFICATE, run).await?)?;
                Some((chain, key_of(key, &read_pem(key, "private key", run).await?)?))
            }
            _ => None,
        };
        Ok(Material { roots, pair })
    }

    /// Builds what rustls needs; `unmet` learns of a wish for a certificate that we do not have.
    pub(crate) fn client(
        &self,
        material: Material,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&[u8]],
        unmet: &Arc<UnmetWish>,
    ) -> Result<Arc<ClientConfig>, Failure> {
        let provider = Arc::new(provider());
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| Failure::from_tls(&error))?;
        let trusting = match material.roots {
            Some(roots) => builder.with_root_certificates(roots),
            None => builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAnything(provider))),
        };
        let mut config = match (material.pair, &self.cert) {
            (Some((chain, key)), Some(cert)) => trusting
                .with_client_auth_cert(chain, key)
                .map_err(|error| unusable(cert, CLIENT_CERTIFICATE, &error.to_string()))?,
            _ => trusting.with_client_cert_resolver(Arc::clone(unmet) as _),
        };
        // Every fresh session proves the whole handshake; a resumed one would skip the certificates.
        config.resumption = rustls::client::Resumption::disabled();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        Ok(Arc::new(config))
    }
}

/// What the files of a configuration hold.
pub(crate) struct Material {
    /// Whom to trust; nobody in particular where verification is off.
    roots: Option<Arc<RootCertStore>>,
    /// Our certificate and its key.
    pair: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// The same in every build: a library that asks for it puts the hybrid key exchange first, with which a hello no longer
/// fits in one packet. It stays on offer.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups.sort_by_key(|group| group.name() == NamedGroup::X25519MLKEM768);
    provider
}

/// Whether the server asked for a client certificate, where there is none. In TLS 1.2 its refusal does not say so.
#[derive(Debug, Default)]
pub(crate) struct UnmetWish(AtomicBool);

impl UnmetWish {
    pub(crate) fn was_made(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl ResolvesClientCert for UnmetWish {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.store(true, Ordering::Relaxed);
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

const CLIENT_CERTIFICATE: &str = "client certificate";

fn unusable(path: &Path, what: &str, why: &str) -> Failure {
    Failure::new(FailureKind::Config, format!("the {what}{} cannot be used: {why}", spaced_path(path)))
        .with_remedy("Point the catalog at a readable PEM file.")
}

async fn read_pem(path: &Path, what: &str, run: &mut Run) -> Result<Arc<Zeroizing<Vec<u8>>>, Failure> {
    run.read_file(path).await.map_err(|trouble| {
        let remedy = match trouble {
            Trouble::NotRegular(_) => "Name a regular file in PEM format.",
            Trouble::TooLarge(_) => "Keep only the certificates that this server needs in the file.",
            Trouble::Late => "Check the file system that holds the file: a network mount may not respond.",
            _ => "Point the catalog at a readable PEM file.",
        };
        Failure::new(FailureKind::Config, trouble.sentence(what, path)).with_remedy(remedy)
    })
}

fn chain_of(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Failure> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(path, CLIENT_CERTIFICATE, &error.to_string()))?;
    if chain.is_empty() { Err(unusable(path, CLIENT_CERTIFICATE, "it holds no certificate")) } else { Ok(chain) }
}

fn key_of(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, Failure> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| unusable(path, "private key", "it holds no PEM private key"))
}

fn roots_of(path: &Path, pem: &[u8]) -> Result<RootCertStore, Failure> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        certificate
            .map_err(|error| error.to_string())
            .and_then(|der| roots.add(der).map_err(|error| error.to_string()))
            .map_err(|why| unusable(path, "CA file", &why))?;
    }
    if roots.is_empty() { Err(unusable(path, "CA file", "it holds no certificate")) } else { Ok(roots) }
}

/// The system's roots, read once and shared by every dependency. A machine that has none is asked
/// again each time, so that installing the bundle is enough.
async fn system_roots(deadline: Instant) -> Result<Arc<RootCertStore>, Failure> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    static READS: Shared<Arc<RootCertStore>> = Shared::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(Arc::clone(roots));
    }
    let load = || {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    };
    let roots = READS.get(Path::new("system roots"), deadline, load).await.map_err(|_| {
        Failure::new(FailureKind::Config, "reading the certificate authorities of this machine did not end in time")
            .with_remedy("Check the file system that holds the bundle, or name the CA in `tls.ca`.")
    })?;
    if roots.is_empty() {
        return Err(Failure::new(FailureKind::Config, "this machine has no bundle of certificate authorities")
            .with_remedy("Install one (Debian: ca-certificates), set SSL_CERT_FILE, or name the CA in `tls.ca`."));
    }
    Ok(Arc::clone(ROOTS.get_or_init(|| roots)))
}

/// What `insecure = true` means.
#[derive(Debug)]
struct AcceptAnything(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAnything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
