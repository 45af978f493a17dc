//! The flags of `tollgate bench`.

use std::env;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use url::Url;

use super::schedule::Bounds;
use crate::types::Secret;

/// How long a run takes where nothing is said.
const SECONDS: f64 = 10.0;
/// How often a load is run direct and through where nothing is said.
const ROUNDS: u32 = 4;

/// The flags of `tollgate bench`.
#[derive(clap::Args, Clone)]
pub struct Options {
    /// The server under load; a path in it goes before the path of each request
    pub url: Url,
    /// Path of each request
    #[arg(long, default_value = "/v1/chat/completions")]
    pub path: String,
    /// Model, or alias, that requests name
    #[arg(long, default_value = "demo")]
    pub model: String,
    /// Environment variable with the key to send
    #[arg(long, value_name = "NAME", default_value = "TOLLGATE_KEY")]
    pub key_env: String,
    /// Ask for streams, and measure their tokens
    #[arg(long)]
    pub stream: bool,
    /// Size of each request's body; 1 KiB is 1024
    #[arg(long, default_value_t = 600)]
    pub body_bytes: usize,
    /// `max_tokens` of each request
    #[arg(long)]
    pub tokens: Option<u32>,
    /// Send a mix of requests that this YAML file describes
    #[arg(long, value_name = "FILE")]
    pub mix: Option<PathBuf>,
    /// Send the requests of this file again, JSON lines with `offset_ms`, `path`, `body`
    #[arg(long, value_name = "FILE", conflicts_with_all = ["mix", "rate"])]
    pub replay: Option<PathBuf>,
    /// Replay so many times as fast as recorded
    #[arg(long, default_value_t = 1.0, value_parser = positive)]
    pub speed: f64,
    /// Requests a second, whether or not the server keeps up; several rates are run one after
    /// the other. Without it each connection asks again once it has its answer
    #[arg(long, visible_alias = "rates", value_delimiter = ',', value_parser = positive)]
    pub rate: Vec<f64>,
    /// Connections
    #[arg(long, short, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..))]
    pub connections: u16,
    /// Requests at once on each connection; more than one needs HTTP/2
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub streams: u16,
    /// Threads that send
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    pub threads: u16,
    /// Time of a run, in seconds; 10, unless a number of requests or a recording ends it
    #[arg(long, value_parser = positive)]
    pub seconds: Option<f64>,
    /// Requests of a run
    #[arg(long)]
    pub requests: Option<u64>,
    /// Seconds of the same load that go before, unmeasured; a recording has none
    #[arg(long, default_value_t = 1.0, value_parser = not_negative)]
    pub warm_up_seconds: f64,
    /// The most time for a request, in milliseconds
    #[arg(long, default_value_t = 30_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout_ms: u64,
    /// Version of HTTP: 2 is agreed on by TLS, and assumed without
    #[arg(long, value_enum, default_value = "1")]
    pub http: Version,
    /// Trust the authorities of this PEM file, not those of the system
    #[arg(long, value_name = "FILE")]
    pub ca: Option<PathBuf>,
    /// Trust any certificate
    #[arg(long, conflicts_with = "ca")]
    pub insecure: bool,
    /// Run the same load on this URL as well, in turns, and say what latency is added
    #[arg(long, value_name = "URL")]
    pub direct: Option<Url>,
    /// How often the load is run; 1, or 4 with `--direct`
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
    pub rounds: Option<u32>,
    /// Measure CPU, memory and descriptors of this process; may be repeated
    #[arg(long)]
    pub pid: Vec<u32>,
    /// Write all figures as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draw latency against rate
    #[arg(long, value_name = "FILE", requires = "rate")]
    pub svg: Option<PathBuf>,
    /// Say nothing while it runs
    #[arg(long, short)]
    pub quiet: bool,
}

/// The version of HTTP that is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Version {
    /// HTTP/1.1
    #[value(name = "1")]
    Http1,
    /// HTTP/2
    #[value(name = "2")]
    Http2,
}

impl Options {
    /// The key to send: that of a request which names a variable of its own, or that of all, where
    /// the environment has one.
    pub(super) fn key(&self, own: Option<&str>) -> io::Result<Option<Secret>> {
        let name = own.unwrap_or(&self.key_env);
        let refuse = |what: &str| Err(io::Error::other(format!("the key in `{name}` is {what}")));
        match env::var(name) {
            Ok(key) => Ok(Some(key.into())),
            Err(env::VarError::NotPresent) if own.is_some() => refuse("not there"),
            Err(env::VarError::NotPresent) => Ok(None),
            Err(env::VarError::NotUnicode(_)) => refuse("not UTF-8"),
        }
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    pub(super) fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.direct.is_some() { ROUNDS } else { 1 })
    }

    pub(super) fn bounds(&self) -> Bounds {
        let endless = self.requests.is_none() && self.replay.is_none();
        let seconds = self.seconds.or(endless.then_some(SECONDS));
        Bounds {
            time: seconds.map(Duration::from_secs_f64),
            requests: self.requests.unwrap_or(u64::MAX),
        }
    }

    /// What the flags' own checks cannot see.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.streams > 1 && self.http == Version::Http1 {
            return Err(io::Error::other("`--streams` needs `--http 2`: HTTP/1 answers in turn"));
        }
        if !self.path.starts_with('/') {
            return Err(io::Error::other(format!("`--path {}`: it begins with `/`", self.path)));
        }
        Ok(())
    }
}

/// A number above zero, and small enough for a duration.
fn positive(text: &str) -> Result<f64, String> {
    not_negative(text).and_then(|number| {
        if number > 0.0 { Ok(number) } else { Err("must be more than 0".to_owned()) }
    })
}

fn not_negative(text: &str) -> Result<f64, String> {
    const MAX: f64 = 1e9;
    match text.parse::<f64>() {
        Ok(number) if (0.0..=MAX).contains(&number) => Ok(number),
        _ => Err(format!("must be a number from 0 to {MAX}")),
    }
}
