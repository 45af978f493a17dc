//! Signals, the pid file, and the two ways to leave.
//!
//! | signal | effect |
//! |---|---|
//! | SIGTERM | no new connections; leaves once the last stream has ended |
//! | SIGQUIT | hands the listeners to a waiting `run --upgrade`, then as SIGTERM |
//! | SIGINT | leaves at once |
//! | SIGHUP, SIGUSR1 | see `background` |

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use log::{info, warn};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use pingora::server::{
    ExecutionPhase, Server, ShutdownSignal, ShutdownSignalWatch, UnixShutdownSignalWatch,
};

use super::drain::LINGER;
use crate::state::State;

/// How often a leaving process looks whether its last request has ended.
const DRAIN_POLL: Duration = Duration::from_millis(50);

/// Waits for a signal to leave, and starts the drain.
pub struct Watch {
    state: Arc<State>,
}

impl Watch {
    /// A watch that drains this state.
    pub fn new(state: Arc<State>) -> Self {
        Self { state }
    }
}

#[async_trait]
impl ShutdownSignalWatch for Watch {
    async fn recv(&self) -> ShutdownSignal {
        let signal = UnixShutdownSignalWatch.recv().await;
        if !matches!(signal, ShutdownSignal::FastShutdown) {
            self.state.draining.store(true, Ordering::Relaxed);
            info!("leaving: {} requests in flight", self.state.metrics.in_flight());
        }
        if matches!(signal, ShutdownSignal::GracefulUpgrade) {
            self.state.contexts.leave();
        }
        signal
    }
}

/// Ends the process as soon as a drain has nothing left to wait for. Pingora itself would
/// always wait for its whole grace period.
pub fn leave_when_drained(server: &Server, state: &Arc<State>, pid_file: PathBuf) {
    let mut phases = server.watch_execution_phase();
    let state = state.clone();
    thread::spawn(move || {
        loop {
            match phases.blocking_recv() {
                Ok(ExecutionPhase::ShutdownGracePeriod) => break,
                Ok(_) => {}
                Err(_) => return,
            }
        }
        let began = Instant::now();
        while began.elapsed() < LINGER || state.metrics.in_flight() > 0 {
            thread::sleep(DRAIN_POLL);
        }
        info!("left: every request has ended");
        state.close();
        remove_pid(&pid_file);
        std::process::exit(0);
    });
}

/// Writes the process id, for a later `run --upgrade`.
///
/// # Errors
/// Where the file cannot be written.
pub fn write_pid(file: &Path) -> io::Result<()> {
    fs::write(file, format!("{}\n", std::process::id())).map_err(|error| named(file, &error))
}

/// Removes the pid file, unless a successor has already put its own id there.
fn remove_pid(file: &Path) {
    if read_pid(file).is_ok_and(|pid| pid.unsigned_abs() == std::process::id())
        && let Err(error) = fs::remove_file(file)
    {
        warn!("{}", named(file, &error));
    }
}

/// Asks the running process to hand its listeners over.
///
/// # Errors
/// Where no process runs under the pid file's id.
pub fn hand_over(file: &Path) -> io::Result<()> {
    let pid = read_pid(file)?;
    info!("taking over from process {pid}");
    kill(Pid::from_raw(pid), Signal::SIGQUIT).map_err(|error| {
        io::Error::new(
            io::Error::from(error).kind(),
            format!(
                "process {pid} of {} cannot be told to hand over: {error}. Start without \
                 --upgrade if it is gone.",
                file.display()
            ),
        )
    })
}

fn read_pid(file: &Path) -> io::Result<i32> {
    let text = fs::read_to_string(file).map_err(|error| {
        io::Error::new(
            error.kind(),
            format!(
                "no running gateway to take over from: {}. Start without --upgrade, or set \
                 server.pid_file as the running one has it.",
                named(file, &error)
            ),
        )
    })?;
    text.trim().parse::<i32>().ok().filter(|pid| *pid > 1).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} holds no process id: {:?}", file.display(), text.trim()),
        )
    })
}

fn named(file: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", file.display()))
}
