//! Oracle's packets, and what a listener says before a database does.
//! The driver of the vendor is the source for their form: python-oracledb and the crate `oracledb` read them alike.

pub(crate) mod driver;
mod link;

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};

use crate::{
    address::Endpoint,
    failure::{Failure, FailureKind},
    wire::stream::Stream,
};

/// Length, its checksum or upper half, type, flags, checksum.
const HEADER: usize = 8;

const CONNECT: u8 = 1;
const ACCEPT: u8 = 2;
const REFUSE: u8 = 4;
const REDIRECT: u8 = 5;
const DATA: u8 = 6;
const RESEND: u8 = 11;

/// In the header of a CONNECT: we come from another listener.
const REDIRECTED: u8 = 4;

/// In the header of a RESEND: begin TLS anew on the same connection, which another process has now.
const RENEGOTIATE: u8 = 8;

/// In an ACCEPT: the server speaks only through its own encryption.
const NATIVE_ENCRYPTION: u8 = 0x10;

/// The oldest version of the protocol that the driver takes: that of 12.1.
const OLDEST: u16 = 315;

/// A CONNECT without its data; where the length of that is; and how long it may be to come in the same packet.
const CONNECT_HEAD: usize = 74;
const DATA_LENGTH: usize = 24;
const LONGEST_INLINE: usize = 230;

/// Above what a listener says.
const LONGEST: usize = 8192;

/// How often a listener may ask for the same again.
const MOST_REPEATS: usize = 3;

/// What a listener makes of our wish to be connected.
pub(crate) enum Answer {
    /// A database is there; the packet, for the driver.
    Accepted(Vec<u8>),
    /// Another listener has it, and wants to be asked with these words.
    Elsewhere(Endpoint, String),
    /// The connection is that of a process of the database now, and TLS begins anew.
    Anew,
}

/// Asks a listener for a database, in the words of the driver's CONNECT but for what it is to be connected with.
pub(crate) async fn knock(stream: &mut Stream, head: &[u8], data: &str, redirected: bool) -> Result<Answer, Failure> {
    for _ in 0..MOST_REPEATS {
        stream.write_all(&connect(head, data, redirected)).await?;
        stream.flush().await?;
        let packet = read_packet(stream).await?;
        match packet[4] {
            ACCEPT => return accepted(packet),
            REFUSE => return Err(refused(&packet[HEADER..])),
            REDIRECT => return elsewhere(stream, &packet[HEADER..]).await,
            RESEND if packet[5] & RENEGOTIATE != 0 => return Ok(Answer::Anew),
            RESEND => {}
            _ => return Err(malformed("the listener answers in packets that are none of a listener's")),
        }
    }
    Err(malformed("the listener asks for the same again and again"))
}

/// What is to be connected with: a service or an instance at an address.
pub(crate) fn connect_data(endpoint: &Endpoint, tls: bool, wanted: &str) -> String {
    let address = match endpoint {
        Endpoint::Tcp { host, port } => {
            format!("(ADDRESS=(PROTOCOL={})(HOST={host})(PORT={port}))", if tls { "tcps" } else { "tcp" })
        }
        Endpoint::Unix(_) => String::new(),
    };
    format!("(DESCRIPTION={address}(CONNECT_DATA={wanted}(CID=(PROGRAM=probity)(HOST=probity)(USER=probity))))")
}

fn connect(head: &[u8], data: &str, redirected: bool) -> Vec<u8> {
    let inline = data.len() <= LONGEST_INLINE;
    let mut packet = head.to_vec();
    if inline {
        packet.extend(data.as_bytes());
    }
    let short = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
    let length = short(packet.len());
    packet[..2].copy_from_slice(&length);
    packet[5] = if redirected { REDIRECTED } else { 0 };
    packet[DATA_LENGTH..DATA_LENGTH + 2].copy_from_slice(&short(data.len()));
    if !inline {
        let [high, low] = short(HEADER + 2 + data.len());
        packet.extend([high, low, 0, 0, DATA, 0, 0, 0, 0, 0]);
        packet.extend(data.as_bytes());
    }
    packet
}

/// What the driver cannot do is said here: there it would panic.
fn accepted(packet: Vec<u8>) -> Result<Answer, Failure> {
    let (Some(version), Some(flags)) = (number(&packet, HEADER), packet.get(HEADER + 14)) else {
        return Err(malformed("the listener's ACCEPT is too short"));
    };
    if version < OLDEST {
        let message = "the database is older than 12.1, which the driver does not speak with";
        return Err(Failure::new(FailureKind::Config, message).with_code("version"));
    }
    if flags & NATIVE_ENCRYPTION != 0 {
        let message = "the database demands Oracle's native network encryption, which the driver does not have";
        let remedy = "Use TCPS, or set `SQLNET.ENCRYPTION_SERVER` and `SQLNET.CRYPTO_CHECKSUM_SERVER` to less than REQUIRED.";
        return Err(Failure::new(FailureKind::Config, message).with_code("native_encryption").with_remedy(remedy));
    }
    Ok(Answer::Accepted(packet))
}

/// Two reasons, a length, and words in which the number of the error is.
fn refused(body: &[u8]) -> Failure {
    let words = String::from_utf8_lossy(body.get(4..).unwrap_or_default()).into_owned();
    let code = ["(ERR=", "(CODE="].iter().find_map(|key| words.split_once(key)?.1.split_once(')')?.0.parse::<u32>().ok());
    match code.filter(|code| *code != 0) {
        Some(code) => Failure::server(format!("ORA-{code:05}"), words),
        None => Failure::new(FailureKind::NotReady, "the listener refuses us and does not say why").with_words(words),
    }
}

/// The other listener's address and the words for it stand in a packet of their own, as a rule.
async fn elsewhere(stream: &mut Stream, body: &[u8]) -> Result<Answer, Failure> {
    let length = number(body, 0).map_or(0, usize::from);
    let text = match body.get(2..).filter(|text| !text.is_empty()) {
        Some(text) => text.to_vec(),
        None => read_packet(stream).await?.split_off(HEADER).into_iter().skip(2).collect(),
    };
    let text = String::from_utf8_lossy(text.get(..length).unwrap_or_default()).into_owned();
    let value = |key: &str| Some(text.split_once(key)?.1.split_once(')')?.0.trim());
    let endpoint = value("(HOST=").zip(value("(PORT=").and_then(|port| port.parse().ok()));
    let (Some((host, port)), Some((_, data))) = (endpoint, text.split_once('\0')) else {
        return Err(malformed("the listener sends us elsewhere and does not say where"));
    };
    Ok(Answer::Elsewhere(Endpoint::Tcp { host: host.to_owned(), port }, data.to_owned()))
}

/// A packet as listeners send it, with its header.
async fn read_packet(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut packet = vec![0; HEADER];
    stream.read_exact(&mut packet).await?;
    let length = usize::from(u16::from_be_bytes([packet[0], packet[1]]));
    if !(HEADER..=LONGEST).contains(&length) || !matches!(packet[4], CONNECT | ACCEPT | REFUSE | REDIRECT | DATA | RESEND) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "this is not a packet of Oracle's protocol"));
    }
    packet.resize(length, 0);
    stream.read_exact(&mut packet[HEADER..]).await?;
    Ok(packet)
}

fn number(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn malformed(message: &str) -> Failure {
    Failure::new(FailureKind::Protocol, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_words_come_in_a_packet_of_their_own() {
        let head = [0; CONNECT_HEAD];
        let short = connect(&head, "(X=1)", false);
        assert_eq!((number(&short, 0), number(&short, DATA_LENGTH), short.len()), (Some(79), Some(5), 79));
        let long = connect(&head, &"x".repeat(300), true);
        assert_eq!((number(&long, 0), number(&long, DATA_LENGTH), long[5]), (Some(74), Some(300), REDIRECTED));
        assert_eq!((number(&long, CONNECT_HEAD), long.len()), (Some(310), CONNECT_HEAD + 310));
    }

    #[test]
    fn a_refusal_has_its_number() {
        let code = |words: &str| refused(&[&[0; 4], words.as_bytes()].concat()).code;
        assert_eq!(code("(DESCRIPTION=(TMP=)(ERR=12514)(ERROR_STACK=(ERROR=(CODE=12514))))").as_deref(), Some("ORA-12514"));
        assert_eq!(code("(ERROR=(CODE=1033)(EMFI=4))").as_deref(), Some("ORA-01033"));
        assert_eq!((code("(ERR=many)"), code(""), refused(&[]).code), (None, None, None));
    }

    #[test]
    fn what_the_driver_cannot_do_is_no_panic_of_it() {
        let accept = |version: u16, flags: u8| {
            let mut packet = vec![0; 45];
            packet[HEADER..HEADER + 2].copy_from_slice(&version.to_be_bytes());
            packet[HEADER + 14] = flags;
            accepted(packet).err().and_then(|failure| failure.code)
        };
        assert_eq!(accept(318, 4), None);
        assert_eq!(accept(314, 0).as_deref(), Some("version"));
        assert_eq!(accept(319, NATIVE_ENCRYPTION).as_deref(), Some("native_encryption"));
    }
}
