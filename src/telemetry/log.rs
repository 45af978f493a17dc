//! The ordinary log: what happened to the process, one line each, to standard error.
//!
//! Requests do not belong here; they have the access log. `RUST_LOG` sets the level as
//! env_logger reads it: `RUST_LOG=tollgate=debug,pingora_proxy=info`.

use std::io::Write;

use env_logger::{Builder, Env};

/// What is logged without `RUST_LOG`. Pingora tells at `info` of each step of its own start and
/// of client connections that broke, which is no news to an operator.
const DEFAULT_FILTER: &str =
    "info,pingora_core=warn,pingora_proxy=warn,pingora_load_balancing=warn,h2=warn";

/// Sets the process's log up. A second call does nothing.
pub fn init() {
    let mut builder = Builder::from_env(Env::default().default_filter_or(DEFAULT_FILTER));
    builder.format(|out, record| {
        let now = chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
        let (level, target) = (record.level(), record.target());
        writeln!(out, "{now} {level:<5} {target}: {}", OneLine(record.args()))
    });
    // Tests and embedders may have set up a log already; theirs stays.
    let _already_set = builder.try_init();
}

/// A message without line breaks or other control characters, so that no text from outside
/// can pass for a line of its own.
struct OneLine<'a>(&'a std::fmt::Arguments<'a>);

impl std::fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write as _;
        write!(Escaping(f), "{}", self.0)
    }
}

struct Escaping<'a, 'f>(&'a mut std::fmt::Formatter<'f>);

impl std::fmt::Write for Escaping<'_, '_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for piece in text.split_inclusive(char::is_control) {
            match piece.chars().next_back() {
                Some(last) if last.is_control() => {
                    let plain = piece.get(..piece.len() - last.len_utf8()).unwrap_or_default();
                    write!(self.0, "{plain}{}", last.escape_default())?;
                }
                _ => self.0.write_str(piece)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use log::Log;

    #[test]
    fn a_message_stays_on_one_line() {
        let cases = [
            ("plain", "plain"),
            ("a\nb", "a\\nb"),
            ("\r\n", "\\r\\n"),
            ("é\u{1b}[31m", "é\\u{1b}[31m"),
            ("", ""),
        ];
        for (message, line) in cases {
            assert_eq!(OneLine(&format_args!("{message}")).to_string(), line);
        }
    }

    #[test]
    fn the_default_filter_is_one_that_env_logger_understands() {
        let filter = Builder::new().parse_filters(DEFAULT_FILTER).build();
        let enabled = |target: &str, level| {
            filter.enabled(&log::Metadata::builder().target(target).level(level).build())
        };
        assert!(enabled("tollgate::server", log::Level::Info));
        assert!(!enabled("tollgate::server", log::Level::Debug));
        assert!(!enabled("pingora_proxy::proxy_h1", log::Level::Info));
        assert!(!enabled("pingora_core::server", log::Level::Info));
        assert!(enabled("pingora_core::server", log::Level::Warn));
    }
}
