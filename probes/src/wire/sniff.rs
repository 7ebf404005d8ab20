//! Names a protocol by its first bytes, so that a wrong port is said at once and not at the deadline.

use std::fmt;

/// A protocol, as far as first bytes can tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.
    Http,
    /// HTTP/2.
    Http2,
    /// A TLS record.
    Tls,
    /// Secure shell.
    Ssh,
    /// Redis' RESP.
    Redis,
    /// NATS.
    Nats,
    /// `PostgreSQL`'s protocol, version 3.
    Postgres,
    /// `MySQL`'s greeting.
    MySql,
    /// AMQP.
    Amqp,
    /// Memcached's text protocol.
    Memcached,
    /// MongoDB's messages.
    MongoDb,
    /// Kafka.
    Kafka,
    /// MQTT.
    Mqtt,
    /// Cassandra's native protocol.
    Cql,
    /// Neo4j's Bolt.
    Bolt,
    /// Oracle's packets.
    Oracle,
    /// SQL Server's TDS.
    Tds,
    /// SMTP or FTP: both greet with 220.
    Mail,
    /// One that is known by name only.
    Other(&'static str),
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Http2 => "HTTP/2",
            Self::Tls => "TLS",
            Self::Ssh => "SSH",
            Self::Redis => "Redis",
            Self::Nats => "NATS",
            Self::Postgres => "PostgreSQL",
            Self::MySql => "MySQL",
            Self::Amqp => "AMQP",
            Self::Memcached => "Memcached",
            Self::MongoDb => "MongoDB",
            Self::Kafka => "Kafka",
            Self::Mqtt => "MQTT",
            Self::Cql => "CQL",
            Self::Bolt => "Bolt",
            Self::Oracle => "Oracle Net",
            Self::Tds => "TDS",
            Self::Mail => "SMTP or FTP",
            Self::Other(name) => name,
        })
    }
}

impl Protocol {
    /// The protocol that these first bytes can only belong to.
    #[must_use]
    pub fn recognise(bytes: &[u8]) -> Option<Self> {
        match bytes {
            // OP_MSG, whose number ends the header; its length and number look like anything
            [_, _, 0, 0, _, _, _, _, _, _, _, _, 0xdd, 7, 0, 0, ..] => Some(Self::MongoDb),
            [b'H', b'T', b'T', b'P', b'/', ..] => Some(Self::Http),
            [b'S', b'S', b'H', b'-', ..] => Some(Self::Ssh),
            [b'I', b'N', b'F', b'O', b' ', ..] | [b'-', b'E', b'R', b'R', b' ', b'\'', ..] => Some(Self::Nats),
            [b'A', b'M', b'Q', b'P', ..] => Some(Self::Amqp),
            [b'E', b'R', b'R', b'O', b'R', b'\r' | b' ', ..]
            | [b'V', b'E', b'R', b'S', b'I', b'O', b'N', b' ', ..]
            | [b'C', b'L', b'I', b'E', b'N', b'T', b'_', ..] => Some(Self::Memcached),
            // a CONNACK of MQTT 3
            [0x20, 2, 0 | 1, 0..=5, ..] => Some(Self::Mqtt),
            // an ERROR, of a version from 3 to 6, shorter than 64 KiB
            [0x83..=0x86, 0..=0x0f, _, _, 0, 0, 0, ..] => Some(Self::Cql),
            [b'2', b'2', b'0', b' ' | b'-', ..] => Some(Self::Mail),
            // alert (21) or handshake (22), version 3.x, a length below 2^14 + 256
            [21 | 22, 3, 0..=4, 0..=0x41, ..] => Some(Self::Tls),
            // an Exception (2) with its code and the name of a class of ClickHouse's
            [2, _, _, 0, 0, _, b'D', b'B', b':', b':', ..] => Some(Self::Other("ClickHouse's native protocol")),
            // a SETTINGS frame on stream 0
            [0, 0, _, 4, 0, 0, 0, 0, 0, ..] => Some(Self::Http2),
            // packet 0, protocol version 10, a version number; or ERR before the greeting
            [_, _, 0, 0, 10, b'0'..=b'9', ..] | [_, _, 0, 0, 0xff, _, 4, ..] => Some(Self::MySql),
            // an ErrorResponse, whose first field is the severity
            [b'E', 0, 0, _, _, b'S', ..] => Some(Self::Postgres),
            [b'-', b'A'..=b'Z', b'A'..=b'Z', b'A'..=b'Z', ..] | [b'+', b'P', b'O', b'N', b'G', ..] => Some(Self::Redis),
            _ => None,
        }
    }

    /// What was seen, if it is certainly not `self`.
    pub(crate) fn foreign(self, bytes: &[u8]) -> Option<Self> {
        match Self::recognise(bytes) {
            Some(_) if self == Self::MongoDb && bytes.len() < 16 && self.may_begin(bytes) => None,
            Some(seen) => (seen != self).then_some(seen),
            None => (!self.may_begin(bytes)).then_some(Self::Other("something else")),
        }
    }

    /// Whether the first word of a peer that speaks this may begin so.
    fn may_begin(self, bytes: &[u8]) -> bool {
        let first_of = |known: &[u8]| bytes.first().is_none_or(|byte| known.contains(byte));
        match self {
            // answer to SSLRequest, Authentication, ErrorResponse, NoticeResponse, NegotiateProtocolVersion
            Self::Postgres => first_of(b"SNREv"),
            // the types of RESP 2 and 3
            Self::Redis => first_of(b"+-:$*_,#!=%~>(|"),
            Self::Http => first_of(b"H"),
            // INFO, or -ERR before it
            Self::Nats => first_of(b"I-"),
            // packet 0, shorter than 64 KiB; or a message that is
            Self::MySql | Self::MongoDb => bytes.iter().skip(2).take(2).all(|byte| *byte == 0),
            // VERSION, STORED, STAT, END and the errors
            Self::Memcached => first_of(b"VSECN"),
            // the length, below 16 MiB, and the number of our first question
            Self::Kafka => bytes
                .iter()
                .zip([Some(0), None, None, None, Some(0), Some(0), Some(0), Some(1)])
                .all(|(byte, known)| known.is_none_or(|known| known == *byte)),
            // CONNACK, or DISCONNECT in its place
            Self::Mqtt => first_of(&[0x20, 0xe0]),
            // an answer, in any version
            Self::Cql => first_of(&[0x81, 0x82, 0x83, 0x84, 0x85, 0x86]),
            // the version that was chosen, or a manifest: it cannot be told from a length, and so names no protocol
            Self::Bolt => bytes.iter().take(2).all(|byte| *byte == 0),
            // ACCEPT, REFUSE, REDIRECT or RESEND, shorter than 64 KiB, without a checksum
            Self::Oracle => {
                bytes.iter().skip(2).take(2).all(|byte| *byte == 0)
                    && bytes.get(4).is_none_or(|kind| [2, 4, 5, 11].contains(kind))
            }
            // a reply, whole or not; its length cannot be told from other things, and so it names no protocol
            Self::Tds => first_of(&[4]) && bytes.get(1).is_none_or(|status| *status <= 1),
            // a method frame, or the header of another version
            Self::Amqp => first_of(&[1, b'A']),
            _ => true,
        }
    }

    /// Whether it is our own side of a TLS session that must begin with a TLS record: anything else is plain text.
    pub(crate) fn plaintext_instead_of_tls(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [] | [21 | 22, ..] => None,
            other => Some(Self::recognise(other).unwrap_or(Self::Other("something else"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_name_their_protocol() {
        for (bytes, name) in [
            (&b"HTTP/1.1 400 Bad Request\r\n"[..], "HTTP"),
            (b"SSH-2.0-OpenSSH_9.2", "SSH"),
            (b"INFO {\"server_id\":", "NATS"),
            (b"-ERR 'Unknown Protocol Operation'", "NATS"),
            (b"-ERR unknown command", "Redis"),
            (b"-DENIED Redis is running in protected mode", "Redis"),
            (b"\x15\x03\x01\x00\x02\x02\x16", "TLS"),
            (b"220 mail.example ESMTP", "SMTP or FTP"),
            (b"E\0\0\0\x8aSFATAL", "PostgreSQL"),
            (b"\x5b\0\0\0\x0a10.11.6-MariaDB", "MySQL"),
            (b"AMQP\0\0\x09\x01", "AMQP"),
            (b"ERROR\r\nERROR\r\n", "Memcached"),
            (b"\x02\x65\0\0\0\x10DB::NetException", "ClickHouse's native protocol"),
        ] {
            assert_eq!(Protocol::recognise(bytes).map(|p| p.to_string()).as_deref(), Some(name));
        }
        assert_eq!(Protocol::recognise(b"R\0\0\0\x17"), None);
        assert_eq!(Protocol::recognise(b""), None);
    }

    /// The length of a message, or its number, may look like TLS or MySQL.
    #[test]
    fn a_message_of_mongodb_is_no_other_protocol() {
        for head in [b"\x15\x03\0\0\x01\0\0\0\x01\0\0\0\xdd\x07\0\0", b"\x5b\0\0\0\x0a1\0\0\x01\0\0\0\xdd\x07\0\0"] {
            assert!((0..=head.len()).all(|length| Protocol::MongoDb.foreign(&head[..length]).is_none()));
        }
        assert_eq!(Protocol::MongoDb.foreign(b"\x5b\0\0\0\x0a10.11.6-MariaDB"), Some(Protocol::MySql));
        assert_eq!(Protocol::MongoDb.foreign(b"\x15\x03\x01\0\x02\x02\x28"), Some(Protocol::Tls));
    }

    #[test]
    fn noise_is_foreign_from_its_first_byte() {
        assert!(Protocol::Postgres.foreign(b"\x9c\x01").is_some());
        assert!(Protocol::Postgres.foreign(b"R").is_none());
        assert!(Protocol::Redis.foreign(b"hello").is_some());
        assert!(Protocol::Redis.foreign(b"").is_none());
        assert_eq!(Protocol::Bolt.foreign(b"HTTP/1.1 200 OK\r\n"), Some(Protocol::Http));
        assert!(Protocol::Bolt.foreign(b"\0\x01").is_some());
        assert!(Protocol::Bolt.foreign(b"\0\0\x08\x05").is_none());
    }
}
