//! SCRAM, the client's side: a proof of the password that does not show it, and the server's proof that it knows it, too.
//!
//! It is ours because client libraries hash where they are polled, as often as a peer says.
//! Specification: RFC 5802, RFC 7677.

use aws_lc_rs::{digest, hmac, pbkdf2, rand};
use base64::prelude::{BASE64_STANDARD, Engine};
use std::num::NonZeroU32;
use zeroize::Zeroizing;

use super::labour;
use crate::failure::{Failure, FailureKind, WireFault};

/// We bind to no channel.
const UNBOUND: &str = "n,,";

/// Fewer rounds are refused where servers never ask for fewer: a peer could try passwords offline at little cost (RFC 5802,
/// 5.1).
pub(crate) const FEWEST_ITERATIONS: u32 = 4096;

/// A mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(all(feature = "kafka", feature = "mongodb")), allow(dead_code, reason = "each backend has its own"))]
pub(crate) enum Hash {
    Sha1,
    Sha256,
    Sha512,
}

impl Hash {
    fn of_passwords(self) -> pbkdf2::Algorithm {
        match self {
            Self::Sha1 => pbkdf2::PBKDF2_HMAC_SHA1,
            Self::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
            Self::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        }
    }

    fn digest(self) -> &'static digest::Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha512 => &digest::SHA512,
        }
    }

    fn sign(self, key: &[u8], text: &[u8]) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(self.keyed(), key), text)
    }

    fn keyed(self) -> hmac::Algorithm {
        match self {
            Self::Sha1 => hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => hmac::HMAC_SHA256,
            Self::Sha512 => hmac::HMAC_SHA512,
        }
    }
}

/// A log-in that has begun.
pub(crate) struct Scram {
    hash: Hash,
    password: Zeroizing<String>,
    fewest: u32,
    nonce: String,
    /// The first message without what it says of channels.
    bare: String,
}

impl Scram {
    /// Begins with a password in the form in which it is hashed.
    pub(crate) fn new(hash: Hash, user: &str, password: Zeroizing<String>, fewest: u32) -> Result<Self, Failure> {
        let mut random = [0; 24];
        rand::fill(&mut random).map_err(|_| Failure::new(FailureKind::Unexpected, "this machine gives no random numbers"))?;
        Ok(Self { fewest, ..Self::with_nonce(hash, user, password, BASE64_STANDARD.encode(random)) })
    }

    fn with_nonce(hash: Hash, user: &str, password: Zeroizing<String>, nonce: String) -> Self {
        let user = user.replace('=', "=3D").replace(',', "=2C");
        Self { hash, password, fewest: FEWEST_ITERATIONS, bare: format!("n={user},r={nonce}"), nonce }
    }

    /// What is said first.
    pub(crate) fn first(&self) -> String {
        format!("{UNBOUND}{}", self.bare)
    }

    /// What is said to the server's answer.
    ///
    /// # Errors
    /// `protocol`, where it is none, or asks for more work than a log-in needs.
    pub(crate) async fn prove(self, said: &[u8]) -> Result<(String, Verifier), Failure> {
        let said = std::str::from_utf8(said).map_err(|_| broken())?.to_owned();
        let mut parts = said.split(',');
        let mut part = |key: &str| parts.next().and_then(|part| part.strip_prefix(key)).ok_or_else(broken);
        let nonce = part("r=")?.to_owned();
        let salt = BASE64_STANDARD.decode(part("s=")?).map_err(|_| broken())?;
        let rounds = part("i=")?;
        if rounds.is_empty() || !rounds.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(broken());
        }
        // Longer numbers are too large in any case.
        let rounds = rounds.parse().unwrap_or(u64::MAX);
        labour::iterations(rounds).map_err(WireFault::to_failure)?;
        let rounds = u32::try_from(rounds).ok().filter(|rounds| *rounds >= self.fewest).and_then(NonZeroU32::new);
        let rounds = rounds.ok_or_else(|| {
            let message = format!("the peer asked for fewer than {} iterations of the password hash", self.fewest);
            Failure::new(FailureKind::Protocol, message).with_code("too_little_work")
        })?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(broken());
        }
        let unproven = format!("c={},r={nonce}", BASE64_STANDARD.encode(UNBOUND));
        let text = format!("{},{said},{unproven}", self.bare);
        labour::compute(labour::seats(rounds.get()), move || {
            let hash = self.hash;
            let mut salted = Zeroizing::new(vec![0; hash.digest().output_len()]);
            pbkdf2::derive(hash.of_passwords(), rounds, &salt, self.password.as_bytes(), &mut salted);
            let key = hash.sign(&salted, b"Client Key");
            let stored = digest::digest(hash.digest(), key.as_ref());
            let signature = hash.sign(stored.as_ref(), text.as_bytes());
            let proof: Vec<_> = key.as_ref().iter().zip(signature.as_ref()).map(|(key, signature)| key ^ signature).collect();
            let server = hash.sign(&salted, b"Server Key");
            let verifier = Verifier { key: hmac::Key::new(hash.keyed(), server.as_ref()), text };
            (format!("{unproven},p={}", BASE64_STANDARD.encode(proof)), verifier)
        })
        .await
    }
}

/// Knows what the server has to prove.
pub(crate) struct Verifier {
    key: hmac::Key,
    text: String,
}

impl Verifier {
    /// Holds the server's last word against it.
    ///
    /// # Errors
    /// `auth`, where the server does not know the password.
    pub(crate) fn check(&self, said: &[u8]) -> Result<(), Failure> {
        let signature = said.strip_prefix(b"v=").map(|part| part.split(|byte| *byte == b',').next().unwrap_or_default());
        let signature = signature.and_then(|signature| BASE64_STANDARD.decode(signature).ok()).ok_or_else(broken)?;
        hmac::verify(&self.key, self.text.as_bytes(), &signature)
            .map_err(|_| Failure::new(FailureKind::Auth, "the server does not prove that it knows the password"))
    }
}

fn broken() -> Failure {
    Failure::new(FailureKind::Protocol, "the peer's part of the log-in does not follow the protocol")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scram(hash: Hash, nonce: &str) -> Scram {
        Scram::with_nonce(hash, "user", Zeroizing::new("pencil".into()), nonce.into())
    }

    /// RFC 7677, 3, and RFC 5802, 5.
    #[tokio::test]
    async fn it_is_as_in_the_specifications() {
        for (hash, nonce, said, proof, verdict) in [
            (
                Hash::Sha256,
                "rOprNGfwEbeRWgbNEkqO",
                "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
                "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
            ),
            (
                Hash::Sha1,
                "fyko+d2lbbFgONRv9qkxdawL",
                "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
                "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
                "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
            ),
        ] {
            let begun = scram(hash, nonce);
            assert_eq!(begun.first(), format!("n,,n=user,r={nonce}"));
            let (proven, verifier) = begun.prove(said.as_bytes()).await.expect("it can be proven");
            assert_eq!(proven, proof);
            assert_eq!(verifier.check(verdict.as_bytes()), Ok(()));
            assert_eq!(verifier.check(b"v=AAAA").expect_err("another").kind, FailureKind::Auth);
            assert_eq!(verifier.check(b"e=other-error").expect_err("an error").kind, FailureKind::Protocol);
        }
    }

    #[tokio::test]
    async fn what_a_server_asks_for_is_bounded() {
        for (said, code) in [
            ("r=nX,s=AAAA,i=1000001", Some("too_much_work")),
            ("r=nX,s=AAAA,i=99999999999999999999999", Some("too_much_work")),
            ("r=nX,s=AAAA,i=4095", Some("too_little_work")),
            ("r=nX,s=AAAA,i=+5000", None),
            ("r=nX,s=AAAA,i=", None),
            ("r=n,s=AAAA,i=4096", None),
            ("r=other,s=AAAA,i=4096", None),
            ("s=AAAA,r=nX,i=4096", None),
            ("", None),
        ] {
            let failure = scram(Hash::Sha512, "n").prove(said.as_bytes()).await.err().expect("it is refused");
            assert_eq!((failure.kind, failure.code.as_deref()), (FailureKind::Protocol, code), "{said}");
        }
    }
}
