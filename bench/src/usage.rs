//! CPU time and memory of a server, and of the machine around it, from `/proc`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

/// `USER_HZ`, which is 100 on every Linux that Rust runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// The CPU time of a process at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProcessSample {
    /// All threads, ended ones included; in steps of 10 ms.
    total_seconds: f64,
    /// Live threads: name and exact time.
    threads: BTreeMap<u32, (String, f64)>,
}

/// CPU time spent between two samples.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CpuUse {
    /// The whole process.
    pub(crate) total_seconds: f64,
    /// Threads whose names say that they compute.
    pub(crate) engine_seconds: f64,
    /// Live threads besides these, exactly.
    pub(crate) other_seconds: f64,
    /// Threads that ended in between (a thread a connection, for one): total less live ones.
    pub(crate) ended_seconds: f64,
    /// `other_seconds` in percent of one core over the time measured.
    pub(crate) other_percent_of_core: f64,
    /// Milliseconds of the whole process for each token generated.
    pub(crate) milliseconds_per_token: f64,
    /// Live threads by name.
    pub(crate) by_name: BTreeMap<String, f64>,
}

impl ProcessSample {
    /// Reads a process; none if it is gone or hidden.
    pub(crate) fn read(pid: u32) -> Option<Self> {
        let root = Path::new("/proc").join(pid.to_string());
        let total_seconds = total_seconds(&std::fs::read_to_string(root.join("stat")).ok()?)?;
        let mut threads = BTreeMap::new();
        for entry in std::fs::read_dir(root.join("task")).ok()?.flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            // A thread may end between listing and reading.
            let Ok(name) = std::fs::read_to_string(entry.path().join("comm")) else { continue };
            let Ok(times) = std::fs::read_to_string(entry.path().join("schedstat")) else { continue };
            let Some(seconds) = run_seconds(&times) else { continue };
            threads.insert(id, (name.trim_end().to_owned(), seconds));
        }
        Some(Self { total_seconds, threads })
    }

    /// What was spent since an earlier sample of the same process.
    pub(crate) fn since(&self, earlier: &Self, engine: &[String], wall: f64, tokens: u64) -> CpuUse {
        let total_seconds = self.total_seconds - earlier.total_seconds;
        let mut by_name: BTreeMap<String, f64> = BTreeMap::new();
        for (id, (name, seconds)) in &self.threads {
            let before = earlier.threads.get(id).map_or(0.0, |(_, seconds)| *seconds);
            *by_name.entry(name.clone()).or_default() += seconds - before;
        }
        let is_engine = |name: &str| engine.iter().any(|prefix| name.starts_with(prefix.as_str()));
        let live: f64 = by_name.values().sum();
        let engine_seconds: f64 =
            by_name.iter().filter(|(name, _)| is_engine(name)).map(|(_, seconds)| seconds).sum();
        let other_seconds = live - engine_seconds;
        CpuUse {
            total_seconds,
            engine_seconds,
            other_seconds,
            ended_seconds: (total_seconds - live).max(0.0),
            other_percent_of_core: 100.0 * other_seconds / wall,
            milliseconds_per_token: 1000.0 * total_seconds / tokens.max(1) as f64,
            by_name,
        }
    }
}

/// User and system time in `/proc/PID/stat`; the name in it may hold spaces and brackets.
fn total_seconds(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_SECOND)
}

/// Time on a CPU in `/proc/PID/task/TID/schedstat`.
fn run_seconds(schedstat: &str) -> Option<f64> {
    Some(schedstat.split_ascii_whitespace().next()?.parse::<f64>().ok()? / 1e9)
}

/// Resident memory of a process in bytes.
pub(crate) fn resident_bytes(pid: u32) -> Option<u64> {
    resident(&std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// What the machine as a whole did up to one moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MachineSample {
    busy_seconds: f64,
    own_seconds: f64,
    load: f64,
}

/// What the machine did between two samples.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct MachineUse {
    /// One-minute load average at the start.
    pub(crate) load_before: f64,
    /// One-minute load average at the end.
    pub(crate) load_after: f64,
    /// Cores that neither the server nor this tool used, on average, stolen time included: the neighbours' noise.
    pub(crate) neighbour_cores: Option<f64>,
    /// Cores that this tool used, on average.
    pub(crate) own_cores: f64,
}

impl MachineSample {
    /// Reads the machine; what cannot be read counts as zero.
    pub(crate) fn read() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            busy_seconds: busy_seconds(&read("/proc/stat")).unwrap_or_default(),
            // One thread is all that this tool has.
            own_seconds: run_seconds(&read("/proc/self/schedstat")).unwrap_or_default(),
            load: load_average(&read("/proc/loadavg")).unwrap_or_default(),
        }
    }

    /// What happened since an earlier sample, a server's share known or not.
    pub(crate) fn since(&self, earlier: &Self, server: Option<&CpuUse>, wall: f64) -> MachineUse {
        let busy = self.busy_seconds - earlier.busy_seconds;
        let own = self.own_seconds - earlier.own_seconds;
        MachineUse {
            load_before: earlier.load,
            load_after: self.load,
            neighbour_cores: server.map(|server| ((busy - own - server.total_seconds) / wall).max(0.0)),
            own_cores: own / wall,
        }
    }
}

/// Time on all CPUs that was not idle: user, nice, system, irq, softirq and steal.
fn busy_seconds(stat: &str) -> Option<f64> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<f64> = line.split_ascii_whitespace().filter_map(|field| field.parse().ok()).collect();
    let sum: f64 = [0, 1, 2, 5, 6, 7].iter().filter_map(|index| ticks.get(*index)).sum();
    Some(sum / TICKS_PER_SECOND)
}

fn load_average(text: &str) -> Option<f64> {
    text.split_ascii_whitespace().next()?.parse().ok()
}

/// The CPU's model name and how many cores may be used.
pub(crate) fn machine() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown CPU");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{}, {cores} cores", model.trim_start_matches([' ', '\t', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_files_are_read() {
        let stat = "12 (a (b) c) S 1 1 1 0 -1 4 0 0 0 0 250 50 0 0 20 0 1 0 5";
        assert_eq!(total_seconds(stat), Some(3.0));
        assert_eq!(run_seconds("1500000000 7 9\n"), Some(1.5));
        assert_eq!(busy_seconds("cpu  100 200 300 900 900 10 20 70 0 0\ncpu0 1"), Some(7.0));
        assert_eq!(resident("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2_097_152));
        assert_eq!(load_average("0.42 0.5 0.6 1/9 7"), Some(0.42));
        assert_eq!(total_seconds("garbage"), None);
    }

    #[test]
    fn time_is_split_by_thread_names() {
        let sample = |total, main, llama| ProcessSample {
            total_seconds: total,
            threads: BTreeMap::from([(1, ("gateway".to_owned(), main)), (2, ("llama-x".to_owned(), llama))]),
        };
        let used = sample(20.0, 1.1, 18.0).since(&sample(10.0, 1.0, 9.0), &["llama".to_owned()], 5.0, 100);
        assert!((used.engine_seconds - 9.0).abs() < 1e-9);
        assert!((used.other_seconds - 0.1).abs() < 1e-9);
        assert!((used.ended_seconds - 0.9).abs() < 1e-9);
        assert!((used.other_percent_of_core - 2.0).abs() < 1e-6);
        assert!((used.milliseconds_per_token - 100.0).abs() < 1e-9);
    }

    #[test]
    fn this_process_can_be_sampled() {
        let sample = ProcessSample::read(std::process::id()).unwrap();
        assert!(!sample.threads.is_empty());
        assert!(resident_bytes(std::process::id()).unwrap() > 100_000);
    }
}
