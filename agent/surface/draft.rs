//! The aggregate in the shape of the IETF draft "Health Check Response Format for HTTP APIs"
//! (draft-inadarei-api-health-check-06), for clients that ask for `application/health+json`.

use std::collections::BTreeMap;

use probity_probes::Status;
use serde::Serialize;

use crate::{
    document::Time,
    judge::{Standing, ViewStatus},
    snapshot::Snapshot,
};

/// §3: the object as a whole.
#[derive(Serialize)]
struct Health<'a> {
    status: &'static str,
    version: &'static str,
    #[serde(rename = "releaseId")]
    release: &'static str,
    #[serde(rename = "serviceId")]
    service: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<&'a str>,
    checks: BTreeMap<String, [Check<'a>; 1]>,
}

/// §4: one component.
#[derive(Serialize)]
struct Check<'a> {
    #[serde(rename = "componentId")]
    component: &'a str,
    #[serde(rename = "componentType")]
    kind: &'static str,
    #[serde(rename = "observedValue", skip_serializing_if = "Option::is_none")]
    observed: Option<f64>,
    #[serde(rename = "observedUnit", skip_serializing_if = "Option::is_none")]
    unit: Option<&'static str>,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
}

/// The body.
pub(super) fn render(snapshot: &Snapshot) -> Vec<u8> {
    let health = Health {
        // 4xx and 5xx have to go with `fail`, 2xx and 3xx with the others.
        status: match (snapshot.aggregate.ready, snapshot.aggregate.status) {
            (false, _) => "fail",
            (true, Status::Healthy) => "pass",
            (true, Status::Degraded | Status::Unhealthy) => "warn",
        },
        version: "1",
        release: env!("CARGO_PKG_VERSION"),
        service: &snapshot.agent.id,
        output: snapshot.aggregate.reason.as_deref(),
        checks: snapshot.standings.iter().map(|standing| (key(standing), [check(standing)])).collect(),
    };
    serde_json::to_vec(&health).unwrap_or_default()
}

fn key(standing: &Standing) -> String {
    format!("{}:responseTime", standing.dependency.name)
}

fn check(standing: &Standing) -> Check<'_> {
    let last = standing.last.as_deref().filter(|_| standing.status != ViewStatus::Stale);
    let observed = last.and_then(probity_probes::Outcome::latency).map(|latency| latency.as_secs_f64());
    Check {
        component: &standing.dependency.name,
        kind: "component",
        observed,
        unit: observed.map(|_| "s"),
        status: match standing.status {
            ViewStatus::Healthy => "pass",
            ViewStatus::Degraded => "warn",
            ViewStatus::Unhealthy | ViewStatus::Pending | ViewStatus::Stale => "fail",
        },
        time: standing.last.as_ref().map(|outcome| Time(outcome.at)),
        output: (standing.status != ViewStatus::Healthy).then(|| standing.why()),
    }
}
