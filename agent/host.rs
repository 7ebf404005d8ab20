//! The name of this machine; in a pod, the pod's.

use std::{fs::read_to_string, sync::LazyLock};

/// It does not change while the agent runs; `probity` where the machine has none.
pub(crate) fn name() -> &'static str {
    static NAME: LazyLock<String> = LazyLock::new(|| {
        let named = read_to_string("/proc/sys/kernel/hostname").or_else(|_| read_to_string("/etc/hostname"));
        let name = named.ok().or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
        Some(name.trim()).filter(|name| !name.is_empty()).unwrap_or("probity").to_owned()
    });
    &NAME
}
