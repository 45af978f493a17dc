//! What processes use, from `/proc`: CPU time, resident memory, open descriptors.

use std::fs;
use std::io;
use std::time::Duration;

/// The unit of CPU time in `/proc/PID/stat`: Linux shows hundredths of a second to every program,
/// whatever its own clock does.
const TICK: Duration = Duration::from_millis(10);

/// Of all watched processes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    /// User and system time since they began.
    pub(super) cpu: Duration,
    pub(super) resident_bytes: u64,
    pub(super) descriptors: u64,
}

/// What these processes use now.
///
/// # Errors
/// Where one of them does not exist, or is another user's.
pub(super) fn usage(pids: &[u32]) -> io::Result<Usage> {
    let mut sum = Usage::default();
    for pid in pids {
        let refuse = |error: io::Error| io::Error::other(format!("process {pid}: {error}"));
        let one = read(&format!("/proc/{pid}")).map_err(refuse)?;
        sum.cpu += one.cpu;
        sum.resident_bytes += one.resident_bytes;
        sum.descriptors += one.descriptors;
    }
    Ok(sum)
}

/// CPU time of this process so far; zero where the system has no `/proc`.
pub(super) fn own_cpu() -> Duration {
    read("/proc/self").map(|usage| usage.cpu).unwrap_or_default()
}

fn read(directory: &str) -> io::Result<Usage> {
    let unknown = || io::Error::other("its `/proc` entry reads differently from Linux's");
    let stat = fs::read_to_string(format!("{directory}/stat"))?;
    let status = fs::read_to_string(format!("{directory}/status"))?;
    Ok(Usage {
        cpu: cpu(&stat).ok_or_else(unknown)?,
        resident_bytes: resident_bytes(&status).ok_or_else(unknown)?,
        descriptors: fs::read_dir(format!("{directory}/fd"))?.count() as u64,
    })
}

/// Fields 14 and 15, counted from 1; the second is a name in parentheses that may hold anything.
fn cpu(stat: &str) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let user: u32 = fields.next()?.parse().ok()?;
    let system: u32 = fields.next()?.parse().ok()?;
    Some(TICK * (user + system))
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        let stat = "7 (a) b ) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 9 9 20 0 8 0 100";
        assert_eq!(cpu(stat), Some(Duration::from_secs(2)));
        assert_eq!(cpu("7 (a) S 1"), None);
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    2048 kB\n"), Some(2 << 20));
    }

    #[test]
    fn this_process_is_read_and_a_missing_one_is_named() {
        let usage = usage(&[std::process::id()]).unwrap();
        assert!(usage.resident_bytes > 0 && usage.descriptors > 2);
        let error = super::usage(&[u32::MAX]).unwrap_err().to_string();
        assert!(error.starts_with("process 4294967295: "), "{error}");
    }
}
