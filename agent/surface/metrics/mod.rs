//! Prometheus text: everything that `product.md` names, and nothing that is not known.
//!
//! Label sets are closed: names from the catalog, words from our own enumerations, and in
//! `probity_dependency_info` alone a few facts. A text of a peer is never a label elsewhere. What is stale
//! exports no numbers, because a frozen gauge looks like a living one.

mod dependencies;
mod facts;
mod family;
mod own;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use prometheus::{TextEncoder, proto::MetricFamily};

use crate::{snapshot::Snapshot, vitals::Vitals};

use family::Family;
pub use family::MetricRow;

/// The content type of the text.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The whole text. What belongs to the snapshot is made once per revision.
#[must_use]
pub fn render(snapshot: &Snapshot, vitals: &Vitals) -> Bytes {
    let dependencies = snapshot.bodies.metrics.get_or_init(|| {
        let mut families = dependencies::families(snapshot);
        families.extend(facts::families(snapshot));
        text(families.into_iter().map(Family::done))
    });
    let own = text(own::families(snapshot, vitals).into_iter().map(Family::done).chain(own::process()));
    [&dependencies[..], &own[..]].concat().into()
}

/// Every metric but the facts of backends, which their manuals list: those of each dependency, then the agent's own.
#[must_use]
pub fn manual(snapshot: &Snapshot, vitals: &Vitals) -> (Vec<MetricRow>, Vec<MetricRow>) {
    let rows = |families: Vec<Family>| families.iter().map(Family::row).collect::<Vec<_>>();
    let mut own = rows(own::families(snapshot, vitals));
    own.extend(own::process().iter().map(|family| MetricRow::of(family, "")));
    (rows(dependencies::families(snapshot)), own)
}

fn text(families: impl Iterator<Item = MetricFamily>) -> Bytes {
    let mut text = String::new();
    for family in families.filter(|family| !family.get_metric().is_empty()) {
        if let Err(error) = TextEncoder::new().encode_utf8(std::slice::from_ref(&family), &mut text) {
            tracing::error!(metric = family.name(), %error, "a metric could not be written");
        }
    }
    text.into()
}
