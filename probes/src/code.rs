//! The codes of failures: from a closed set or of a fixed form, so that no word of a peer comes through.

use crate::failure::OF_PROXY;

/// The codes of our own, besides those of the manuals: what this machine, the resolver, TLS or a peer's first bytes say.
pub(crate) const OWN_CODES: &[&str] = &[
    "attention",
    "bad_certificate",
    "body_too_large",
    "client_cert",
    "closed",
    "configuration",
    "error",
    "expired",
    "foreign_host",
    "foreign_protocol",
    "hostname",
    "library_error",
    "library_panic",
    "native_encryption",
    "native_port",
    "negotiation",
    "nested_too_deep",
    "no_common_version",
    "nodata",
    "not_json",
    "not_yet_valid",
    "nxdomain",
    "plaintext",
    "redirect_circle",
    "redirect_elsewhere",
    "redirect_limit",
    "refused",
    "reply_too_long",
    "required",
    "revoked",
    "routing",
    "servfail",
    "set_name",
    "timeout",
    "tls_expected",
    "too_many_values",
    "too_much_work",
    "txt",
    "unreachable",
    "untrusted",
    "version",
    "x_protocol",
];

/// Whether a code is of our own.
pub(crate) fn is_own(code: &str) -> bool {
    let numbered = ["librdkafka ", OF_PROXY].iter().find_map(|start| code.strip_prefix(start));
    OWN_CODES.contains(&code) || numbered.is_some_and(is_number)
}

/// A number of up to six digits.
pub(crate) fn is_number(word: &str) -> bool {
    let digits = word.strip_prefix('-').unwrap_or(word);
    (1..=6).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// A number, a status, or what looks like the code of a family of servers, and has no room for words.
fn is_fixed(word: &str) -> bool {
    let is_hex = |digits: &str| (2..=8).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_sqlstate = word.len() == 5
        && word.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
        && word.bytes().filter(u8::is_ascii_digit).count() >= 2;
    is_number(word)
        || is_sqlstate
        || word.strip_prefix("0x").is_some_and(is_hex)
        || word.strip_prefix("ORA-").is_some_and(is_number)
}

/// Words of ours around numbers of the server.
const AROUND: [&str; 7] = ["HTTP", "state", "SUBACK", "PUBACK", "DISCONNECT", "tls", "login"];

/// The classes of Neo4j's codes; there are hundreds of titles, and nothing ties a peer to them.
const CLASSES: [&str; 4] = ["Neo.ClientError", "Neo.ClientNotification", "Neo.DatabaseError", "Neo.TransientError"];

/// What may be shown of a server's code: `known` is what the manual calls it.
pub(crate) fn closed(code: &str, known: Option<&str>) -> Option<String> {
    let is_closed = |word: &str| is_fixed(word) || AROUND.contains(&word);
    if is_own(code) || (code.len() <= 24 && code.split(' ').all(is_closed)) {
        return Some(code.to_owned());
    }
    let first = code.split(' ').next().filter(|word| is_fixed(word));
    let class = || CLASSES.into_iter().find(|class| code.starts_with(class)).map(str::to_owned);
    let Some(known) = known else { return first.map(str::to_owned).or_else(class) };
    let Some(start) = known.strip_suffix('*') else { return Some(known.to_owned()) };
    // The number behind the name of a block, say.
    let rest = code.get(start.len()..).and_then(|rest| rest.strip_prefix('/')).filter(|rest| is_number(rest));
    match (rest, first) {
        (Some(rest), _) => Some(format!("{start}/{rest}")),
        // `5*` stands for 503, and 503 says more.
        (None, Some(first)) if first.len() >= start.len() => Some(first.to_owned()),
        _ => Some(start.trim_end_matches(['.', ' ']).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn no_free_words_are_a_code() {
        for (code, known, closed) in [
            ("zebra crossing 42", None, None),
            ("ZEBRA", None, None),
            ("ERR zebra crossing 42", None, None),
            ("ERR unknown command 'zebra'", Some("ERR unknown command*"), Some("ERR unknown command")),
            ("noauth", Some("NOAUTH"), Some("NOAUTH")),
            ("500 zebra crossing", None, Some("500")),
            ("500 No cluster leader, zebra", Some("500 No cluster leader*"), Some("500 No cluster leader")),
            ("503", Some("5*"), Some("503")),
            ("503 zebra", Some("503*"), Some("503")),
            ("403 cluster_block_exception/8", Some("403 cluster_block_exception*"), Some("403 cluster_block_exception/8")),
            ("403 cluster_block_exception/zebra", Some("403 cluster_block_exception*"), Some("403 cluster_block_exception")),
            ("08P01 no such user: zebra", Some("08P01 no such user*"), Some("08P01 no such user")),
            ("42P01", Some("42*"), Some("42P01")),
            ("42P01 in zebra", Some("42*"), Some("42P01")),
            ("ORA-01017", None, Some("ORA-01017")),
            ("0x2100", None, Some("0x2100")),
            ("HTTP 503", Some("HTTP*"), Some("HTTP 503")),
            ("18456 state 5", Some("18456*"), Some("18456 state 5")),
            ("SUBACK 0x87", Some("SUBACK*"), Some("SUBACK 0x87")),
            ("Neo.ClientError.Zebra.Crossing", None, Some("Neo.ClientError")),
            ("Neo.Zebra.Crossing", None, None),
            ("proxy 502", None, Some("proxy 502")),
            ("proxy zebra", None, None),
            ("plaintext", None, Some("plaintext")),
        ] {
            assert_eq!(super::closed(code, known).as_deref(), closed, "{code}");
        }
    }
}
