//! What a request pays for being seen: counting it, logging it, and the writer's own work.
//!
//! `cargo bench --bench telemetry`. `metrics/in_flight`, `metrics/record` and `access_log/write`
//! are paid on the request path and must stay under 300 ns together; `access_log/line` is paid by
//! the log's writer. All figures are CPU time: a busy machine stretches the clock on the wall.
//!
//! Built, and run as `valgrind --tool=callgrind --separate-threads=yes … --lines 20000`, it logs
//! so many requests and nothing else: the writer's thread shows the instructions of a line.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up must stop")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Criterion, Throughput, criterion_group};
use nix::time::ClockId;
use smallvec::smallvec;
use tollgate::config::snapshot::terms::KeyTerms;
use tollgate::config::snapshot::{self, Key};
use tollgate::dialect::ir::Dialect;
use tollgate::telemetry::access_log::AccessLog;
use tollgate::telemetry::metrics::{Metrics, TargetMetrics};
use tollgate::types::{EndpointId, KeyId, ModelAlias, ModelName, Operation, TenantId, TokenUsage};
use tollgate::usage::{AttemptRecord, Charge, Outcome, UsageRecord};

/// As in the gateway: the log's writer frees what other threads allocated.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fewer than a queue holds, so that nothing is dropped.
const BATCH: u64 = 1000;

/// Measures the CPU time of the calling thread.
struct CpuTime;

impl Measurement for CpuTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        cpu_time(ClockId::CLOCK_THREAD_CPUTIME_ID)
    }

    fn end(&self, begin: Duration) -> Duration {
        cpu_time(ClockId::CLOCK_THREAD_CPUTIME_ID) - begin
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        WallTime.to_f64(value)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

fn cpu_time(clock: ClockId) -> Duration {
    clock.now().expect("the clock can be read").into()
}

fn record(target: &Arc<TargetMetrics>, caller: &Arc<Key>) -> UsageRecord {
    UsageRecord {
        request_id: "0123456789abcdef0123456789abcdef".into(),
        started: SystemTime::now(),
        client: Some(Ipv4Addr::new(192, 0, 2, 7).into()),
        method: http::Method::POST,
        path: "/v1/chat/completions".into(),
        operation: Some(Operation::Chat),
        dialect: Dialect::Chat,
        caller: Some(Arc::clone(caller)),
        model: Some(Arc::clone(target.alias())),
        stream: false,
        status: 200,
        error: None,
        error_detail: None,
        attempts: smallvec![AttemptRecord {
            target: Arc::clone(target),
            model: ModelName::from("gpt-9"),
            outcome: Outcome::Answered(200),
            translation: None,
            at_home: None,
            reused: Some(true),
            first_byte: Some(Duration::from_micros(1_500)),
            total: Duration::from_micros(1_900),
            request_bytes: 620,
            response_bytes: 400,
        }],
        first_byte: Some(Duration::from_micros(1_600)),
        total: Duration::from_millis(2),
        request_bytes: 600,
        response_bytes: 400,
        tokens: Some(TokenUsage { input: 10, output: 20, ..TokenUsage::default() }),
        charge: Charge::default(),
    }
}

fn caller() -> Arc<Key> {
    Arc::new(Key {
        id: KeyId::from("web"),
        tenant: TenantId::from("acme"),
        enabled: true,
        expires_at: None,
        models: None,
        prompt: Arc::new([]),
        labels: BTreeMap::new(),
        terms: KeyTerms::default(),
    })
}

fn target(metrics: &Metrics) -> Arc<TargetMetrics> {
    metrics.target(&ModelAlias::from("chat"), &EndpointId::from("openai/api.openai.com:443"))
}

fn log_to_nowhere(metrics: &Arc<Metrics>) -> AccessLog {
    let destination = snapshot::AccessLog::File("/dev/null".into());
    AccessLog::start(&destination, 8, Arc::clone(metrics)).expect("/dev/null opens")
}

fn counting(criterion: &mut Criterion<CpuTime>) {
    let metrics = Metrics::new(8);
    let record = record(&target(&metrics), &caller());
    criterion.bench_function("metrics/in_flight", |bench| {
        bench.iter(|| black_box(metrics.started()));
    });
    criterion.bench_function("metrics/record", |bench| {
        bench.iter(|| metrics.record(black_box(&record)));
    });
    criterion.bench_function("metrics/record, another thread counting too", |bench| {
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    metrics.record(&record);
                }
            });
            bench.iter(|| metrics.record(black_box(&record)));
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
    });
    criterion.bench_function("metrics/render", |bench| {
        bench.iter(|| black_box(metrics.render()));
    });
}

fn logging(criterion: &mut Criterion<CpuTime>) {
    let metrics = Arc::new(Metrics::new(8));
    let (target, caller) = (target(&metrics), caller());
    let log = log_to_nowhere(&metrics);
    let batch = || (0..BATCH).map(|_| record(&target, &caller)).collect::<Vec<_>>();

    criterion.bench_function("access_log/write", |bench| {
        bench.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _batch in 0..iterations.div_ceil(BATCH) {
                let records = batch();
                let begin = cpu_time(ClockId::CLOCK_THREAD_CPUTIME_ID);
                records.into_iter().for_each(|record| log.write(record));
                spent += cpu_time(ClockId::CLOCK_THREAD_CPUTIME_ID) - begin;
                log.flush();
            }
            spent.mul_f64(iterations as f64 / iterations.next_multiple_of(BATCH) as f64)
        });
    });

    let mut lines = criterion.benchmark_group("access_log");
    lines.throughput(Throughput::Elements(BATCH));
    lines.bench_function("line", |bench| {
        bench.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _batch in 0..iterations {
                batch().into_iter().for_each(|record| log.write(record));
                // This thread sleeps meanwhile, so what the process spends is the writer's.
                let begin = cpu_time(ClockId::CLOCK_PROCESS_CPUTIME_ID);
                log.flush();
                spent += cpu_time(ClockId::CLOCK_PROCESS_CPUTIME_ID) - begin;
            }
            spent
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = counting, logging
}

/// Benches, or only writes lines when it is told how many.
fn main() {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--lines");
    match arguments.nth(1) {
        Some(lines) => write_lines(lines.parse().expect("`--lines` takes a number")),
        None => {
            benches();
            Criterion::default().configure_from_args().final_summary();
        }
    }
}

/// Logs so many requests, for a tool that counts instructions.
fn write_lines(lines: u64) {
    let metrics = Arc::new(Metrics::new(8));
    let (target, caller) = (target(&metrics), caller());
    let log = log_to_nowhere(&metrics);
    for line in 1..=lines {
        log.write(record(&target, &caller));
        if line % BATCH == 0 {
            log.flush();
        }
    }
}
