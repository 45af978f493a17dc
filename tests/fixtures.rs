//! Answers recorded from real providers, and translation cases of another gateway.
//!
//! They lie outside the repository (`TOLLGATE_FIXTURES`, else `../shared/fixtures`); without them these
//! tests say so and pass. Each recorded answer goes through every pair and must mean the same
//! on the other side. Where the other gateway's opinion differs from ours, the row says why.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tollgate::dialect::gemini::stream_writer::Framing;
use tollgate::dialect::ir::answer::{Answer, Finish};
use tollgate::dialect::ir::loss::Losses;
use tollgate::dialect::ir::stream::{Block, Delta, Event};
use tollgate::dialect::ir::{Dialect, PartKind, Reply, Target};
use tollgate::dialect::translate::stream::{Step, StreamOptions, StreamTranslator};
use tollgate::dialect::translate::{
    read_answer, read_request, translate_answer, translate_request,
};
use tollgate::dialect::{anthropic, chat, gemini, responses};
use tollgate::usage::TokenUsage;

const REPLY: Reply<'static> = Reply { id: "reply-1", created: 1_700_000_000, model: "alias" };

fn fixtures() -> Option<PathBuf> {
    let near = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures");
    let folder = std::env::var_os("TOLLGATE_FIXTURES").map_or_else(near, PathBuf::from);
    if !folder.is_dir() {
        eprintln!("skipped: no fixtures in {} (set TOLLGATE_FIXTURES)", folder.display());
        return None;
    }
    Some(folder)
}

fn files(folder: &Path, ending: &str) -> Vec<(String, String)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("text"))
        })
        .collect();
    files.sort();
    files
}

/// What an answer means, whatever the dialect.
#[derive(Debug, Default, PartialEq)]
struct Meaning {
    text: String,
    thought: String,
    calls: Vec<(String, Value)>,
    finish: Option<Finish>,
    usage: Option<TokenUsage>,
}

impl Meaning {
    fn of_answer(answer: &Answer<'_>) -> Meaning {
        let mut meaning = Meaning { usage: answer.usage, ..Meaning::default() };
        let choice = answer.choices.first().expect("a choice");
        meaning.finish = choice.finish;
        for part in &choice.content {
            match &part.kind {
                PartKind::Text { text, .. } | PartKind::Refusal(text) => {
                    meaning.text.push_str(text)
                }
                PartKind::Thinking { text, .. } => meaning.thought.push_str(text),
                PartKind::Call(call) => {
                    meaning.calls.push((call.name.to_string(), json(&call.arguments)))
                }
                PartKind::Media(_) | PartKind::Redacted(_) | PartKind::Result(_) => {}
            }
        }
        meaning
    }

    /// What every dialect can say of it: not all know why they end, nor which cache was written.
    fn common(mut self) -> Meaning {
        self.finish = self.finish.map(|finish| match finish {
            Finish::StopSequence | Finish::Pause | Finish::Other => Finish::Stop,
            Finish::Refusal => Finish::ContentFilter,
            finish => finish,
        });
        // Gemini says nothing else where calls were made.
        if self.finish == Some(Finish::Stop) && !self.calls.is_empty() {
            self.finish = Some(Finish::ToolCalls);
        }
        if let Some(usage) = &mut self.usage {
            usage.input += std::mem::take(&mut usage.cache_write);
        }
        self
    }
}

fn json(text: &str) -> Value {
    // A call that was cut off is carried as the text it is.
    serde_json::from_str(text).unwrap_or_else(|_| serde_json::json!({ "arguments": text }))
}

/// Reads a stream and gathers what it means; `None` where it fails.
fn gather(dialect: Dialect, data: &[String]) -> Option<Meaning> {
    let mut meaning = Meaning::default();
    let mut kinds: Vec<(u32, char, String, String)> = Vec::new();
    let mut losses = Losses::new(dialect);
    let mut sink = |event: Event<'_>| match event {
        Event::Open { choice: 0, block, kind } => kinds.push(match kind {
            Block::Text | Block::Refusal => (block, 't', String::new(), String::new()),
            Block::Thinking | Block::Redacted(_) => (block, 'h', String::new(), String::new()),
            Block::Call { name, .. } => (block, 'c', name.to_string(), String::new()),
        }),
        Event::Delta { choice: 0, block, delta: Delta::Text(text) } => {
            let open = kinds.iter_mut().find(|(open, ..)| *open == block).expect("an open block");
            open.3.push_str(&text);
        }
        Event::Finish { choice: 0, finish, .. } => meaning.finish = Some(finish),
        Event::Usage(usage) => meaning.usage = Some(usage),
        _ => {}
    };
    let mut ok = true;
    match dialect {
        Dialect::Chat => {
            let mut reader = chat::stream_reader::Reader::default();
            ok &= data.iter().all(|data| reader.event(data, &mut losses, &mut sink).is_ok());
            ok &= reader.finish(&mut sink).is_ok();
        }
        Dialect::Anthropic => {
            let mut reader = anthropic::stream_reader::Reader::default();
            ok &= data.iter().all(|data| reader.event(data, &mut losses, &mut sink).is_ok());
            ok &= reader.finish(&mut sink).is_ok();
        }
        Dialect::Responses => {
            let mut reader = responses::stream_reader::Reader::default();
            ok &= data.iter().all(|data| reader.event(data, &mut losses, &mut sink).is_ok());
            ok &= reader.finish(&mut sink).is_ok();
        }
        Dialect::Gemini => {
            let mut reader = gemini::stream_reader::Reader::new(&REPLY);
            ok &= data.iter().all(|data| reader.event(data, &mut losses, &mut sink).is_ok());
            ok &= reader.finish(&mut sink).is_ok();
        }
    }
    for (_, kind, name, text) in kinds {
        match kind {
            't' => meaning.text.push_str(&text),
            'h' => meaning.thought.push_str(&text),
            _ => meaning.calls.push((name, json(&text))),
        }
    }
    ok.then_some(meaning)
}

fn translate_stream(from: Dialect, to: Dialect, data: &[String]) -> Option<Vec<String>> {
    let options = StreamOptions { reply: REPLY, include_usage: true, framing: Framing::Sse };
    let mut translator = StreamTranslator::new(from, to, &options);
    let mut out = Vec::new();
    for data in data {
        if matches!(translator.event(data.as_bytes(), &mut out), Step::Failed(_)) {
            return None;
        }
    }
    matches!(translator.finish(&mut out), Step::Done)
        .then(|| payloads(&String::from_utf8(out).expect("UTF-8")))
}

fn payloads(sse: &str) -> Vec<String> {
    sse.lines().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
}

/// The folders of recordings, and what marks a file of the dialect among others of its provider.
const RECORDINGS: &[(&str, Dialect, &str)] = &[
    ("anthropic", Dialect::Anthropic, "\"message"),
    ("google", Dialect::Gemini, "\"candidates\""),
    ("openai-compatible", Dialect::Chat, "\"choices\""),
    ("openai", Dialect::Chat, "\"delta\":{\"content\""),
    ("azure", Dialect::Chat, "\"choices\""),
    ("openai", Dialect::Responses, "\"object\":\"response\""),
    ("azure", Dialect::Responses, "\"object\":\"response\""),
    ("open-responses", Dialect::Responses, "\"object\":\"response\""),
];

/// Whether a file has a mark, however its JSON is spaced.
fn has(text: &str, mark: &str) -> bool {
    text.replace(": ", ":").contains(mark)
}

/// Recordings that must fail, and why.
const BROKEN: &[(&str, &str)] = &[
    ("openai-error.1.chunks.txt", "the recorded answer is an error"),
    ("parallel-tool-call-wrapper.1.chunks.txt", "its first line lacks a brace"),
    ("spliced-message-start.chunks.txt", "a second answer begins inside the first"),
    (
        "google-stream-no-args-tool-call.chunks.txt",
        "arguments in pieces, which are never asked for",
    ),
    ("google-stream-tool-call-arguments.chunks.txt", "arguments in pieces"),
    (
        "google-stream-tool-call-array-arguments-missing-terminal-function-call.chunks.txt",
        "arguments in pieces",
    ),
    ("google-vertex-stream-tool-call-arguments-nested.1.chunks.txt", "arguments in pieces"),
];

#[test]
fn recorded_streams_mean_the_same_in_every_dialect() {
    let Some(folder) = fixtures() else { return };
    let mut streams = Vec::new();
    for (name, dialect, mark) in RECORDINGS {
        let found = files(&folder.join("provider-recordings").join(name), ".chunks.txt");
        let own = found.into_iter().filter(|(_, text)| has(text, mark));
        streams.extend(own.map(|(name, text)| {
            let data = text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
            (name, *dialect, data)
        }));
    }
    for ending in [".sse", "_response.txt"] {
        let found = files(&folder.join("anthropic-streams"), ending);
        streams.extend(
            found.into_iter().map(|(name, sse)| (name, Dialect::Anthropic, payloads(&sse))),
        );
    }
    assert!(streams.len() > 90, "only {} streams", streams.len());
    for (name, from, data) in &streams {
        let meant = gather(*from, data);
        let broken = BROKEN.iter().find(|(broken, _)| broken == name);
        assert_eq!(meant.is_none(), broken.is_some(), "{name} as {from:?}: {broken:?}");
        let meant = meant.map(Meaning::common);
        for to in Dialect::ALL.into_iter().filter(|to| to != from) {
            let got = translate_stream(*from, to, data);
            let got = got.map(|data| gather(to, &data).expect("a stream of our own").common());
            assert_eq!(got, meant, "{name} to {to:?}");
        }
    }
}

#[test]
fn recorded_answers_mean_the_same_in_every_dialect() {
    let Some(folder) = fixtures() else { return };
    let mut count = 0;
    for (name, from, mark) in RECORDINGS {
        for (name, text) in files(&folder.join("provider-recordings").join(name), ".json") {
            if !has(&text, mark) || has(&text, "\"error\":{") {
                continue;
            }
            let answer =
                read_answer(*from, text.as_bytes(), &REPLY, &mut Losses::new(*from)).expect(&name);
            let meant = Meaning::of_answer(&answer).common();
            for to in Dialect::ALL.into_iter().filter(|to| to != from) {
                let done = translate_answer(*from, to, text.as_bytes(), &REPLY).expect(&name);
                let back = read_answer(to, &done.body, &REPLY, &mut Losses::new(to)).expect(&name);
                assert_eq!(Meaning::of_answer(&back).common(), meant, "{name} to {to:?}");
                count += 1;
            }
        }
    }
    assert!(count > 200, "only {count} translations");
}

/// Cases of another gateway in which we differ, and why.
#[rustfmt::skip]
const ARGUED: &[(&str, &str, &str)] = &[
    ("chat-anthropic full",
     r#"+Tool { +name: Text( +"calculate_fibonacci", +description: Some( +"Calculate the nth Fibonacci number using an optimized algorithm", +schema: Some( +Json( +{"properties":{"n":{"description":"The position in the Fibonacci sequence (0-indexed)","maximum":100,"minimum":0,"type":"integer"}},"required":["n"],"type":"object"}, +strict: None, +cache: None, +output: None, +temperature: None, +top_p: None, +Text( -output: Some( -Schema { -name: None, -description: None, -schema: Json( -{"additionalProperties":true,"type":"object"}, -strict: Some( -true, -temperature: Some( -0.7, -top_p: Some( -0.9,"#,
     "we carry the older `functions` too; Anthropic refuses a schema that is open, so free JSON is noted as lost; \
      a model after Opus 4.6 refuses temperature and top_p"),
    ("chat-anthropic tool-call",
     "-Message { -role: User, -name: None, -content: [ -], -},",
     "results of parallel calls stand in one message, as Anthropic asks"),
    ("chat-gemini multi-turn-tools",
     r#"+"{\"temp\":15}", +"{\"temp\":9}", -"{\"content\":\"{\\\"temp\\\":15}\"}", -"{\"content\":\"{\\\"temp\\\":9}\"}","#,
     "a result that is a JSON object goes as that object"),
    ("chat-gemini tool-call",
     r#"+"{ \"temperature\": 15, \"condition\": \"Cloudy\" }", +"{ \"time\": \"2026-08-12T12:00:00Z\" }", -"{\"content\":\"{ \\\"temperature\\\": 15, \\\"condition\\\": \\\"Cloudy\\\" }\"}", -"{\"content\":\"{ \\\"time\\\": \\\"2026-08-12T12:00:00Z\\\" }\"}","#,
     "a result that is a JSON object goes as that object"),
    ("chat-gemini reasoning_max",
     "+effort: Some( +High, +budget: None, -effort: None, -budget: Some( -8192,",
     "a model that is not known to be older than Gemini 3 thinks by a level"),
    ("chat-gemini structured-output",
     r##"+{"$defs":{"Person":{"properties":{"age":{"type":"integer"},"name":{"type":"string"}},"required":["name"],"type":"object"}},"properties":{"person":{"$ref":"#/$defs/Person"}},"required":["person"],"type":"object"}, -{"properties":{"person":{"properties":{"age":{"type":"integer"},"name":{"type":"string"}},"required":["name"],"type":"object"}},"required":["person"],"type":"object"},"##,
     "`responseJsonSchema` takes references, so the schema stays as it is"),
    ("anthropic-responses tools",
     "+strict: Some( +false, +), -strict: None,",
     "Responses is strict unless told otherwise, and Anthropic's functions are not"),
    ("anthropic-chat structured-output",
     r#"+"answer", +strict: Some( +true, +), -"structured_output", -strict: None,"#,
     "Anthropic always keeps to the schema, which OpenAI calls strict"),
];

#[test]
fn requests_agree_with_another_gateway() {
    let Some(folder) = fixtures() else { return };
    let text = fs::read_to_string(folder.join("translation/pairs.json")).expect("pairs");
    let pairs: Vec<Value> = serde_json::from_str(&text).expect("a list");
    let (mut count, mut found) = (0, Vec::new());
    for pair in pairs.iter().filter(|pair| pair["side"] == "requests") {
        let (from, to) = match (pair["in_format"].as_str(), pair["target"].as_str()) {
            (Some("completions"), Some("anthropic")) => (Dialect::Chat, Dialect::Anthropic),
            (Some("completions"), Some("vertex-gemini")) => (Dialect::Chat, Dialect::Gemini),
            (Some("messages"), Some("completions")) => (Dialect::Anthropic, Dialect::Chat),
            (Some("messages"), Some("responses")) => (Dialect::Anthropic, Dialect::Responses),
            (Some("responses"), Some("gemini")) => (Dialect::Responses, Dialect::Chat),
            _ => continue,
        };
        let name =
            format!("{}-{} {}", from.name(), to.name(), pair["name"].as_str().expect("a name"));
        let input = pair["input"].to_string();
        let model = pair["input"]["model"].as_str().expect("a model");
        let target = Target { model, extensions: false };
        let done = translate_request(from, to, input.as_bytes(), target, false).expect(&name);
        let theirs = pair["expected"]["request"].to_string();
        let read = |body: &[u8]| {
            let request = read_request(to, body, false, &mut Losses::new(to)).expect("a request");
            format!("{request:#?}")
        };
        found.push((name, differences(&read(&done.body), &read(theirs.as_bytes()))));
        count += 1;
    }
    check(ARGUED, found);
    assert_eq!(count, 19, "cases");
}

/// Each difference must be an argued one, and each argued one must be there.
fn check(argued: &[(&str, &str, &str)], found: Vec<(String, String)>) {
    let mut wrong = Vec::new();
    for (name, difference) in found {
        let expected = argued.iter().find(|(argued, ..)| *argued == name).map_or("", |row| row.1);
        if difference != expected {
            wrong.push(format!("{name}\n  {difference}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Both sides line by line: what only ours has, and what only theirs has.
fn differences(ours: &str, theirs: &str) -> String {
    let only = |mine: &str, other: &str, sign: char| -> Vec<String> {
        let mut left: Vec<&str> = other.lines().map(str::trim).collect();
        let mut only = Vec::new();
        for line in mine.lines().map(str::trim) {
            match left.iter().position(|other| *other == line) {
                Some(at) => drop(left.remove(at)),
                None => only.push(format!("{sign}{line}")),
            }
        }
        only
    };
    [only(ours, theirs, '+'), only(theirs, ours, '-')].concat().join(" ")
}

/// Which rows of the other gateway's answers are whose: input format and target.
const ANSWER_ROWS: &[(&str, &str, Dialect, Dialect)] = &[
    ("anthropic", "messages-completions", Dialect::Anthropic, Dialect::Chat),
    ("anthropic", "messages-completions-streaming", Dialect::Anthropic, Dialect::Chat),
    ("completions", "completions-messages", Dialect::Chat, Dialect::Anthropic),
    ("completions", "completions-messages-streaming", Dialect::Chat, Dialect::Anthropic),
    ("vertex-gemini", "vertex-gemini-completions", Dialect::Gemini, Dialect::Chat),
    ("completions", "completions-responses", Dialect::Chat, Dialect::Responses),
    ("completions", "completions-responses-streaming", Dialect::Chat, Dialect::Responses),
    ("responses", "responses-messages", Dialect::Responses, Dialect::Anthropic),
    ("responses", "responses-messages-streaming", Dialect::Responses, Dialect::Anthropic),
];

/// Answers in which we differ, and why.
const ARGUED_ANSWERS: &[(&str, &str, &str)] = &[
    (
        "anthropic-chat basic",
        "+input: 15, -input: 0,",
        "OpenAI's `prompt_tokens` hold the cached ones, so they are the sum of Anthropic's three",
    ),
    (
        "chat-responses gemini_zero_completion_tokens",
        "+output: 0, -output: 1,",
        "the server told 0, and its total does not say of what",
    ),
    (
        "responses-anthropic reasoning",
        "+thought: \"The user asked for a short greeting. Keep it simple.\", +reasoning: 8, -thought: \"\", -reasoning: 0,",
        "thoughts are carried, and their tokens told",
    ),
    (
        "responses-anthropic stream-image",
        "+output: 162, +reasoning: 1152, -output: 1314, -reasoning: 0,",
        "Anthropic tells the thinking tokens too",
    ),
    (
        "chat-anthropic stream",
        "+output: 94, +reasoning: 192, -output: 286, -reasoning: 0,",
        "Anthropic tells the thinking tokens too (`output_tokens_details`)",
    ),
];

#[test]
fn answers_agree_with_another_gateway() {
    let Some(folder) = fixtures() else { return };
    let text = fs::read_to_string(folder.join("translation/pairs.json")).expect("pairs");
    let pairs: Vec<Value> = serde_json::from_str(&text).expect("a list");
    let mut found = Vec::new();
    for pair in pairs.iter().filter(|pair| pair["side"] == "response") {
        let row =
            ANSWER_ROWS.iter().find(|row| pair["in_format"] == row.0 && pair["target"] == row.1);
        let Some((_, _, from, to)) = row else { continue };
        let name =
            format!("{}-{} {}", from.name(), to.name(), pair["name"].as_str().expect("a name"));
        let (ours, theirs) = match (pair["input"].as_str(), pair["expected"].as_str()) {
            (Some(input), Some(expected)) => {
                let ours = translate_stream(*from, *to, &payloads(input)).expect(&name);
                (gather(*to, &ours).expect(&name), gather(*to, &payloads(expected)).expect(&name))
            }
            _ => {
                let input = pair["input"].to_string();
                let ours =
                    translate_answer(*from, *to, input.as_bytes(), &REPLY).expect(&name).body;
                (
                    meaning(*to, &ours),
                    meaning(*to, pair["expected"]["response"].to_string().as_bytes()),
                )
            }
        };
        found.push((name, differences(&format!("{ours:#?}"), &format!("{theirs:#?}"))));
    }
    assert_eq!(found.len(), 21, "cases");
    check(ARGUED_ANSWERS, found);
}

fn meaning(dialect: Dialect, body: &[u8]) -> Meaning {
    let text = String::from_utf8_lossy(body).replace("\"[date]\"", "1700000000");
    let answer = read_answer(dialect, text.as_bytes(), &REPLY, &mut Losses::new(dialect))
        .expect("an answer");
    Meaning::of_answer(&answer)
}
