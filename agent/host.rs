//! What this machine says: its name (in a pod, the pod's), and the threads of this process.

use std::{
    collections::BTreeMap,
    fs::{read_dir, read_to_string},
    sync::LazyLock,
};

/// It does not change while the agent runs; `probity` where the machine has none.
pub(crate) fn name() -> &'static str {
    static NAME: LazyLock<String> = LazyLock::new(|| {
        let named = read_to_string("/proc/sys/kernel/hostname").or_else(|_| read_to_string("/etc/hostname"));
        let name = named.ok().or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
        Some(name.trim()).filter(|name| !name.is_empty()).unwrap_or("probity").to_owned()
    });
    &NAME
}

/// How many threads this process has of each name, those of libraries included. Where a library numbers its threads, all
/// of them count as one name.
pub(crate) fn threads() -> BTreeMap<String, u64> {
    let tasks = read_dir("/proc/self/task").into_iter().flatten().flatten();
    let mut threads = BTreeMap::new();
    // One that ends meanwhile has no name any more.
    for name in tasks.filter_map(|task| read_to_string(task.path().join("comm")).ok()) {
        let name = name.trim_end().trim_end_matches(|letter: char| letter.is_ascii_digit());
        *threads.entry(name.to_owned()).or_default() += 1;
    }
    threads
}
