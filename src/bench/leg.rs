//! One run of a load against one server: threads, clock, progress, interrupt, and its end.

use std::future::pending;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Barrier, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};
use url::Url;

use super::Options;
use super::lane::{Line, Measured, Run};
use super::load::Load;
use super::process::{self, Usage};
use super::schedule::{Bounds, Pace, Schedule};
use super::tally::{Fault, Tally};
use super::target::Target;

/// How often a run is looked at: memory, its end.
const LOOK: Duration = Duration::from_millis(100);
/// Looks from one line of progress to the next.
const LOOKS_PER_LINE: u32 = 10;
/// How long requests that are due may wait for a free connection behind the last one's time.
const BACKLOG: Duration = Duration::from_secs(5);

/// What is run.
pub(super) struct Leg<'a> {
    /// What it is called in the progress.
    pub(super) name: &'a str,
    pub(super) url: &'a Url,
    pub(super) options: &'a Options,
    pub(super) load: &'a Arc<Load>,
    pub(super) pace: Pace,
    pub(super) bounds: Bounds,
    /// Processes to look at.
    pub(super) pids: &'a [u32],
    /// Turns true when the user has had enough.
    pub(super) interrupted: watch::Receiver<bool>,
}

/// What came of it.
pub(super) struct Outcome {
    pub(super) tally: Tally,
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
    /// CPU time while it ran; the most memory and descriptors that were seen.
    pub(super) usage: Option<Usage>,
    /// CPU time of the generator itself.
    pub(super) own_cpu: Duration,
}

/// The threads that send.
struct Crew {
    workers: JoinSet<()>,
    measured: Vec<Measured>,
    abort: watch::Sender<bool>,
}

impl Leg<'_> {
    /// Runs the load.
    ///
    /// # Errors
    /// Where the server cannot be connected to at all, or a process to watch does not exist.
    pub(super) async fn run(mut self) -> io::Result<Outcome> {
        let target = Target::new(self.url, self.options, &self.load.works)?;
        target.connect().await.map_err(|error| {
            io::Error::other(format!("{}: cannot be connected to: {error}", target.url))
        })?;
        let lanes = usize::from(self.options.connections) * usize::from(self.options.streams);
        let run = Arc::new(Run {
            target,
            load: self.load.clone(),
            schedule: Schedule::new(self.pace.clone(), self.bounds),
            timeout: self.options.timeout(),
            ready: Barrier::new(lanes + 1),
        });
        let mut crew = Crew::hire(&run, self.options)?;
        let before = process::usage(self.pids)?;
        let own_before = process::own_cpu();
        tokio::select! {
            _ = run.ready.wait() => {}
            () = stopped(&mut self.interrupted) => {}
        }
        let started = run.schedule.start();
        let pacer = run.clone();
        if run.schedule.is_open_loop() {
            crew.workers.spawn_blocking(move || pacer.schedule.release());
        }
        let peak = self.watch(&run, &mut crew).await;
        let own_cpu = process::own_cpu().saturating_sub(own_before);
        let mut tally = crew.tally(self.load.kinds.len())?;
        for due in run.schedule.unsent() {
            tally.failed(Fault::Unsent, Some(due.elapsed()), "no connection was free in time");
        }
        let elapsed = tally.last.map_or_else(|| started.elapsed(), |last| last - started);
        // A process that has ended meanwhile has no figures, which is no reason to lose the rest.
        let after = process::usage(self.pids).ok().filter(|_| !self.pids.is_empty());
        let usage = after.map(|after| Usage { cpu: after.cpu.saturating_sub(before.cpu), ..peak });
        Ok(Outcome { tally, elapsed, usage, own_cpu })
    }

    /// Looks on until every thread is done; the most memory and descriptors seen.
    async fn watch(&mut self, run: &Run, crew: &mut Crew) -> Usage {
        let mut peak = Usage::default();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut look = 0;
        let mut said = (Instant::now(), 0);
        loop {
            tokio::select! {
                done = crew.workers.join_next() => if done.is_none() { return peak },
                () = stopped(&mut self.interrupted), if !*crew.abort.borrow() => {
                    run.schedule.close();
                    crew.abort.send_replace(true);
                }
                _ = looks.tick() => {
                    if let Ok(usage) = process::usage(self.pids) {
                        peak.resident_bytes = peak.resident_bytes.max(usage.resident_bytes);
                        peak.descriptors = peak.descriptors.max(usage.descriptors);
                    }
                    run.schedule.end_if_overdue(BACKLOG);
                    look += 1;
                    if look % LOOKS_PER_LINE == 0 && !self.options.quiet {
                        said = self.say(run, crew, said);
                    }
                }
            }
        }
    }

    /// One line of progress; the moment, and how many requests had been answered by then.
    fn say(&self, run: &Run, crew: &Crew, (then, before): (Instant, u64)) -> (Instant, u64) {
        let now = Instant::now();
        let Ok(tally) = crew.tally(self.load.kinds.len()) else { return (now, before) };
        let (good, seconds) = (tally.good(), (now - then).as_secs_f64());
        eprintln!(
            "{}: {:4.0} s  {good:9} answered  {:9.1}/s  p50 {:.0} µs  p99 {:.0} µs  {} failed",
            self.name,
            run.schedule.start().elapsed().as_secs_f64(),
            (good - before) as f64 / seconds,
            tally.latency.quantile(0.5),
            tally.latency.quantile(0.99),
            tally.failures(),
        );
        (now, good)
    }
}

impl Crew {
    fn hire(run: &Arc<Run>, options: &Options) -> io::Result<Self> {
        let (abort, aborted) = watch::channel(false);
        let mut crew = Self { workers: JoinSet::new(), measured: Vec::new(), abort };
        let (threads, connections) = (options.threads, options.connections);
        // A runtime that cannot be made must fail here: the others would wait for it in vain.
        let runtimes: Vec<Runtime> = (0..threads)
            .map(|_| Builder::new_current_thread().enable_all().build())
            .collect::<io::Result<_>>()?;
        for (thread, runtime) in (0..threads).zip(runtimes) {
            let measured = Arc::new(Mutex::new(empty(run.load.kinds.len())?));
            crew.measured.push(measured.clone());
            let lines = connections / threads + u16::from(thread < connections % threads);
            let lines = (0..lines).map(|_| Arc::new(Line::new(run.clone(), measured.clone())));
            let lanes: Vec<_> =
                lines.flat_map(|line| vec![line; usize::from(options.streams)]).collect();
            let aborted = aborted.clone();
            crew.workers.spawn_blocking(move || runtime.block_on(work(lanes, aborted)));
        }
        Ok(crew)
    }

    /// What all threads have measured so far.
    fn tally(&self, kinds: usize) -> io::Result<Tally> {
        let mut sum = empty(kinds)?;
        for measured in &self.measured {
            sum.merge(&measured.lock().unwrap_or_else(PoisonError::into_inner));
        }
        Ok(sum)
    }
}

/// The lanes of one thread, until they are done or the run is interrupted.
async fn work(lines: Vec<Arc<Line>>, mut aborted: watch::Receiver<bool>) {
    let mut lanes = JoinSet::new();
    for line in lines {
        lanes.spawn(async move { line.lane().await });
    }
    tokio::select! {
        () = async { while lanes.join_next().await.is_some() {} } => {}
        () = stopped(&mut aborted) => {}
    }
}

/// Returns once the flag is true; never, where nobody can set it any more.
async fn stopped(flag: &mut watch::Receiver<bool>) {
    if flag.wait_for(|stopped| *stopped).await.is_err() {
        pending::<()>().await;
    }
}

pub(super) fn empty(kinds: usize) -> io::Result<Tally> {
    Tally::new(kinds).ok_or_else(|| io::Error::other("a histogram has wrong bounds"))
}
