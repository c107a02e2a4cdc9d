//! What the kernel says of processes: processor time, memory, files; and on which processor they run.
//!
//! In → Out: `/proc` → numbers.
//! Spec: proc(5), "/proc/pid/stat", "/proc/pid/status".

use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Linux counts processor time of processes in hundredths of a second.
const TICK: Duration = Duration::from_millis(10);

/// Processor time of a process so far, kernel's share included.
pub fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let text =
        std::fs::read_to_string(format!("/proc/{pid}/stat")).context("the process is gone")?;
    // The name in parentheses may hold spaces: fields are counted after it, the first is number 3.
    let after = text
        .rsplit_once(')')
        .context("/proc/pid/stat is not understood")?
        .1;
    let field = |number: usize| {
        after
            .split_whitespace()
            .nth(number - 3)?
            .parse::<u32>()
            .ok()
    };
    let ticks = field(14)
        .zip(field(15))
        .context("/proc/pid/stat is not understood")?;
    Ok(TICK * (ticks.0 + ticks.1))
}

/// Resident memory of a process in bytes.
pub fn memory(pid: u32) -> anyhow::Result<u64> {
    let text =
        std::fs::read_to_string(format!("/proc/{pid}/status")).context("the process is gone")?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    Ok(kilobytes.context("/proc/pid/status is not understood")? * 1_024)
}

/// The processes that a process has started and that still run, in the order of their numbers.
pub fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(')').is_some_and(|(_, after)| {
            let mut fields = after.split_whitespace();
            let (state, ppid) = (fields.next(), fields.next());
            state != Some("Z") && ppid.and_then(|ppid| ppid.parse().ok()) == Some(parent)
        })
    };
    let mut found: Vec<u32> = numbers.filter(is_child).collect();
    found.sort_unstable();
    found
}

/// Raises the limit of open files as far as it goes; what it is then.
pub fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    // Where it is refused, the old limit holds.
    let _ = setrlimit(Resource::Nofile, raised);
    getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX)
}

/// Processors that this process may use.
pub fn processors() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect()
}

/// Binds the calling thread, and what it starts from here on, to some processors.
pub fn bind(processors: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for processor in processors {
        set.set(*processor);
    }
    sched_setaffinity(None, &set).context("the processor cannot be chosen")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_uses_time() {
        let pid = std::process::id();
        assert!(memory(pid).unwrap() > 100_000);
        let before = cpu_time(pid).unwrap();
        let mut sum = 0_u64;
        while cpu_time(pid).unwrap() < before + TICK * 3 {
            sum = sum.wrapping_add((0..100_000).sum::<u64>());
        }
        assert!(sum > 0 && !processors().is_empty());
    }

    #[test]
    fn a_child_is_found_until_it_ends() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = child.id();
        assert!(children(std::process::id()).contains(&pid));
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!children(std::process::id()).contains(&pid));
    }
}
