//! The examples of the documentation, run as they stand against a gateway with the demo's configuration.
//!
//! Blocks of one language on a page are one program: later ones may use what earlier ones made. A block of `text`
//! behind one says what that prints, where `…` stands for anything; without it nothing is printed. What
//! is YAML must pass as a part of a configuration, and JSON must be JSON.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::process::Command;

use serde_json::{Value, json};
use support::conf::conf_of;
use support::gateway::Gateway;
use support::tools::{Server, python, root, run, tollgate};

/// Printed between the blocks of a program.
const MARK: &str = "--- the next block ---";

/// A piece of a page.
#[derive(Debug)]
struct Block {
    language: String,
    code: String,
    /// What the page says that it prints.
    prints: String,
}

/// A language that examples are run in: how its interpreter is called, and what prints [`MARK`].
struct Language {
    name: &'static str,
    command: fn() -> Command,
    print: fn(&str) -> String,
}

const LANGUAGES: [Language; 3] = [
    Language { name: "sh", command: bash, print: |text| format!("echo '{text}'") },
    Language { name: "python", command: python_of_tests, print: |text| format!("print('{text}')") },
    Language { name: "js", command: node, print: |text| format!("console.log('{text}')") },
];

fn bash() -> Command {
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-s"]);
    bash
}

fn python_of_tests() -> Command {
    let mut command = Command::new(python("python"));
    command.arg("-");
    command
}

/// Where it runs, there the official clients are found.
fn node() -> Command {
    let mut node = Command::new("node");
    node.args(["--input-type=module", "-"]).current_dir(root().join("tests/sdk"));
    node
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for (at, piece) in page.split("```").enumerate() {
        let Some((language, code)) = piece.split_once('\n').filter(|_| at % 2 == 1) else {
            continue;
        };
        match (language, blocks.last_mut()) {
            ("text", Some(block)) => block.prints = code.to_owned(),
            _ => blocks.push(Block {
                language: language.to_owned(),
                code: code.to_owned(),
                prints: String::new(),
            }),
        }
    }
    blocks
}

/// Whether a text is what was expected, where `…` may be anything.
fn is_like(said: &str, expected: &str) -> bool {
    let mut pieces = expected.split('…');
    let Some(mut rest) = said.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let Some(last) = pieces.next_back() else { return rest.is_empty() };
    for piece in pieces {
        match rest.split_once(piece) {
            Some((_, behind)) => rest = behind,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Without what a terminal does not show.
fn shown(text: &str) -> String {
    text.trim().lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The gateway that `make run` starts, on ports of its own.
async fn demo() -> (Server, Gateway) {
    let mock = Server::mock().await;
    let conf = conf_of(&read("conf/demo.yaml"));
    let url = format!("{}/v1", mock.url());
    let gateway = conf.set("providers.simulated.endpoints.0.url", url).start().await;
    (mock, gateway)
}

/// Runs a page's blocks in a language, and returns how many there were.
fn run_blocks(language: &Language, page: &str, gateway: &str) -> usize {
    let blocks: Vec<Block> =
        blocks(page).into_iter().filter(|b| b.language == language.name).collect();
    let mark = (language.print)(MARK);
    let program: String = blocks.iter().map(|block| format!("{}\n{mark}\n", block.code)).collect();
    let program = program.replace("http://127.0.0.1:8080", gateway);
    let said = run(&mut (language.command)(), &program);
    let mut said = said.split(MARK);
    for block in &blocks {
        let (said, prints) = (shown(said.next().unwrap_or_default()), shown(&block.prints));
        assert!(
            is_like(&said, &prints),
            "{}\nshould print\n{prints}\nand prints\n{said}",
            block.code
        );
    }
    let rest = said.next().unwrap_or_default();
    assert!(rest.trim().is_empty(), "{rest}");
    blocks.len()
}

/// Runs a page's blocks in these languages, each of which it must have.
async fn run_page(path: &'static str, languages: &'static [&str]) {
    let (_mock, gateway) = demo().await;
    let url = gateway.url();
    let running = tokio::task::spawn_blocking(move || {
        for language in LANGUAGES.iter().filter(|language| languages.contains(&language.name)) {
            assert!(run_blocks(language, &read(path), &url) > 0, "{path} has no {}", language.name);
        }
    });
    running.await.expect("the examples are right");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_about_contexts_does_what_it_says() {
    run_page("docs/contexts.md", &["sh", "python", "js"]).await;
}

/// Its shell blocks are `make` targets.
#[tokio::test(flavor = "multi_thread")]
async fn the_readme_does_what_it_says() {
    run_page("README.md", &["python"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_curl_that_the_demo_shows_is_answered() {
    let (_mock, gateway) = demo().await;
    for path in ["conf/demo.yaml", "scripts/run.sh"] {
        let text = read(path);
        let lines = text.lines().map(|line| line.trim_start_matches(['#', ' ']));
        let lines: Vec<&str> = lines.skip_while(|line| !line.starts_with("curl ")).collect();
        let more = lines.iter().take_while(|line| line.ends_with('\\')).count();
        let command = lines.get(..=more).expect(path).join("\n");
        let command = command.replace("http://127.0.0.1:8080", &gateway.url());
        let said = tokio::task::spawn_blocking(move || run(&mut bash(), &command));
        let said = said.await.expect("it is answered");
        assert!(said.contains(r#""content":"The toll is paid"#), "{path}: {said}");
    }
}

/// Puts a part of a configuration over a whole one.
fn put_over(whole: &mut Value, part: Value) {
    match (whole, part) {
        (Value::Object(whole), Value::Object(part)) => {
            for (name, value) in part {
                put_over(whole.entry(name).or_insert(Value::Null), value);
            }
        }
        (whole, part) => *whole = part,
    }
}

#[test]
fn what_the_page_about_contexts_configures_is_valid() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("tollgate.yaml");
    let (mut configured, mut said) = (0, 0);
    for block in blocks(&read("docs/contexts.md")) {
        match block.language.as_str() {
            "yaml" => {
                let mut whole: Value =
                    serde_saphyr::from_str(&read("conf/demo.yaml")).expect("YAML");
                // The models that the page's examples ask for.
                let model = whole.pointer("/models/demo").expect("the demo's model").clone();
                put_over(&mut whole, json!({"models": {"fast": model, "support": model}}));
                put_over(&mut whole, serde_saphyr::from_str(&block.code).expect("YAML"));
                fs::write(&file, serde_saphyr::to_string(&whole).expect("data")).expect("a file");
                let mut check = Command::new(tollgate());
                check.args(["check", "--config"]).arg(&file).env("SUMMARY_KEY", "sk-summary");
                run(&mut check, "");
                configured += 1;
            }
            "json" if !block.code.contains('…') => {
                let read = serde_json::from_str::<Value>(&block.code);
                assert!(read.is_ok(), "{}: {read:?}", block.code);
                said += 1;
            }
            _ => {}
        }
    }
    assert!(configured > 1 && said > 1, "{configured} of YAML, {said} of JSON");
}

#[test]
fn what_is_printed_is_compared_but_for_what_may_differ() {
    for (said, expected, is) in [
        ("a\nb", "a\nb", true),
        ("a\nb", "a", false),
        ("abc", "a…c", true),
        ("a1b2c", "a…b…c", true),
        ("a1b2c", "a…c…b", false),
        ("a1b2cd", "a…b…c", false),
        ("xabc", "a…", false),
        ("", "", true),
        ("x", "", false),
    ] {
        assert_eq!(is_like(said, expected), is, "{said:?} {expected:?}");
    }
}
