//! BSON inside of MongoDB's messages, ahead of a decoder that recurses.
//!
//! A document ends where its length says and its zero stands; one where the two differ is refused, because a decoder
//! may go by either. Format: <https://bsonspec.org/spec.html>.

use super::{Following, Input, Levels};
use crate::failure::WireFault;

/// The one operation that is read.
const OP_MSG: u32 = 2013;

/// In the flags of a message: a checksum of four bytes ends it.
const CHECKSUM: u32 = 1;

/// The shortest document: its length and its zero.
const SHORTEST: u64 = 5;

/// Follows messages.
pub(crate) fn messages(mut input: Input) -> Following {
    Box::pin(async move {
        loop {
            message(&mut input).await?;
        }
    })
}

async fn message(input: &mut Input) -> Result<(), WireFault> {
    let start = input.position();
    let length = number(input).await?;
    input.skip(8).await?;
    if number(input).await? != OP_MSG {
        return Err(WireFault::Malformed);
    }
    let flags = number(input).await?;
    let whole = start + u64::from(length);
    let end = whole.saturating_sub(if flags & CHECKSUM == 0 { 0 } else { 4 });
    input.set_limit(end);
    while input.position() < end {
        match input.byte().await? {
            0 => document(input).await?,
            1 => {
                let part = input.position();
                let part = part + u64::from(number(input).await?);
                if part > end {
                    return Err(WireFault::Malformed);
                }
                input.set_limit(part);
                input.skip_text().await?;
                while input.position() < part {
                    document(input).await?;
                }
                input.set_limit(end);
            }
            _ => return Err(WireFault::Malformed),
        }
    }
    input.set_limit(u64::MAX);
    input.skip_to(whole).await
}

/// A document with everything in it.
async fn document(input: &mut Input) -> Result<(), WireFault> {
    let outer = input.limit();
    let mut open = Levels::new();
    begin(input, &mut open).await?;
    while let Some(end) = open.last().copied() {
        let kind = input.byte().await?;
        if kind == 0 {
            if input.position() != end {
                return Err(WireFault::Malformed);
            }
            open.close();
            input.set_limit(open.last().copied().unwrap_or(outer));
            continue;
        }
        input.skip_text().await?;
        input.count(1)?;
        match kind {
            // null, undefined, the least and the greatest key
            0x0a | 0x06 | 0xff | 0x7f => {}
            // double, time, timestamp, 64 bits
            0x01 | 0x09 | 0x11 | 0x12 => input.skip(8).await?,
            // text, code, symbol
            0x02 | 0x0d | 0x0e => text(input).await?,
            // document, array
            0x03 | 0x04 => drop(begin(input, &mut open).await?),
            // binary, with its subtype
            0x05 => {
                let length = number(input).await?;
                input.skip(u64::from(length) + 1).await?;
            }
            // id of an object
            0x07 => input.skip(12).await?,
            0x08 => input.skip(1).await?,
            // pattern and options
            0x0b => {
                input.skip_text().await?;
                input.skip_text().await?;
            }
            // pointer
            0x0c => {
                text(input).await?;
                input.skip(12).await?;
            }
            // code with a scope: its length, code, document
            0x0f => {
                let start = input.position();
                let end = start + u64::from(number(input).await?);
                text(input).await?;
                if begin(input, &mut open).await? != end {
                    return Err(WireFault::Malformed);
                }
            }
            0x10 => input.skip(4).await?,
            0x13 => input.skip(16).await?,
            _ => return Err(WireFault::Malformed),
        }
    }
    Ok(())
}

/// Goes into a document, and returns its end.
async fn begin(input: &mut Input, open: &mut Levels<u64>) -> Result<u64, WireFault> {
    let start = input.position();
    let length = u64::from(number(input).await?);
    let end = start + length;
    if length < SHORTEST || end > input.limit() {
        return Err(WireFault::Malformed);
    }
    open.open(end)?;
    input.set_limit(end);
    Ok(end)
}

async fn text(input: &mut Input) -> Result<(), WireFault> {
    let length = number(input).await?;
    input.skip(length.into()).await
}

async fn number(input: &mut Input) -> Result<u32, WireFault> {
    Ok(u32::from_le_bytes(input.array().await?))
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Binary, Bson, Document, JavaScriptCodeWithScope, Regex, doc, spec::BinarySubtype};

    use super::*;
    use crate::wire::guard::{DEEPEST, MOST_VALUES, tests::verdict};

    fn message_of(sections: &[u8], flags: u32) -> Vec<u8> {
        let checksum = if flags & CHECKSUM == 0 { 0 } else { 4 };
        let length = u32::try_from(20 + sections.len() + checksum).expect("short");
        let header = [length, 1, 2, OP_MSG, flags].map(u32::to_le_bytes);
        [header.as_flattened(), sections, &[9; 4][..checksum]].concat()
    }

    fn answer(document: &Document) -> Vec<u8> {
        message_of(&[&[0], &*document.to_vec().expect("it can be written")].concat(), 0)
    }

    /// A document of so many levels, itself among them.
    fn nested(levels: usize, wrap: impl Fn(Document) -> Bson) -> Document {
        (1..levels).fold(Document::new(), |inner, _| doc! { "a": wrap(inner) })
    }

    #[test]
    fn depth_is_bounded_in_every_kind_of_value() {
        let scope = |scope| Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code: "x".into(), scope });
        for levels in [DEEPEST, DEEPEST + 1] {
            let wanted = if levels == DEEPEST { Ok(()) } else { Err(WireFault::TooDeep { limit: DEEPEST }) };
            assert_eq!(verdict(messages, &answer(&nested(levels, Bson::Document))), wanted, "documents");
            assert_eq!(verdict(messages, &answer(&nested(levels, scope))), wanted, "code with scope");
            let array = nested(levels / 2 + levels % 2, |inner| Bson::Array(vec![Bson::Null, inner.into()]));
            let array = if levels % 2 == 0 {
                doc! { "a": array }
            } else {
                array
            };
            assert_eq!(verdict(messages, &answer(&array)), wanted, "arrays");
        }
    }

    #[test]
    fn depth_is_bounded_in_every_section_and_message() {
        let deep = nested(DEEPEST + 1, Bson::Document).to_vec().expect("it can be written");
        let good = doc! { "ok": 1 }.to_vec().expect("it can be written");
        let part = |documents: &[&[u8]]| {
            let body = [b"name\0", &*documents.concat()].concat();
            [&[1][..], &u32::try_from(body.len() + 4).expect("short").to_le_bytes(), &body].concat()
        };
        let faulty = Err(WireFault::TooDeep { limit: DEEPEST });
        assert_eq!(verdict(messages, &message_of(&[&[0], &*good, &part(&[&good, &good])].concat(), CHECKSUM)), Ok(()));
        assert_eq!(verdict(messages, &message_of(&[&[0], &*good, &part(&[&good, &deep])].concat(), 0)), faulty);
        assert_eq!(verdict(messages, &message_of(&[&*part(&[&good]), &[0], &deep].concat(), CHECKSUM)), faulty);
        let second = [message_of(&[&[0], &*good].concat(), CHECKSUM), message_of(&[&[0], &*deep].concat(), 0)].concat();
        assert_eq!(verdict(messages, &second), faulty);
    }

    #[test]
    fn values_are_bounded() {
        let most = usize::try_from(MOST_VALUES).expect("it is small");
        // Two bytes each: a null without a name.
        let list = |values: usize| {
            let body = [&[0x0a, 0].repeat(values)[..], &[0]].concat();
            let length = u32::try_from(4 + body.len()).expect("short");
            message_of(&[&[0][..], &length.to_le_bytes(), &body].concat(), 0)
        };
        assert_eq!(verdict(messages, &list(most)), Ok(()));
        assert_eq!(verdict(messages, &list(most + 1)), Err(WireFault::TooMany { limit: MOST_VALUES }));
    }

    #[test]
    fn every_kind_of_value_is_followed() {
        let text = |text: &str| text.to_owned().try_into().expect("no zero in it");
        let pattern = Regex { pattern: text("a"), options: text("i") };
        let all = doc! {
            "double": 1.5, "text": "x\0y", "document": { "a": 1 }, "array": [1, [2]], "id": mongodb::bson::oid::ObjectId::new(),
            "binary": Binary { subtype: BinarySubtype::Generic, bytes: vec![0; 9] }, "true": true, "null": null,
            "time": mongodb::bson::DateTime::now(), "pattern": Bson::RegularExpression(pattern),
            "code": Bson::JavaScriptCode("f()".into()), "symbol": Bson::Symbol("s".into()), "int": 1_i32, "long": 1_i64,
            "stamp": Bson::Timestamp(mongodb::bson::Timestamp { time: 1, increment: 2 }), "min": Bson::MinKey, "max": Bson::MaxKey,
            "decimal": Bson::Decimal128("1.5".parse().expect("a decimal")), "undefined": Bson::Undefined,
        };
        assert_eq!(verdict(messages, &answer(&all).repeat(2)), Ok(()));
    }

    #[test]
    fn a_length_that_lies_is_refused() {
        let bytes = doc! { "a": { "b": 1 } }.to_vec().expect("it can be written");
        for at in [0, 7] {
            for by in [1, 5, 0xf0] {
                let mut lie = bytes.clone();
                lie[at] ^= by;
                let lie = [message_of(&[&[0], &*lie].concat(), 0), vec![0; 300]].concat();
                assert_eq!(verdict(messages, &lie), Err(WireFault::Malformed), "{at} {by}");
            }
        }
        assert_eq!(verdict(messages, &message_of(&[7], 0)), Err(WireFault::Malformed));
    }
}
