//! MySQL's packets: which computation a log-in asks for, and how many packets there are.
//!
//! Values do not nest in them. The library raises what it encrypts to the power that a server's key says, and hashes as
//! often as a server says (`parsec`). Protocol: <https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html>.

use base64::prelude::{BASE64_STANDARD, Engine};

use super::{Following, Input};
use crate::{failure::WireFault, wire::labour};

/// Longest packet of a log-in that is looked into: above what a key of the limit takes.
const LONGEST: usize = 64 * 1024;

/// How a key begins, in its two forms.
const KEY: &[u8] = b"-----BEGIN ";

/// `parsec`: its letter, the power of two by which 1024 rounds are multiplied, and a salt.
const PARSEC: u8 = b'P';
const PARSEC_LENGTH: usize = 20;

/// Bits of the exponent of a key: those of real ones have 17. The work grows with it as with the modulus.
const MOST_EXPONENT_BITS: u64 = 64;

/// Follows packets.
pub(crate) fn packets(mut input: Input) -> Following {
    Box::pin(async move {
        let mut logs_in = true;
        loop {
            let [a, b, c, _] = input.array().await?;
            let length = u32::from_le_bytes([a, b, c, 0]);
            let end = input.end_of(length.into())?;
            input.count(1)?;
            if logs_in && length > 0 {
                let first = input.byte().await?;
                // OK or ERR
                logs_in = !matches!(first, 0 | 0xff);
                if logs_in {
                    look(&mut input, first, end).await?;
                }
            }
            input.skip_to(end).await?;
        }
    })
}

/// Looks for work in a packet that goes on behind its first byte.
async fn look(input: &mut Input, first: u8, end: u64) -> Result<(), WireFault> {
    let mut body = vec![first];
    while input.position() < end && body.len() < LONGEST {
        body.push(input.byte().await?);
    }
    // Either may stand behind a byte that says that there is more.
    for part in [&body[..], &body[1..]] {
        if part.len() == PARSEC_LENGTH && part[0] == PARSEC {
            let asked = 1_u64.checked_shl(u32::from(part[1]) + 10).filter(|asked| *asked > 0).unwrap_or(u64::MAX);
            labour::iterations(asked)?;
            input.toil();
        }
        if part.starts_with(KEY) {
            key(part)?;
            input.toil();
        }
    }
    Ok(())
}

/// Bounds an RSA key in PEM: PKCS #1, or X.509 around it.
fn key(pem: &[u8]) -> Result<(), WireFault> {
    let text = std::str::from_utf8(pem).map_err(|_| WireFault::Malformed)?;
    let lines = text.lines().skip(1).map(str::trim).take_while(|line| !line.starts_with('-'));
    let mut base64 = lines.collect::<String>();
    // Of a key that is cut here, enough is seen.
    base64.truncate(base64.len() / 4 * 4);
    let der = BASE64_STANDARD.decode(base64).map_err(|_| WireFault::Malformed)?;
    let mut rest = open(&der, 0x30)?;
    if rest.first() == Some(&0x30) {
        let (_, behind) = split(rest, 0x30)?;
        // A string of bits begins with how many of them are none.
        rest = open(open(behind, 0x03)?.get(1..).ok_or(WireFault::Malformed)?, 0x30)?;
    }
    let limits = [("bits of an RSA key", labour::MOST_RSA_BITS), ("bits of an RSA key's exponent", MOST_EXPONENT_BITS)];
    for (unit, limit) in limits {
        let (length, begins) = head(rest, 0x02)?;
        let number = &rest[begins..];
        let zeros = number.iter().take(length).take_while(|byte| **byte == 0).count();
        let asked = 8 * (length - zeros) as u64;
        if asked > limit {
            return Err(WireFault::TooMuchWork { unit, asked, limit });
        }
        rest = number.get(length..).ok_or(WireFault::Malformed)?;
    }
    Ok(())
}

/// What is in a value, as far as it is there.
fn open(der: &[u8], tag: u8) -> Result<&[u8], WireFault> {
    let (length, begins) = head(der, tag)?;
    Ok(&der[begins..der.len().min(begins.saturating_add(length))])
}

/// What is in a value, and what follows.
fn split(der: &[u8], tag: u8) -> Result<(&[u8], &[u8]), WireFault> {
    let (length, begins) = head(der, tag)?;
    der[begins..].split_at_checked(length).ok_or(WireFault::Malformed)
}

/// The length of a value, and where it begins.
fn head(der: &[u8], tag: u8) -> Result<(usize, usize), WireFault> {
    let [seen, short, rest @ ..] = der else { return Err(WireFault::Malformed) };
    if *seen != tag {
        return Err(WireFault::Malformed);
    }
    if *short < 0x80 {
        return Ok((usize::from(*short), 2));
    }
    let more = usize::from(short & 0x7f);
    let long = rest.get(..more).filter(|_| (1..=4).contains(&more)).ok_or(WireFault::Malformed)?;
    Ok((long.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), 2 + more))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::guard::{MOST_VALUES, tests::verdict};

    fn packet(body: &[u8]) -> Vec<u8> {
        let [a, b, c, _] = u32::try_from(body.len()).expect("short").to_le_bytes();
        [&[a, b, c, 1], body].concat()
    }

    fn value(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).expect("short");
        let long = length.to_be_bytes();
        let head = if length < 128 { vec![tag, long[3]] } else { [&[tag, 0x84][..], &long].concat() };
        [head, body.to_vec()].concat()
    }

    /// A server's key, whose numbers have so many bits.
    fn rsa(modulus: usize, exponent: usize, around: bool) -> Vec<u8> {
        let number = |bits: usize| value(2, &[&[0][..], &vec![0xff; bits / 8]].concat());
        let inner = value(0x30, &[number(modulus), number(exponent)].concat());
        let der = if around {
            let algorithm = value(0x30, b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\0");
            value(0x30, &[algorithm, value(3, &[&[0], &*inner].concat())].concat())
        } else {
            inner
        };
        let text = BASE64_STANDARD.encode(der);
        let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line)).collect();
        let kind = if around { "PUBLIC KEY" } else { "RSA PUBLIC KEY" };
        let pem = format!("\x01-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"));
        packet(pem.as_bytes())
    }

    #[test]
    fn keys_are_bounded() {
        let greeting = packet(b"\x0a8.0.0\0");
        let too_much = |unit, asked, limit| Err(WireFault::TooMuchWork { unit, asked, limit });
        for around in [true, false] {
            let seen = |modulus, exponent| verdict(packets, &[greeting.clone(), rsa(modulus, exponent, around)].concat());
            assert_eq!(seen(2048, 24), Ok(()));
            assert_eq!(seen(16_384, 64), Ok(()));
            for bits in [16_392, 100_000, 1_000_000] {
                assert_eq!(seen(bits, 24), too_much("bits of an RSA key", bits as u64, 16_384), "{bits}");
            }
            assert_eq!(seen(2048, 72), too_much("bits of an RSA key's exponent", 72, 64));
        }
        for bytes in [&b"\x01-----BEGIN PUBLIC KEY-----\n"[..], b"\x01-----BEGIN X-----\nAAAA\n", b"\x01-----BEGIN \xff"] {
            assert_eq!(verdict(packets, &packet(bytes)), Err(WireFault::Malformed));
        }
    }

    #[test]
    fn iterations_are_bounded() {
        for more in [&b""[..], b"\x01"] {
            let parsec = |power: u8| packet(&[more, &[PARSEC, power], &[7; 18]].concat());
            assert_eq!(verdict(packets, &parsec(9)), Ok(()));
            for (power, asked) in [(10, 1 << 20), (20, 1 << 30), (63, u64::MAX), (255, u64::MAX)] {
                let (unit, limit) = ("iterations of the password hash", labour::MOST_ITERATIONS);
                assert_eq!(verdict(packets, &parsec(power)), Err(WireFault::TooMuchWork { unit, asked, limit }), "{power}");
            }
            // Behind the log-in it is data.
            assert_eq!(verdict(packets, &[packet(&[0, 0, 0]), parsec(20)].concat()), Ok(()));
        }
    }

    #[test]
    fn packets_are_counted() {
        let most = usize::try_from(MOST_VALUES).expect("it is small");
        assert_eq!(verdict(packets, &packet(&[0]).repeat(most)), Ok(()));
        assert_eq!(verdict(packets, &packet(&[0]).repeat(most + 1)), Err(WireFault::TooMany { limit: MOST_VALUES }));
    }
}
