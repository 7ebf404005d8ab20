//! A certificate authority for one test process: good certificates and every kind of bad one, as PEM files.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use tempfile::TempDir;

use super::scratch;

const DAY: Duration = Duration::from_hours(24);

/// An authority that signs what it is told to; its files live as long as it does.
#[derive(Debug)]
pub(crate) struct Ca {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
    issued: AtomicU32,
}

impl Ca {
    /// A new authority, which nobody trusts yet; two of them are unrelated.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Probity Test CA");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, new_key()).expect("an authority's certificate can be signed");
        let folder = scratch();
        write(&folder.path().join("ca.crt"), &issuer.pem());
        Self { issuer, folder, issued: AtomicU32::new(0) }
    }

    /// The authority of this test process, which the shared servers use.
    pub(crate) fn shared() -> &'static Self {
        static SHARED: LazyLock<Ca> = LazyLock::new(Ca::new);
        &SHARED
    }

    /// The authority's own certificate, a PEM file: what clients must trust.
    pub(crate) fn certificate(&self) -> PathBuf {
        self.folder.path().join("ca.crt")
    }

    /// Signs a certificate and writes it and its new key to files.
    pub(crate) fn issue(&self, leaf: &Leaf) -> Identity {
        let mut params = CertificateParams::new(leaf.names.clone()).expect("names are valid");
        let name = &leaf.common_name;
        params.distinguished_name.push(DnType::CommonName, name.as_str());
        params.not_before = leaf.not_before.into();
        params.not_after = leaf.not_after.into();
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![if leaf.client { ExtendedKeyUsagePurpose::ClientAuth } else { ExtendedKeyUsagePurpose::ServerAuth }];
        let key = new_key();
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate can be signed");
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let file = |kind: &str| self.folder.path().join(format!("{number}.{kind}"));
        let identity = Identity { certificate: file("crt"), key: file("key"), ca: self.certificate() };
        write(&identity.certificate, &certificate.pem());
        write(&identity.key, &key.serialize_pem());
        identity
    }
}

/// What a certificate is to say.
#[derive(Clone, Debug)]
pub(crate) struct Leaf {
    /// Subject alternative names: host names and addresses.
    pub(crate) names: Vec<String>,
    /// The subject's common name; servers that know users by certificate read it.
    pub(crate) common_name: String,
    /// Start of validity.
    pub(crate) not_before: SystemTime,
    /// End of validity.
    pub(crate) not_after: SystemTime,
    /// For a client rather than for a server.
    pub(crate) client: bool,
}

impl Leaf {
    /// A good server certificate for `localhost`, `127.0.0.1` and `::1`, valid for 90 days.
    pub(crate) fn server() -> Self {
        Self {
            names: ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec(),
            common_name: "localhost".to_owned(),
            not_before: SystemTime::now() - DAY,
            not_after: SystemTime::now() + 90 * DAY,
            client: false,
        }
    }

    /// A good client certificate for a user.
    pub(crate) fn client(user: &str) -> Self {
        Self { names: vec![user.to_owned()], common_name: user.to_owned(), client: true, ..Self::server() }
    }

    /// For other hosts than the one that is dialled.
    pub(crate) fn names(mut self, names: &[&str]) -> Self {
        self.names = names.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// Ended yesterday.
    pub(crate) fn expired(mut self) -> Self {
        self.not_before = SystemTime::now() - 30 * DAY;
        self.not_after = SystemTime::now() - DAY;
        self
    }

    /// Begins tomorrow.
    pub(crate) fn not_yet_valid(mut self) -> Self {
        self.not_before = SystemTime::now() + DAY;
        self
    }

    /// Ends in so many days.
    pub(crate) fn days_left(mut self, days: u32) -> Self {
        self.not_after = SystemTime::now() + days * DAY;
        self
    }
}

/// A certificate, its key and the authority behind it, as PEM files.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    /// The certificate, without the authority's.
    pub(crate) certificate: PathBuf,
    /// Its private key, PKCS#8.
    pub(crate) key: PathBuf,
    /// The authority's certificate.
    pub(crate) ca: PathBuf,
}

fn new_key() -> KeyPair {
    KeyPair::generate().expect("a key can be generated")
}

fn write(path: &Path, pem: &str) {
    fs::write(path, pem).expect("a PEM file can be written");
}
