//! The machine: what it is, which of its cores belongs to whom, and what CPU time has been used (proc(5)).

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// One core for the program under measure, another for the load.
#[derive(Debug, Clone, Copy)]
pub struct Cores {
    pub program: usize,
    pub load: usize,
}

impl Cores {
    /// Keeps this thread, which is the load, on a core of its own; `None` where there is but one core, or no
    /// `taskset`.
    pub fn part() -> Option<Self> {
        // The first and the last: neighbours may be one core's two threads.
        let status = read("/proc/self/status");
        let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
        let allowed = numbers(allowed);
        let cores = Self { program: *allowed.first()?, load: *allowed.last()? };
        (cores.program != cores.load && taskset_self(cores.load)).then_some(cores)
    }

    /// Cores for so many processes, as taskset(1) lists them: those from the program's on, but never the load's.
    pub fn for_processes(self, count: usize) -> String {
        let last = (self.program + count).min(self.load) - 1;
        format!("{}-{}", self.program, last.max(self.program))
    }
}

/// Cores, kernel and CPU, in one line, and whether the figures are worth anything.
pub fn describe(cores: Option<Cores>) -> String {
    let (count, kernel) =
        (numbers(&read("/sys/devices/system/cpu/online")).len(), read("/proc/sys/kernel/osrelease"));
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let model = model.map_or("CPU of unknown model", |(_, name)| name);
    let pinning = match cores {
        Some(Cores { program, load }) => format!("server on core {program}, load on core {load}"),
        None => "not pinned to cores (that takes two of them, and taskset)".to_owned(),
    };
    let build = if cfg!(debug_assertions) { "; built as tests are: no figure says anything" } else { "" };
    format!("{count} cores, {model}, kernel {}; {pinning}{build}", kernel.trim())
}

/// CPU time that this thread has used.
pub fn own_cpu() -> Duration {
    cpu_of(Path::new("/proc/thread-self"))
}

/// CPU time that a process has used with all its threads.
pub fn cpu_of_process(id: u32) -> Duration {
    tasks(id).map(|task| cpu_of(&task)).sum()
}

/// For how long a process could have run, and had to wait for a core: the second field of `schedstat`.
pub fn wait_of_process(id: u32) -> Duration {
    let schedstats = tasks(id).map(|task| fs::read_to_string(task.join("schedstat")).unwrap_or_default());
    let waits = schedstats.filter_map(|schedstat| schedstat.split_whitespace().nth(1)?.parse::<u64>().ok());
    Duration::from_nanos(waits.sum())
}

fn tasks(id: u32) -> impl Iterator<Item = PathBuf> {
    let tasks = fs::read_dir(format!("/proc/{id}/task")).expect("the process runs");
    tasks.map(|task| task.expect("it can be listed").path())
}

/// User and system time of one thread: `schedstat` has nanoseconds, `stat` on other kernels hundredths of a second.
fn cpu_of(task: &Path) -> Duration {
    if let Ok(schedstat) = fs::read_to_string(task.join("schedstat")) {
        let on_cpu = schedstat.split_whitespace().next().and_then(|nanoseconds| nanoseconds.parse().ok());
        return Duration::from_nanos(on_cpu.expect("the first field is time on the CPU"));
    }
    let stat = fs::read_to_string(task.join("stat")).expect("the thread runs");
    let behind_name = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: u64 = behind_name.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Duration::from_millis(10 * ticks)
}

/// The numbers of a list such as `0-3,8`.
fn numbers(list: &str) -> Vec<usize> {
    let ranges = list.trim().split(',').filter_map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        Some(first.parse::<usize>().ok()?..=last.parse().ok()?)
    });
    ranges.flatten().collect()
}

/// What a file of the kernel's says; nothing, where there is no such file.
fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn taskset_self(core: usize) -> bool {
    let mut taskset = Command::new("taskset");
    taskset.args(["-cp", &core.to_string(), &std::process::id().to_string()]);
    taskset.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}
