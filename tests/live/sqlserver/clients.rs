//! Clients of other people take the stand-ins for SQL Server: what only our adapter accepts would prove nothing.

use std::net::SocketAddr;

use serde_json::{Value as Json, json};

use super::{entry, plain};
use crate::support::probe::Asked;
use crate::support::require;
use crate::support::servers::PASSWORD;
use crate::support::servers::sqlserver::standin::{Cipher, Deed, StandIn};
use crate::support::servers::sqlserver::{shared, told};
use crate::support::tls::{Ca, Leaf};
use crate::support::truth::{Expected, check, states};

states! { "sqlserver":
    PLAIN = "a stand-in that pymssql, python-tds and tedious take for SQL Server", "encrypt=disable" => Expected::HEALTHY;
    SECURED = "a stand-in that pymssql and tedious take for SQL Server with TLS", "encrypt=true" => Expected::HEALTHY;
    STRICT = "a stand-in that tedious takes for SQL Server 2022", "encrypt=strict" => Expected::HEALTHY;
    BRIDGE = "pysqlbridge, which pymssql and tedious take for SQL Server", "encrypt=true" => Expected::HEALTHY;
}

/// What is asked of a stand-in, and what all clients must be told.
const QUESTIONS: [&str; 4] = ["SELECT 1", "SELECT sick", "SELECT words FROM jobs", "SELECT nobody FROM nothing"];

fn prepare(server: &StandIn) {
    server.at_question("SELECT sick", Deed::Refuse(922, 1));
    server.at_question("FROM jobs", Deed::Tell(&["words"], vec![vec![json!("föö")], vec![json!(null)]]));
}

/// Rows as every client shows them: tedious has numbers of eight bytes as texts.
fn answers(client: &str) -> Vec<Json> {
    let one = if client == "tedious" { json!("1") } else { json!(1) };
    vec![json!({ "rows": [[one]] }), json!({ "error": 922 }), json!({ "rows": [["föö"], [null]] }), json!({ "error": 208 })]
}

#[track_caller]
fn expect_told(client: &str, addr: SocketAddr, encrypt: &str) {
    assert_eq!(told(client, addr, encrypt, PASSWORD, &QUESTIONS), answers(client), "{client}, encrypt={encrypt}");
}

#[test]
fn a_stand_in_is_taken_for_sql_server() {
    if !require("sqlserver") {
        return;
    }
    let server = StandIn::start();
    prepare(&server);
    for client in ["pymssql", "python-tds", "tedious"] {
        expect_told(client, server.addr(), "disable");
        let refused = told(client, server.addr(), "disable", "not-the-password", &[]);
        assert_eq!(refused.len(), 1, "{client}: {refused:?}");
        assert!(refused[0]["refused"] != json!(null), "{client}: {refused:?}");
    }
    server.heal();
    check(&PLAIN, &Asked::new("sqlserver", plain(server.addr(), json!({}))).run());
}

#[test]
fn a_stand_in_is_taken_for_sql_server_with_tls() {
    if !require("sqlserver") {
        return;
    }
    let server = StandIn::secured(Cipher::Offered, &Ca::shared().issue(&Leaf::server()));
    prepare(&server);
    for (client, encrypt) in [("pymssql", "true"), ("tedious", "true"), ("tedious", "strict")] {
        expect_told(client, server.addr(), encrypt);
    }
    server.heal();
    for (state, how) in [(&SECURED, "true"), (&STRICT, "strict")] {
        let url = format!("sqlserver://{}?database=orders&encrypt={how}", server.addr());
        check(state, &Asked::new("sqlserver", entry(server.addr(), json!({ "url": url }))).run());
    }
}

#[test]
fn a_bridge_of_other_people_is_taken_for_sql_server() {
    if !require("sqlserver") {
        return;
    }
    for client in ["pymssql", "tedious"] {
        let said = told(client, shared().addr(), "true", PASSWORD, &["SELECT name FROM people", "SELECT x FROM nothing"]);
        assert_eq!(said, [json!({ "rows": [["Ada"], ["Grace"]] }), json!({ "error": 208 })], "{client}");
    }
    check(&BRIDGE, &Asked::new("sqlserver", entry(shared().addr(), json!({}))).run());
}
