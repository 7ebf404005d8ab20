//! CQL's native protocol, version 4: one request, one answer. The requests are written, and the answers read, by
//! `scylla-cql`, the codec of `ScyllaDB`'s driver; frames are delimited here, because the codec trusts a frame's length.
//!
//! Protocol: <https://github.com/apache/cassandra/blob/trunk/doc/native_protocol_v4.spec>.

use std::{borrow::Cow, collections::HashMap};

pub(crate) use scylla_cql::Consistency;
use scylla_cql::{
    deserialize::{
        row::{ColumnIterator, RawColumn},
        value::DeserializeValue,
    },
    frame::{
        SerializedRequest, parse_response_body_extensions,
        protocol_features::ProtocolFeatures,
        request::{
            AuthResponse, Options, Query, SerializableRequest, Startup,
            query::{PagingState, PagingStateResponse, QueryParameters},
        },
        response::{
            Response, ResponseOpcode,
            error::{DbError, Error},
            result::{self, CollectionType, ColumnType},
        },
    },
    value::CqlValue,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};

use crate::{
    failure::{Failure, FailureKind, WireFault},
    wire::{
        guard::{DEEPEST, MOST_VALUES},
        stream::Stream,
    },
};

/// A longer frame is not read.
const FRAME_LIMIT: usize = 1 << 20;

/// More rows are not asked for at once, so that they find room in a frame.
const LARGEST_PAGE: usize = 500;

/// The code of a log-in that is wanted and not there.
pub(crate) const LOGIN_WANTED: &str = "login_wanted";

/// The code of a log-in that the server could not check.
pub(crate) const LOGIN_UNCHECKED: &str = "login_unchecked";

/// With what servers begin to say so, of a password or of the right to log in: the code is that of a wrong password.
const UNCHECKED: &str = "Unable to perform auth";

/// An error that the server answered with.
#[derive(Debug)]
pub(crate) struct Refusal(Error);

impl Refusal {
    /// How many replicas were wanted and how many are known to live, where those are too few.
    pub(crate) fn unavailable(&self) -> Option<(i32, i32)> {
        match self.0.error {
            DbError::Unavailable { required, alive, .. } => Some((required, alive)),
            _ => None,
        }
    }

    /// How many replicas were wanted and how many have answered, where those are too few.
    pub(crate) fn unanswered(&self) -> Option<(i32, i32)> {
        match self.0.error {
            DbError::ReadTimeout { required, received, .. } | DbError::WriteTimeout { required, received, .. } => {
                Some((required, received))
            }
            _ => None,
        }
    }

    /// Whether the request names what is not there.
    pub(crate) fn is_invalid(&self) -> bool {
        matches!(self.0.error, DbError::Invalid)
    }
}

impl From<Refusal> for Failure {
    /// The code is the number in which the protocol writes it.
    fn from(Refusal(Error { error, reason }): Refusal) -> Self {
        Self::server(format!("{:#06x}", error.code(&ProtocolFeatures::default())), reason)
    }
}

/// Rows, with every value as text.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    names: Vec<String>,
    rows: Vec<Vec<Option<String>>>,
}

impl Rows {
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The first value of the first row.
    pub(crate) fn first_value(&self) -> Option<&str> {
        self.rows.first()?.first()?.as_deref()
    }

    pub(crate) fn first(&self) -> Option<Row<'_>> {
        self.iter().next()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Row<'_>> {
        self.rows.iter().map(|values| Row { names: &self.names, values })
    }
}

/// One of [`Rows`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row<'a> {
    names: &'a [String],
    values: &'a [Option<String>],
}

impl<'a> Row<'a> {
    /// The value of a column; none where there is no such column, or nothing in it.
    pub(crate) fn text(&self, name: &str) -> Option<&'a str> {
        let at = self.names.iter().position(|known| known == name)?;
        self.values.get(at)?.as_deref()
    }
}

/// A conversation. What is asked in it is answered before the next is asked, so all of it is stream 0.
#[derive(Debug)]
pub(crate) struct Conversation(BufReader<Stream>);

impl Conversation {
    pub(crate) fn new(stream: Stream) -> Self {
        Self(BufReader::new(stream))
    }

    /// Asks what the server supports, which it says to anybody.
    pub(crate) async fn greet(&mut self) -> Result<(), Failure> {
        match self.exchange(&Options).await? {
            Response::Supported(_) => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    /// Introduces us, and logs in where the server wants that; returns who checks log-ins there.
    pub(crate) async fn log_in(&mut self, login: Option<(&str, &str)>) -> Result<Option<String>, Failure> {
        let options = [
            ("CQL_VERSION", "3.0.0"),
            ("DRIVER_NAME", "probity"),
            ("DRIVER_VERSION", env!("CARGO_PKG_VERSION")),
            // Else a server that is overloaded is only slow.
            ("THROW_ON_OVERLOAD", "1"),
        ];
        let options: HashMap<_, _> = options.map(|(name, value)| (Cow::from(name), Cow::from(value))).into();
        let authenticator = match self.exchange(&Startup { options }).await? {
            Response::Ready => return Ok(None),
            Response::Authenticate(wish) => wish.authenticator_name,
            other => return Err(unexpected(other)),
        };
        let Some((user, password)) = login else { return Err(Failure::server(LOGIN_WANTED, "")) };
        // SASL PLAIN (RFC 4616), which every authenticator with passwords takes.
        let response = ["", user, password].join("\0").into_bytes();
        match self.exchange(&AuthResponse { response: Some(response) }).await? {
            Response::AuthSuccess(_) => Ok(Some(authenticator)),
            // No code of its own tells a wrong password from users that cannot be read.
            Response::Error(Error { error: DbError::AuthenticationError, reason }) if reason.starts_with(UNCHECKED) => {
                Err(Failure::server(LOGIN_UNCHECKED, reason))
            }
            other => Err(unexpected(other)),
        }
    }

    /// Asks for so many rows at most.
    pub(crate) async fn ask(&mut self, text: &str, consistency: Consistency, most: usize) -> Result<Rows, Failure> {
        self.attempt(text, consistency, most).await?.map_err(Into::into)
    }

    /// The same, where a refusal is no failure.
    pub(crate) async fn attempt(
        &mut self,
        text: &str,
        consistency: Consistency,
        most: usize,
    ) -> Result<Result<Rows, Refusal>, Failure> {
        let (mut rows, mut from) = (Rows::default(), PagingState::start());
        loop {
            let page_size = most.saturating_sub(rows.len()).clamp(1, LARGEST_PAGE);
            let page_size = i32::try_from(page_size).unwrap_or(i32::MAX);
            let parameters =
                QueryParameters { consistency, page_size: Some(page_size), paging_state: from, ..QueryParameters::default() };
            let answer = match self.exchange(&Query { contents: text.into(), parameters }).await? {
                Response::Result(answer) => answer,
                Response::Error(error) => return Ok(Err(Refusal(error))),
                other => return Err(unexpected(other)),
            };
            let result::Result::Rows((page, next)) = answer else { return Ok(Ok(rows)) };
            read(page, most, &mut rows)?;
            match next {
                // A page may be short, or empty, although others follow.
                PagingStateResponse::HasMorePages { state } if rows.len() < most => from = state,
                _ => return Ok(Ok(rows)),
            }
        }
    }

    /// Takes leave: the protocol has no word for it.
    pub(crate) async fn goodbye(mut self) {
        // Whatever goes wrong now, the connection ends with it.
        if self.0.shutdown().await.is_ok() {
            let mut rest = [0; 64];
            while self.0.read(&mut rest).await.is_ok_and(|read| read > 0) {}
        }
    }

    async fn exchange<R: SerializableRequest>(&mut self, request: &R) -> Result<Response, Failure> {
        let request = SerializedRequest::make(request, None, false)
            .map_err(|error| Failure::new(FailureKind::Config, "the request is too long").with_words(error.to_string()))?;
        self.0.write_all(request.get_data()).await?;
        self.0.flush().await?;
        // version, flags, stream, opcode, length (2)
        let mut head = [0; 9];
        self.0.read_exact(&mut head).await?;
        let [version, flags, _, _, opcode, length @ ..] = head;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > FRAME_LIMIT {
            return Err(lie(format!("the peer's frame is longer than {FRAME_LIMIT} bytes")).with_code("reply_too_long"));
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).await?;
        let opcode = ResponseOpcode::try_from(opcode).map_err(|_| lie("the peer's frame is not an answer"))?;
        // Who does not speak our version says so in its own.
        if version != 0x84 && (version < 0x80 || opcode != ResponseOpcode::Error) {
            return Err(lie("the peer's frame is not one of version 4"));
        }
        let unreadable = || lie("the peer's answer does not follow the protocol");
        let body = parse_response_body_extensions(flags, None, body.into()).map_err(|_| unreadable())?.body;
        if opcode == ResponseOpcode::Result {
            bound(&body).map_err(|fault| if fault == WireFault::Malformed { unreadable() } else { fault.to_failure() })?;
        }
        Response::deserialize(&ProtocolFeatures::default(), opcode, body, None).map_err(|_| unreadable())
    }
}

/// Adds the rows of a page, up to so many.
fn read(page: result::RawMetadataAndRawRows, most: usize, rows: &mut Rows) -> Result<(), Failure> {
    let unreadable = || lie("the peer's rows are not what it says they are");
    let page = page.deserialize_metadata().map_err(|_| unreadable())?;
    rows.names = page.metadata().col_specs().iter().map(|column| column.name().to_owned()).collect();
    if rows.names.is_empty() && page.rows_count() > 0 {
        return Err(unreadable());
    }
    for row in page.rows_iter::<ColumnIterator<'_, '_>>().map_err(|_| unreadable())?.take(most - rows.len()) {
        let values = row.map_err(|_| unreadable())?.map(|value| shown(&value.map_err(|_| unreadable())?));
        rows.rows.push(values.collect::<Result<_, _>>()?);
    }
    Ok(())
}

/// A value as text; one that is no text, number, flag, UUID, address or time as its kind.
fn shown(column: &RawColumn<'_, '_>) -> Result<Option<String>, Failure> {
    let Some(bytes) = column.slice else { return Ok(None) };
    let kind = match column.spec.typ() {
        ColumnType::Native(_) => None,
        ColumnType::Collection { typ: CollectionType::List(_), .. } => Some("(list)"),
        ColumnType::Collection { typ: CollectionType::Map(..), .. } => Some("(map)"),
        ColumnType::Collection { typ: CollectionType::Set(_), .. } => Some("(set)"),
        ColumnType::Tuple(_) => Some("(tuple)"),
        ColumnType::Vector { .. } => Some("(vector)"),
        _ => Some("(type)"),
    };
    if let Some(kind) = kind {
        return Ok(Some(kind.into()));
    }
    let value = CqlValue::deserialize(column.spec.typ(), Some(bytes))
        .map_err(|_| lie("a value of the peer's is not of the kind that it says"))?;
    Ok(Some(match value {
        CqlValue::Ascii(text) | CqlValue::Text(text) => text,
        CqlValue::Boolean(flag) => flag.to_string(),
        CqlValue::TinyInt(number) => number.to_string(),
        CqlValue::SmallInt(number) => number.to_string(),
        CqlValue::Int(number) => number.to_string(),
        CqlValue::BigInt(number) => number.to_string(),
        CqlValue::Counter(number) => number.0.to_string(),
        CqlValue::Float(number) => number.to_string(),
        CqlValue::Double(number) => number.to_string(),
        CqlValue::Uuid(id) => id.to_string(),
        CqlValue::Timeuuid(id) => id.to_string(),
        CqlValue::Inet(address) => address.to_string(),
        CqlValue::Timestamp(time) => match jiff::Timestamp::from_millisecond(time.0) {
            Ok(time) => time.to_string(),
            Err(_) => "(timestamp)".into(),
        },
        CqlValue::Blob(_) => "(blob)".into(),
        CqlValue::Decimal(_) => "(decimal)".into(),
        CqlValue::Varint(_) => "(varint)".into(),
        CqlValue::Date(_) => "(date)".into(),
        CqlValue::Time(_) => "(time)".into(),
        CqlValue::Duration(_) => "(duration)".into(),
        _ => return Ok(None),
    }))
}

/// Whether the codec may read a result (4.2.5): it makes room for as many columns as the peer says there are, and reads
/// types in types as deep as they go, so that a few bytes of a peer could end the process.
fn bound(result: &[u8]) -> Result<(), WireFault> {
    let mut types = Types { rest: result, left: MOST_VALUES };
    let (columns, has_one_table) = types.columns().ok_or(WireFault::Malformed)?;
    // Each column takes bytes: more of them than there are bytes end the loop.
    for _ in 0..columns {
        types.texts(if has_one_table { 1 } else { 3 })?;
        types.column(0)?;
    }
    Ok(())
}

/// The types of a result's columns.
struct Types<'a> {
    rest: &'a [u8],
    /// How many there may still be.
    left: u64,
}

impl Types<'_> {
    /// Of how many columns a result tells, and whether all are of one table.
    fn columns(&mut self) -> Option<(i32, bool)> {
        let rest = &mut self.rest;
        match int(rest)? {
            1 | 3 | 5 => return Some((0, false)),
            2 => {}
            // a prepared statement, which nobody asked for
            _ => return None,
        }
        let (flags, columns) = (int(rest)?, int(rest)?);
        if flags & 2 != 0 {
            let state = int(rest)?;
            skip(rest, state.max(0))?;
        }
        if flags & 4 != 0 {
            return Some((0, false));
        }
        let has_one_table = flags & 1 != 0;
        if has_one_table {
            string(rest)?;
            string(rest)?;
        }
        Some((columns, has_one_table))
    }

    fn texts(&mut self, texts: usize) -> Result<(), WireFault> {
        (0..texts).try_for_each(|_| string(&mut self.rest).map(drop)).ok_or(WireFault::Malformed)
    }

    fn number(&mut self) -> Result<u16, WireFault> {
        short(&mut self.rest).ok_or(WireFault::Malformed)
    }

    /// A type inside of so many others.
    fn column(&mut self, open: usize) -> Result<(), WireFault> {
        let too_deep = Err(WireFault::TooDeep { limit: DEEPEST });
        self.left = self.left.checked_sub(1).ok_or(WireFault::TooMany { limit: MOST_VALUES })?;
        if open == DEEPEST {
            return too_deep;
        }
        match self.number()? {
            // a class of Java, with others in parentheses
            0x00 => {
                let class = string(&mut self.rest).ok_or(WireFault::Malformed)?;
                let inside = class.split(|byte| *byte == b'(').count() - 1;
                if open + inside < DEEPEST { Ok(()) } else { too_deep }
            }
            0x20 | 0x22 => self.column(open + 1),
            0x21 => self.column(open + 1).and_then(|()| self.column(open + 1)),
            0x30 => {
                self.texts(2)?;
                let fields = self.number()?;
                (0..fields).try_for_each(|_| self.texts(1).and_then(|()| self.column(open + 1)))
            }
            0x31 => {
                let fields = self.number()?;
                (0..fields).try_for_each(|_| self.column(open + 1))
            }
            _ => Ok(()),
        }
    }
}

fn short(rest: &mut &[u8]) -> Option<u16> {
    rest.split_off(..2)?.try_into().ok().map(u16::from_be_bytes)
}

fn int(rest: &mut &[u8]) -> Option<i32> {
    rest.split_off(..4)?.try_into().ok().map(i32::from_be_bytes)
}

fn skip(rest: &mut &[u8], length: i32) -> Option<()> {
    rest.split_off(..usize::try_from(length).ok()?).map(drop)
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::from(short(rest)?);
    rest.split_off(..length)
}

/// An answer to something else, or a failure.
fn unexpected(response: Response) -> Failure {
    match response {
        Response::Error(error) => Refusal(error).into(),
        _ => lie("the peer's answer is one to something else"),
    }
}

fn lie(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::Protocol, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A result of rows with one column of this type.
    fn result(columns: i32, kind: &[u8]) -> Vec<u8> {
        let mut result = [2_i32, 1, columns].iter().flat_map(|number| number.to_be_bytes()).collect::<Vec<_>>();
        result.extend(b"\0\x01k\0\x01t\0\x01c");
        result.extend(kind);
        result
    }

    #[test]
    fn a_result_that_would_end_the_process_is_not_read() {
        let text = [0, 0x0d];
        let class = |levels: usize| [&[0, 0, 0, u8::try_from(2 * levels).expect("short")][..], &b"a(".repeat(levels)].concat();
        assert_eq!(bound(&result(1, &text)), Ok(()));
        for (level, last) in [(&[0, 0x20][..], &text[..]), (&[0, 0x22], &text), (&[0, 0x31, 0, 1], &text)] {
            let nested = |levels: usize| result(1, &[&level.repeat(levels - 1), last].concat());
            assert_eq!(bound(&nested(DEEPEST)), Ok(()));
            assert_eq!(bound(&nested(DEEPEST + 1)), Err(WireFault::TooDeep { limit: DEEPEST }));
        }
        assert_eq!(bound(&result(1, &class(DEEPEST - 1))), Ok(()));
        assert_eq!(
            bound(&result(1, &[&[0, 0x20][..], &class(DEEPEST - 1)].concat())),
            Err(WireFault::TooDeep { limit: DEEPEST })
        );
        for (columns, kind, fault, why) in [
            (1, [0, 0x20].repeat(100_000), WireFault::TooDeep { limit: DEEPEST }, "lists in lists"),
            (1, [0, 0x31, 0, 1].repeat(100_000), WireFault::TooDeep { limit: DEEPEST }, "tuples in tuples"),
            (1, [&[0, 0x30, 0, 0, 0, 0, 0, 1, 0, 0][..]; 100].concat(), WireFault::TooDeep { limit: DEEPEST }, "own types"),
            (1, vec![0, 0x31, 0xff, 0xff, 0, 0x0d], WireFault::Malformed, "a tuple that is cut"),
            (1, [&[0, 0, 0xff, 0xff][..], &b"a(".repeat(32_768)].concat(), WireFault::TooDeep { limit: DEEPEST }, "classes"),
            (i32::MAX, vec![0, 0x0d], WireFault::Malformed, "columns that are not there"),
            (
                2,
                [&[0, 0x31, 0xff, 0xff][..], &[0, 0x0d].repeat(65_535), b"\0\x01d", &[0, 0x31, 0xff, 0xff], &[0, 9].repeat(99)]
                    .concat(),
                WireFault::TooMany { limit: MOST_VALUES },
                "too many fields",
            ),
        ] {
            assert_eq!(bound(&result(columns, &kind)), Err(fault), "{why}");
        }
        assert_eq!(bound(&4_i32.to_be_bytes()), Err(WireFault::Malformed));
        assert_eq!(bound(&[]), Err(WireFault::Malformed));
    }

    #[test]
    fn a_code_is_the_number_of_the_protocol() {
        let failure = Failure::from(Refusal(Error { error: DbError::ServerError, reason: String::new() }));
        assert_eq!(failure.code.as_deref(), Some("0x0000"));
        let failure = Failure::from(Refusal(Error { error: DbError::Other(0x1700), reason: String::new() }));
        assert_eq!(failure.code.as_deref(), Some("0x1700"));
    }
}
