//! A server that is short of everything, and whose databases are read-only.

use std::sync::LazyLock;

use probity_probes::{Depth, FailureKind, Options};
use serde_json::json;

use super::{code, deep, entry, expect, fact, observed};
use crate::support::probe::Asked;
use crate::support::servers::neo4j::Neo4j;
use crate::support::truth::{Expected, check, states};
use crate::support::{PATIENCE, eventually, require};

states! { "neo4j":
    READ_ONLY = "read-only", "server.databases.default_to_read_only=true" => Expected::HEALTHY;
    READ_ONLY_WRITABLE = "read-only where writes are expected", "the same with expect.writable" => Expected::unfit("read_only");
    READ_ONLY_TRIP = "a round trip to a read-only database", "the same, depth = roundtrip" => Expected::fails(FailureKind::NotReady);
    MEMORY = "a question beyond the memory of a transaction", "db.memory.transaction.max=2m" => Expected::fails(FailureKind::Overload);
    MEMORY_WELL = "other questions beside it", "the same" => Expected::HEALTHY;
    TRANSACTIONS = "no transaction left", "db.transaction.concurrent.maximum=2, two that are left open"
        => Expected::fails(FailureKind::Overload);
    THREADS = "no Bolt thread left", "server.bolt.thread_pool_max_size=3, three transactions that are left open and idle"
        => Expected::fails(FailureKind::Overload);
    THREADS_WARM = "no Bolt thread left, for a warm session", "the same" => Expected::fails(FailureKind::Overload);
}

/// What is short is short for all: tests that use it up must not run beside each other.
static TIGHT: LazyLock<Neo4j> = LazyLock::new(|| {
    let server = Neo4j::start();
    // A new home would not be furnished with so little.
    server.reconfigure(&[
        "server.databases.default_to_read_only=true",
        "db.memory.transaction.max=2m",
        "db.memory.transaction.total.max=10m",
        "db.transaction.concurrent.maximum=2",
        "server.bolt.thread_pool_min_size=1",
        "server.bolt.thread_pool_max_size=3",
    ]);
    server
});

#[test]
fn a_server_that_is_short_of_everything() {
    if !require("neo4j") {
        return;
    }
    a_read_only_database_has_a_writer_and_takes_no_writes();
    a_question_beyond_its_memory_fails_alone();
    open_transactions_use_the_server_up();
}

/// `SHOW DATABASES` says that there is a writer, and `ROUTE` leads to it.
fn a_read_only_database_has_a_writer_and_takes_no_writes() {
    let outcome = expect(&READ_ONLY, &TIGHT, json!({}));
    assert_eq!(["access", "writer", "routing_writers"].map(|name| fact(&outcome, name)), ["read-only", "true", "1"]);
    let outcome = expect(&READ_ONLY_WRITABLE, &TIGHT, json!({ "expect": { "writable": true } }));
    assert_eq!(observed(&outcome, "read_only"), "read-only");
    let options = Options { depth: Depth::Roundtrip, ..Options::default() };
    let outcome = Asked::with("neo4j", entry(TIGHT.addr(), json!({})), options).run();
    check(&READ_ONLY_TRIP, &outcome);
    assert_eq!(code(&outcome), Some("ClientError.General.WriteOnReadOnlyAccessDatabase"));
}

fn a_question_beyond_its_memory_fails_alone() {
    let well = deep(&TIGHT, json!({}));
    check(&MEMORY_WELL, &well.run());
    let greedy = "UNWIND range(1, 1000000) AS x WITH collect(x) AS c RETURN size(c)";
    // The first one is planned and compiled for seconds.
    TIGHT.client().and_then(|mut client| client.rows("neo4j", greedy)).expect_err("it is beyond its memory");
    let outcome = expect(&MEMORY, &TIGHT, json!({ "query": greedy }));
    assert_eq!(code(&outcome), Some("TransientError.General.MemoryPoolOutOfMemoryError"));
    check(&MEMORY_WELL, &well.run());
}

/// Not even the log-in is answered then.
fn open_transactions_use_the_server_up() {
    let warm = deep(&TIGHT, json!({}));
    check(&MEMORY_WELL, &warm.run());
    // Each holds a thread as long as it is open; so does, for a moment, who has just left.
    let open = |database: &str| {
        eventually(PATIENCE, "it begins", || {
            let mut client = TIGHT.client().ok()?;
            client.begin(database).ok().map(|()| client)
        })
    };
    let held = [open("neo4j"), open("neo4j")];
    let outcome = expect(&TRANSACTIONS, &TIGHT, json!({}));
    assert_eq!(code(&outcome), Some("TransientError.Transaction.MaximumTransactionLimitReached"));
    let last = open("system");
    let outcome = expect(&THREADS, &TIGHT, json!({}));
    assert_eq!(code(&outcome), Some("TransientError.Request.NoThreadsAvailable"));
    check(&THREADS_WARM, &warm.run());
    drop((held, last));
    eventually(PATIENCE, "the threads are free again", || warm.run().failure.is_none().then_some(()));
}
