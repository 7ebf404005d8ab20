//! Facts of backends that are numbers: `probity_<backend>_<fact>`, with the manual's meaning as help.

use std::collections::BTreeMap;

use super::{
    dependencies::fresh,
    family::{Family, labels_of},
};
use crate::snapshot::Snapshot;

/// One family per backend and fact, in alphabetical order.
pub(super) fn families(snapshot: &Snapshot) -> Vec<Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    for standing in &snapshot.standings {
        let plan = &standing.dependency;
        let Some(outcome) = fresh(standing) else { continue };
        for (name, value) in outcome.facts.iter() {
            let Some(row) = plan.probe.manual().fact(name).filter(|row| row.metric) else { continue };
            let Some(number) = value.as_number().filter(|number| number.is_finite()) else { continue };
            let metric = format!("probity_{}_{name}", plan.backend);
            let family = families.entry(metric).or_insert_with_key(|metric| {
                // What never falls while the server runs is named so.
                if name.ends_with("_total") { Family::counter(metric, row.meaning) } else { Family::gauge(metric, row.meaning) }
            });
            family.add(labels_of(standing), number);
        }
    }
    families.into_values().collect()
}
