//! Words of the product that this version cannot honour yet. They are refused by name, so that nobody
//! believes in a key that does nothing.

/// Where such a word would stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// Beside `[agent]` and `[dependencies]`.
    Top,
    /// In `[agent]`.
    Agent,
    /// In a dependency, or in `[defaults]`.
    Dependency,
}

const WORDS: &[(Where, &str)] = &[
    (Where::Top, "groups"),
    (Where::Top, "failure_policy"),
    (Where::Top, "ledger"),
    (Where::Top, "otlp"),
    (Where::Top, "grpc"),
    (Where::Top, "discovery"),
    (Where::Top, "version"),
    (Where::Agent, "admin_token"),
    (Where::Agent, "token"),
    (Where::Agent, "tls"),
    (Where::Agent, "ledger"),
    (Where::Agent, "grpc"),
    (Where::Agent, "otlp"),
    (Where::Agent, "settle"),
    (Where::Dependency, "depends_on"),
    (Where::Dependency, "on_probe_fault"),
    (Where::Dependency, "max_discovered"),
    (Where::Dependency, "auth_max_attempts"),
    (Where::Dependency, "maintenance"),
];

/// Whether the word is one that a later version will know.
pub(super) fn is_planned(place: Where, word: &str) -> bool {
    WORDS.contains(&(place, word))
}

/// Words for a key that a later version will know, and what can be written today.
const VALUES: &[(&str, &str, &str)] = &[
    ("targets", "first", "use `any`"),
    ("targets", "all", "give each host an entry of its own"),
    ("targets", "quorum", "give each host an entry of its own"),
    ("targets", "each", "give each host an entry of its own"),
];

/// What to write instead of a word that a later version will know.
pub(super) fn instead(key: &str, word: &str) -> Option<&'static str> {
    VALUES.iter().find(|(of, planned, _)| (*of, *planned) == (key, word)).map(|(.., instead)| *instead)
}

/// The sentence for it.
pub(super) fn sentence(word: &str) -> String {
    format!("`{word}` is not supported by this version yet")
}
