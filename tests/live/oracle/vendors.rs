//! The vendor's own clients at the stand-in: what only our adapter takes for a database proves nothing.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc;
use std::thread;

use probity_probes::FailureKind;
use serde_json::{Value as Json, json};

use super::expect;
use crate::support::outcome::code;
use crate::support::process::Launch;
use crate::support::servers::oracle::{Oracle, SERVICE};
use crate::support::servers::{self, PASSWORD, USER, farm};
use crate::support::truth::{Expected, states};
use crate::support::{PATIENCE, require, scratch};

states! { "oracle":
    WELL = "what the vendor's clients take for a database", "a stand-in that python-oracledb, node-oracledb and the crate oracledb have logged in to" => Expected::HEALTHY;
    REFUSED = "what the vendor's clients are refused with", "the same, with a wrong password" => Expected::fails(FailureKind::Auth);
}

/// A client: what it says of a log-in and of each statement, as JSON.
type Client = fn(SocketAddr, &str, &str, &[&str]) -> Json;

const CLIENTS: [(&str, Client); 3] = [
    ("python-oracledb", |addr, service, password, statements| {
        run("venv/bin/python", "ask.py", addr, service, password, statements)
    }),
    ("node-oracledb", |addr, service, password, statements| run("node", "ask.cjs", addr, service, password, statements)),
    ("oracledb", |addr, service, password, statements| bounded(addr, service, password, statements)),
];

fn run(program: &str, script: &str, addr: SocketAddr, service: &str, password: &str, statements: &[&str]) -> Json {
    let folder = farm("oracle-clients").expect("whoever runs it has asked for it");
    let program = if program.contains('/') { folder.join(program) } else { servers::program(program) };
    let scratch = scratch();
    let (log, output) = (scratch.path().join("log"), scratch.path().join("output"));
    let script_file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/farm/oracle-clients").join(script);
    let client = Launch::new(program, log).arg(script_file).arg(format!("{addr}/{service}")).args([USER, password]);
    client.args(statements).env("NODE_PATH", folder.join("node_modules")).stdout(&output).run();
    let said = fs::read_to_string(output).expect("it has said something");
    serde_json::from_str(&said).unwrap_or_else(|_| panic!("{script}: {said}"))
}

/// The crate has no limits of its own.
fn bounded(addr: SocketAddr, service: &str, password: &str, statements: &[&str]) -> Json {
    let (tell, told) = mpsc::channel();
    let (service, password) = (service.to_owned(), password.to_owned());
    let statements: Vec<_> = statements.iter().map(|statement| (*statement).to_owned()).collect();
    thread::spawn(move || {
        let statements: Vec<_> = statements.iter().map(String::as_str).collect();
        // Nobody listens any more where it was too late.
        let _ = tell.send(crate_oracledb(addr, &service, &password, &statements));
    });
    told.recv_timeout(PATIENCE).expect("an answer in time")
}

fn crate_oracledb(addr: SocketAddr, service: &str, password: &str, statements: &[&str]) -> Json {
    let config = oracledb::Config::default().set_credentials(USER, password).set_connect_string(&format!("{addr}/{service}"));
    let connection = match oracledb::connect(config.expect("a connect string")) {
        Ok(connection) => connection,
        Err(error) => return json!({ "error": error.to_string() }),
    };
    connection.ping().expect("it answers");
    let answer = |statement: &&str| -> Result<Json, oracledb::Error> {
        if *statement == "COMMIT" {
            return connection.commit().map(|()| json!([]));
        } else if !statement.starts_with("SELECT") {
            return connection.execute(statement, &[]).map(|_| json!([]));
        }
        let rows = connection.query(statement, &[])?.map(|row| {
            let row = row?;
            (0..row.columns().len()).map(|at| row.get::<String>(at)).collect::<Result<Vec<_>, oracledb::Error>>()
        });
        Ok(json!(rows.collect::<Result<Vec<_>, _>>()?))
    };
    let failed = |error: oracledb::Error| json!(error.to_string().split(':').next());
    let answers: Vec<_> = statements.iter().map(|statement| answer(statement).unwrap_or_else(failed)).collect();
    let warning = connection.last_warning().ok().flatten().unwrap_or_default();
    json!({ "version": connection.version().map(|version| version.to_string()).ok(), "warning": warning, "answers": answers })
}

#[test]
fn the_vendors_clients_log_in_and_ask_as_we_do() {
    if !require("oracle-clients") {
        return;
    }
    let server = Oracle::start();
    let statements = [
        "SELECT 1 FROM DUAL",
        "SELECT * FROM V$DATABASE",
        "SELECT * FROM nosuch",
        "SELECT * FROM V$RESOURCE_LIMIT",
        "MERGE INTO probity.canary c USING DUAL ON (c.id = '1') WHEN MATCHED THEN UPDATE SET c.nonce = 'abc' \
         WHEN NOT MATCHED THEN INSERT (id, nonce) VALUES ('1', 'abc')",
        "SELECT nonce FROM probity.canary WHERE id = '1'",
        "DELETE FROM probity.canary WHERE id = '1'",
        "COMMIT",
        "MERGE INTO probity.other",
    ];
    let limits = json!([["processes", "75", "       300"], ["sessions", "90", "       472"]]);
    let answers = json!([[["1"]], [["READ WRITE"]], "ORA-00942", limits, [], [["abc"]], [], [], "ORA-00942"]);
    for (name, client) in CLIENTS {
        let said = client(server.addr(), SERVICE, PASSWORD, &statements);
        assert_eq!(said, json!({ "version": "19.3.0.0.0", "warning": "", "answers": answers }), "{name}");
    }
    let log = server.process().log_lines();
    assert_eq!(log.iter().filter(|line| line.as_str() == "commit, without a canary").count(), CLIENTS.len(), "{log:#?}");
    assert!(!log.iter().any(|line| line.contains("warning")), "{log:#?}");
    expect(&WELL, &server, json!({}));
}

#[test]
fn the_vendors_clients_are_refused_as_we_are() {
    if !require("oracle-clients") {
        return;
    }
    let server = Oracle::start();
    let expiring = Oracle::builder().warned(28002, "the password will expire within 7 days").start();
    let locked = Oracle::builder().denied(28000, "The account is locked.").start();
    let not_mounted = Oracle::builder().refusing(12528).start();
    let listener = Oracle::builder().redirecting(server.addr()).start();
    for (name, client) in CLIENTS {
        let error = |server: &Oracle, service, password| {
            let said = client(server.addr(), service, password, &[]);
            said["error"].as_str().unwrap_or_else(|| panic!("{name}: {said}")).to_owned()
        };
        for (said, wanted) in [
            (error(&server, SERVICE, "wrong"), "ORA-01017"),
            (error(&locked, SERVICE, PASSWORD), "ORA-28000"),
            (error(&server, "nosuch", PASSWORD), "is not registered with the listener"),
            (error(&not_mounted, SERVICE, PASSWORD), "12528"),
        ] {
            assert!(said.contains(wanted), "{name}: {said}");
        }
        let said = client(listener.addr(), SERVICE, PASSWORD, &["SELECT 1 FROM DUAL"]);
        assert_eq!(said["answers"], json!([[["1"]]]), "{name} was sent elsewhere: {said}");
        // node-oracledb keeps it to itself where it has no pool.
        if name != "node-oracledb" {
            let said = client(expiring.addr(), SERVICE, PASSWORD, &[]);
            assert!(said["warning"].as_str().is_some_and(|words| words.contains("will expire")), "{name}: {said}");
        }
    }
    assert_eq!(code(&expect(&REFUSED, &server, json!({ "password": "wrong" }))), Some("ORA-01017"));
}
