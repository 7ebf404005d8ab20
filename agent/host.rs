//! What this machine says: its name (in a pod, the pod's), the threads of this process, and its memory limit.

use std::{
    collections::BTreeMap,
    fs::{read_dir, read_to_string},
    path::Path,
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

/// The memory that this process and its neighbours in the container may use, in bytes: the lowest limit of its control
/// group and of the groups above. `None` without a limit.
pub(crate) fn memory_limit() -> Option<u64> {
    let groups = read_to_string("/proc/self/cgroup").ok()?;
    // Version 2 first; version 1 names its controllers.
    let roots = groups.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        match rest.split_once(':')? {
            ("", group) => Some(("/sys/fs/cgroup", "memory.max", group)),
            (controllers, group) if controllers.split(',').any(|name| name == "memory") => {
                Some(("/sys/fs/cgroup/memory", "memory.limit_in_bytes", group))
            }
            _ => None,
        }
    });
    roots.filter_map(|(root, file, group)| lowest_limit(Path::new(root), file, group)).min()
}

/// The lowest number in the files of this name, from the group up to the root.
fn lowest_limit(root: &Path, file: &str, group: &str) -> Option<u64> {
    let folders = Path::new(group.trim_start_matches('/')).ancestors();
    folders.filter_map(|folder| read_to_string(root.join(folder).join(file)).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use std::fs::{create_dir_all, write};

    use super::*;

    #[test]
    fn the_lowest_limit_on_the_way_up_counts() {
        let root = tempfile::tempdir().unwrap();
        create_dir_all(root.path().join("pod/agent")).unwrap();
        for (file, limit) in [("memory.max", "max\n"), ("pod/memory.max", "67108864\n"), ("pod/agent/memory.max", "max\n")] {
            write(root.path().join(file), limit).unwrap();
        }
        let limit = |group| lowest_limit(root.path(), "memory.max", group);
        assert_eq!((limit("/pod/agent"), limit("/"), limit("/elsewhere")), (Some(67_108_864), None, None));
    }
}
