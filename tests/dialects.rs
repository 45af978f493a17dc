//! The golden matrix of translations: every pair of dialects, every case, as files that can be read.
//!
//! `tests/data/<dialect>/` holds what a client or a provider of that dialect says;
//! `tests/data/<from>-<to>/` what becomes of it. `UPDATE=1` writes the latter anew: read the diff.

#![expect(clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tollgate::dialect::gemini::stream_writer::Framing;
use tollgate::dialect::ir::loss::{Cell, Loss, Side, TABLE, of_pair};
use tollgate::dialect::ir::{Dialect, Reply, Target};
use tollgate::dialect::translate::stream::{Step, StreamOptions, StreamTranslator};
use tollgate::dialect::translate::{translate_answer, translate_error, translate_request};

const REQUESTS: &[&str] = &[
    "plain",
    "system",
    "multi_turn",
    "image",
    "tools",
    "parallel_tools",
    "tool_result",
    "structured_output",
    "json_mode",
    "thinking",
    "stop",
    "caching",
    "losses",
    "no_more_calls",
];

/// What a dialect has no word for, or says within another case (Anthropic its marks for caching).
const NOT_SAID: &[(Dialect, &str)] = &[
    (Dialect::Anthropic, "json_mode"),
    (Dialect::Anthropic, "caching"),
    (Dialect::Gemini, "caching"),
    (Dialect::Responses, "caching"),
];

const ANSWERS: &[&str] = &["plain", "tools", "parallel_tools", "thinking", "stop", "refusal"];

const STREAMS: &[&str] =
    &["plain", "tools", "parallel_tools", "thinking", "stop", "refusal", "error", "cut"];

/// The statuses under which the `error` cases came.
const ERRORS: &[(Dialect, u16)] = &[
    (Dialect::Chat, 429),
    (Dialect::Anthropic, 529),
    (Dialect::Gemini, 429),
    (Dialect::Responses, 429),
    (Dialect::Bedrock, 429),
];

const REPLY: Reply<'static> = Reply { id: "reply-1", created: 1_700_000_000, model: "alias" };

fn data(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(path)
}

/// The input of a case.
fn input(dialect: Dialect, case: &str, ending: &str) -> Vec<u8> {
    fs::read(data(&format!("{}/{case}.{ending}", dialect.name()))).expect(case)
}

/// The requests of a dialect's clients.
fn requests(from: Dialect) -> impl Iterator<Item = &'static str> {
    REQUESTS.iter().copied().filter(move |case| !NOT_SAID.contains(&(from, *case)))
}

/// The models that requests go to: those of today, and the older ones that think in another way.
fn targets(to: Dialect) -> Vec<(&'static str, Target<'static>)> {
    let target = |model, extensions| Target { model, extensions, usage_in_streams: true };
    match to {
        Dialect::Chat => vec![("", target("gpt-x", false)), (".compatible", target("qwen", true))],
        Dialect::Responses => vec![("", target("gpt-x", false))],
        Dialect::Anthropic => {
            vec![("", target("claude-x", false)), (".older", target("claude-sonnet-4-5", false))]
        }
        Dialect::Gemini => {
            vec![("", target("gemini-3-pro", false)), (".older", target("gemini-2.5-pro", false))]
        }
        Dialect::Bedrock => vec![
            ("", target("us.anthropic.claude-x-v1:0", false)),
            (".older", target("anthropic.claude-sonnet-4-5-20250929-v1:0", false)),
            (".nova", target("us.amazon.nova-2-lite-v1:0", false)),
            (".other", target("mistral.mistral-large-3", false)),
        ],
    }
}

/// From every client to every upstream of another dialect.
fn requesting() -> impl Iterator<Item = (Dialect, Dialect)> {
    Dialect::ALL.into_iter().flat_map(|from| {
        Dialect::UPSTREAMS.into_iter().filter(move |to| *to != from).map(move |to| (from, to))
    })
}

/// From every upstream to every client of another dialect.
fn answering() -> impl Iterator<Item = (Dialect, Dialect)> {
    requesting().map(|(client, upstream)| (upstream, client))
}

fn told(losses: &[Loss]) -> String {
    losses.iter().map(|loss| format!("{:?}: {}\n", loss.fate, loss.field)).collect()
}

fn pretty(body: &[u8]) -> String {
    let value: Value = serde_json::from_slice(body).expect("a writer writes JSON");
    serde_json::to_string_pretty(&value).expect("JSON prints")
}

/// Compares with a golden file, and gives what is wrong.
fn compare(from: Dialect, to: Dialect, name: &str, got: &str) -> Option<String> {
    let path = data(&format!("{}-{}/{name}", from.name(), to.name()));
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        fs::write(&path, got).expect("written");
        return None;
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    (wanted != got).then(|| format!("{}\n--- wanted\n{wanted}\n--- got\n{got}", path.display()))
}

fn report(rows: usize, least: usize, wrong: Vec<String>) {
    assert!(rows >= least, "only {rows} rows were run");
    assert!(wrong.is_empty(), "{} of {rows} rows differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn requests_reach_every_upstream() {
    let (mut rows, mut wrong) = (0, Vec::new());
    for (from, to) in requesting() {
        for case in requests(from) {
            let body = input(from, case, "request.json");
            for (kind, target) in targets(to) {
                let done = translate_request(from, to, &body, target, false).expect(case);
                let got = format!("{}\n\n{}", pretty(&done.body), told(&done.losses));
                rows += 1;
                wrong.extend(compare(from, to, &format!("{case}{kind}.request.txt"), &got));
            }
        }
    }
    report(rows, 420, wrong);
}

#[test]
fn whole_answers_reach_every_client() {
    let (mut rows, mut wrong) = (0, Vec::new());
    for (from, to) in answering() {
        for case in ANSWERS {
            let body = input(from, case, "answer.json");
            let done = translate_answer(from, to, &body, &REPLY).expect(case);
            let got = format!("{}\n\n{}", pretty(&done.body), told(&done.losses));
            rows += 1;
            wrong.extend(compare(from, to, &format!("{case}.answer.txt"), &got));
        }
    }
    report(rows, 96, wrong);
}

#[test]
fn errors_reach_every_client() {
    let (mut rows, mut wrong) = (0, Vec::new());
    for (from, to) in answering() {
        let (_, status) = ERRORS.iter().find(|(dialect, _)| *dialect == from).expect("a status");
        let body = input(from, "error", "answer.json");
        let done = translate_error(from, to, *status, &body);
        let retry = done.fault.retry_after;
        let got = format!("{} {retry:?}\n{}\n", done.status, pretty(&done.body));
        rows += 1;
        wrong.extend(compare(from, to, "error.answer.txt", &got));
    }
    report(rows, 16, wrong);
}

#[test]
fn streams_reach_every_client() {
    let (mut rows, mut wrong) = (0, Vec::new());
    for (from, to) in answering() {
        for case in STREAMS {
            let sse = String::from_utf8(input(from, case, "stream.sse")).expect(case);
            rows += 1;
            wrong.extend(compare(
                from,
                to,
                &format!("{case}.stream.txt"),
                &streamed(from, to, &sse),
            ));
        }
    }
    report(rows, 128, wrong);
}

fn streamed(from: Dialect, to: Dialect, sse: &str) -> String {
    let options = StreamOptions { reply: REPLY, include_usage: true, framing: Framing::Sse };
    let mut translator = StreamTranslator::new(from, to, &options);
    let mut out = Vec::new();
    let mut last = Step::More;
    for data in sse.lines().filter_map(|line| line.strip_prefix("data: ")) {
        last = translator.event(data.as_bytes(), &mut out);
    }
    if matches!(last, Step::More) {
        last = translator.finish(&mut out);
    }
    let end = match last {
        Step::More => "more".to_owned(),
        Step::Done => "done".to_owned(),
        Step::Failed(fault) => format!("failed: {fault:?}"),
    };
    let text = String::from_utf8(out).expect("UTF-8");
    let usage = translator.usage();
    format!("{text}{end}\n{usage:?}\n{}", told(&translator.into_losses()))
}

/// The published table says what the writers do: each loss of a pair is met in some case, and
/// no case meets one that the table does not have.
#[test]
fn the_table_of_losses_agrees_with_the_writers() {
    let mut wrong = Vec::new();
    for (from, to) in requesting() {
        let met = request_losses(from, to);
        for (feature, name) in of_pair(from, to, Side::Request) {
            if !met.iter().any(|field| field == name) {
                wrong
                    .push(format!("{from:?} to {to:?}: {feature:?} (`{name}`) is lost in no case"));
            }
        }
        let known: Vec<&str> = TABLE.iter().filter_map(|row| row.feature.name_in(from)).collect();
        for field in met.iter().filter(|field| known.contains(&field.as_str())) {
            if !of_pair(from, to, Side::Request).any(|(_, name)| name == field) {
                wrong.push(format!("{from:?} to {to:?}: `{field}` is lost, and not in the table"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn request_losses(from: Dialect, to: Dialect) -> Vec<String> {
    let mut met = Vec::new();
    for case in requests(from) {
        let body = input(from, case, "request.json");
        for (_, target) in targets(to) {
            let done = translate_request(from, to, &body, target, false).expect(case);
            met.extend(done.losses.into_iter().map(|loss| loss.field.into_owned()));
        }
    }
    met
}

/// What `docs/dialects.md` says of losses is what the code does.
#[test]
fn the_published_table_is_the_one_in_use() {
    const MARKS: (&str, &str) = ("<!-- begin -->\n", "<!-- end -->\n");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/dialects.md");
    let text = fs::read_to_string(&path).expect("the document");
    let (before, rest) = text.split_once(MARKS.0).expect("where the tables begin");
    let (published, behind) = rest.split_once(MARKS.1).expect("where the tables end");
    let tables = [("Requests", Side::Request), ("Answers", Side::Answer)]
        .map(|(title, side)| format!("\n### {title}\n\n{}", table(side)))
        .concat();
    let tables = format!("{tables}\n");
    if std::env::var_os("UPDATE").is_some() {
        let text = [before, MARKS.0, &tables, MARKS.1, behind].concat();
        fs::write(&path, text).expect("written");
        return;
    }
    assert_eq!(published, tables, "UPDATE=1 writes it anew");
}

fn table(side: Side) -> String {
    let head: String =
        Dialect::ALL.iter().map(|dialect| format!(" {} |", dialect.name())).collect();
    let mut out = format!("|{head}\n|{}\n", "---|".repeat(Dialect::ALL.len()));
    for row in TABLE.iter().filter(|row| row.side == side) {
        let cell = |dialect: &Dialect| match row.cell(*dialect) {
            Cell::Says(name) => format!(" `{name}` |"),
            Cell::Hears(name) | Cell::Partly(name) => format!(" *`{name}`* |"),
            Cell::Nothing => " – |".to_owned(),
        };
        let cells: String = Dialect::ALL.iter().map(cell).collect();
        out.push_str(&format!("|{cells}\n"));
    }
    out
}
