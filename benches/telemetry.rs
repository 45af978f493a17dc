//! What a request pays for being seen: counting it, logging it, and the writer's own work.
//!
//! `cargo bench --bench telemetry`. The first three are paid on the request path and must stay
//! under 300 ns together; `access_log/line` is paid by the log's writer.

#![expect(clippy::expect_used, reason = "a bench that cannot be set up must stop")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use smallvec::smallvec;
use tollgate::config::snapshot::{self, Key};
use tollgate::telemetry::access_log::AccessLog;
use tollgate::telemetry::metrics::{Metrics, TargetMetrics};
use tollgate::types::{EndpointId, KeyId, ModelAlias, ModelName, Operation, TenantId, TokenUsage};
use tollgate::usage::{AttemptRecord, Outcome, UsageRecord};

/// Fewer than a queue holds, so that nothing is dropped.
const BATCH: u64 = 1000;

fn record(target: &Arc<TargetMetrics>, caller: &Arc<Key>) -> UsageRecord {
    UsageRecord {
        request_id: "0123456789abcdef0123456789abcdef".into(),
        started: SystemTime::now(),
        client: Some(Ipv4Addr::new(192, 0, 2, 7).into()),
        method: http::Method::POST,
        path: "/v1/chat/completions".into(),
        operation: Some(Operation::Chat),
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
    })
}

fn target(metrics: &Metrics) -> Arc<TargetMetrics> {
    metrics.target(&ModelAlias::from("chat"), &EndpointId::from("openai/api.openai.com:443"))
}

fn counting(criterion: &mut Criterion) {
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

fn logging(criterion: &mut Criterion) {
    let metrics = Arc::new(Metrics::new(8));
    let (target, caller) = (target(&metrics), caller());
    let destination = snapshot::AccessLog::File("/dev/null".into());
    let log = AccessLog::start(&destination, 8, Arc::clone(&metrics)).expect("/dev/null opens");
    let batch = || (0..BATCH).map(|_| record(&target, &caller)).collect::<Vec<_>>();

    criterion.bench_function("access_log/write", |bench| {
        bench.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for _batch in 0..iterations.div_ceil(BATCH) {
                let records = batch();
                let begin = Instant::now();
                records.into_iter().for_each(|record| log.write(record));
                spent += begin.elapsed();
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
                let begin = Instant::now();
                log.flush();
                spent += begin.elapsed();
            }
            spent
        });
    });
}

criterion_group!(benches, counting, logging);
criterion_main!(benches);
