//! `PackStream`, in which Bolt writes its values and messages.
//!
//! Nothing is set aside for a length, depth and number of values are bounded.
//! Format: <https://neo4j.com/docs/bolt/current/packstream/>.

use super::guard::{DEEPEST, MOST_VALUES};
use crate::failure::WireFault;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Bytes(Vec<u8>),
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
    /// A node, a date, a message: what it is, and its fields.
    Struct(u8, Vec<Value>),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl Value {
    pub(crate) fn map(entries: Vec<(&str, Self)>) -> Self {
        Self::Map(entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries.iter().find_map(|(name, value)| (name == key).then_some(value)),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn int(&self) -> Option<i64> {
        match self {
            Self::Int(int) => Some(*int),
            _ => None,
        }
    }

    pub(crate) fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(list) => Some(list),
            _ => None,
        }
    }

    /// As people would write it; what is not one value is told by its kind.
    pub(crate) fn shown(&self) -> Option<String> {
        Some(match self {
            Self::Null => return None,
            Self::Bool(flag) => flag.to_string(),
            Self::Int(int) => int.to_string(),
            Self::Float(float) => float.to_string(),
            Self::Text(text) => text.clone(),
            Self::Bytes(_) => "(bytes)".into(),
            Self::List(_) => "(list)".into(),
            Self::Map(_) => "(map)".into(),
            // structure semantics: N, R and r, P
            Self::Struct(0x4e, _) => "(node)".into(),
            Self::Struct(0x52 | 0x72, _) => "(relationship)".into(),
            Self::Struct(0x50, _) => "(path)".into(),
            Self::Struct(..) => "(structure)".into(),
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(0xc0),
            Self::Bool(flag) => out.push(0xc2 + u8::from(*flag)),
            Self::Int(int) => {
                out.push(0xcb);
                out.extend(int.to_be_bytes());
            }
            Self::Float(float) => {
                out.push(0xc1);
                out.extend(float.to_be_bytes());
            }
            Self::Bytes(bytes) => {
                head(out, None, 0xce, bytes.len());
                out.extend(bytes);
            }
            Self::Text(text) => {
                head(out, Some(0x80), 0xd2, text.len());
                out.extend(text.as_bytes());
            }
            Self::List(list) => {
                head(out, Some(0x90), 0xd6, list.len());
                write_all(list, out);
            }
            Self::Map(entries) => {
                head(out, Some(0xa0), 0xda, entries.len());
                for (key, value) in entries {
                    head(out, Some(0x80), 0xd2, key.len());
                    out.extend(key.as_bytes());
                    value.write(out);
                }
            }
            Self::Struct(tag, fields) => {
                out.push(0xb0 + u8::try_from(fields.len()).unwrap_or(u8::MAX).min(15));
                out.push(*tag);
                write_all(fields, out);
            }
        }
    }

    /// The one value that these bytes are, to the last of them.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, WireFault> {
        let mut reader = Reader { bytes, open: 0, left: MOST_VALUES };
        let value = reader.value()?;
        if reader.bytes.is_empty() { Ok(value) } else { Err(WireFault::Malformed) }
    }
}

fn write_all(values: &[Value], out: &mut Vec<u8>) {
    for value in values {
        value.write(out);
    }
}

/// Marker and length: in one byte where both fit in, or with a length of four bytes.
fn head(out: &mut Vec<u8>, short: Option<u8>, long: u8, length: usize) {
    match short {
        Some(marker) if length < 16 => out.push(marker + u8::try_from(length).unwrap_or_default()),
        _ => {
            out.push(long);
            out.extend(u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        }
    }
}

/// Reads values, which may be nested so deep and be so many.
struct Reader<'a> {
    bytes: &'a [u8],
    /// How many values enclose the next.
    open: usize,
    /// How many may still come.
    left: u64,
}

/// A value with others in it.
#[derive(Clone, Copy)]
enum Container {
    List,
    Map,
    Struct(u8),
}

impl Reader<'_> {
    fn value(&mut self) -> Result<Value, WireFault> {
        self.left = self.left.checked_sub(1).ok_or(WireFault::TooMany { limit: MOST_VALUES })?;
        let bytes = &mut self.bytes;
        let marker = number::<1>(bytes).ok_or(WireFault::Malformed)?;
        let low = usize::from(marker.to_be_bytes()[7] & 0x0f);
        let (container, length) = match marker {
            0x90..=0x9f => (Container::List, Some(low)),
            0xd4..=0xd6 => (Container::List, length(marker - 0xd4, bytes)),
            0xa0..=0xaf => (Container::Map, Some(low)),
            0xd8..=0xda => (Container::Map, length(marker - 0xd8, bytes)),
            0xb0..=0xbf => (Container::Struct(array::<1>(bytes).ok_or(WireFault::Malformed)?[0]), Some(low)),
            _ => return scalar(marker, low, bytes).ok_or(WireFault::Malformed),
        };
        if self.open == DEEPEST {
            return Err(WireFault::TooDeep { limit: DEEPEST });
        }
        self.open += 1;
        let value = self.contents(container, length.ok_or(WireFault::Malformed)?)?;
        self.open -= 1;
        Ok(value)
    }

    /// Nothing is set aside for a length, which may be a lie: what is read is bounded.
    fn contents(&mut self, container: Container, length: usize) -> Result<Value, WireFault> {
        if let Container::Map = container {
            let mut entry = |_| match self.value()? {
                Value::Text(key) => Ok((key, self.value()?)),
                _ => Err(WireFault::Malformed),
            };
            return (0..length).map(&mut entry).collect::<Result<_, _>>().map(Value::Map);
        }
        let values = (0..length).map(|_| self.value()).collect::<Result<_, _>>()?;
        Ok(match container {
            Container::Struct(tag) => Value::Struct(tag, values),
            Container::List | Container::Map => Value::List(values),
        })
    }
}

fn scalar(marker: u64, low: usize, bytes: &mut &[u8]) -> Option<Value> {
    Some(match marker {
        0x00..=0x7f => Value::Int(i64::try_from(marker).ok()?),
        0xf0..=0xff => Value::Int(i64::try_from(marker).ok()? - 0x100),
        0xc0 => Value::Null,
        0xc1 => Value::Float(f64::from_bits(number::<8>(bytes)?)),
        0xc2 => Value::Bool(false),
        0xc3 => Value::Bool(true),
        0xc8 => Value::Int(i8::from_be_bytes(array(bytes)?).into()),
        0xc9 => Value::Int(i16::from_be_bytes(array(bytes)?).into()),
        0xca => Value::Int(i32::from_be_bytes(array(bytes)?).into()),
        0xcb => Value::Int(i64::from_be_bytes(array(bytes)?)),
        0xcc..=0xce => Value::Bytes(length(marker - 0xcc, bytes).and_then(|length| take(bytes, length))?.to_vec()),
        0x80..=0x8f => Value::Text(read_text(bytes, low)?),
        0xd0..=0xd2 => Value::Text(length(marker - 0xd0, bytes).and_then(|length| read_text(bytes, length))?),
        _ => return None,
    })
}

/// A length of one, two or four bytes.
fn length(size: u64, bytes: &mut &[u8]) -> Option<usize> {
    let length = match size {
        0 => number::<1>(bytes),
        1 => number::<2>(bytes),
        _ => number::<4>(bytes),
    };
    usize::try_from(length?).ok()
}

fn take<'a>(bytes: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}

fn array<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    take(bytes, N)?.try_into().ok()
}

fn number<const N: usize>(bytes: &mut &[u8]) -> Option<u64> {
    Some(take(bytes, N)?.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

fn read_text(bytes: &mut &[u8], length: usize) -> Option<String> {
    take(bytes, length).map(|text| String::from_utf8_lossy(text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &Value) -> Vec<u8> {
        let mut out = Vec::new();
        value.write(&mut out);
        out
    }

    fn samples() -> Vec<Value> {
        let texts = [0, 15, 16, 255, 256, 70_000].map(|length| Value::Text("ü".repeat(length / 2) + &"x".repeat(length % 2)));
        let ints = [0, -1, -16, -17, 127, 128, i64::MIN, i64::MAX].map(Value::Int);
        let mut samples = vec![Value::Null, Value::Bool(true), Value::Bool(false), Value::Float(-0.5), Value::Bytes(vec![1, 2])];
        samples.extend(texts);
        samples.extend(ints);
        let map = Value::map((0..20).map(|_| ("key", Value::List(vec![Value::Null; 20]))).collect());
        samples.push(Value::Struct(0x4e, vec![Value::List(samples.clone()), map]));
        samples
    }

    #[test]
    fn what_is_written_is_read() {
        for value in samples() {
            assert_eq!(Value::read(&written(&value)).as_ref(), Ok(&value));
        }
    }

    /// As servers write it: each value as short as it can be.
    #[test]
    fn every_width_is_read() {
        for (bytes, value) in [
            (&b"\x2a"[..], Value::Int(42)),
            (b"\xf0", Value::Int(-16)),
            (b"\xc8\x80", Value::Int(-128)),
            (b"\xc9\x80\x00", Value::Int(-32_768)),
            (b"\xca\x80\x00\x00\x00", Value::Int(-2_147_483_648)),
            (b"\xd0\x01a", Value::from("a")),
            (b"\xd1\x00\x01a", Value::from("a")),
            (b"\xd4\x01\x01", Value::List(vec![Value::Int(1)])),
            (b"\xd5\x00\x00", Value::List(vec![])),
            (b"\xd8\x01\x81a\x01", Value::map(vec![("a", Value::Int(1))])),
            (b"\xcc\x01\xff", Value::Bytes(vec![255])),
        ] {
            assert_eq!(Value::read(bytes), Ok(value));
        }
    }

    #[test]
    fn a_value_that_is_cut_anywhere_or_goes_on_is_none() {
        for value in samples().iter().filter(|value| !matches!(value, Value::Text(text) if text.len() > 300)) {
            let whole = written(value);
            for end in 0..whole.len().min(2000) {
                assert_eq!(Value::read(&whole[..end]), Err(WireFault::Malformed), "{value:?} up to {end}");
            }
            assert_eq!(Value::read(&[&whole[..], &[0xc0]].concat()), Err(WireFault::Malformed));
        }
    }

    #[test]
    fn lies_about_length_and_depth_cost_nothing() {
        for bytes in [
            &b"\xd2\xff\xff\xff\xff"[..],
            b"\xd6\xff\xff\xff\xff\xc0",
            b"\xda\xff\xff\xff\xff\x81a\xc0",
            b"\xce\xff\xff\xff\xff",
            b"\xa1\x01\x01",
            b"\xc4",
            b"\xdf",
            b"",
        ] {
            assert_eq!(Value::read(bytes), Err(WireFault::Malformed), "{bytes:x?}");
        }
    }

    #[test]
    fn depth_and_number_of_values_are_bounded() {
        for level in [&b"\x91"[..], b"\xd4\x01", b"\xa1\x81a", b"\xd9\0\x01\x81a", b"\xb1N"] {
            let nested = |levels: usize| [&level.repeat(levels)[..], &[0xc0]].concat();
            assert!(Value::read(&nested(DEEPEST)).is_ok(), "{level:x?}");
            let too_deep = Err(WireFault::TooDeep { limit: DEEPEST });
            assert_eq!(Value::read(&nested(DEEPEST + 1)), too_deep, "{level:x?}");
            assert_eq!(Value::read(&nested(100_000)), too_deep, "{level:x?}");
        }
        let most = u32::try_from(MOST_VALUES).expect("it is small");
        let list = |values: u32| [&b"\xd6"[..], &values.to_be_bytes(), &vec![0xc0; values as usize]].concat();
        assert!(Value::read(&list(most - 1)).is_ok());
        assert_eq!(Value::read(&list(most)), Err(WireFault::TooMany { limit: MOST_VALUES }));
    }

    #[test]
    fn noise_is_read_without_harm() {
        for _ in 0..20_000 {
            let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(fastrand::usize(..64)).collect();
            if let Ok(value) = Value::read(&noise) {
                assert_eq!(Value::read(&written(&value)).map(|again| format!("{again:?}")), Ok(format!("{value:?}")));
            }
        }
    }
}
