//! What the properties are tried on: requests and answers that a dialect can say whole, damaged bodies, events in any order.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::sample::{Index, select};
use serde_json::value::RawValue;
use tollgate::dialect::ir::answer::{Answer, Choice, Finish};
use tollgate::dialect::ir::settings::{Effort, Reasoning, Sampling};
use tollgate::dialect::ir::wire::{Json, Text};
use tollgate::dialect::ir::{
    Call, CallResult, Dialect, Media, MediaKind, Message, OutputFormat, Part, PartKind, Request,
    Role, Signature, Source, Target, Tool, ToolChoice,
};
use tollgate::types::TokenUsage;

/// A model of each dialect with the fewest refusals.
pub fn target(dialect: Dialect) -> Target<'static> {
    match dialect {
        Dialect::Chat => Target { model: "qwen", extensions: true, usage_in_streams: true },
        Dialect::Anthropic => {
            Target { model: "claude-sonnet-4-5", extensions: false, usage_in_streams: true }
        }
        Dialect::Gemini => {
            Target { model: "gemini-3-pro", extensions: false, usage_in_streams: true }
        }
        Dialect::Responses => Target { model: "gpt-x", extensions: false, usage_in_streams: true },
        Dialect::Bedrock => {
            let model = "anthropic.claude-sonnet-4-5";
            Target { model, extensions: false, usage_in_streams: true }
        }
    }
}

pub fn dialect() -> impl Strategy<Value = Dialect> {
    select(&Dialect::ALL)
}

pub fn upstream() -> impl Strategy<Value = Dialect> {
    select(&Dialect::UPSTREAMS)
}

pub fn words() -> impl Strategy<Value = Text<'static>> {
    // Quotes, escapes, line breaks and letters of all lengths.
    "[a-z\"\\\\\n\té漢🦀]{0,12}w".prop_map(Text::from)
}

fn name() -> impl Strategy<Value = Text<'static>> {
    "[a-z_]{1,8}".prop_map(Text::from)
}

fn arguments() -> impl Strategy<Value = Text<'static>> {
    words().prop_map(|value| Text::from(serde_json::json!({ "a": &*value }).to_string()))
}

fn raw(json: String) -> Json<'static> {
    Json::from(RawValue::from_string(json).expect("JSON"))
}

fn schema() -> impl Strategy<Value = Json<'static>> {
    name().prop_map(|name| {
        let name = &*name;
        raw(format!(
            r#"{{"type":"object","properties":{{"{name}":{{"type":"string"}}}},"additionalProperties":false}}"#
        ))
    })
}

fn said(dialect: Dialect) -> impl Strategy<Value = Part<'static>> {
    let image = "[A-Za-z0-9]{4}".prop_map(move |base64| {
        let source = Source::Data { mime: Text::from("image/png"), base64: Text::from(base64) };
        Part::new(PartKind::Media(Media {
            kind: MediaKind::Image,
            source,
            name: None,
            detail: None,
        }))
    });
    let url = "[a-z]{4}".prop_map(move |path| {
        let mime = (dialect == Dialect::Gemini).then(|| Text::from("image/png"));
        let source =
            Source::Url { mime, url: Text::from(format!("https://example.com/{path}.png")) };
        Part::new(PartKind::Media(Media {
            kind: MediaKind::Image,
            source,
            name: None,
            detail: None,
        }))
    });
    prop_oneof![4 => words().prop_map(Part::text), 1 => image, 1 => url]
}

/// A question, and perhaps calls with their results.
fn turn(
    dialect: Dialect,
) -> impl Strategy<Value = (Vec<Part<'static>>, Vec<(Text<'static>, Text<'static>)>)> {
    (prop::collection::vec(said(dialect), 1..4), prop::collection::vec((name(), arguments()), 0..3))
}

fn messages(dialect: Dialect) -> impl Strategy<Value = Vec<Message<'static>>> {
    let turns = prop::collection::vec(turn(dialect), 1..4);
    (prop::option::of(words()), turns).prop_map(move |(system, turns)| {
        let message = |role, content| Message { role, name: None, content };
        let mut messages = Vec::new();
        messages.extend(system.map(|text| message(Role::System, vec![Part::text(text)])));
        let mut count = 0;
        for (question, calls) in turns {
            messages.push(message(Role::User, question));
            let mut made = thought(dialect);
            let mut results = Vec::new();
            for (name, arguments) in calls {
                count += 1;
                let id = Text::from(format!("call_{count}"));
                // Gemini's results are found again by their functions' names.
                let name = Text::from(format!("{}{count}", &*name));
                let named = (dialect == Dialect::Gemini).then(|| name.clone());
                let content = vec![Part::text("done")];
                let result = CallResult { id: id.clone(), name: named, content, is_error: false };
                results.push(Part::new(PartKind::Result(result)));
                made.push(Part::new(PartKind::Call(Call { id, name, arguments, signature: None })));
            }
            made.push(Part::text("answer"));
            // The order in which this dialect has a message's parts: words before calls.
            made.sort_by_key(|part| matches!(part.kind, PartKind::Call(_)));
            messages.push(message(Role::Assistant, made));
            if !results.is_empty() {
                messages.push(message(Role::User, results));
            }
        }
        messages
    })
}

fn thought(dialect: Dialect) -> Vec<Part<'static>> {
    let signature = (dialect != Dialect::Chat)
        .then(|| Signature { origin: dialect, data: Text::from("signed") });
    vec![Part::new(PartKind::Thinking { text: Text::from("hm"), signature })]
}

fn tools(dialect: Dialect) -> impl Strategy<Value = Vec<Tool<'static>>> {
    // A function is strict in one dialect unless it says that it is not.
    let strict = (dialect == Dialect::Responses).then_some(false);
    let tool = (name(), prop::option::of(words()), schema()).prop_map(
        move |(name, description, schema)| Tool {
            name,
            description,
            schema: Some(schema),
            strict,
            cache: None,
        },
    );
    prop::collection::vec(tool, 0..3)
}

fn choice() -> impl Strategy<Value = ToolChoice<'static>> {
    prop_oneof![
        Just(ToolChoice::Auto),
        Just(ToolChoice::None),
        Just(ToolChoice::Required),
        name().prop_map(ToolChoice::Function),
    ]
}

fn sampling(dialect: Dialect) -> impl Strategy<Value = Sampling<'static>> {
    let quarter = || prop::option::of((0..=4_u8).prop_map(|quarters| f64::from(quarters) / 4.0));
    let stop = prop::collection::vec(words(), 0..3);
    (quarter(), quarter(), prop::option::of(1..99_u64), stop, 1..9000_u64, any::<bool>()).prop_map(
        move |(one, two, whole, stop, max_tokens, both)| {
            let rich = matches!(dialect, Dialect::Chat | Dialect::Gemini);
            let responses = dialect == Dialect::Responses;
            Sampling {
                temperature: one,
                top_p: two.filter(|_| rich || responses || one.is_none()),
                top_k: whole.filter(|_| !responses),
                frequency_penalty: one.filter(|_| rich),
                presence_penalty: two.filter(|_| rich && both),
                seed: whole.filter(|_| rich).map(|seed| -i64::try_from(seed).expect("small")),
                max_tokens: Some(max_tokens),
                stop: if responses { Vec::new() } else { stop },
                n: whole.filter(|_| rich),
                logprobs: whole.filter(|_| (rich || responses) && both),
            }
        },
    )
}

fn reasoning(dialect: Dialect) -> impl Strategy<Value = Reasoning> {
    let off = match dialect {
        // Where nothing is said, this dialect does not think.
        Dialect::Anthropic => Reasoning { enabled: Some(false), ..Reasoning::default() },
        Dialect::Chat | Dialect::Gemini | Dialect::Responses | Dialect::Bedrock => {
            Reasoning::default()
        }
    };
    let on = select(&[Effort::Low, Effort::Medium, Effort::High]).prop_map(|effort| Reasoning {
        enabled: Some(true),
        effort: Some(effort),
        budget: None,
    });
    // A budget limits what else may be said; the golden files show it.
    if dialect == Dialect::Anthropic {
        Just(off).boxed()
    } else {
        prop_oneof![Just(off), on].boxed()
    }
}

fn output(dialect: Dialect) -> impl Strategy<Value = Option<OutputFormat<'static>>> {
    prop::option::of(schema().prop_map(move |schema| OutputFormat::Schema {
        name: matches!(dialect, Dialect::Chat | Dialect::Responses).then(|| Text::from("answer")),
        description: None,
        schema,
        strict: Some(true),
    }))
}

/// A request that a dialect can say whole.
fn request(dialect: Dialect) -> impl Strategy<Value = Request<'static>> {
    let asked = (tools(dialect), prop::option::of(choice()), output(dialect));
    let how = (sampling(dialect), reasoning(dialect), any::<bool>(), prop::option::of(words()));
    (messages(dialect), asked, how).prop_map(move |(messages, asked, how)| {
        let (tools, tool_choice, output) = asked;
        let (sampling, reasoning, stream, user) = how;
        let tool_choice = tool_choice.filter(|_| !tools.is_empty());
        Request {
            model: (dialect != Dialect::Gemini).then(|| Text::from(target(dialect).model)),
            messages,
            tool_choice,
            tools,
            parallel_tool_calls: None,
            output,
            reasoning,
            sampling,
            user: user.filter(|_| dialect != Dialect::Gemini),
            service_tier: None,
            stream,
            // Only Chat has to ask, and the gateway always does.
            include_usage: stream || dialect != Dialect::Chat,
        }
    })
}

pub fn requested() -> impl Strategy<Value = (Dialect, Request<'static>)> {
    dialect().prop_flat_map(|dialect| (Just(dialect), request(dialect)))
}

pub fn answered() -> impl Strategy<Value = (Dialect, Answer<'static>)> {
    let parts =
        (prop::option::of(words()), words(), prop::collection::vec((name(), arguments()), 0..3));
    (dialect(), parts, any::<[u16; 5]>()).prop_map(|(dialect, parts, counts)| {
        let (thought, text, calls) = parts;
        let mut content = Vec::new();
        let signature = matches!(dialect, Dialect::Anthropic | Dialect::Responses)
            .then(|| Signature { origin: dialect, data: Text::from("signed") });
        content.extend(thought.map(|text| Part::new(PartKind::Thinking { text, signature })));
        content.push(Part::text(text));
        let finish = if calls.is_empty() { Finish::Stop } else { Finish::ToolCalls };
        content.extend(calls.into_iter().enumerate().map(|(at, (name, arguments))| {
            let id = Text::from(format!("call_{at}"));
            Part::new(PartKind::Call(Call { id, name, arguments, signature: None }))
        }));
        let [input, cache_read, cache_write, output, reasoning] = counts.map(u64::from);
        let cache_write = if dialect == Dialect::Gemini { 0 } else { cache_write };
        // A count of nothing but reasoning is how one server tells that it counts otherwise.
        let output = output.max(1);
        let answer = Answer {
            id: Some(Text::from("id-1")),
            model: Some(Text::from("model-1")),
            created: matches!(dialect, Dialect::Chat | Dialect::Responses).then_some(7),
            choices: vec![Choice { content, finish: Some(finish), ..Choice::default() }],
            usage: Some(TokenUsage { input, cache_read, cache_write, output, reasoning }),
        };
        (dialect, answer)
    })
}

/// Every input of the golden matrix that ends so.
fn corpus(ending: &str) -> Vec<Vec<u8>> {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let folders = Dialect::UPSTREAMS.map(|dialect| data.join(dialect.name()));
    let entries = folders.iter().flat_map(|folder| fs::read_dir(folder).expect("a folder"));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.to_string_lossy().ends_with(ending));
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a file")).collect()
}

/// JSON of some dialect with a piece cut out, and another put in.
pub fn damaged(ending: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let filling = prop_oneof![
        Just(Vec::new()),
        Just(b"null".to_vec()),
        Just(b"[[{}]]".to_vec()),
        Just(b"-1.5e300".to_vec()),
        Just(b"18446744073709551615".to_vec()),
        Just(b"\"\\ud83d\"".to_vec()),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    (select(corpus(ending)), any::<Index>(), 0..40_usize, filling).prop_map(
        |(mut body, at, length, filling)| {
            let start = at.index(body.len());
            let end = (start + length).min(body.len());
            body.splice(start..end, filling);
            body
        },
    )
}

pub fn events() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let lines: Vec<Vec<u8>> = corpus("stream.sse")
        .iter()
        .flat_map(|sse| sse.split(|byte| *byte == b'\n'))
        .filter_map(|line| line.strip_prefix(b"data: "))
        .map(<[u8]>::to_vec)
        .collect();
    let damaged = damaged("stream.sse");
    prop::collection::vec(prop_oneof![9 => select(lines), 1 => damaged], 0..20)
}
