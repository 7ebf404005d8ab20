//! A control group with a memory limit, where this machine lets us make one.

use std::{fs, path::PathBuf};

/// A group of its own below ours; removed when this is dropped, after the processes in it.
#[derive(Debug)]
pub(crate) struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// A group whose processes together may use `limit` bytes. `None`, with a reason on standard error, where no group can be made.
    pub(crate) fn new(name: &str, limit: u64) -> Option<Self> {
        let own = fs::read_to_string("/proc/self/cgroup").ok()?;
        let below = own.lines().find_map(|line| {
            let (_, rest) = line.split_once(':')?;
            let (controllers, group) = rest.split_once(':')?;
            let (root, file) = match controllers {
                "" => ("/sys/fs/cgroup", "memory.max"),
                "memory" => ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
                _ => return None,
            };
            let folder = PathBuf::from(root).join(group.trim_start_matches('/')).join(format!("{name}-{}", std::process::id()));
            fs::create_dir(&folder).ok()?;
            let group = Self(folder);
            fs::write(group.0.join(file), limit.to_string()).ok()?;
            Some(group)
        });
        if below.is_none() {
            eprintln!("SKIPPED: this machine does not let us make a control group with a memory limit");
        }
        below
    }

    /// The file that takes processes into the group.
    pub(crate) fn entrance(&self) -> String {
        self.0.join("cgroup.procs").display().to_string()
    }

    /// Whether the kernel ended a process of the group for want of memory.
    pub(crate) fn was_exhausted(&self) -> bool {
        let kills = |file: &str| fs::read_to_string(self.0.join(file)).unwrap_or_default();
        let counts = [kills("memory.events"), kills("memory.oom_control")].concat();
        counts.lines().filter_map(|line| line.strip_prefix("oom_kill ")).any(|count| count.trim() != "0")
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}
