//! What it costs to admit a request and to settle it, with few rules and with many keys.
//!
//! Run with `cargo bench --bench admission`.

#![expect(clippy::panic, reason = "a bench that cannot run says why")]

use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use chrono::Utc;
use criterion::{Criterion, criterion_group, criterion_main};
use tollgate::admission::estimate::Estimate;
use tollgate::admission::{Accounts, Demand, Ledger, Periods, Used};
use tollgate::config;
use tollgate::config::snapshot::Snapshot;
use tollgate::telemetry::metrics::Metrics;
use tollgate::types::Revision;

/// So many keys of one tenant, each with these members.
fn snapshot(keys: usize, key: &str, tenant: &str) -> Snapshot {
    let mut text = format!(
        "providers: {{p: {{endpoints: [{{url: 'http://127.0.0.1:1'}}]}}}}
models: {{m: {{candidates: [{{provider: p}}]}}}}
tenants: {{t: {{{tenant}}}}}
keys:
"
    );
    for id in 0..keys {
        let row = format!("  - {{id: k{id}, tenant: t, hash: 'sha256:{id:064x}', {key}}}\n");
        text.push_str(&row);
    }
    config::parse(&text, "bench", Path::new("/"), Revision(1))
        .unwrap_or_else(|problems| panic!("{problems}"))
}

fn accounts(snapshot: &Snapshot) -> Accounts {
    Arc::new(Ledger::new(Arc::new(Metrics::new(1)), Instant::now())).accounts(snapshot)
}

fn admission(c: &mut Criterion) {
    let limits =
        "limits: {requests_per_minute: 1000000000, tokens_per_minute: 1000000000000, in_flight: 9}";
    let budget = "budget: {month_micro_usd: 1000000000000}";
    let rows = [
        ("no rules", 1000, "", ""),
        ("1 key, 3 limits", 1, limits, ""),
        ("1000 keys, 3 limits each", 1000, limits, ""),
        ("1000 keys, 3 limits each, a tenant with 3 and a budget", 1000, limits, budget),
    ];
    let mut group = c.benchmark_group("admission");
    for (name, keys, key, tenant) in rows {
        let snapshot = snapshot(keys, key, tenant);
        let accounts = accounts(&snapshot);
        let keys: Vec<_> = snapshot.keys.values().collect();
        let Some(model) = snapshot.models.get("m") else { continue };
        let mut next = keys.iter().cycle();
        group.bench_function(name, |bench| {
            bench.iter(|| {
                let key = next.next().map(|key| accounts.applying(key, model));
                let Some(applying) = black_box(key).flatten() else { return };
                let now = Utc::now();
                let estimate = Estimate { prompt: 200, answer: 100, guessed: false };
                let demand = Demand { estimate, cost: 500, began: Periods::of(now) };
                let permit =
                    applying.admit(demand, now).unwrap_or_else(|e| panic!("{}", e.error()));
                let used = Used { tokens: 250, cost: 400, answer: Some(90) };
                permit.settle(used, Instant::now());
            });
        });
    }
    group.finish();
}

criterion_group!(benches, admission);
criterion_main!(benches);
