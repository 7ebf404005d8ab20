//! The record of flaky tests: what is known to fail now and then, since when, and why.

use std::collections::BTreeSet;
use std::io;

use jiff::civil::Date;
use serde::Deserialize;
use toml::value::Datetime;

use crate::verdict::is_never_run_again;

/// How many days an entry may stay.
const DAYS: i32 = 7;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    #[serde(default)]
    flaky: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    test: String,
    since: Datetime,
    cause: String,
}

/// Everything that is wrong with the record. The names of tests are asked for only when there is an entry: to know them the
/// tests must be built.
pub(crate) fn mistakes(text: &str, today: Date, known: impl FnOnce() -> io::Result<BTreeSet<String>>) -> io::Result<Vec<String>> {
    let record: Record = match toml::from_str(text) {
        Ok(record) => record,
        Err(error) => return Ok(vec![error.to_string()]),
    };
    if record.flaky.is_empty() {
        return Ok(Vec::new());
    }
    let known = known()?;
    let mut seen = BTreeSet::new();
    let mut mistakes = Vec::new();
    for Entry { test, since, cause } in &record.flaky {
        let mut wrong = |what: String| mistakes.push(format!("{test}: {what}"));
        match age(since, today) {
            None => wrong(format!("since = {since} is not a date such as 2026-11-28")),
            Some(days) if days < 0 => wrong(format!("since = {since} is in the future")),
            Some(days) if days > DAYS => wrong(format!("flaky for {days} days, {DAYS} are allowed: fix it")),
            Some(_) => {}
        }
        if cause.trim().is_empty() {
            wrong("cause is empty".to_owned());
        }
        if !known.contains(test) {
            wrong("there is no such test".to_owned());
        }
        if is_never_run_again(test) {
            wrong("a test of this kind must not be flaky".to_owned());
        }
        if !seen.insert(test) {
            wrong("it has two entries".to_owned());
        }
    }
    Ok(mistakes)
}

/// Days since a date without a time.
fn age(since: &Datetime, today: Date) -> Option<i32> {
    let date = since.date.filter(|_| since.time.is_none() && since.offset.is_none())?;
    let parts = (i16::try_from(date.year), i8::try_from(date.month), i8::try_from(date.day));
    let (Ok(year), Ok(month), Ok(day)) = parts else { return None };
    Some((today - Date::new(year, month, day).ok()?).get_days())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TODAY: Date = Date::constant(2026, 11, 28);

    #[track_caller]
    fn expect(text: &str, wanted: &[&str]) {
        let known = || Ok(BTreeSet::from(["live::redis::well".to_owned(), "conformance::secrets::none".to_owned()]));
        assert_eq!(mistakes(text, TODAY, known).expect("the names are known"), wanted);
    }

    #[test]
    fn an_empty_record_needs_no_names() {
        let known = || Err(io::Error::other("not asked for"));
        assert_eq!(mistakes("# nothing\n", TODAY, known).expect("no name is asked for"), Vec::<String>::new());
    }

    #[test]
    fn an_entry_may_stay_seven_days() {
        let entry = |since: &str| format!("[[flaky]]\ntest = \"live::redis::well\"\nsince = {since}\ncause = \"a slow disk\"\n");
        expect(&entry("2026-11-28"), &[]);
        expect(&entry("2026-11-21"), &[]);
        expect(&entry("2026-11-20"), &["live::redis::well: flaky for 8 days, 7 are allowed: fix it"]);
        expect(&entry("2025-12-31"), &["live::redis::well: flaky for 332 days, 7 are allowed: fix it"]);
        expect(&entry("2026-11-29"), &["live::redis::well: since = 2026-11-29 is in the future"]);
        let wrong = "live::redis::well: since = 2026-11-20T00:00:00Z is not a date such as 2026-11-28";
        expect(&entry("2026-11-20T00:00:00Z"), &[wrong]);
        expect(&(entry("2026-11-28") + &entry("2026-11-28")), &["live::redis::well: it has two entries"]);
    }

    #[test]
    fn every_mistake_is_told() {
        let text = "[[flaky]]\ntest = \"a::b\"\nsince = 2026-11-01\ncause = \" \"\n\
                    [[flaky]]\ntest = \"conformance::secrets::none\"\nsince = 2026-11-28\ncause = \"chance\"\n";
        expect(
            text,
            &[
                "a::b: flaky for 27 days, 7 are allowed: fix it",
                "a::b: cause is empty",
                "a::b: there is no such test",
                "conformance::secrets::none: a test of this kind must not be flaky",
            ],
        );
    }

    #[test]
    fn a_malformed_record_is_a_mistake() {
        for text in ["[[flaky]]\ntest = \"a\"\n", "[[flaky]\n", "[[flaki]]\ntest = \"a\"\n"] {
            let found = mistakes(text, TODAY, || Ok(BTreeSet::new())).expect("no name is asked for");
            assert!(matches!(found.as_slice(), [one] if one.starts_with("TOML parse error at line")), "{found:?}");
        }
    }
}
