//! `tollgate bench` against servers that behave as a test tells them: what it counts, when it
//! sends, what it charges a stalling server for, and what it writes.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use support::Version;
use support::answer::{close, hang, natural_events, ok, pieces, sse, status};
use support::port::Port;
use support::tls::Authority;
use support::tools::{self, Server};
use support::upstream::{Upstream, tls_upstream, upstream};
use tempfile::TempDir;

const KEY: &str = "sk-very-secret";
const OTHER: &str = "sk-another";

/// How long a stalling server stalls.
const STALL: Duration = Duration::from_millis(300);

/// One run of the command in a directory of its own.
struct Bench {
    directory: TempDir,
    output: Output,
}

impl Bench {
    /// The figures as JSON.
    fn report(&self) -> Value {
        let text = std::fs::read_to_string(self.directory.path().join("report.json"));
        let text = text.map_err(|_| self.stderr()).expect("a report");
        assert!(!text.contains(KEY), "the key is in the report");
        serde_json::from_str(&text).expect("the report is JSON")
    }

    /// The figures through the server, of the only step.
    fn through(&self) -> Value {
        self.report().pointer("/steps/0/through").expect("a step").clone()
    }

    fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }
}

fn command(url: &str, directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(tools::tollgate());
    command.args(["bench", url, "--warm-up-seconds", "0", "--json", "report.json"]);
    command.args(arguments).current_dir(directory).env("TOLLGATE_KEY", KEY).env("OTHER_KEY", OTHER);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the command to its end, with a file that its arguments may name.
async fn bench_with(url: &str, arguments: &[&str], (name, text): (&str, &str)) -> Bench {
    let directory = tempfile::tempdir().expect("a directory");
    std::fs::write(directory.path().join(name), text).expect("the test's file");
    let mut command = command(url, directory.path(), arguments);
    let output = tokio::task::spawn_blocking(move || command.output().expect("the binary runs"));
    Bench { directory, output: output.await.expect("the run is waited for") }
}

async fn bench(url: &str, arguments: &[&str]) -> Bench {
    bench_with(url, arguments, ("unused", "")).await
}

fn url(server: &Upstream) -> String {
    server.url().trim_end_matches("/v1").to_owned()
}

fn number(value: &Value) -> f64 {
    value.as_f64().expect("a number")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_sent_and_counted_once() {
    let model = upstream().await;
    let run = bench(&url(&model), &["--requests", "50", "-c", "4", "--threads", "2"]).await;
    let figures = run.through();
    assert_eq!((&figures["answered"], &figures["failed"]), (&json!(50), &json!(0)), "{figures}");
    assert_eq!(figures["latency_us"]["count"], 50);
    assert_eq!(figures["connections_made"], 4);
    assert_eq!((model.count(), model.connections()), (50, 5), "one connection is a first try");
    let request = model.last_request();
    assert_eq!((&*request.path, request.body.len()), ("/v1/chat/completions", 600));
    assert_eq!(request.header("authorization"), format!("Bearer {KEY}"));
    assert!(run.stdout().contains("50 in "), "{}", run.stdout());
    let said = run.stdout() + &run.stderr();
    assert!(!said.contains(KEY), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_is_charged_to_every_request_that_was_due_meanwhile() {
    let model = upstream().await;
    model.then(ok().late_by(STALL));
    let rate = ["--rate", "200", "--requests", "60", "-c", "1"];
    let figures = bench(&url(&model), &rate).await.through();
    assert_eq!(figures["answered"], 60, "{figures}");
    // Half of the requests were due in the first half of the stall, and waited for the other.
    let half = STALL.as_micros() as f64 / 2.0;
    assert!(number(&figures["latency_us"]["p50"]) >= half - 1.0, "{figures}");
    assert!(number(&figures["latency_us"]["max"]) >= 2.0 * half - 1.0, "{figures}");
    assert!(number(&figures["send_delay_us"]["p50"]) >= half - 1.0, "{figures}");
    assert!(number(&figures["seconds"]) >= 59.0 / 200.0, "no request is sent before its time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_loop_meets_a_stall_once() {
    let model = upstream().await;
    model.then(ok().late_by(STALL));
    let figures = bench(&url(&model), &["--requests", "60", "-c", "1"]).await.through();
    let stall = STALL.as_micros() as f64;
    assert!(number(&figures["latency_us"]["max"]) >= stall, "{figures}");
    assert!(number(&figures["latency_us"]["p50"]) < stall, "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_streams_are_timed() {
    let model = upstream().await;
    model.always(ok().late_by(Duration::from_millis(50)));
    let run = bench(&url(&model), &["--stream", "--requests", "6", "-c", "2"]).await;
    let figures = run.through();
    assert_eq!(figures["answered"], 6, "{figures}");
    assert_eq!(figures["first_token_us"]["count"], 6);
    // Behind the role and the first word: two words, the finish, `[DONE]`.
    let behind = natural_events("demo").len() - 2;
    assert_eq!(figures["between_tokens_us"]["count"], 6 * behind);
    assert!(number(&figures["first_token_us"]["p50"]) >= 50_000.0, "{figures}");
    let (first, all) = (&figures["first_token_us"]["max"], &figures["latency_us"]["max"]);
    assert!(number(first) <= number(all), "{figures}");
    assert!(run.stdout().contains("first token"), "{}", run.stdout());
    assert_eq!(model.last_request().json()["stream"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mock_is_understood() {
    let mock = Server::mock().await;
    let stream = ["--stream", "--tokens", "7", "--requests", "5", "-c", "1", "--http", "1"];
    let figures = bench(&mock.url(), &stream).await.through();
    assert_eq!((&figures["answered"], &figures["failed"]), (&json!(5), &json!(0)), "{figures}");
    assert_eq!(figures["first_token_us"]["count"], 5);
    let whole = bench(&mock.url(), &["--requests", "5", "-c", "1"]).await.through();
    assert_eq!(whole["first_token_us"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_whole_where_its_dialect_says_so() {
    let model = upstream().await;
    let check = async |path: &str, last: &str, expected: &str| {
        let long = "x".repeat(5000);
        let stream = format!("data: {{\"text\":\"{long}\"}}\n\n{}", last.replace("LONG", &long));
        model.then(pieces("text/event-stream", [stream.into_bytes()]));
        let figures = bench(&url(&model), &["--stream", "--path", path, "--requests", "1"]).await;
        let figures = figures.through();
        let error = figures["first_error"].as_str().unwrap_or_default();
        let right = if expected.is_empty() { error.is_empty() } else { error.contains(expected) };
        assert!(right, "{path} {last}: {error}");
    };
    let (chat, messages) = ("/v1/chat/completions", "/v1/messages");
    check(chat, "data: [DONE]\n\n", "").await;
    check(chat, "", "ended without `[DONE]`").await;
    check(messages, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", "").await;
    check(messages, "event: error\ndata: {\"type\":\"error\"}\n\n", "without `message_stop`").await;
    let responses = async |name: &str, expected: &str| {
        let event =
            format!("data: {{\"type\":\"{name}\",\"response\":{{\"output\":\"LONG\"}}}}\n\n");
        check("/v1/responses", &event, expected).await;
        check("/v1/responses", &format!("event: {name}\n{event}"), expected).await;
    };
    responses("response.completed", "").await;
    responses("response.incomplete", "").await;
    responses("response.failed", "ended with `response.failed`").await;
    responses("response.output_item.done", "ended without `response.completed` or").await;
    let gemini = "/v1beta/models/demo:streamGenerateContent";
    let last = "{\"candidates\":[{\"finishReason\":\"STOP\"}]}";
    check(&format!("{gemini}?alt=sse"), &format!("data: {last}\r\n\r\n"), "").await;
    check(&format!("{gemini}?alt=sse"), "", "ended without `\"finishReason\"`").await;
    check(gemini, &format!(",\n{last}]\n"), "").await;
    check(gemini, "]", "ended without `\"finishReason\"`").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_told_apart() {
    let model = upstream().await;
    let events = natural_events("demo");
    let endless = sse(&events[..events.len() - 1]);
    model.then(status(429)).then(status(503)).then(ok().with_status(302)).then(close());
    model.then(sse(&events).cut_after(2)).then(endless).then(hang());
    let flags = ["--stream", "--requests", "8", "-c", "1", "--timeout-ms", "3000"];
    let run = bench(&url(&model), &flags).await;
    let figures = run.through();
    let errors = json!({
        "status 3xx": 1, "status 4xx": 1, "status 5xx": 1, "no answer": 1, "broken answer": 2,
        "timeout": 1,
    });
    assert_eq!(figures["errors"], errors, "{figures}");
    assert_eq!((&figures["answered"], &figures["failed"]), (&json!(1), &json!(7)));
    let first = figures["first_error"].as_str().expect("a text");
    assert!(first.starts_with("status 429: ") && first.contains("simulated 429"), "{first}");
    // One that was given up counts with the time it was waited for.
    assert_eq!(figures["latency_us"]["count"], 2);
    assert!(number(&figures["latency_us"]["max"]) >= 3_000_000.0, "{figures}");
    assert_eq!(figures["connections_made"], 5, "an error status keeps its connection");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_named() {
    let port = Port::reserve();
    let run = bench(&format!("http://{}", port.address()), &["--requests", "1"]).await;
    assert!(!run.output.status.success());
    let stderr = run.stderr();
    assert!(stderr.contains(&port.address().to_string()), "{stderr}");
    assert!(stderr.contains("cannot be connected to"), "{stderr}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_without_a_good_answer_is_a_failure() {
    let model = upstream().await;
    model.always(status(401));
    let run = bench(&url(&model), &["--requests", "3", "-c", "1"]).await;
    assert!(!run.output.status.success());
    assert_eq!(run.through()["errors"], json!({"status 4xx": 3}));
    assert!(run.stderr().contains("not one request had a good answer"), "{}", run.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_shares_connections_with_and_without_tls() {
    let authority = Authority::new();
    let secured = tls_upstream(authority.issue("127.0.0.1")).await;
    let (flags, file) = (["--http", "2", "--streams", "4", "-c", "2"], ("ca.pem", authority.pem()));
    let with = |more: &[&'static str]| [&flags[..], &["--requests", "40"], more].concat();
    let figures = bench_with(&url(&secured), &with(&["--ca", "ca.pem"]), file).await.through();
    assert_eq!((&figures["answered"], &figures["connections_made"]), (&json!(40), &json!(2)));
    assert_eq!(secured.last_request().version, Version::HTTP_2);
    assert!(bench(&url(&secured), &with(&["--insecure"])).await.output.status.success());
    let distrust = bench(&url(&secured), &with(&[])).await;
    assert!(!distrust.output.status.success());
    assert!(distrust.stderr().contains("certificate"), "{}", distrust.stderr());

    let clear = upstream().await;
    let figures = bench(&url(&clear), &with(&[])).await.through();
    assert_eq!((&figures["answered"], &figures["connections_made"]), (&json!(40), &json!(2)));
    assert_eq!(clear.last_request().version, Version::HTTP_2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_latency_that_a_way_adds_is_stated() {
    let (near, far) = (upstream().await, upstream().await);
    far.always(ok().late_by(STALL));
    let direct = url(&near);
    let flags = ["--direct", &direct, "--rounds", "2", "--requests", "4", "-c", "4"];
    let run = bench(&url(&far), &flags).await;
    let report = run.report();
    let step = &report["steps"][0];
    assert_eq!((near.count(), far.count()), (8, 8));
    assert_eq!((&step["direct"]["answered"], &step["through"]["answered"]), (&json!(8), &json!(8)));
    let added = &step["added"]["p50_us"];
    assert!(number(&added["min"]) > 0.0, "{added}");
    assert!(number(&added["min"]) <= number(&added["median"]), "{added}");
    assert!(run.stdout().contains("added latency"), "{}", run.stdout());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mix_and_a_recording_are_sent_as_their_files_say() {
    let model = upstream().await;
    let mix = "- {name: small, weight: 3, body_bytes: 300}\n\
               - {name: vectors, path: /v1/embeddings, key_env: OTHER_KEY, \
                  body: {model: demo, input: Hi}}\n";
    let flags = ["--mix", "mix.yaml", "--requests", "8", "-c", "1"];
    let figures = bench_with(&url(&model), &flags, ("mix.yaml", mix)).await.through();
    let kinds = figures["kinds"].as_array().expect("a list");
    let kinds: Vec<_> = kinds.iter().map(|kind| (&kind["name"], &kind["answered"])).collect();
    let expected = [(&json!("small"), &json!(6)), (&json!("vectors"), &json!(2))];
    assert_eq!(kinds, expected);
    let sent = model.requests();
    let others = sent.iter().filter(|sent| sent.header("authorization").ends_with(OTHER));
    assert!(others.clone().all(|sent| sent.path == "/v1/embeddings"));
    assert_eq!(others.count(), 2);

    let nobodys = "[{name: chat, key_env: NOBODYS_KEY}]";
    let run = bench_with(&url(&model), &flags, ("mix.yaml", nobodys)).await;
    assert!(!run.output.status.success(), "{}", run.stdout());
    assert!(run.stderr().contains("the key in `NOBODYS_KEY` is not there"), "{}", run.stderr());

    let model = upstream().await;
    let lines = "{\"offset_ms\": 40, \"path\": \"/v1/b\", \"body\": {\"n\": 2}}\n\
                 {\"offset_ms\": 0, \"path\": \"/v1/a\", \"body\": {\"n\": 1}}\n";
    let flags = ["--replay", "lines", "-c", "1"];
    let figures = bench_with(&url(&model), &flags, ("lines", lines)).await.through();
    let sent: Vec<_> =
        model.requests().iter().map(|sent| (sent.path.clone(), sent.json())).collect();
    assert_eq!(sent, [("/v1/a".into(), json!({"n": 1})), ("/v1/b".into(), json!({"n": 2}))]);
    assert!(number(&figures["seconds"]) >= 0.04, "{figures}");
}

#[tokio::test(flavor = "multi_thread")]
async fn latency_is_drawn_against_rate() {
    let model = upstream().await;
    let flags = ["--rates", "50,100", "--requests", "8", "-c", "2", "--svg", "picture.svg"];
    let run = bench(&url(&model), &flags).await;
    let rates: Vec<_> = run.report()["steps"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|step| number(&step["rate_asked"]))
        .collect();
    assert_eq!(rates, [50.0, 100.0]);
    let text = std::fs::read_to_string(run.directory.path().join("picture.svg")).expect("a file");
    let picture = roxmltree::Document::parse(&text).expect("well-formed XML");
    let named = |name: &str| picture.descendants().filter(|node| node.has_tag_name(name)).collect();
    let (lines, texts): (Vec<_>, Vec<_>) = (named("polyline"), named("text"));
    let points = |node: &roxmltree::Node<'_, '_>| node.attribute("points").map(ToOwned::to_owned);
    // Each percentile has its line, of a point for each rate, and its sample in the legend.
    assert_eq!(lines.len(), 8);
    assert!(lines.iter().filter_map(points).all(|points| points.split(' ').count() == 2));
    let texts: Vec<_> = texts.iter().filter_map(roxmltree::Node::text).collect();
    for label in ["p50", "p99.9", "100", "requests a second, asked for"] {
        assert!(texts.contains(&label), "{texts:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_is_measured_while_it_serves() {
    let model = upstream().await;
    let pid = std::process::id().to_string();
    let figures = bench(&url(&model), &["--requests", "20", "--pid", &pid]).await.through();
    assert!(number(&figures["process"]["resident_bytes"]) > 1e6, "{figures}");
    assert!(number(&figures["process"]["descriptors"]) > 3.0, "{figures}");
    let nobody = bench(&url(&model), &["--requests", "20", "--pid", "4194304"]).await;
    assert!(nobody.stderr().contains("process 4194304: "), "{}", nobody.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupt_gives_what_was_measured_so_far() {
    let model = upstream().await;
    let directory = tempfile::tempdir().expect("a directory");
    let flags = ["--seconds", "3600", "-c", "2", "--rates", "100,200"];
    let child = command(&url(&model), directory.path(), &flags).spawn().expect("it starts");
    model.received(20).await;
    tools::run(Command::new("kill").args(["-s", "INT", &child.id().to_string()]), "");
    let output = tokio::task::spawn_blocking(|| child.wait_with_output()).await;
    let output = output.expect("the wait is waited for").expect("it ends");
    assert!(output.status.success());
    let run = Bench { directory, output };
    let report = run.report();
    assert_eq!(report["interrupted"], true);
    assert_eq!(report["steps"].as_array().expect("a list").len(), 1, "the next rate is left out");
    assert!(number(&report["steps"][0]["through"]["answered"]) >= 10.0, "{report}");
    assert!(run.stdout().contains("Interrupted"), "{}", run.stdout());
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let check = |arguments: &[&str], expected: &str| {
        let output = command("http://127.0.0.1:9", directory.path(), arguments).output();
        let output = output.expect("the binary runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(expected), "{arguments:?}: {said}");
    };
    check(&["--streams", "2"], "`--streams` needs `--http 2`");
    check(&["--path", "v1"], "it begins with `/`");
    check(&["--rate", "0"], "must be more than 0");
    check(&["--rate", "-1"], "-1");
    check(&["--svg", "a.svg"], "--rate");
    check(&["--replay", "a", "--rate", "1"], "cannot be used with");
}
