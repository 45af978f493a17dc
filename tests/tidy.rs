//! The house rules that a machine can check, over the text of every Rust file.
//!
//! What clippy checks (length of functions, nesting, `unwrap`, …) is switched on in `Cargo.toml`
//! and not repeated here. This reads files and nothing else; it starts no gateway.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use support::tools::root;

/// The longest a file may be.
const FILE_LINES_MAX: usize = 400;

/// The longest a hook of `ProxyHttp` may be.
const HOOK_LINES_MAX: usize = 25;

/// Top-level modules from the ground up: each may use those of its own level and below.
const LEVELS: [&[&str]; 7] = [
    &["types", "error", "valkey", "template"],
    &["dialect"],
    &["config", "keys"],
    &[
        "auth",
        "roster",
        "body",
        "context",
        "admission",
        "webhook",
        "cache",
        "request",
        "route",
        "upstream",
        "stream",
        "retry",
        "usage",
        "telemetry",
        "mock",
        "bench",
    ],
    &["state"],
    &["proxy", "admin"],
    &["server", "main"],
];

/// One Rust file.
struct Source {
    /// Relative to the root, `src/config/raw.rs`.
    path: String,
    text: String,
}

impl Source {
    /// The lines of code with their numbers: no comments, no unit tests at the end of the file.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = (1..).zip(self.text.lines());
        let is_code = |(_, line): &(usize, &str)| !line.trim_start().starts_with("//");
        lines.take_while(|(_, line)| !line.starts_with("#[cfg(test)]")).filter(is_code)
    }

    /// The top-level module that the file belongs to; none for `lib.rs`.
    fn module(&self) -> Option<&str> {
        let path = self.path.strip_prefix("src/")?;
        let module = path.split('/').next()?.trim_end_matches(".rs");
        (module != "lib").then_some(module)
    }

    fn is_test_module(&self) -> bool {
        self.path.ends_with("/tests.rs") || self.path.contains("/tests/")
    }
}

#[test]
fn each_file_opens_with_what_it_is() {
    let mute = |source: &Source| !source.text.starts_with("//!");
    report("open with `//!`: what it is, why it is here, what it must not do", |source| {
        if mute(source) { vec![1] } else { Vec::new() }
    });
}

#[test]
fn files_are_short() {
    report(&format!("have at most {FILE_LINES_MAX} lines"), |source| {
        let lines = source.text.lines().count();
        if lines > FILE_LINES_MAX { vec![lines] } else { Vec::new() }
    });
}

#[test]
fn nothing_is_left_for_later() {
    // Put together here, so that this file does not find itself.
    let marks =
        [["TO", "DO"], ["FIX", "ME"], ["XX", "X:"], ["to", "do!("], ["unimpl", "emented!("]];
    let marks = marks.map(|parts| parts.concat());
    report("leave nothing for later", |source| {
        lines_where(source.text.lines(), |line| marks.iter().any(|mark| line.contains(mark)))
    });
}

#[test]
fn imports_name_what_they_import() {
    report("import names, never everything but a unit test what it tests", |source| {
        let first_test = source.text.lines().position(|line| line.starts_with("#[cfg(test)]"));
        let tests = if source.is_test_module() { Some(0) } else { first_test };
        let is_glob = |(number, line): &(usize, &str)| {
            let line = line.trim().trim_start_matches("pub ");
            let own = line == "use super::*;" && tests.is_some_and(|tests| *number > tests);
            line.starts_with("use ") && line.contains("::*") && !own
        };
        let lines = (1..).zip(source.text.lines()).filter(is_glob);
        lines.map(|(number, _)| number).collect()
    });
}

#[test]
fn modules_are_files_beside_their_directory() {
    report("be `foo.rs` beside `foo/`", |source| {
        if source.path.ends_with("/mod.rs") { vec![1] } else { Vec::new() }
    });
}

#[test]
fn modules_depend_in_one_direction() {
    let level = |module: &str| {
        let level = LEVELS.iter().position(|level| level.contains(&module));
        level.unwrap_or_else(|| panic!("module `{module}` needs a place in LEVELS"))
    };
    report("use only what stands below", |source| {
        let Some(module) = source.module().filter(|_| !source.is_test_module()) else {
            return Vec::new();
        };
        let own = level(module);
        let above = |line: &str| {
            let used = line.split("crate::").skip(1).filter_map(|rest| {
                let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_')?;
                rest.get(..end).filter(|name| !name.is_empty())
            });
            used.filter(|name| *name != module).any(|name| level(name) > own)
        };
        let lines = source.code().filter(|(_, line)| above(line));
        lines.map(|(number, _)| number).collect()
    });
}

#[test]
fn dialects_are_pure() {
    report("know neither Pingora, nor tokio, nor the configuration", |source| {
        if source.module() != Some("dialect") {
            return Vec::new();
        }
        let impure = |line: &str| {
            ["pingora", "tokio", "crate::config"].iter().any(|name| line.contains(name))
        };
        let lines = source.code().filter(|(_, line)| impure(line));
        lines.map(|(number, _)| number).collect()
    });
}

#[test]
fn only_the_proxy_implements_hooks_and_they_are_short() {
    report("leave hooks to `proxy`", |source| {
        if source.module() == Some("proxy") || !source.path.starts_with("src/") {
            return Vec::new();
        }
        lines_where(source.text.lines(), |line| line.contains("ProxyHttp for"))
    });
    report(&format!("keep a hook within {HOOK_LINES_MAX} lines"), |source| {
        let start = source.text.lines().position(|line| line.starts_with("impl ProxyHttp for"));
        let Some(start) = start else { return Vec::new() };
        let mut hook = start;
        let mut long = Vec::new();
        for (number, line) in source.text.lines().enumerate().skip(start) {
            match line {
                "}" => break,
                "    }" if number - hook >= HOOK_LINES_MAX => long.push(hook + 1),
                _ if line.starts_with("    fn ") || line.starts_with("    async fn ") => {
                    hook = number;
                }
                _ => {}
            }
        }
        long
    });
}

#[test]
fn each_example_configuration_is_mentioned() {
    let mut documents = vec![root().join("README.md")];
    documents.extend(files(&root().join("docs"), "md"));
    let text: String = documents.iter().filter_map(|path| fs::read_to_string(path).ok()).collect();
    let examples = files(&root().join("conf"), "yaml");
    assert!(!examples.is_empty(), "conf/ holds the examples");
    for example in examples {
        let name = example.file_name().and_then(|name| name.to_str()).expect("a name in UTF-8");
        assert!(text.contains(&format!("conf/{name}")), "no document mentions conf/{name}");
    }
}

/// Asserts a rule over all sources: `broken` gives the numbers of the lines that break it.
fn report(rule: &str, broken: impl Fn(&Source) -> Vec<usize>) {
    let sources = sources();
    assert!(sources.len() > 10, "the sources were found");
    let places: Vec<String> = sources
        .iter()
        .flat_map(|source| broken(source).into_iter().map(|line| format!("{}:{line}", source.path)))
        .collect();
    assert!(places.is_empty(), "files should {rule}:\n  {}", places.join("\n  "));
}

fn lines_where<'a>(
    lines: impl Iterator<Item = &'a str>,
    broken: impl Fn(&str) -> bool,
) -> Vec<usize> {
    (1..).zip(lines).filter(|(_, line)| broken(line)).map(|(number, _)| number).collect()
}

fn sources() -> Vec<Source> {
    let directories = ["src", "tests", "benches", "examples", "fuzz"];
    let paths = directories.iter().flat_map(|directory| files(&root().join(directory), "rs"));
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).expect("a text file");
        let path = path.strip_prefix(root()).expect("below the root").to_string_lossy();
        Source { path: path.replace('\\', "/"), text }
    };
    paths.map(read).collect()
}

/// Every file below a directory with this extension; none where there is no such directory.
fn files(directory: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.expect("a readable directory").path()) {
        if path.is_dir() && !path.ends_with("node_modules") {
            found.extend(files(&path, extension));
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
    found.sort();
    found
}
