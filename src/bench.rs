//! `tollgate bench`: a load generator that can be trusted, for whoever checks what the gateway costs.
//!
//! In an open loop (`--rate`) a request's latency counts from when it was to be sent, so a
//! server that stalls is charged for all that it kept waiting. With `--direct` the same load runs
//! with and without the gateway, in turns, and the difference is stated. `docs/benchmarking.md`
//! says how to measure so that the figures mean something.
//!
//! A run's way: `load` (what is sent) → `schedule` (when) → `lane` (send, read, note: `target`,
//! `events`, `tally`) → `leg` (threads, clock, end) → `figures` → `table`, JSON, `svg`. The gateway
//! uses nothing of this, and this nothing of the gateway.

use std::fs;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use url::Url;

use figures::{Added, Description, Figures, Report, Step};
use leg::{Leg, Outcome};
use load::Load;
use schedule::{Bounds, Pace};

mod events;
mod figures;
mod lane;
mod leg;
mod load;
mod options;
mod process;
mod schedule;
mod svg;
mod table;
mod tally;
mod target;
mod trust;

pub use options::{Options, Version};

/// Runs the load, then says what was measured.
///
/// # Errors
/// Where the load cannot be made, the server cannot be connected to, a file cannot be written,
/// or not one request had a good answer.
pub fn run(options: &Options) -> io::Result<()> {
    options.check()?;
    let load = Arc::new(Load::of(options)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime
        .block_on(async { Bench { options, load: &load, interrupted: interrupt() }.run().await })?;
    if let Some(file) = &options.json {
        fs::write(file, serde_json::to_vec_pretty(&report)?)?;
    }
    if let Some(file) = &options.svg {
        fs::write(file, svg::draw(&report))?;
    }
    write!(io::stdout().lock(), "{report}")?;
    if report.steps.iter().all(|step| step.through.answered == 0) {
        return Err(io::Error::other("not one request had a good answer"));
    }
    Ok(())
}

/// A server of a run.
struct Side<'a> {
    /// What the progress calls it.
    name: &'a str,
    url: &'a Url,
    pids: &'a [u32],
}

/// One invocation.
struct Bench<'a> {
    options: &'a Options,
    load: &'a Arc<Load>,
    interrupted: watch::Receiver<bool>,
}

impl Bench<'_> {
    async fn run(self) -> io::Result<Report> {
        let mut steps = Vec::new();
        for pace in self.paces() {
            steps.extend(self.step(&pace).await?);
            if self.is_interrupted() {
                break;
            }
        }
        Ok(Report {
            tollgate: env!("CARGO_PKG_VERSION"),
            load: self.description(),
            steps,
            interrupted: self.is_interrupted(),
        })
    }

    fn paces(&self) -> Vec<Pace> {
        match &self.load.offsets {
            Some(offsets) => vec![Pace::Trace(offsets.clone())],
            None if self.options.rate.is_empty() => vec![Pace::Closed],
            None => self.options.rate.iter().map(|rate| Pace::Rate(*rate)).collect(),
        }
    }

    /// All rounds at one pace; `None` where an interrupt came before there were figures.
    async fn step(&self, pace: &Pace) -> io::Result<Option<Step>> {
        let (options, names) = (self.options, &self.load.kinds);
        self.warm_up(pace).await?;
        let through_it = Side { name: "through", url: &options.url, pids: &options.pid };
        let past_it = options.direct.as_ref().map(|url| Side { name: "direct", url, pids: &[] });
        let (mut through, mut direct) = (Vec::new(), Vec::new());
        for round in 0..options.rounds() {
            // The order changes from round to round: a machine that drifts then drifts for both.
            let first = round % 2 == 0;
            if first {
                through.extend(self.leg(&through_it, pace, options.bounds()).await?);
            }
            if let Some(past_it) = &past_it {
                direct.extend(self.leg(past_it, pace, options.bounds()).await?);
            }
            if !first {
                through.extend(self.leg(&through_it, pace, options.bounds()).await?);
            }
        }
        let added = Added::of(&through, &direct);
        Ok(Figures::of(through, names).map(|through| Step {
            rate_asked: if let Pace::Rate(rate) = pace { Some(*rate) } else { None },
            through,
            direct: Figures::of(direct, names),
            added,
        }))
    }

    async fn warm_up(&self, pace: &Pace) -> io::Result<()> {
        let time = Duration::from_secs_f64(self.options.warm_up_seconds);
        if time.is_zero() || matches!(pace, Pace::Trace(_)) {
            return Ok(());
        }
        let bounds = Bounds { time: Some(time), requests: u64::MAX };
        for url in [Some(&self.options.url), self.options.direct.as_ref()].into_iter().flatten() {
            self.leg(&Side { name: "warm-up", url, pids: &[] }, pace, bounds).await?;
        }
        Ok(())
    }

    /// One run; `None` where an interrupt came before it.
    async fn leg(
        &self,
        side: &Side<'_>,
        pace: &Pace,
        bounds: Bounds,
    ) -> io::Result<Option<Outcome>> {
        if self.is_interrupted() {
            return Ok(None);
        }
        let leg = Leg {
            name: side.name,
            url: side.url,
            options: self.options,
            load: self.load,
            pace: pace.clone(),
            bounds,
            pids: side.pids,
            interrupted: self.interrupted.clone(),
        };
        leg.run().await.map(Some)
    }

    fn is_interrupted(&self) -> bool {
        *self.interrupted.borrow()
    }

    fn description(&self) -> Description {
        let options = self.options;
        let made = options.mix.is_none() && options.replay.is_none();
        Description {
            url: options.url.to_string(),
            direct: options.direct.as_ref().map(Url::to_string),
            kinds: self.load.kinds.clone(),
            pace: match (&self.load.offsets, options.rate.is_empty()) {
                (Some(_), _) => "as recorded",
                (None, true) => "closed loop",
                (None, false) => "constant rate",
            },
            body_bytes: made.then_some(options.body_bytes),
            connections: options.connections,
            streams: options.streams,
            threads: options.threads,
            http: match options.http {
                Version::Http1 => "1",
                Version::Http2 => "2",
            },
            rounds: options.rounds(),
        }
    }
}

/// Turns true with Ctrl-C.
fn interrupt() -> watch::Receiver<bool> {
    let (interrupted, receiver) = watch::channel(false);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            interrupted.send_replace(true);
        }
    });
    receiver
}
