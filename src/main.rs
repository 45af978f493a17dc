//! The `tollgate` binary: arguments, then the library.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tollgate::types::Revision;
use tollgate::{bench, config, keys, mock, server, telemetry};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// An edge gateway for large language models.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
#[expect(clippy::large_enum_variant, reason = "made once, when the process starts")]
enum Command {
    /// Serve.
    Run {
        /// The configuration file.
        #[arg(long, short)]
        config: PathBuf,
        /// Take over from the running gateway (found by `server.pid_file`) without a lost request.
        #[arg(long)]
        upgrade: bool,
    },
    /// Say everything that is wrong with a configuration file.
    Check {
        /// The configuration file.
        #[arg(long, short)]
        config: PathBuf,
    },
    /// Make virtual keys.
    Key {
        #[command(subcommand)]
        command: KeyCommand,
    },
    /// Print the JSON Schema of the configuration file, for editors.
    Schema,
    /// Serve a simulated model server.
    Mock(mock::Options),
    /// Put a server under load and measure it.
    Bench(Box<bench::Options>),
}

#[derive(Subcommand)]
enum KeyCommand {
    /// Make a new key: prints the key, to give away, and its hash, to configure.
    New,
    /// Print the hash of a key given as the argument or, unseen by others, on standard input.
    Hash {
        /// The key.
        key: Option<String>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(code) => code,
        // A closed pipe (`tollgate schema | head`) is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "tollgate: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> io::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match command {
        Command::Run { config, upgrade } => {
            drop(out);
            take_small_pages();
            telemetry::log::init();
            match config::load(&config, Revision(1)) {
                Ok(snapshot) => server::run(snapshot, &config, upgrade)?,
                Err(problems) => return refuse(&problems),
            }
        }
        Command::Check { config } => match config::load(&config, Revision(1)) {
            Ok(_) => writeln!(out, "{}: fine", config.display())?,
            Err(problems) => return refuse(&problems),
        },
        Command::Key { command: KeyCommand::New } => {
            let key = keys::generate().map_err(io::Error::other)?;
            writeln!(out, "key:  {}\nhash: {}", key.text.expose(), keys::render(&key.hash))?;
        }
        Command::Key { command: KeyCommand::Hash { key } } => {
            let key = match key {
                Some(key) => key,
                None => io::stdin().lock().lines().next().transpose()?.unwrap_or_default(),
            };
            if key.trim().is_empty() {
                return Err(io::Error::other("no key was given: pass it or pipe it in"));
            }
            writeln!(out, "{}", keys::render(&keys::digest(key.trim().as_bytes())))?;
        }
        Command::Schema => writeln!(out, "{}", config::schema())?,
        Command::Mock(options) => {
            drop(out);
            mock::run(options)?;
        }
        Command::Bench(options) => {
            drop(out);
            bench::run(&options)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Has the kernel give memory in pages of 4 KiB. The heap of each thread would take one of 2 MiB for its
/// first bytes: with them an idle gateway has twice the memory, and no load was measured to be faster.
#[cfg(target_os = "linux")]
fn take_small_pages() {
    // Where that cannot be, memory is all there is to lose.
    let _refused = nix::sys::prctl::set_thp_disable(true);
}

#[cfg(not(target_os = "linux"))]
fn take_small_pages() {}

fn refuse(problems: &config::Problems) -> io::Result<ExitCode> {
    writeln!(io::stderr(), "{problems}")?;
    Ok(ExitCode::FAILURE)
}
