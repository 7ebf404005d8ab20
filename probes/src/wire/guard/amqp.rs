//! AMQP's field tables and arrays, ahead of a decoder that recurses.
//!
//! The types are those of `amq-protocol`, which follow RabbitMQ. Specification: AMQP 0-9-1, 4.2.5.

use super::{Following, Input, Levels};
use crate::failure::WireFault;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const FRAME_END: u8 = 0xce;

/// `Connection.Start`, the one method of a server that has a table, behind two bytes of versions.
const START: (u16, u16) = (10, 10);

/// The methods of clients that have tables, which the library would decode all the same.
const OF_CLIENTS: [(u16, u16); 8] = [(10, 11), (40, 10), (40, 30), (40, 40), (50, 10), (50, 20), (50, 50), (60, 20)];

/// The properties of a content up to its table of headers: two short texts may come before it.
const BEFORE_HEADERS: [u16; 2] = [1 << 15, 1 << 14];
const HEADERS: u16 = 1 << 13;

/// Follows frames.
pub(crate) fn frames(mut input: Input) -> Following {
    Box::pin(async move {
        loop {
            frame(&mut input).await?;
        }
    })
}

async fn frame(input: &mut Input) -> Result<(), WireFault> {
    let kind = input.byte().await?;
    if kind == b'A' {
        // "AMQP" and a version: the server does not speak ours.
        return input.skip(7).await;
    }
    input.skip(2).await?;
    let size = u32::from_be_bytes(input.array().await?);
    let end = input.end_of(size.into())?;
    input.set_limit(end);
    match kind {
        METHOD => {
            let method = (short(input).await?, short(input).await?);
            if method == START {
                input.skip(2).await?;
                table(input).await?;
            } else if OF_CLIENTS.contains(&method) {
                return Err(WireFault::Malformed);
            }
        }
        HEADER => {
            // class, weight, size of the body
            input.skip(12).await?;
            let properties = short(input).await?;
            for text in BEFORE_HEADERS {
                if properties & text != 0 {
                    short_text(input).await?;
                }
            }
            if properties & HEADERS != 0 {
                table(input).await?;
            }
        }
        _ => {}
    }
    input.skip_to(end).await?;
    input.set_limit(u64::MAX);
    if input.byte().await? == FRAME_END { Ok(()) } else { Err(WireFault::Malformed) }
}

/// A table with everything in it.
async fn table(input: &mut Input) -> Result<(), WireFault> {
    let outer = input.limit();
    let mut open = Levels::new();
    begin(input, &mut open, true).await?;
    while let Some((end, has_names)) = open.last().copied() {
        if input.position() == end {
            open.close();
            input.set_limit(open.last().map_or(outer, |level| level.0));
            continue;
        }
        if has_names {
            short_text(input).await?;
        }
        input.count(1)?;
        match input.byte().await? {
            b'V' => {}
            b't' | b'b' | b'B' => input.skip(1).await?,
            b's' | b'U' | b'u' => input.skip(2).await?,
            b'I' | b'i' | b'f' => input.skip(4).await?,
            b'D' => input.skip(5).await?,
            b'L' | b'l' | b'd' | b'T' => input.skip(8).await?,
            b'S' | b'x' => {
                let length = u32::from_be_bytes(input.array().await?);
                input.skip(length.into()).await?;
            }
            b'A' => begin(input, &mut open, false).await?,
            b'F' => begin(input, &mut open, true).await?,
            _ => return Err(WireFault::Malformed),
        }
    }
    Ok(())
}

/// Goes into a table or an array.
async fn begin(input: &mut Input, open: &mut Levels<(u64, bool)>, has_names: bool) -> Result<(), WireFault> {
    let length = u32::from_be_bytes(input.array().await?);
    let end = input.end_of(length.into())?;
    open.open((end, has_names))?;
    input.set_limit(end);
    Ok(())
}

async fn short(input: &mut Input) -> Result<u16, WireFault> {
    Ok(u16::from_be_bytes(input.array().await?))
}

async fn short_text(input: &mut Input) -> Result<(), WireFault> {
    let length = input.byte().await?;
    input.skip(length.into()).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::guard::{DEEPEST, MOST_VALUES, tests::verdict};

    fn sized(body: &[u8]) -> Vec<u8> {
        [&u32::try_from(body.len()).expect("short").to_be_bytes(), body].concat()
    }

    fn frame_of(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind, 0, 0][..], &sized(body), &[FRAME_END]].concat()
    }

    fn start(table: &[u8]) -> Vec<u8> {
        frame_of(METHOD, &[&[0, 10, 0, 10, 0, 9][..], table, &sized(b"PLAIN"), &sized(b"en_US")].concat())
    }

    /// A table of so many levels, itself among them.
    fn nested(levels: usize, kind: u8) -> Vec<u8> {
        let mut body = Vec::new();
        for level in 1..levels {
            let inside = if level > 1 && kind == b'A' {
                [&[kind][..], &sized(&body)].concat()
            } else {
                [&[kind], &*sized(&body)].concat()
            };
            // Only the outermost, and tables in tables, have names.
            let named = kind == b'F' || level == levels - 1;
            body = if named { [&b"\x01a"[..], &inside].concat() } else { inside };
        }
        sized(&body)
    }

    #[test]
    fn depth_is_bounded_in_greetings_and_contents() {
        // 60: basic; with a type, an encoding and headers
        let content = |table: &[u8]| frame_of(HEADER, &[&b"\0\x3c\0\0\0\0\0\0\0\0\0\x01\xe0\0\x01t\x01e"[..], table].concat());
        for (levels, wanted) in [(DEEPEST, Ok(())), (DEEPEST + 1, Err(WireFault::TooDeep { limit: DEEPEST }))] {
            for kind in [b'A', b'F'] {
                let table = nested(levels, kind);
                assert_eq!(verdict(frames, &start(&table)), wanted, "{kind}");
                assert_eq!(verdict(frames, &content(&table)), wanted, "{kind}");
                let good = start(&nested(2, kind));
                assert_eq!(verdict(frames, &[good, content(&table)].concat()), wanted, "{kind}");
            }
        }
    }

    #[test]
    fn values_are_bounded() {
        let most = usize::try_from(MOST_VALUES).expect("it is small");
        let list = |values: usize| start(&sized(&[b"\x01aA", &*sized(&vec![b'V'; values])].concat()));
        assert_eq!(verdict(frames, &list(most - 1)), Ok(()));
        assert_eq!(verdict(frames, &list(most)), Err(WireFault::TooMany { limit: MOST_VALUES }));
    }

    #[test]
    fn methods_of_clients_are_none_of_a_server() {
        for (class, method) in OF_CLIENTS {
            let body = [class.to_be_bytes(), method.to_be_bytes()].concat();
            assert_eq!(verdict(frames, &frame_of(METHOD, &body)), Err(WireFault::Malformed));
        }
        assert_eq!(verdict(frames, &frame_of(METHOD, &[0, 10, 0, 41, 0])), Ok(()));
    }

    #[test]
    fn every_kind_of_value_is_followed() {
        let values = b"\x01at\x01\x01bb\x01\x01cB\x01\x01ds\0\0\x01eU\0\0\x01fu\0\0\x01gI\0\0\0\0\x01hi\0\0\0\0\x01if\0\0\0\0\
            \x01jD\0\0\0\0\0\x01kL\0\0\0\0\0\0\0\0\x01ll\0\0\0\0\0\0\0\0\x01md\0\0\0\0\0\0\0\0\x01nT\0\0\0\0\0\0\0\0\
            \x01oS\0\0\0\x01x\x01px\0\0\0\x01x\x01qV\x01rA\0\0\0\x02VV\x01sF\0\0\0\x03\x01aV";
        assert_eq!(verdict(frames, &start(&sized(values)).repeat(2)), Ok(()));
        assert_eq!(verdict(frames, b"AMQP\0\0\x09\x01"), Ok(()));
        assert_eq!(verdict(frames, &start(&sized(b"\x01aZ"))), Err(WireFault::Malformed));
    }

    #[test]
    fn a_length_beyond_what_it_lies_in_is_refused() {
        assert_eq!(verdict(frames, &start(b"\0\0\xff\xff")), Err(WireFault::Malformed));
        assert_eq!(verdict(frames, &start(&sized(b"\x01aA\0\0\0\x09V"))), Err(WireFault::Malformed));
        assert_eq!(verdict(frames, b"\x08\0\0\0\0\0\0\0"), Err(WireFault::Malformed));
    }
}
