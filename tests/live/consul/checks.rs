//! Services, their checks, and maintenance.

use serde_json::json;

use super::expect;
use crate::support::require;
use crate::support::servers::consul::{Consul, shared};
use crate::support::truth::{Expected, states};

states! { "consul":
    SERVED = "a service whose checks pass", "registered with a passing check" => Expected::HEALTHY;
    HALF = "a service of which an instance is critical", "one check passes, another is critical" => Expected::degraded("service_critical");
    DOWN = "a service that is down", "its only check is critical" => Expected::unfit("service_unavailable");
    ABSENT = "a service that nobody has registered", "services names it" => Expected::unfit("service_unavailable");
    MAINTAINED = "a node in maintenance", "/v1/agent/maintenance?enable=true" => Expected::degraded("node_maintenance");
}

#[test]
fn services_are_looked_at_by_their_name() {
    if !require("consul") {
        return;
    }
    let server = shared();
    server.register("web", "web-1", "passing");
    server.register("shop", "shop-1", "passing");
    server.register("shop", "shop-2", "critical");
    server.register("mail", "mail-1", "critical");
    let ask = |state, service: &str| expect(state, server.addr(), json!({ "services": [service] }));
    ask(&SERVED, "web");
    ask(&HALF, "shop");
    ask(&DOWN, "mail");
    ask(&ABSENT, "nothing");
}

/// Autopilot stays content, and the leader leads.
#[test]
fn maintenance_is_seen_although_everything_else_is_well() {
    if !require("consul") {
        return;
    }
    let server = Consul::start();
    server.put("/v1/agent/maintenance?enable=true&reason=test", &json!(null));
    expect(&MAINTAINED, server.addr(), json!({}));
}
