//! Kafka's protocol: a question out, its answer in, on one connection. The messages are those of `kafka-protocol`.
//!
//! Only versions with compact lengths are spoken (Kafka 2.4 and later). The crate reserves memory for as many items as
//! a length announces, before it has seen one: [`Frugal`] refuses a length that is longer than what is left.
//! Protocol: <https://kafka.apache.org/protocol>.

pub(crate) mod login;
pub(crate) mod produce;
pub(crate) mod questions;

use std::collections::BTreeMap;

use bytes::{Buf, Bytes, BytesMut, TryGetError};
use kafka_protocol::{
    messages::{ApiVersionsRequest, ApiVersionsResponse, RequestHeader, ResponseHeader},
    protocol::{Decodable, Encodable, HeaderVersion, Request, StrBytes, VersionRange, buf::ByteBuf},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::{
    failure::{Failure, FailureKind},
    wire::stream::Stream,
};

/// How we are called in the broker's metrics and logs.
pub(crate) const CLIENT: &str = "probity";

/// Longest answer that is taken, in bytes.
const LONGEST: usize = 1 << 19;

/// The version in which the versions are asked for.
const VERSIONS_VERSION: i16 = 3;

/// A conversation with one broker, which answers one question after the other.
#[derive(Debug)]
pub(crate) struct Conversation {
    stream: Stream,
    /// Of the last question.
    number: i32,
    /// What the broker answers, and in which versions.
    versions: BTreeMap<i16, VersionRange>,
    /// The level of `metadata.version` that the cluster has agreed on.
    pub(crate) metadata_level: Option<i16>,
}

impl Conversation {
    /// Asks what the broker speaks, which it answers to anybody.
    pub(crate) async fn open(stream: Stream) -> Result<Self, Failure> {
        let mut conversation = Self { stream, number: 0, versions: BTreeMap::new(), metadata_level: None };
        let question = ApiVersionsRequest::default()
            .with_client_software_name(StrBytes::from_static_str(CLIENT))
            .with_client_software_version(StrBytes::from_static_str(env!("CARGO_PKG_VERSION")));
        conversation.say(&question, VERSIONS_VERSION).await?;
        let mut answer = conversation.hear().await?;
        ResponseHeader::decode(&mut answer, ApiVersionsResponse::header_version(VERSIONS_VERSION)).map_err(unreadable)?;
        // An older broker says no more than that, in its own oldest version, whose lengths are others.
        let error = answer.chunk().first_chunk().copied().map(i16::from_be_bytes);
        known(error.unwrap_or_default(), None)?;
        let answer = ApiVersionsResponse::decode(&mut answer, VERSIONS_VERSION).map_err(unreadable)?;
        let version = |of: &kafka_protocol::messages::api_versions_response::ApiVersion| {
            (of.api_key, VersionRange { min: of.min_version, max: of.max_version })
        };
        conversation.versions = answer.api_keys.iter().map(version).collect();
        let mut features = answer.finalized_features.iter();
        conversation.metadata_level =
            features.find(|feature| &*feature.name == "metadata.version").map(|feature| feature.max_version_level);
        Ok(conversation)
    }

    /// The newest version of a question that both sides speak, if it is not older than this one.
    pub(crate) fn version<R: Request>(&self, oldest: i16) -> Option<i16> {
        let both = self.versions.get(&R::KEY)?.intersect(&R::VERSIONS);
        (!both.is_empty() && both.max >= oldest).then_some(both.max)
    }

    /// Asks a question in the newest version that both sides speak.
    pub(crate) async fn ask<R: Request>(&mut self, question: &R, oldest: i16) -> Result<R::Response, Failure> {
        let version = self.version::<R>(oldest).ok_or_else(|| {
            Failure::new(FailureKind::Config, format!("the broker does not answer the question {} of the protocol", R::KEY))
                .with_remedy("It may be too old, or what answers is no broker: a controller, say.")
        })?;
        self.ask_in(question, version).await
    }

    /// Asks a question in this version.
    pub(crate) async fn ask_in<R: Request>(&mut self, question: &R, version: i16) -> Result<R::Response, Failure> {
        self.say(question, version).await?;
        let mut answer = self.hear().await?;
        answer.rigid = R::header_version(version) < 2;
        ResponseHeader::decode(&mut answer, R::Response::header_version(version)).map_err(unreadable)?;
        R::Response::decode(&mut answer, version).map_err(unreadable)
    }

    async fn say<R: Request>(&mut self, question: &R, version: i16) -> Result<(), Failure> {
        self.number = self.number.wrapping_add(1);
        let header = RequestHeader::default()
            .with_request_api_key(R::KEY)
            .with_request_api_version(version)
            .with_correlation_id(self.number)
            .with_client_id(Some(StrBytes::from_static_str(CLIENT)));
        let mut message = BytesMut::from(&[0; 4][..]);
        header.encode(&mut message, R::header_version(version)).map_err(unwritable)?;
        question.encode(&mut message, version).map_err(unwritable)?;
        let length = u32::try_from(message.len() - 4).unwrap_or(u32::MAX);
        message[..4].copy_from_slice(&length.to_be_bytes());
        self.stream.write_all(&message).await?;
        self.stream.flush().await?;
        Ok(())
    }

    /// The next answer, with its header.
    async fn hear(&mut self) -> Result<Frugal, Failure> {
        let mut head = [0; 8];
        self.stream.read_exact(&mut head).await?;
        let [length, number] = [&head[..4], &head[4..]].map(|mut bytes| bytes.get_i32());
        let length = usize::try_from(length).ok().filter(|length| (4..=LONGEST).contains(length));
        let (Some(length), true) = (length, number == self.number) else {
            return Err(lie("the peer's answer is not one to our question"));
        };
        let mut bytes = vec![0; length];
        bytes[..4].copy_from_slice(&head[4..]);
        self.stream.read_exact(&mut bytes[4..]).await?;
        Ok(Frugal { bytes: bytes.into(), rigid: false, number: 0, shift: 0 })
    }

    /// Hangs up, as clients of Kafka do.
    pub(crate) async fn close(mut self) {
        // It ends either way.
        let _ = self.stream.shutdown().await;
    }
}

/// An answer that is read no further than it is long, whatever the lengths in it say.
struct Frugal {
    bytes: Bytes,
    /// Whether its lengths are 32 bits long; else they are of variable length, as nothing else in it is but flags.
    rigid: bool,
    /// The number of variable length that is being read.
    number: u64,
    shift: u32,
}

impl Frugal {
    /// Of `length` items, each of which takes a byte at least; a compact length counts one more.
    fn check(&self, length: u64) -> Result<(), TryGetError> {
        let available = self.bytes.len();
        if length > available as u64 + 1 {
            return Err(TryGetError { requested: usize::try_from(length).unwrap_or(usize::MAX), available });
        }
        Ok(())
    }
}

impl Buf for Frugal {
    fn remaining(&self) -> usize {
        self.bytes.remaining()
    }

    fn chunk(&self) -> &[u8] {
        self.bytes.chunk()
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
    }

    fn try_get_u8(&mut self) -> Result<u8, TryGetError> {
        let byte = self.bytes.try_get_u8()?;
        self.number |= u64::from(byte & 0x7f).checked_shl(self.shift).unwrap_or(u64::MAX);
        self.shift += 7;
        self.check(self.number)?;
        if byte < 0x80 {
            (self.number, self.shift) = (0, 0);
        }
        Ok(byte)
    }

    fn try_get_i32(&mut self) -> Result<i32, TryGetError> {
        let number = self.bytes.try_get_i32()?;
        if self.rigid {
            self.check(u64::try_from(number).unwrap_or_default())?;
        }
        Ok(number)
    }
}

impl ByteBuf for Frugal {
    fn peek_bytes(&mut self, range: std::ops::Range<usize>) -> Bytes {
        self.bytes.peek_bytes(range)
    }

    fn get_bytes(&mut self, size: usize) -> Bytes {
        self.bytes.get_bytes(size)
    }
}

/// The error of an answer, if it is one, with the broker's own words where it has some.
pub(crate) fn known(code: i16, words: Option<&StrBytes>) -> Result<(), Failure> {
    if code == 0 { Ok(()) } else { Err(Failure::server(code.to_string(), words.map(ToString::to_string).unwrap_or_default())) }
}

fn lie(message: &'static str) -> Failure {
    Failure::new(FailureKind::Protocol, message)
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
fn unreadable(error: impl ToString) -> Failure {
    lie("the broker's answer does not follow the protocol").with_words(error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "it is handed to `map_err`")]
fn unwritable(error: impl ToString) -> Failure {
    Failure::new(FailureKind::Unexpected, "the question cannot be written").with_words(error.to_string())
}

#[cfg(test)]
mod tests {
    use kafka_protocol::messages::{MetadataResponse, SaslHandshakeResponse};

    use super::*;

    fn read<R: Decodable>(bytes: &'static [u8], version: i16, rigid: bool) -> bool {
        R::decode(&mut Frugal { bytes: Bytes::from_static(bytes), rigid, number: 0, shift: 0 }, version).is_ok()
    }

    /// Without the limit each of these would reserve gigabytes, and the process would end.
    #[test]
    fn a_length_beyond_the_answer_is_refused() {
        // throttle_time_ms, then brokers: 2^32 - 2 of them, and as many in a number that goes on and on
        assert!(!read::<MetadataResponse>(b"\0\0\0\0\xff\xff\xff\xff\x0f", 9, false));
        assert!(!read::<MetadataResponse>(b"\0\0\0\0\xff\xff\xff\xff\xff\xff\xff", 9, false));
        // error_code, then mechanisms: 2^31 - 1
        assert!(!read::<SaslHandshakeResponse>(b"\0\0\x7f\xff\xff\xff", 1, true));
        assert!(read::<SaslHandshakeResponse>(b"\0\x21\0\0\0\x01\0\x05PLAIN", 1, true));
        // no brokers, no cluster id, controller 1, no topics, no operations, no tags
        assert!(read::<MetadataResponse>(b"\0\0\0\0\x01\0\0\0\0\x01\x01\x80\0\0\0\0", 9, false));
    }
}
