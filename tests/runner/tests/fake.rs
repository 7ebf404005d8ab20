//! A test binary that misbehaves on demand. `run.rs` compiles it with `rustc --test`; it is no test of its own.

use std::{env, fs::OpenOptions, path::Path, process::abort};

/// Does what the variables say of this test.
fn act(test: &str) {
    let says = |variable: &str| env::var(variable).is_ok_and(|tests| tests.split(',').any(|one| one == test));
    let folder = env::var("FAKE_FOLDER").expect("it is set by the test");
    let is_first = || OpenOptions::new().write(true).create_new(true).open(Path::new(&folder).join(test)).is_ok();
    println!("this is {test}");
    assert!(!says("FAKE_FAIL"), "{test} always fails");
    assert!(!says("FAKE_FAIL_ONCE") || !is_first(), "{test} fails at first");
    if says("FAKE_CRASH") || (says("FAKE_CRASH_AGAIN") && !is_first()) {
        abort();
    }
    assert!(!says("FAKE_CRASH_AGAIN"), "{test} will crash");
}

#[test]
fn one() {
    act("one");
}

#[test]
fn two() {
    act("two");
}

#[test]
fn three() {
    act("three");
}

mod secrets {
    #[test]
    fn four() {
        super::act("four");
    }
}
