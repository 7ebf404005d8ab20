//! How a password is proven: both sides make a key of it that changes with every log-in (the verifier of 12c).

use aes::Aes256;
use cbc::cipher::block_padding::NoPadding;
use cbc::cipher::{BlockModeDecrypt, BlockModeEncrypt, KeyIvInit};
use pbkdf2::pbkdf2_hmac;
use sha2::{Digest, Sha512};

/// How often the hash of a password is made, and that of a key.
const ROUNDS: u32 = 4096;
const KEY_ROUNDS: u32 = 3;

/// Marks a verifier of 12c.
const VERIFIER: u64 = 0x4815;

/// A log-in that has begun.
#[derive(Debug)]
pub(super) struct Login {
    password_key: [u8; 32],
    own: [u8; 32],
    salt: [u8; 16],
    key_salt: [u8; 16],
}

impl Login {
    /// Of whoever claims to know this password.
    pub(super) fn begin(password: &str) -> Self {
        let (salt, key_salt, own) = (random(), random(), random());
        let mut long = [0; 64];
        pbkdf2_hmac::<Sha512>(password.as_bytes(), &[&salt[..], b"AUTH_PBKDF2_SPEEDY_KEY"].concat(), ROUNDS, &mut long);
        let hash = Sha512::new().chain_update(long).chain_update(salt).finalize();
        let mut password_key = [0; 32];
        password_key.copy_from_slice(&hash[..32]);
        Self { password_key, own, salt, key_salt }
    }

    /// What the client is told of it.
    pub(super) fn challenge(&self) -> Vec<u8> {
        let session = hex(&encrypt(&self.password_key, &self.own));
        let (salt, key_salt) = (hex(&self.salt), hex(&self.key_salt));
        let (rounds, key_rounds) = (ROUNDS.to_string(), KEY_ROUNDS.to_string());
        super::ttc::Answer::pairs(
            &[
                ("AUTH_SESSKEY", &session, 0),
                ("AUTH_VFR_DATA", &salt, VERIFIER),
                ("AUTH_PBKDF2_CSK_SALT", &key_salt, 0),
                ("AUTH_PBKDF2_VGEN_COUNT", &rounds, 0),
                ("AUTH_PBKDF2_SDER_COUNT", &key_rounds, 0),
            ],
            None,
        )
    }

    /// The server's own proof, if the client has given the right one.
    pub(super) fn finish(&self, password: &str, session: &str, proof: &str) -> Option<String> {
        let theirs = decrypt(&self.password_key, &unhex(session)?)?;
        let both = hex(&[&theirs, &self.own[..]].concat());
        let mut key = [0; 32];
        pbkdf2_hmac::<Sha512>(both.as_bytes(), &self.key_salt, KEY_ROUNDS, &mut key);
        let shown = decrypt(&key, &unhex(proof)?)?;
        let padding = usize::from(*shown.last()?);
        let shown = shown.get(16..shown.len().checked_sub(padding)?)?;
        let answer = [&random::<16>()[..], b"SERVER_TO_CLIENT", &[16; 16]].concat();
        (shown == password.as_bytes()).then(|| hex(&encrypt(&key, &answer)))
    }
}

fn encrypt(key: &[u8; 32], text: &[u8]) -> Vec<u8> {
    let mut secret = vec![0; text.len()];
    let done = cbc::Encryptor::<Aes256>::new(key.into(), &[0; 16].into()).encrypt_padded_b2b::<NoPadding>(text, &mut secret);
    done.expect("whole blocks").to_vec()
}

fn decrypt(key: &[u8; 32], secret: &[u8]) -> Option<Vec<u8>> {
    let mut text = vec![0; secret.len()];
    let done = cbc::Decryptor::<Aes256>::new(key.into(), &[0; 16].into()).decrypt_padded_b2b::<NoPadding>(secret, &mut text);
    done.ok().map(<[u8]>::to_vec)
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fastrand::fill(&mut bytes);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(nibble.into(), 16).map_or('0', |digit| digit.to_ascii_uppercase());
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}
