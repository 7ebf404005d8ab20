//! RESP 2 and 3, ahead of a decoder that recurses and takes every announced length for true.
//!
//! Specification: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use super::{Following, Input, Levels};
use crate::failure::WireFault;

/// Longest number.
const LONGEST: usize = 24;

/// Follows answers.
pub(crate) fn answers(mut input: Input) -> Following {
    Box::pin(async move {
        // How many values are still to come on each level.
        let mut open = Levels::new();
        loop {
            while let Some(left) = open.last_mut() {
                if *left > 0 {
                    *left -= 1;
                    break;
                }
                open.close();
            }
            let inside = match input.byte().await? {
                b'*' | b'~' | b'>' => number(&mut input).await?,
                b'%' => number(&mut input).await?.checked_mul(2).ok_or(WireFault::Malformed)?,
                // Pairs of attributes, and what has them.
                b'|' => number(&mut input).await?.checked_mul(2).and_then(|n| n.checked_add(1)).ok_or(WireFault::Malformed)?,
                b'$' | b'!' | b'=' => {
                    if let Ok(length) = u64::try_from(number(&mut input).await?) {
                        input.skip(length).await?;
                        input.skip(2).await?;
                    }
                    0
                }
                b'+' | b'-' | b':' | b'_' | b',' | b'#' | b'(' => {
                    let mut last = 0;
                    loop {
                        match (last, input.byte().await?) {
                            (b'\r', b'\n') => break 0,
                            (_, byte) => last = byte,
                        }
                    }
                }
                // The library refuses what is none of these, and ends the connection.
                _ => return Ok(()),
            };
            input.count(1)?;
            if let Ok(inside @ 1..) = u64::try_from(inside) {
                // They are counted when they are announced as well: room may be made for all of them at once.
                input.may_come(inside)?;
                open.open(inside)?;
            }
        }
    })
}

/// The rest of a line, which is a number.
async fn number(input: &mut Input) -> Result<i64, WireFault> {
    let (mut line, mut length) = ([0; LONGEST], 0);
    loop {
        let byte = input.byte().await?;
        if byte == b'\n' && length > 0 && line[length - 1] == b'\r' {
            break;
        }
        *line.get_mut(length).ok_or(WireFault::Malformed)? = byte;
        length += 1;
    }
    std::str::from_utf8(&line[..length]).ok().and_then(|line| line.trim().parse().ok()).ok_or(WireFault::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::guard::{DEEPEST, MOST_VALUES, tests::verdict};

    #[test]
    fn depth_is_bounded_in_every_kind_of_value() {
        for head in ["*1\r\n", "~1\r\n", ">2\r\n+x\r\n", "%1\r\n+k\r\n", "|1\r\n+k\r\n+v\r\n", "*2\r\n$1\r\n*\r\n"] {
            let nested = |levels: usize| format!("+OK\r\n{}:1\r\n", head.repeat(levels));
            assert_eq!(verdict(answers, nested(DEEPEST).as_bytes()), Ok(()), "{head:?}");
            let fault = Err(WireFault::TooDeep { limit: DEEPEST });
            assert_eq!(verdict(answers, nested(DEEPEST + 1).as_bytes()), fault, "{head:?}");
        }
    }

    #[test]
    fn values_are_bounded() {
        let most = usize::try_from(MOST_VALUES).expect("it is small");
        let fault = Err(WireFault::TooMany { limit: MOST_VALUES });
        let list = |values: usize| format!("*{values}\r\n{}", "$-1\r\n".repeat(values));
        assert_eq!(verdict(answers, list(most - 1).as_bytes()), Ok(()));
        assert_eq!(verdict(answers, list(most).as_bytes()), fault);
        assert_eq!(verdict(answers, b"*1000000000\r\n"), fault);
        assert_eq!(verdict(answers, b"%1000000000\r\n"), fault);
    }

    #[test]
    fn every_kind_of_value_is_followed() {
        let all = "*-1\r\n*0\r\n$-1\r\n$0\r\n\r\n$4\r\n*9\r\n\r\n+a\rb\r\n-ERR x\r\n:1\r\n_\r\n,1.5\r\n#t\r\n(99\r\n!3\r\nERR\r\n\
            =5\r\ntxt:x\r\n%1\r\n+a\r\n*0\r\n~1\r\n:1\r\n>2\r\n+message\r\n+x\r\n|1\r\n+a\r\n:1\r\n+value\r\n";
        // Behind all of them one level is open at most.
        let deep = format!("{all}{}", "*1\r\n".repeat(DEEPEST));
        assert_eq!(verdict(answers, deep.as_bytes()), Ok(()));
        assert_eq!(verdict(answers, format!("{deep}*1\r\n").as_bytes()), Err(WireFault::TooDeep { limit: DEEPEST }));
        assert_eq!(verdict(answers, b"*x\r\n"), Err(WireFault::Malformed));
        assert_eq!(verdict(answers, b"nothing like it"), Ok(()));
    }
}
