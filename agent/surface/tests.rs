//! What each route says of one snapshot.

use std::time::Duration;

use ::http::{Method, StatusCode};
use probity_probes::FailureKind;
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::*;
use crate::{
    catalog::plan::{AgentPlan, Criticality},
    document::{Chosen, Detail, Document},
    snapshot::Snapshot,
    testing::{agent, example, failed, healthy, noon, plan, snapshot, standing},
    vitals::Vitals,
};

struct Asked {
    runtime: Runtime,
    snapshot: Snapshot,
}

fn asking(snapshot: Snapshot) -> Asked {
    Asked { runtime: Builder::new_current_thread().build().unwrap(), snapshot }
}

impl Asked {
    fn ask(&self, method: &Method, path: &str, draft: bool) -> Answer {
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        let about = About {
            listen: "127.0.0.1:8686".parse().unwrap(),
            connection_limit: 100,
            open_files_limit: 1024,
            probes: self.runtime.handle().clone(),
        };
        // Vitals are read on a clock of tokio's, which works without a runtime.
        answer(&Question { method, path, query, draft }, &self.snapshot, &Vitals::new(4), &about)
    }

    fn get(&self, path: &str) -> (u16, String) {
        let answer = self.ask(&Method::GET, path, false);
        (answer.status.as_u16(), String::from_utf8(answer.body.to_vec()).unwrap())
    }

    fn json(&self, path: &str) -> (u16, Value) {
        let (status, body) = self.get(path);
        (status, serde_json::from_str(&body).unwrap())
    }
}

fn down() -> Snapshot {
    let db = standing(plan("orders-db", Criticality::Required), [healthy(), failed(FailureKind::ConnectRefused)]);
    snapshot(agent(), vec![db])
}

#[test]
fn health_is_the_aggregate_alone() {
    let reason = "old is stale: its run is overdue, the agent is starved";
    let (status, body) = asking(down()).json("/health");
    assert_eq!(status, 503);
    assert_eq!(
        body,
        json!({
            "schema": 1, "status": "unhealthy", "ready": false,
            "reason": "orders-db is unhealthy: it did not work (connect_refused)",
            "revision": 42, "generation": 1, "at": "2026-01-01T12:00:00.000Z",
            "agent": { "id": "orders-sidecar", "version": env!("CARGO_PKG_VERSION") },
        })
    );
    let (status, body) = asking(example()).json("/health");
    assert_eq!((status, &body["status"], &body["ready"]), (200, &json!("degraded"), &json!(true)));
    assert_ne!(body["reason"], reason, "what is unhealthy is named before what is stale");
}

#[test]
fn the_document_has_one_shape_everywhere() {
    let asked = asking(example());
    let (_, whole) = asked.json("/dependencies");
    assert_eq!(asked.json("/health?verbose").1, whole);
    let orders = &whole["dependencies"][0];
    assert_eq!(
        *orders,
        json!({
            "name": "orders-db", "backend": "puppet", "criticality": "required", "status": "degraded",
            "since": "2026-01-01T12:00:00.000Z", "checked_at": "2026-01-01T12:00:00.000Z",
            "last_success": "2026-01-01T12:00:00.000Z", "latency_seconds": 0.0007, "duration_seconds": 0.0009,
            "session": "fresh", "phases_seconds": { "query": 0.0007 }, "coverage": "partial", "missing": ["replication"],
            "findings": [
                { "code": "connections", "severity": "degraded", "observed": 0.94, "threshold": 0.9, "remedy": "Raise the limit." }
            ],
            "facts": {
                "certificate_expiry_timestamp_seconds": 1_800_000_000, "lag_seconds": 0.5, "restarts_total": 7, "version": "15.18"
            },
            "owner": "team \"orders\"", "labels": { "backend": "taken", "team": "orders" },
        })
    );
    let cache = &whole["dependencies"][1];
    let failure = json!({
        "kind": "connect_refused", "fault_domain": "backend", "phase": "query", "message": "it did not work",
        "remedy": "Check that the server runs and listens on this address and port.",
    });
    assert_eq!(cache["failure"], failure);
    assert_eq!(cache["last_error"]["at"], "2026-01-01T12:00:00.000Z");
    assert_eq!(cache.get("coverage"), None, "a run that did not finish covered nothing");
    assert!(!whole.to_string().contains("null") && !whole.to_string().contains("bob"));
    assert_eq!(asked.json("/dependencies/orders-db").1, *orders);
}

#[test]
fn the_servers_own_words_need_to_be_asked_for() {
    let db = || standing(plan("db", Criticality::Required), [failed(FailureKind::Auth)]);
    let agent = AgentPlan { verbose_errors: true, ..agent() };
    let (_, body) = asking(snapshot(agent, vec![db()])).json("/dependencies");
    assert_eq!(body["dependencies"][0]["failure"]["server_message"], "FATAL: user bob, go away");
    assert_eq!(body["dependencies"][0]["last_error"]["server_message"], "FATAL: user bob, go away");
    let plain = asking(snapshot(crate::testing::agent(), vec![db()]));
    for path in ["/dependencies", "/health?verbose", "/readyz?verbose", "/engine/status", "/metrics", "/dependencies/db"] {
        assert!(!plain.get(path).1.contains("bob"), "{path}");
    }
}

#[test]
fn a_check_is_the_same_document_of_raw_outcomes() {
    let (db, cache) = (plan("db", Criticality::Required), plan("cache", Criticality::Optional));
    let (well, bad) = (healthy(), failed(FailureKind::Timeout));
    let chosen = |plan| Chosen { plan, criticality: plan.criticality };
    let document = Document::checked(&agent(), &[(chosen(&db), &well), (chosen(&cache), &bad)], Detail::Verbose);
    let body = serde_json::to_value(&document).unwrap();
    assert_eq!((&body["status"], &body["ready"]), (&json!("degraded"), &json!(true)));
    assert_eq!(body["reason"], "cache is unhealthy: it did not work (timeout)");
    assert_eq!(body["dependencies"][1]["failure"]["server_message"], "FATAL: user bob, go away");
    assert_eq!(body.get("revision"), None);
}

#[test]
fn the_schema_names_every_field_and_allows_no_null() {
    let schema = serde_json::to_string(&crate::document::schema()).unwrap();
    for word in ["latency_seconds", "last_error", "fault_domain", "connect_refused", "stale", "date-time", "suppressed_by"] {
        assert!(schema.contains(word), "{word}");
    }
    assert!(!schema.contains("null"), "{schema}");
}

#[test]
fn lists_are_filtered_and_typos_are_told() {
    let asked = asking(example());
    let names = |path: &str| -> Vec<String> {
        let (_, body) = asked.json(path);
        body["dependencies"].as_array().unwrap().iter().map(|entry| entry["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(names("/dependencies?status=stale&status=pending"), ["queue", "old"]);
    assert_eq!(names("/dependencies?backend=puppet").len(), 4);
    assert_eq!(names("/dependencies?backend=puppet&status=unhealthy"), ["cache"]);
    for (path, error) in [
        ("/dependencies?status=unhealhty", "unknown status `unhealhty`; did you mean `unhealthy`?"),
        ("/dependencies?stats=stale", "unknown filter `stats`; did you mean `status`?"),
    ] {
        assert_eq!(asked.json(path), (400, json!({ "error": error })));
    }
    assert_eq!(asked.get("/dependencies?backend=nonsuch").0, 400);
    let (status, body) = asked.json("/dependencies/order-db");
    assert_eq!((status, &body["error"]), (404, &json!("unknown dependency `order-db`; did you mean `orders-db`?")));
    assert_eq!(body["dependencies"], json!(["orders-db", "cache", "queue", "old"]));
    for path in ["/readyz/", "/dependencies/"] {
        let (status, body) = asked.json(&format!("{path}{}", "r".repeat(900)));
        assert_eq!((status, body), (404, json!({ "error": "no dependency has a name longer than 63 characters" })));
        assert_eq!(asked.get(&format!("{path}orders%2Ddb=junk")).0, 404);
        assert_eq!(asked.get(&format!("{path}orders%2Ddb")).0, 200);
    }
}

#[test]
fn kubernetes_gets_its_lines() {
    let asked = asking(example());
    assert_eq!(asked.get("/livez"), (200, "ok".into()));
    assert_eq!(asked.get("/health/live?verbose"), (200, "[+]scheduler ok\nlivez check passed\n".into()));
    assert_eq!(asked.get("/readyz"), (200, "ok".into()));
    let verbose = "[+]orders-db ok (required, degraded: connections 0.94 of 0.9)\n\
                   [+]cache ok (optional, unhealthy: it did not work (connect_refused))\n\
                   [+]queue ok (informational, pending: no run has ended yet)\n\
                   [+]old ok (optional, stale: its run is overdue, the agent is starved)\n\
                   [+]agent ok\nreadyz check passed\n";
    assert_eq!(asked.get("/readyz?verbose"), (200, verbose.into()));
    assert_eq!(asked.get("/startupz"), (200, "ok".into()));
    assert_eq!(asked.get("/readyz/orders-db"), (200, "ok".into()));
    assert_eq!(
        asked.get("/readyz/cache"),
        (503, "[-]cache failed: unhealthy: it did not work (connect_refused)\nreadyz check failed\n".into())
    );
    assert_eq!(asked.get("/readyz/nobody").0, 404);

    let asked = asking(down());
    let lines = "[-]orders-db failed: unhealthy: it did not work (connect_refused)\n[+]agent ok\nreadyz check failed\n";
    assert_eq!(asked.get("/health/ready"), (503, lines.into()));
    assert_eq!(asked.get("/readyz?exclude=orders-db"), (200, "ok".into()));
    let lines = "[+]orders-db excluded: ok\n[+]agent ok\n\
                 warn: some health checks cannot be excluded: no matches for [\"x\"]\nreadyz check passed\n";
    assert_eq!(asked.get("/readyz?verbose&exclude=orders-db&exclude=x"), (200, lines.into()));

    let asked = asking(snapshot(agent(), vec![standing(plan("db", Criticality::Required), [])]));
    assert_eq!(asked.get("/startupz"), (503, "[-]db failed: pending: no run has ended yet\nstartupz check failed\n".into()));
}

#[test]
fn an_agent_that_stands_still_shows_nothing_healthy() {
    let well = snapshot(agent(), vec![standing(plan("db", Criticality::Required), [healthy()])]);
    let asked = asking(well.withdrawn(true, "the agent's scheduler has stopped", noon()));
    let (status, body) = asked.json("/health?verbose");
    assert_eq!((status, &body["status"]), (503, &json!("unhealthy")));
    assert_eq!(
        (&body["reason"], &body["dependencies"][0]["status"]),
        (&json!("the agent's scheduler has stopped"), &json!("stale"))
    );
    assert!(asked.get("/readyz").1.contains("[-]agent failed: the agent's scheduler has stopped"));
    assert!(asked.get("/metrics").1.contains("probity_ready 0"));
}

#[tokio::test(start_paused = true)]
async fn liveness_fails_with_the_heartbeat_alone() {
    let vitals = Vitals::new(1);
    let query = routes::Query::parse(None);
    tokio::time::sleep(Duration::from_secs(29)).await;
    assert_eq!(kubernetes::live(&vitals, &query).status, StatusCode::OK);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answer = kubernetes::live(&vitals, &query);
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.body, "[-]scheduler failed: no heartbeat for 30 s\nlivez check failed\n");
    vitals.beat(Duration::ZERO);
    assert_eq!(kubernetes::live(&vitals, &query).status, StatusCode::OK);
}

#[test]
fn the_draft_is_spoken_to_those_who_ask() {
    for (accept, wanted) in [
        ("application/health+json", true),
        ("text/html, application/health+json;q=0.9", true),
        ("*/*", false),
        ("application/json", false),
        ("application/health+json;q=0", false),
        ("application/health+json ; Q=0.000, */*", false),
        ("application/health+json;q=junk", false),
        ("application/json, application/health+json;q=0.5", false),
        ("application/json;q=0.2, application/health+json;v=1;q=0.5", true),
    ] {
        assert_eq!(answer::wants_draft([accept].into_iter()), wanted, "{accept}");
    }
    assert!(answer::wants_draft(["text/html", "application/health+json"].into_iter()), "in several headers");
    let answer = asking(example()).ask(&Method::GET, "/health", true);
    assert_eq!((answer.status, answer.content_type), (StatusCode::OK, "application/health+json"));
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&body["status"], &body["serviceId"], &body["version"]), (&json!("warn"), &json!("orders-sidecar"), &json!("1")));
    assert_eq!(
        body["checks"]["orders-db:responseTime"],
        json!([{
            "componentId": "orders-db", "componentType": "component", "observedValue": 0.0007, "observedUnit": "s",
            "status": "warn", "time": "2026-01-01T12:00:00.000Z", "output": "connections 0.94 of 0.9"
        }])
    );
    assert_eq!(asking(down()).ask(&Method::GET, "/health", true).status, StatusCode::SERVICE_UNAVAILABLE);
}

#[test]
fn what_does_not_exist_names_what_does() {
    let asked = asking(example());
    let (status, body) = asked.json("/helth");
    assert_eq!((status, &body["error"]), (404, &json!("there is no route `/helth`; did you mean `/health`?")));
    assert_eq!(body["routes"].as_array().unwrap().len(), ROUTES.len());
    let answer = asked.ask(&Method::POST, "/health", false);
    assert_eq!((answer.status, answer.allow), (StatusCode::METHOD_NOT_ALLOWED, Some("GET, HEAD")));
    assert_eq!(asked.ask(&Method::HEAD, "/health", false).status, StatusCode::OK);
}

#[test]
fn the_engine_describes_itself() {
    let asked = asking(example());
    let (status, manifest) = asked.json("/engine/manifest");
    assert_eq!((status, &manifest["listen"], &manifest["readiness"]), (200, &json!("127.0.0.1:8686"), &json!("strict")));
    assert_eq!(manifest["dependencies"][0]["interval_seconds"], 10.0);
    let (status, body) = asked.json("/engine/status");
    assert_eq!((status, &body["state"], &body["ready"]), (200, &json!("started"), &json!(true)));
    let (status, body) = asked.json("/engine/diagnostics");
    let parts: Vec<_> = body["parts"].as_array().unwrap().iter().map(|part| part["name"].as_str().unwrap()).collect();
    assert_eq!((status, parts), (200, vec!["scheduler", "keeper", "probes", "surface"]));
    assert!(!format!("{manifest}{body}").contains("null"));
}

#[test]
fn every_route_of_the_table_answers() {
    let asked = asking(example());
    for route in ROUTES {
        let answer = asked.ask(&Method::GET, &route.path.replace("{name}", "orders-db"), false);
        assert_eq!(answer.status, StatusCode::OK, "{}", route.path);
        assert!(!answer.body.is_empty());
    }
}
