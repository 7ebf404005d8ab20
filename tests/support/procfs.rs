//! What Linux says about a process: its children, its age in CPU time, what it holds.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

/// All processes below `pid`, parents before children, without itself.
///
/// Read from every process' `stat`: the `children` file of procfs needs a kernel option that not every host has.
pub(crate) fn descendants(pid: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let child = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(child) = child else { continue };
        if let Some(parent) = stat_field(child, 4) {
            children.entry(parent).or_default().push(child);
        }
    }
    let mut found = children.remove(&pid).unwrap_or_default();
    let mut next = 0;
    while let Some(&parent) = found.get(next) {
        found.extend(children.remove(&parent).unwrap_or_default());
        next += 1;
    }
    found
}

/// Whether a process no longer runs; one that only waits to be reaped is gone.
pub(crate) fn is_gone(pid: u32) -> bool {
    stat_field::<char>(pid, 3).is_none_or(|state| matches!(state, 'Z' | 'X'))
}

/// Whether every thread of a process is stopped: a signal takes its time to reach them all.
pub(crate) fn is_stopped(pid: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    threads.filter_map(|thread| fs::read_to_string(thread.path().join("stat")).ok()).all(|stat| {
        let state = stat.rsplit_once(')').and_then(|(_, fields)| fields.trim_start().chars().next());
        matches!(state, Some('T' | 't' | 'Z' | 'X') | None)
    })
}

/// User and system time that a process has used so far.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let ticks: u64 = [14, 15].into_iter().filter_map(|field| stat_field::<u64>(pid, field)).sum();
    let per_second = rustix::param::clock_ticks_per_second();
    Duration::from_millis(ticks * 1000 / per_second)
}

/// Resident memory in bytes.
pub(crate) fn rss(pid: u32) -> u64 {
    1024 * status_field(pid, "VmRSS:")
}

/// Number of threads.
pub(crate) fn threads(pid: u32) -> u64 {
    status_field(pid, "Threads:")
}

/// Open descriptors, without the one that each worker keeps for the kernel's count of its waiting, from its first run on.
pub(crate) fn fds(pid: u32) -> usize {
    let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let target = |entry: fs::DirEntry| fs::read_link(entry.path()).unwrap_or_default();
    open.map(target).filter(|target| !target.ends_with("schedstat")).count()
}

/// A field of `/proc/PID/stat`, numbered as in `proc_pid_stat(5)`, from the third on.
fn stat_field<T: std::str::FromStr>(pid: u32, number: usize) -> Option<T> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in brackets and may hold anything, brackets and blanks included.
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(number - 3)?.parse().ok()
}

/// The text on a line of `/proc/PID/status`.
pub(crate) fn status_text(pid: u32, label: &str) -> Option<String> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix(label)).map(|text| text.trim().to_owned())
}

/// The number on a line of `/proc/PID/status`; 0 when there is none (any more).
pub(crate) fn status_field(pid: u32, label: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(label));
    line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}
