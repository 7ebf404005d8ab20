//! `PostgreSQL`'s messages: how often a log-in has the password hashed, and how many messages there are.
//!
//! Values do not nest in them. Protocol: <https://www.postgresql.org/docs/current/protocol-message-formats.html>.

use super::{Following, Input};
use crate::{failure::WireFault, wire::labour};

/// A message of the log-in, and the kind of it that continues SASL.
const AUTHENTICATION: u8 = b'R';
const SASL_CONTINUE: u32 = 11;

/// Longer answers of SCRAM are none.
const LONGEST: usize = 4096;

/// Follows messages.
pub(crate) fn messages(mut input: Input) -> Following {
    Box::pin(async move {
        loop {
            let kind = input.byte().await?;
            // To a request for TLS a server answers with one letter. Behind the start-up it never begins with these.
            if input.position() == 1 && matches!(kind, b'S' | b'N') {
                continue;
            }
            input.count(1)?;
            let length = u32::from_be_bytes(input.array().await?);
            let end = input.end_of(u64::from(length.checked_sub(4).ok_or(WireFault::Malformed)?))?;
            if kind == AUTHENTICATION {
                input.set_limit(end);
                if u32::from_be_bytes(input.array().await?) == SASL_CONTINUE {
                    scram(&mut input).await?;
                }
                input.set_limit(u64::MAX);
            }
            input.skip_to(end).await?;
        }
    })
}

/// The first answer of SCRAM (RFC 5802, 5.1): `r=…,s=…,i=…`.
async fn scram(input: &mut Input) -> Result<(), WireFault> {
    let mut text = Vec::new();
    while input.position() < input.limit() {
        if text.len() == LONGEST {
            return Err(WireFault::Malformed);
        }
        text.push(input.byte().await?);
    }
    for part in text.split(|byte| *byte == b',') {
        if let Some(rounds) = part.strip_prefix(b"i=") {
            let rounds = std::str::from_utf8(rounds).ok().filter(|rounds| rounds.bytes().all(|byte| byte.is_ascii_digit()));
            // Longer numbers are too large in any case.
            labour::iterations(rounds.ok_or(WireFault::Malformed)?.parse().unwrap_or(u64::MAX))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::guard::{MOST_VALUES, tests::verdict};

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind][..], &u32::try_from(body.len() + 4).expect("short").to_be_bytes(), body].concat()
    }

    fn first(rounds: &str) -> Vec<u8> {
        let sasl = message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0");
        let words = format!("\0\0\0\x0br=nonce,s=W22ZaJ0SNY7soEsUEjb6gQ==,i={rounds}");
        [sasl, message(b'R', words.as_bytes())].concat()
    }

    #[test]
    fn iterations_are_bounded() {
        for tls in [&b""[..], b"S", b"N"] {
            assert_eq!(verdict(messages, &[tls, &first("1000000")].concat()), Ok(()));
            for (rounds, asked) in [("1000001", 1_000_001), ("99999999999999999999", u64::MAX)] {
                let limit = labour::MOST_ITERATIONS;
                let fault = WireFault::TooMuchWork { unit: "iterations of the password hash", asked, limit };
                assert_eq!(verdict(messages, &[tls, &first(rounds)].concat()), Err(fault));
            }
        }
        assert_eq!(verdict(messages, &first("+5")), Err(WireFault::Malformed));
    }

    #[test]
    fn messages_are_counted() {
        let most = usize::try_from(MOST_VALUES).expect("it is small");
        let rows = |rows: usize| message(b'D', b"\0\0").repeat(rows);
        assert_eq!(verdict(messages, &rows(most)), Ok(()));
        assert_eq!(verdict(messages, &rows(most + 1)), Err(WireFault::TooMany { limit: MOST_VALUES }));
        assert_eq!(verdict(messages, b"Z\0\0\0\x03"), Err(WireFault::Malformed));
    }
}
