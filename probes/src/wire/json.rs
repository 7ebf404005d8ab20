//! JSON of a peer: looked over before it is decoded, so that depth and number of its values are bounded.
//!
//! `serde_json` bounds depth at 128, but not how many values it makes of a body: `[[0],[0],…` takes forty times its size.

use serde::de::DeserializeOwned;

use super::guard::DEEPEST;
use crate::failure::{Failure, WireFault};

/// What one document may weigh: a block of ClickHouse has 65 536 rows, and each is an array.
const MOST: u64 = 300_000;

/// Lists and objects take more memory than other values.
const LIST: u64 = 3;
const OBJECT: u64 = 8;

/// Reads a document; `otherwise` is the failure where it is not the one that was asked for.
///
/// # Errors
/// That, or `protocol` where values are nested too deep or are too many.
pub(crate) fn read<T: DeserializeOwned>(
    bytes: &[u8],
    otherwise: impl FnOnce(serde_json::Error) -> Failure,
) -> Result<T, Failure> {
    check(bytes).map_err(WireFault::to_failure)?;
    serde_json::from_slice(bytes).map_err(otherwise)
}

/// Reads a document, where it is the one that was asked for.
///
/// # Errors
/// `protocol` where values are nested too deep or are too many.
#[cfg(any(feature = "http", feature = "nats"))]
pub(crate) fn try_read<T: DeserializeOwned>(bytes: &[u8]) -> Result<Option<T>, WireFault> {
    check(bytes)?;
    Ok(serde_json::from_slice(bytes).ok())
}

/// Looks over a body that may be JSON or something else.
///
/// # Errors
/// `protocol` where values of JSON are nested too deep or are too many.
pub(crate) fn bound(body: &[u8]) -> Result<(), WireFault> {
    if matches!(body.trim_ascii_start().first(), Some(b'{' | b'[')) { check(body) } else { Ok(()) }
}

/// Looks over what may be JSON. Brackets need not match here: what is no JSON is left to the decoder.
fn check(bytes: &[u8]) -> Result<(), WireFault> {
    let (mut depth, mut values) = (0_usize, 0);
    let mut rest = bytes.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => loop {
                match rest.next() {
                    Some(b'\\') => drop(rest.next()),
                    Some(b'"') | None => break,
                    Some(_) => {}
                }
            },
            b'[' | b'{' => {
                depth += 1;
                values += if *byte == b'{' { OBJECT } else { LIST };
                if depth > DEEPEST {
                    return Err(WireFault::TooDeep { limit: DEEPEST });
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b',' | b':' => values += 1,
            _ => continue,
        }
        if values > MOST {
            return Err(WireFault::TooMany { limit: MOST });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn code(text: &str) -> Option<String> {
        let other = |_| Failure::new(crate::FailureKind::Protocol, "no JSON").with_code("no_json");
        read::<Value>(text.as_bytes(), other).err().and_then(|failure| failure.code)
    }

    #[test]
    fn depth_is_bounded() {
        for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[1,{\"]\\\"\":", "}]")] {
            let per = open.matches(['[', '{']).count();
            let nested = |levels: usize| format!("{}0{}", open.repeat(levels / per), close.repeat(levels / per));
            assert_eq!(code(&nested(DEEPEST)), None, "{open}");
            assert_eq!(code(&nested(DEEPEST + per)).as_deref(), Some("nested_too_deep"), "{open}");
            assert_eq!(code(&open.repeat(100_000)).as_deref(), Some("nested_too_deep"), "{open}");
        }
        // Behind brackets that are text, and lists that end, nothing is deep.
        assert_eq!(code(&format!("[{}0]", "\"[[[\\\"[[[\",[[]],".repeat(60))), None);
    }

    #[test]
    fn values_are_bounded() {
        let most = usize::try_from(MOST).expect("it is small");
        let list = |values: usize| format!("[{}0]", "0,".repeat(values - 1));
        assert_eq!(code(&list(most - 2)), None, "the list itself weighs three");
        assert_eq!(code(&list(most - 1)).as_deref(), Some("too_many_values"));
        assert_eq!(code(&format!("[{}0]", "{\"\":0},".repeat(40_000))).as_deref(), Some("too_many_values"));
        assert_eq!(code(&format!("[{}0]", "[0],".repeat(65_536))), None, "a block of ClickHouse");
        assert_eq!(code(&"[],".repeat(100)).as_deref(), Some("no_json"));
    }

    /// What is relied on of `serde_json`: it ends before the stack does, whatever it is given.
    #[test]
    fn the_decoder_has_a_limit_of_its_own() {
        for open in ["[", "{\"a\":"] {
            let error = serde_json::from_str::<Value>(&open.repeat(1_000_000)).expect_err("too deep");
            assert!(error.to_string().starts_with("recursion limit exceeded"), "{error}");
        }
    }
}
