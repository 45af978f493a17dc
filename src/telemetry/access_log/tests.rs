//! The access log with a real file and real threads.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::line::LineFormat;
use super::{AccessLog, INTERVAL, QUEUE_LINES_MAX};
use crate::config::snapshot;
use crate::error::Kind;
use crate::telemetry::fixture::{record, refused};
use crate::telemetry::metrics::{LostLine, Metrics};
use crate::usage::{Outcome, UsageRecord};

/// A log in a directory of its own.
struct Logging {
    directory: TempDir,
    metrics: Arc<Metrics>,
    log: Arc<AccessLog>,
}

fn logging(threads: usize) -> Logging {
    let directory = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::new(threads));
    let target = snapshot::AccessLog::File(directory.path().join("access.log"));
    let log = AccessLog::start(&target, threads, Arc::clone(&metrics)).unwrap();
    Logging { directory, metrics, log: Arc::new(log) }
}

impl Logging {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes to another target, and waits until the writer knows.
    fn retarget(&self, target: snapshot::AccessLog) {
        self.log.retarget(&target).unwrap();
        self.log.flush();
    }

    fn write(&self, path: &str) {
        self.log.write(self.record(path));
    }

    fn record(&self, path: &str) -> UsageRecord {
        UsageRecord { path: path.into(), ..record(&self.metrics, "chat", "a/one") }
    }
}

/// Each line of a file, as JSON.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'), "the last line is not whole");
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The `path` of each line.
fn paths(path: &Path) -> Vec<String> {
    lines(path).iter().map(|line| line["path"].as_str().unwrap().to_owned()).collect()
}

fn formatted(record: &UsageRecord) -> Value {
    let mut out = Vec::new();
    LineFormat::default().append(record, &mut out);
    assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn a_line_says_everything_about_a_request() {
    let metrics = Metrics::new(1);
    let mut retried = record(&metrics, "chat", "a/one");
    retried.attempts[0].outcome = Outcome::Connect;
    retried.attempts[0].reused = None;
    retried.attempts[0].first_byte = None;
    retried.attempts.extend(record(&metrics, "chat", "b/two").attempts);
    retried.total = Duration::from_micros(4_250);
    assert_eq!(
        formatted(&retried),
        json!({
            "ts": "2026-01-31T12:00:00.007Z",
            "request_id": "0123456789abcdef0123456789abcdef",
            "client": "192.0.2.7",
            "method": "POST",
            "path": "/v1/chat/completions",
            "operation": "chat",
            "tenant": "acme",
            "key": "web",
            "model": "chat",
            "stream": false,
            "status": 200,
            "endpoint": "b/two",
            "upstream_model": "gpt-9",
            "attempts": [
                {"endpoint": "a/one", "model": "gpt-9", "outcome": "connect", "total_ms": 1.9},
                {"endpoint": "b/two", "model": "gpt-9", "outcome": "2xx", "reused": true,
                 "first_byte_ms": 1.5, "total_ms": 1.9},
            ],
            "first_byte_ms": 1.6,
            "total_ms": 4.25,
            "overhead_ms": 0.45,
            "request_bytes": 600,
            "response_bytes": 400,
            "tokens": {
                "input": 10, "cache_read": 0, "cache_write": 0, "output": 20, "reasoning": 0,
            },
        })
    );
}

#[test]
fn what_is_not_known_is_absent() {
    let metrics = Metrics::new(1);
    let mut unknown = refused(&metrics, "/v1/nothing");
    unknown.client = None;
    unknown.caller = None;
    unknown.operation = None;
    unknown.first_byte = None;
    unknown.error = Some(Kind::NotFound);
    unknown.error_detail = Some("no such path".into());
    let line = formatted(&unknown);
    assert_eq!(
        (&line["error"], &line["error_detail"]),
        (&json!("not_found"), &json!("no such path"))
    );
    let absent =
        ["client", "tenant", "key", "operation", "model", "endpoint", "upstream_model", "tokens"];
    for member in absent {
        assert_eq!(line.get(member), None, "{member}");
    }
}

#[test]
fn timestamps_are_right_when_the_second_changes_and_when_it_goes_back() {
    let metrics = Metrics::new(1);
    let mut format = LineFormat::default();
    let cases = [
        (1_769_860_800_999, "2026-01-31T12:00:00.999Z"),
        (1_769_860_801_000, "2026-01-31T12:00:01.000Z"),
        (1_769_860_800_050, "2026-01-31T12:00:00.050Z"),
        (0, "1970-01-01T00:00:00.000Z"),
    ];
    for (millis, expected) in cases {
        let mut out = Vec::new();
        let mut at = record(&metrics, "chat", "a/one");
        at.started = std::time::UNIX_EPOCH + Duration::from_millis(millis);
        format.append(&at, &mut out);
        let line: Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(line["ts"], expected);
    }
}

#[test]
fn text_of_a_client_is_escaped_and_bounded() {
    let metrics = Metrics::new(1);
    let hostile = format!("/\"}}\n{{\"status\":200}}\u{0}{}", "é".repeat(5000));
    let line = formatted(&refused(&metrics, &hostile));
    let logged = line["path"].as_str().unwrap();
    assert!(hostile.starts_with(logged));
    assert!((1000..=1024).contains(&logged.len()), "{} bytes", logged.len());
    assert_eq!(line["status"], 404);
}

proptest::proptest! {
    #[test]
    fn any_text_makes_one_line_of_json(path in ".*", detail in ".*") {
        let metrics = Metrics::new(1);
        let mut any = refused(&metrics, &path);
        any.error_detail = Some(detail.clone().into());
        let line = formatted(&any);
        let kept = |member: &str, text: &str| text.starts_with(line[member].as_str().unwrap());
        proptest::prop_assert!(kept("path", &path) && kept("error_detail", &detail));
    }
}

#[test]
fn threads_that_write_at_once_lose_nothing_and_keep_their_order() {
    const EACH: usize = QUEUE_LINES_MAX / 4;
    let logging = logging(4);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let logging = &logging;
            scope.spawn(move || {
                (0..EACH).for_each(|line| logging.write(&format!("/{thread}/{line}")));
            });
        }
    });
    logging.log.close();
    let written = paths(&logging.path("access.log"));
    assert_eq!(written.len(), 4 * EACH);
    for thread in 0..4 {
        let prefix = format!("/{thread}/");
        let numbers = written.iter().filter_map(|path| path.strip_prefix(&prefix));
        assert!(
            numbers.map(|n| n.parse::<usize>().unwrap()).eq(0..EACH),
            "order of thread {thread}"
        );
    }
}

#[test]
fn a_line_is_written_without_anyone_asking() {
    let logging = logging(1);
    for round in 1..=3 {
        logging.write("/alone");
        let deadline = std::time::Instant::now() + 200 * INTERVAL;
        while paths(&logging.path("access.log")).len() < round {
            assert!(std::time::Instant::now() < deadline, "line {round} never came");
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_full_queue_drops_lines_and_counts_them_and_never_waits() {
    let logging = logging(1);
    let pipe = logging.path("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (read_now, told) = std::sync::mpsc::channel();
    let reader = std::thread::spawn({
        let pipe = pipe.clone();
        move || {
            let pipe = fs::File::open(pipe).unwrap();
            told.recv().unwrap();
            std::io::read_to_string(pipe).unwrap().lines().count() as u64
        }
    });
    // Until the reader is told to read, the writer is stuck behind the 64 KiB of the pipe.
    logging.retarget(snapshot::AccessLog::File(pipe));
    let ended = 20 * QUEUE_LINES_MAX as u64;
    for _request in 0..ended {
        logging.write("/flood");
    }
    let lost = logging.metrics.lost_lines(LostLine::QueueFull);
    read_now.send(()).unwrap();
    logging.log.flush();
    logging.write("/after");
    logging.log.close();
    assert!(lost > 0 && lost < ended, "{lost} of {ended} lines were lost");
    assert_eq!(reader.join().unwrap(), ended - lost + 1);
    assert_eq!(logging.metrics.lost_lines(LostLine::QueueFull), lost);
}

#[test]
fn a_full_disk_loses_lines_and_counts_them_and_the_log_goes_on_elsewhere() {
    let logging = logging(1);
    logging.retarget(snapshot::AccessLog::File("/dev/full".into()));
    for _line in 0..3 {
        logging.write("/lost");
    }
    logging.log.flush();
    assert_eq!(logging.metrics.lost_lines(LostLine::WriteFailed), 3);
    let room = logging.path("room.log");
    logging.retarget(snapshot::AccessLog::File(room.clone()));
    logging.write("/kept");
    logging.log.close();
    assert_eq!(paths(&room), ["/kept"]);
    assert_eq!(logging.metrics.lost_lines(LostLine::WriteFailed), 3);
}

#[test]
fn a_file_that_was_moved_away_is_opened_again() {
    let logging = logging(1);
    let (path, moved) = (logging.path("access.log"), logging.path("access.log.1"));
    logging.write("/before");
    logging.log.flush();
    fs::rename(&path, &moved).unwrap();
    logging.write("/between");
    logging.log.reopen();
    logging.log.flush();
    logging.write("/after");
    logging.log.close();
    assert_eq!(paths(&moved), ["/before", "/between"]);
    assert_eq!(paths(&path), ["/after"]);
}

#[test]
fn a_reload_moves_the_log_and_loses_nothing() {
    let logging = logging(1);
    let second = logging.path("second.log");
    logging.write("/one");
    logging.retarget(snapshot::AccessLog::File(second.clone()));
    logging.write("/two");
    logging.retarget(snapshot::AccessLog::Off);
    logging.write("/nowhere");
    logging.retarget(snapshot::AccessLog::File(second.clone()));
    logging.write("/three");
    logging.log.close();
    assert_eq!(paths(&logging.path("access.log")), ["/one"]);
    assert_eq!(paths(&second), ["/two", "/three"]);
    assert_eq!(logging.metrics.lost_lines(LostLine::QueueFull), 0);
}

#[test]
fn a_file_that_cannot_be_opened_is_named_and_changes_nothing() {
    let logging = logging(1);
    let absent = logging.path("no/such/directory.log");
    let error = logging.log.retarget(&snapshot::AccessLog::File(absent)).unwrap_err();
    assert!(error.to_string().contains("no/such/directory.log"), "{error}");
    logging.write("/still");
    logging.log.close();
    assert_eq!(paths(&logging.path("access.log")), ["/still"]);
}

#[test]
fn a_closed_log_counts_what_comes_too_late() {
    let logging = logging(1);
    logging.write("/in-time");
    logging.log.close();
    logging.log.close();
    logging.write("/late");
    logging.log.flush();
    assert_eq!(paths(&logging.path("access.log")), ["/in-time"]);
    assert_eq!(logging.metrics.lost_lines(LostLine::QueueFull), 1);
}
