//! What every backend must do, whatever it asks: the checks, who passes them, and why one does not apply.
//!
//! A check is a row of the truth table, of the same name for each backend or of a name of its own, or a test that goes
//! through all of them. None is declared here that is not made elsewhere.

mod page;
pub(crate) mod strangers;

pub(crate) use page::page;

use std::fs;
use std::path::Path;

use super::{BACKENDS, sessions, states};
use crate::support::truth::State;

/// Something done to a server, or to the way to it.
struct Check {
    done: &'static str,
    wanted: &'static str,
    proof: Proof,
}

/// Where it is shown.
enum Proof {
    /// By a row of this name; backends without it say why.
    Row(&'static str, &'static [(&'static str, &'static str)]),
    /// By a row of each backend's own, or why there is none.
    Own(&'static [(&'static str, Result<&'static str, &'static str>)]),
    /// By a test of this path that goes through all of them.
    Ring(&'static str),
}

use Proof::{Own, Ring, Row};

const CHECKS: [Check; 22] = [
    check("the port is closed", "`connect_refused`", Row("killed", &[])),
    check(
        "connection attempts are dropped",
        "`connect_timeout` within half of the run",
        Ring("conformance::bad_peers::a_host_that_drops_packets_is_a_connect_timeout"),
    ),
    check(
        "the name does not resolve",
        "`dns`, with the answer's code",
        Ring("conformance::names::a_name_without_address_says_why"),
    ),
    check(
        "connections are accepted, nothing is answered",
        "`timeout` of the phase that reads first, at the deadline",
        Row("a network that swallows everything", &[]),
    ),
    check(
        "a valid login may not ask the deep questions",
        "healthy, with partial coverage",
        Own(&[
            ("cassandra", Ok("a role with LOGIN only")),
            ("clickhouse", Ok("a server of today, and a user without grants")),
            ("consul", Ok("a token without any right, and lists that are empty for that")),
            ("elasticsearch", Err("its security cannot be had here; OpenSearch has the row")),
            ("http", Err("nothing is asked beside the request itself")),
            ("kafka", Ok("a user without rights")),
            ("memcached", Err("it knows no privileges")),
            ("mongodb", Ok("a user without roles")),
            ("mqtt", Ok("a user who may not read $SYS")),
            ("mysql", Ok("an account without privileges")),
            ("nats", Ok("may not ask for JetStream")),
            ("neo4j", Err("its Community edition has no privileges")),
            ("opensearch", Ok("a user who may search, and nothing else")),
            ("oracle", Ok("a user without grants")),
            ("postgres", Ok("a standby that is well")),
            ("rabbitmq", Ok("a user without the management API")),
            ("redis", Ok("a user without INFO")),
            ("sqlserver", Ok("a log-in without a right to see the state of the server")),
        ]),
    ),
    check(
        "the database, virtual host or page is unknown",
        "`config`",
        Own(&[
            ("cassandra", Ok("a keyspace that does not exist")),
            ("clickhouse", Ok("a database that does not exist")),
            ("consul", Ok("a datacenter that does not exist")),
            ("elasticsearch", Ok("an index that does not exist")),
            ("http", Ok("there is no such page")),
            ("kafka", Ok("a topic that is not there")),
            ("memcached", Err("it has one space of keys")),
            ("mongodb", Err("databases need not exist")),
            ("mqtt", Err("topics need not exist")),
            ("mysql", Ok("a database that does not exist")),
            ("nats", Err("subjects need not exist")),
            ("neo4j", Ok("a database that does not exist")),
            ("opensearch", Ok("an index that does not exist")),
            ("oracle", Ok("a service that the listener does not know")),
            ("postgres", Ok("a database that does not exist")),
            ("rabbitmq", Ok("a virtual host that does not exist")),
            ("redis", Ok("a database that does not exist")),
            ("sqlserver", Ok("a database that does not exist")),
        ]),
    ),
    check("the certificate has expired", "`tls`, code `expired`", Row("an expired certificate", &[])),
    check("it is another host's", "`tls`, code `hostname`", Row("a certificate for another host", &[])),
    check("nobody knows who signed it", "`tls`, code `untrusted`", Row("a certificate of an unknown CA", &[])),
    check(
        "a client certificate is wanted, in TLS 1.2",
        "`tls`, code `client_cert`",
        Own(&[
            ("cassandra", Ok("no client certificate where one is wanted, by TLS 1.2")),
            ("clickhouse", Ok("no client certificate where one is wanted, by TLS 1.2")),
            ("consul", Ok("no client certificate where one is wanted, by TLS 1.2")),
            ("elasticsearch", Ok("no client certificate where one is wanted, by TLS 1.2")),
            ("http", Ok("no client certificate where one is wanted, by TLS 1.2")),
            ("kafka", Ok("no client certificate where one is wanted, by TLS 1.2")),
            ("memcached", Ok("no client certificate where one is wanted, by TLS 1.2")),
            ("mongodb", Ok("no client certificate where one is wanted, by TLS 1.2")),
            ("mqtt", Ok("no client certificate where one is wanted, by TLS 1.2")),
            ("mysql", Ok("no client certificate where one is wanted")),
            ("nats", Ok("no client certificate where one is wanted, by TLS 1.2")),
            ("neo4j", Ok("no client certificate where one is wanted, by TLS 1.2")),
            ("opensearch", Ok("no client certificate where one is wanted, by TLS 1.2")),
            ("oracle", Ok("no client certificate where one is wanted, by TLS 1.2")),
            ("postgres", Ok("no client certificate where one is wanted")),
            ("rabbitmq", Ok("no client certificate where one is wanted, by TLS 1.2")),
            ("redis", Ok("no client certificate where one is wanted, in TLS 1.2")),
            ("sqlserver", Ok("no client certificate where one is wanted, by TLS 1.2")),
        ]),
    ),
    check(
        "a client certificate is wanted, in TLS 1.3",
        "`tls`, code `client_cert`",
        Own(&[
            ("cassandra", Ok("no client certificate where one is wanted, by TLS 1.3")),
            ("clickhouse", Ok("no client certificate where one is wanted, by TLS 1.3")),
            ("consul", Ok("no client certificate where one is wanted, by TLS 1.3")),
            ("elasticsearch", Ok("no client certificate where one is wanted, by TLS 1.3")),
            ("http", Ok("no client certificate where one is wanted, by TLS 1.3")),
            ("kafka", Ok("no client certificate where one is wanted, by TLS 1.3")),
            ("memcached", Ok("no client certificate where one is wanted, by TLS 1.3")),
            ("mongodb", Ok("no client certificate where one is wanted, by TLS 1.3")),
            ("mqtt", Ok("no client certificate where one is wanted, by TLS 1.3")),
            ("mysql", Ok("no client certificate where one is wanted")),
            ("nats", Ok("no client certificate where one is wanted, by TLS 1.3")),
            ("neo4j", Ok("no client certificate where one is wanted, by TLS 1.3")),
            ("opensearch", Ok("no client certificate where one is wanted, by TLS 1.3")),
            ("oracle", Ok("no client certificate where one is wanted, by TLS 1.3")),
            ("postgres", Ok("no client certificate where one is wanted")),
            ("rabbitmq", Ok("no client certificate where one is wanted, by TLS 1.3")),
            ("redis", Ok("no client certificate where one is wanted")),
            ("sqlserver", Ok("no client certificate where one is wanted, by TLS 1.3")),
        ]),
    ),
    check(
        "TLS is wanted, we speak plain text",
        "`tls`, or the server's own refusal or close",
        Own(&[
            ("cassandra", Ok("plain text to a TLS port")),
            ("clickhouse", Ok("plain text to the port of TLS")),
            ("consul", Ok("plain text to a TLS port")),
            ("elasticsearch", Ok("plain text to a port of TLS")),
            ("http", Ok("the server wants TLS")),
            ("kafka", Ok("the listener has TLS")),
            ("memcached", Ok("plain text to a TLS port")),
            ("mongodb", Ok("the server requires TLS")),
            ("mqtt", Ok("plain text to a TLS port")),
            ("mysql", Ok("plain text where TLS is demanded")),
            ("nats", Ok("the server requires TLS")),
            ("neo4j", Ok("plain text to a TLS port")),
            ("opensearch", Ok("plain text to a port of TLS")),
            ("oracle", Ok("plain text to a TLS port")),
            ("postgres", Ok("plain text where TLS is demanded")),
            ("rabbitmq", Ok("plain text to a TLS port")),
            ("redis", Ok("plain text to a TLS port")),
            ("sqlserver", Ok("plain text where TLS is demanded")),
        ]),
    ),
    check(
        "plain text is spoken, we begin with TLS",
        "`tls`, where the server says anything",
        Own(&[
            ("cassandra", Ok("TLS to a plain-text port")),
            ("clickhouse", Ok("TLS to the port of plain text")),
            ("consul", Ok("TLS to a plain-text port")),
            ("elasticsearch", Ok("TLS to a port of plain text")),
            ("http", Ok("the server has no TLS")),
            ("kafka", Ok("the listener has no TLS")),
            ("memcached", Ok("TLS to a plain-text port")),
            ("mongodb", Ok("the server has no TLS")),
            ("mqtt", Ok("TLS to a plain-text port")),
            ("mysql", Ok("TLS that is not offered")),
            ("nats", Ok("the server has no TLS")),
            ("neo4j", Ok("TLS to a plain-text port")),
            ("opensearch", Ok("TLS to a port of plain text")),
            ("oracle", Ok("TLS to a plain-text port")),
            ("postgres", Ok("TLS that is not offered")),
            ("rabbitmq", Ok("TLS to a plain-text port")),
            ("redis", Ok("TLS to a plain-text port")),
            ("sqlserver", Ok("TLS that is not offered")),
        ]),
    ),
    check(
        "the server is stopped (SIGSTOP)",
        "`timeout`; after SIGCONT nothing of ours is left, where the server tells",
        Row("hung", &[]),
    ),
    check(
        "the server ends our session",
        "one silent reconnect, healthy",
        Row("the server ended our session", &sessions::NEVER_END),
    ),
    check("the network ends our session", "one silent reconnect, healthy", Row("the warm session was cut", &[])),
    check("the server is killed, and started again", "unhealthy at once, then healthy at once", Row("restarted", &[])),
    check(
        "another role than expected, lag, or no quorum",
        "the finding",
        Own(&[
            ("cassandra", Ok("two of three nodes are lost")),
            ("clickhouse", Ok("a replica that is behind")),
            ("consul", Ok("two of three servers are down, and the lists would answer after ten seconds")),
            ("elasticsearch", Ok("one of three nodes killed")),
            ("http", Err("a page has no role")),
            ("kafka", Ok("the controllers have lost their majority")),
            ("memcached", Err("each server stands alone")),
            ("mongodb", Ok("a set without a primary")),
            ("mqtt", Err("each broker stands alone")),
            ("mysql", Ok("a replica where a source is expected")),
            ("nats", Ok("JetStream has no leader")),
            ("neo4j", Ok("read-only where writes are expected")),
            ("opensearch", Ok("one of three nodes killed")),
            ("oracle", Ok("a standby where a primary is expected")),
            ("postgres", Ok("a standby where a primary is expected")),
            ("rabbitmq", Err("a cluster is not made here; alarms and virtual hosts have rows")),
            ("redis", Ok("a replica where a primary is expected")),
            ("sqlserver", Ok("a secondary where a primary is expected")),
        ]),
    ),
    check(
        "a secret in every place of the entry, echoed by the peer",
        "in no outcome, in no log",
        Ring("conformance::secrets::a_secret_is_in_no_outcome_and_no_log"),
    ),
    check(
        "1 000 warm runs",
        "one connection, no line in the server's log, no descriptor, thread or memory more",
        Ring("live::sessions::a_thousand_warm_runs_cost_nothing"),
    ),
    check("noise, as much as is read", "`protocol`, and a bounded read", Row("noise without end", &[])),
    check(
        "another server on the port",
        "`protocol`, and its name: see below",
        Ring("live::acceptance::strangers::every_backend_says_what_it_met_at_the_port_of_every_other"),
    ),
];

const fn check(done: &'static str, wanted: &'static str, proof: Proof) -> Check {
    Check { done, wanted, proof }
}

impl Check {
    /// The row of a backend, or why it has none; nothing where it is not a matter of rows.
    fn row(&self, backend: &str) -> Option<Result<State, &'static str>> {
        let state = match &self.proof {
            Row(state, but) => but.iter().find(|(kind, _)| *kind == backend).map_or(Ok(*state), |(_, why)| Err(*why)),
            Own(rows) => {
                let own = rows.iter().find(|(kind, _)| *kind == backend).map(|(_, row)| *row);
                own.unwrap_or_else(|| panic!("nothing is said of {backend} and {:?}", self.done))
            }
            Ring(_) => return None,
        };
        let find = |name: &str| states().into_iter().find(|row| (row.backend, row.state) == (backend, name));
        Some(state.map(|name| find(name).unwrap_or_else(|| panic!("{backend} has no row {name:?}"))))
    }
}

/// What is said of a test that is named here and is not there.
fn missing(path: &str) -> Option<String> {
    let (module, name) = path.rsplit_once("::")?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(module.replace("::", "/")).with_extension("rs");
    let text = fs::read_to_string(source).unwrap_or_default();
    (!text.contains(&format!("fn {name}"))).then(|| format!("there is no test {path}"))
}

#[test]
fn every_check_is_made() {
    let rings = CHECKS.iter().filter_map(|check| match check.proof {
        Ring(path) => missing(path),
        _ => None,
    });
    let mistakes: Vec<_> = rings.collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
    for backend in BACKENDS {
        assert!(CHECKS.iter().filter_map(|check| check.row(backend)).count() > 0);
        let own = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/live/{backend}/sessions.rs")));
        assert!(
            own.is_ok_and(|text| ["specimen! {", "session_tests! {"].iter().any(|makes| text.contains(makes))),
            "{backend} has no tests of its sessions"
        );
    }
}
