//! MQTT packets on a connection of ours, in version 3.1.1 or 5, with rumqttc's codec.
//!
//! Its event loop is left alone: it dials for itself, reconnects for itself, and keeps memory for messages that a
//! probe never has. Reason codes are read from the bytes, so that each keeps its number.
//! Protocol: <https://docs.oasis-open.org/mqtt/mqtt/v5.0/mqtt-v5.0.html>.

use std::{fmt, io};

use bytes::{Buf, BytesMut};
use rumqttc::{
    mqttbytes::{QoS, v4},
    v5::mqttbytes::{Error, QoS as QoS5, v5},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    failure::{Failure, FailureKind},
    wire::stream::Stream,
};

/// Largest packet that is accepted: a value of `$SYS` has a few bytes.
const PACKET_LIMIT: u32 = 64 * 1024;

/// For how long the broker may hear nothing: longer than any interval, and what every cloud allows.
const KEEP_ALIVE: u16 = 1200;

/// Packets that look the same in both versions.
const PINGREQ: [u8; 2] = [0xc0, 0];
const DISCONNECT: [u8; 2] = [0xe0, 0];

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// 3.1.1.
    Three,
    /// 5.0.
    Five,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Three => "3.1.1",
            Self::Five => "5",
        })
    }
}

impl Version {
    /// A reason code as each version writes it.
    pub(crate) fn reason(self, code: u8) -> String {
        match self {
            Self::Three => code.to_string(),
            Self::Five => format!("{code:#04X}").replace("0X", "0x"),
        }
    }
}

/// How hard both sides try to deliver a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// `QoS` 0.
    AtMostOnce,
    /// `QoS` 1: it is acknowledged.
    AtLeastOnce,
}

impl From<Delivery> for QoS {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::AtMostOnce => Self::AtMostOnce,
            Delivery::AtLeastOnce => Self::AtLeastOnce,
        }
    }
}

impl From<Delivery> for QoS5 {
    fn from(delivery: Delivery) -> Self {
        match delivery {
            Delivery::AtMostOnce => Self::AtMostOnce,
            Delivery::AtLeastOnce => Self::AtLeastOnce,
        }
    }
}

/// What a broker says.
#[derive(Debug)]
pub(crate) enum Packet {
    /// The answer to CONNECT.
    ConnAck {
        /// 0 is success.
        code: u8,
        /// Whether it had a session of ours.
        session_present: bool,
        /// What it grants, or why it refuses in its words; version 5 only.
        properties: Option<v5::ConnAckProperties>,
    },
    /// A message.
    Publish {
        /// Where it was published.
        topic: String,
        /// Its text.
        text: String,
        /// What it must be acknowledged by; 0 where it need not be.
        id: u16,
    },
    /// The answer to PUBLISH: 0 is success, which is all that 3.1.1 knows.
    PubAck(u8),
    /// The answer to SUBSCRIBE, for the last topic: from 0x80 on a refusal.
    SubAck(u8),
    /// The answer to UNSUBSCRIBE.
    UnsubAck,
    /// The answer to PINGREQ.
    PingResp,
    /// Its farewell; version 5 only.
    Disconnect(u8),
}

/// A conversation in packets.
#[derive(Debug)]
pub(crate) struct Conversation {
    stream: Stream,
    buffer: BytesMut,
    version: Version,
}

/// Who connects.
pub(crate) struct Client<'a> {
    /// Its id, which no other client may have.
    pub(crate) id: &'a str,
    /// Its user name; may be empty.
    pub(crate) username: &'a str,
    /// Its password; may be empty.
    pub(crate) password: &'a str,
}

impl Conversation {
    pub(crate) fn new(stream: Stream, version: Version) -> Self {
        Self { stream, buffer: BytesMut::new(), version }
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// Whether the broker has not said anything that was not read.
    pub(crate) fn is_drained(&self) -> bool {
        self.buffer.is_empty()
    }

    /// A clean session without a will: nothing of it stays with the broker.
    pub(crate) async fn connect(&mut self, client: &Client<'_>) -> Result<(), Failure> {
        let mut bytes = BytesMut::new();
        let login = !client.username.is_empty() || !client.password.is_empty();
        let written = match self.version {
            Version::Three => {
                let mut connect = v4::Connect::new(client.id);
                connect.keep_alive = KEEP_ALIVE;
                if login {
                    connect.set_login(client.username, client.password);
                }
                connect.write(&mut bytes).map_err(|error| error.to_string())
            }
            Version::Five => {
                let mut properties = v5::ConnectProperties::new();
                properties.session_expiry_interval = Some(0);
                properties.max_packet_size = Some(PACKET_LIMIT);
                let connect = v5::Connect {
                    keep_alive: KEEP_ALIVE,
                    client_id: client.id.to_owned(),
                    clean_start: true,
                    properties: Some(properties),
                };
                let login = login.then(|| v5::Login::new(client.username, client.password));
                connect.write(&None, &login, &mut bytes).map_err(|error| error.to_string())
            }
        };
        self.write(written, &bytes).await
    }

    pub(crate) async fn subscribe(&mut self, topics: &[&str], delivery: Delivery) -> Result<(), Failure> {
        let mut bytes = BytesMut::new();
        let written = match self.version {
            Version::Three => {
                let filters = topics.iter().map(|topic| v4::SubscribeFilter::new((*topic).to_owned(), delivery.into()));
                let mut subscribe = v4::Subscribe::new_many(filters);
                subscribe.pkid = 1;
                subscribe.write(&mut bytes).map_err(|error| error.to_string())
            }
            Version::Five => {
                let filters = topics.iter().map(|topic| v5::Filter::new(*topic, delivery.into()));
                let mut subscribe = v5::Subscribe::new_many(filters, None);
                subscribe.pkid = 1;
                subscribe.write(&mut bytes).map_err(|error| error.to_string())
            }
        };
        self.write(written, &bytes).await
    }

    pub(crate) async fn unsubscribe(&mut self, topics: &[&str]) -> Result<(), Failure> {
        let mut bytes = BytesMut::new();
        let filters = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let written = match self.version {
            Version::Three => {
                let unsubscribe = v4::Unsubscribe { pkid: 2, topics: filters };
                unsubscribe.write(&mut bytes).map_err(|error| error.to_string())
            }
            Version::Five => {
                let unsubscribe = v5::Unsubscribe { pkid: 2, filters, properties: None };
                unsubscribe.write(&mut bytes).map_err(|error| error.to_string())
            }
        };
        self.write(written, &bytes).await
    }

    /// Publishes a message that is not retained.
    pub(crate) async fn publish(&mut self, topic: &str, text: &str, delivery: Delivery) -> Result<(), Failure> {
        let mut bytes = BytesMut::new();
        let written = match self.version {
            Version::Three => {
                let mut publish = v4::Publish::new(topic, delivery.into(), text);
                publish.pkid = 3;
                publish.write(&mut bytes).map_err(|error| error.to_string())
            }
            Version::Five => {
                let mut publish = v5::Publish::new(topic, delivery.into(), text.to_owned(), None);
                publish.pkid = 3;
                publish.write(&mut bytes).map_err(|error| error.to_string())
            }
        };
        self.write(written, &bytes).await
    }

    /// Acknowledges a message: PUBACK, which looks the same in both versions.
    pub(crate) async fn acknowledge(&mut self, id: u16) -> Result<(), Failure> {
        let [high, low] = id.to_be_bytes();
        self.write(Ok(0), &[0x40, 2, high, low]).await
    }

    pub(crate) async fn ping(&mut self) -> Result<(), Failure> {
        self.write(Ok(0), &PINGREQ).await
    }

    /// Takes leave, and waits until the broker has closed.
    pub(crate) async fn disconnect(mut self) {
        // Whatever goes wrong now, the connection ends with it.
        if self.write(Ok(0), &DISCONNECT).await.is_ok() {
            while self.stream.read_buf(&mut self.buffer).await.is_ok_and(|count| count > 0) {
                self.buffer.clear();
            }
        }
    }

    async fn write(&mut self, written: Result<usize, String>, bytes: &[u8]) -> Result<(), Failure> {
        let too_long = |words| Failure::new(FailureKind::Config, "no packet can be made of this entry").with_words(words);
        written.map_err(too_long)?;
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// The next packet. When it is not waited for to the end, what came in of it is kept.
    pub(crate) async fn packet(&mut self) -> Result<Packet, Failure> {
        loop {
            match v5::check(self.buffer.iter(), Some(PACKET_LIMIT)) {
                Ok(header) => {
                    let frame = self.buffer.split_to(header.frame_length());
                    return read(self.version, frame);
                }
                Err(Error::InsufficientBytes(_)) => {}
                Err(error) => return Err(malformed(&error.to_string())),
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }
}

fn malformed(why: &str) -> Failure {
    Failure::new(FailureKind::Protocol, "the broker's answer is not an MQTT packet").with_words(why)
}

/// Reads a packet, given all of its bytes (MQTT 5, 2.1: type, remaining length, the rest).
fn read(version: Version, mut frame: BytesMut) -> Result<Packet, Failure> {
    let (kind, flags) = (frame[0] >> 4, frame[0] & 0x0f);
    // Only PUBLISH has flags (MQTT 5, 2.1.3).
    if kind != 3 && flags != 0 {
        return Err(malformed("its first byte has flags that no packet of a broker has"));
    }
    let mut body = frame.clone();
    // The length ends with the first byte that has no continuation bit.
    let header = 2 + frame[1..].iter().take_while(|byte| **byte & 0x80 != 0).count();
    body.advance(header);
    match (kind, &body[..]) {
        // A broker that only speaks version 3 refuses version 5 in its own, shorter way.
        (2, [_, code]) if *code != 0 => Ok(Packet::ConnAck { code: *code, session_present: false, properties: None }),
        (2, [session_present @ (0 | 1), code, ..]) => {
            let (code, session_present) = (*code, *session_present == 1);
            let properties = match (version, code) {
                (Version::Three, _) => None,
                (Version::Five, 0) => properties(frame)?,
                // Why it refuses stands in the code; words that cannot be read are only missed.
                (Version::Five, _) => properties(frame).unwrap_or_default(),
            };
            Ok(Packet::ConnAck { code, session_present, properties })
        }
        (3, _) => message(version, frame),
        // The reason is left out where it is success.
        (4, [_, _, rest @ ..]) => Ok(Packet::PubAck(rest.first().copied().unwrap_or(0))),
        // What it grants proves nothing: Mosquitto 2.0 grants what its access list denies.
        (9, [.., code]) => Ok(Packet::SubAck(*code)),
        (11, _) => Ok(Packet::UnsubAck),
        (13, []) => Ok(Packet::PingResp),
        (14, body) if version == Version::Five => {
            let code = body.first().copied().unwrap_or(0);
            // Properties may be left out; where there are some, noise gives itself away.
            if body.len() > 1 {
                v5::Packet::read(&mut frame, Some(PACKET_LIMIT)).map_err(|error| malformed(&error.to_string()))?;
            }
            Ok(Packet::Disconnect(code))
        }
        _ => Err(malformed("the packet is not one of a broker, or too short")),
    }
}

fn properties(mut frame: BytesMut) -> Result<Option<v5::ConnAckProperties>, Failure> {
    match v5::Packet::read(&mut frame, Some(PACKET_LIMIT)) {
        Ok(v5::Packet::ConnAck(connack)) => Ok(connack.properties),
        Ok(_) => Err(malformed("not a CONNACK")),
        Err(error) => Err(malformed(&error.to_string())),
    }
}

fn message(version: Version, mut frame: BytesMut) -> Result<Packet, Failure> {
    let read = match version {
        Version::Three => match v4::Packet::read(&mut frame, PACKET_LIMIT as usize) {
            Ok(v4::Packet::Publish(publish)) => Ok((publish.topic.into_bytes(), publish.payload, publish.pkid)),
            Ok(_) => Err("not a PUBLISH".to_owned()),
            Err(error) => Err(error.to_string()),
        },
        Version::Five => match v5::Packet::read(&mut frame, Some(PACKET_LIMIT)) {
            Ok(v5::Packet::Publish(publish)) => Ok((publish.topic.to_vec(), publish.payload, publish.pkid)),
            Ok(_) => Err("not a PUBLISH".to_owned()),
            Err(error) => Err(error.to_string()),
        },
    };
    let (topic, payload, id) = read.map_err(|why| malformed(&why))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Packet::Publish { topic: text(&topic), text: text(&payload), id })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_both_versions_are_read() {
        let packet = |version, bytes: &[u8]| format!("{:?}", read(version, bytes.into()).ok());
        let refused = |code| format!("Some(ConnAck {{ code: {code}, session_present: false, properties: None }})");
        assert_eq!(packet(Version::Three, &[0x20, 2, 0, 5]), refused(5));
        assert_eq!(packet(Version::Five, &[0x20, 3, 0, 0x87, 0]), refused(0x87));
        // version 3 refuses version 5
        assert_eq!(packet(Version::Five, &[0x20, 2, 0, 1]), refused(1));
        assert_eq!(packet(Version::Five, &[0x20, 3, 0, 0, 0]), refused(0));
        assert_eq!(packet(Version::Five, &[0x90, 4, 0, 1, 0, 0x87]), "Some(SubAck(135))");
        assert_eq!(packet(Version::Three, &[0x90, 3, 0, 1, 0x80]), "Some(SubAck(128))");
        assert_eq!(packet(Version::Five, &[0x40, 4, 0, 3, 0x87, 0]), "Some(PubAck(135))");
        assert_eq!(packet(Version::Three, &[0x40, 2, 0, 3]), "Some(PubAck(0))");
        assert_eq!(packet(Version::Five, &[0xe0, 2, 0x8e, 0]), "Some(Disconnect(142))");
        assert_eq!(packet(Version::Five, &[0xe0, 1, 0x8e]), "Some(Disconnect(142))");
        assert_eq!(packet(Version::Five, &[0xe0, 0]), "Some(Disconnect(0))");
        assert_eq!(packet(Version::Five, &[0x20, 3, 2, 0x87, 0]), "None");
        // Flags, properties that are none, and a farewell that version 3 does not have.
        assert_eq!(packet(Version::Five, &[0xe1, 2, 0x8e, 0]), "None");
        assert_eq!(packet(Version::Five, &[0xe0, 3, 0x8e, 1, 0xff]), "None");
        assert_eq!(packet(Version::Three, &[0xe0, 0]), "None");
        assert_eq!(packet(Version::Three, b"\x30\x06\0\x03a/bx"), "Some(Publish { topic: \"a/b\", text: \"x\", id: 0 })");
        assert_eq!(packet(Version::Three, &[0x10, 0]), "None");
        assert_eq!(Version::Five.reason(0x8e), "0x8E");
    }

    /// The codec trusts some lengths; whatever it makes of them, it may not panic.
    #[test]
    fn noise_is_an_error_and_no_panic() {
        let mut noise = fastrand::Rng::with_seed(7);
        for _ in 0..200_000 {
            let length = noise.u8(0..60);
            let kind = [0x20, 0x30, 0x32, 0x40, 0x90, 0xb0, 0xd0, 0xe0][noise.usize(0..8)];
            let mut frame = vec![kind, length];
            frame.extend((0..length).map(|_| if noise.bool() { noise.u8(..) } else { noise.u8(0..45) }));
            for version in [Version::Three, Version::Five] {
                let _ = read(version, BytesMut::from(&frame[..]));
            }
        }
    }
}
