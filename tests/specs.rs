//! What the gateway sends and answers, against the providers' own descriptions of their APIs: the
//! golden requests for upstreams, the golden answers and events for clients, and those of the
//! simulated model server, which all that is tested with it stands on.
//!
//! Where a description asks for what the provider's own servers do not send or ask for, [`amend`],
//! [`NOT_REQUIRED`] and [`NOT_NULL`] say so.

#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use jsonschema::Validator;
use serde_json::{Value, json};
use support::client::Client;
use support::tools::{Server, python, root, run};

const DIALECTS: [&str; 4] = ["chat", "responses", "anthropic", "gemini"];

/// Members that Anthropic's description requires and that many of its servers' answers lack: all of
/// them may be null.
const NOT_REQUIRED: [&str; 9] = [
    "cache_creation",
    "caller",
    "citations",
    "container",
    "inference_geo",
    "output_tokens_details",
    "server_tool_use",
    "service_tier",
    "stop_details",
];

/// Members that OpenAI's servers send as null where its description has them absent, or never null.
const NOT_NULL: [&str; 3] = ["usage", "finish_reason", "logprobs"];

/// How a dialect's requests, answers and events are described.
struct Description {
    request: Validator,
    answer: Validator,
    event: Validator,
}

impl Description {
    fn of(dialect: &str, described: &Value) -> Self {
        let (names, root) = match dialect {
            "chat" => (
                [
                    "CreateChatCompletionRequest",
                    "CreateChatCompletionResponse",
                    "CreateChatCompletionStreamResponse",
                ],
                &described["openai"]["components"]["schemas"],
            ),
            "responses" => (
                ["CreateResponse", "Response", "ResponseStreamEvent"],
                &described["openai"]["components"]["schemas"],
            ),
            "anthropic" => (
                ["CreateMessageParams", "Message", "MessageStreamEvent"],
                &described["anthropic"]["components"]["schemas"],
            ),
            _ => (
                ["GenerateContentRequest", "GenerateContentResponse", "GenerateContentResponse"],
                &described["gemini"]["schemas"],
            ),
        };
        let read = Self::read(root);
        let [request, answer, event] = names.map(|name| {
            let mut schemas = read.clone();
            amend(&mut schemas, name);
            let schema = json!({
                "$ref": format!("#/components/schemas/{name}"),
                "components": {"schemas": schemas},
            });
            jsonschema::draft202012::new(&schema).expect("a schema")
        });
        Self { request, answer, event }
    }

    /// A description as JSON Schema says it.
    fn read(described: &Value) -> Value {
        match described {
            Value::Array(list) => list.iter().map(Self::read).collect(),
            Value::Object(members) => {
                let mut read = serde_json::Map::new();
                for (name, member) in members {
                    let (name, member) = Self::member(name, member);
                    read.insert(name, member);
                }
                // What Google does not describe it does not take.
                if described["type"] == "object" && described["id"].is_string() {
                    read.insert("additionalProperties".into(), false.into());
                }
                if described["type"] == "any" {
                    read.remove("type");
                }
                Value::Object(read)
            }
            other => other.clone(),
        }
    }

    fn member(name: &str, member: &Value) -> (String, Value) {
        match (name, member) {
            // Two readings of the same item do not make it wrong.
            ("oneOf", Value::Array(_)) => ("anyOf".into(), Self::read(member)),
            // Google names a schema without a path.
            ("$ref", Value::String(target)) if !target.starts_with('#') => {
                (name.into(), format!("#/components/schemas/{target}").into())
            }
            ("required", Value::Array(names)) => {
                let optional = |name: &&Value| {
                    let name = name.as_str().unwrap_or_default();
                    NOT_REQUIRED.contains(&name) || NOT_NULL.contains(&name)
                };
                (name.into(), names.iter().filter(|name| !optional(name)).cloned().collect())
            }
            // Google's descriptions of formats and the like are no JSON Schema.
            ("properties", Value::Object(properties)) => {
                let read = properties.iter().map(|(name, one)| (name.clone(), Self::read(one)));
                (name.into(), Value::Object(read.collect()))
            }
            ("format" | "pattern" | "example" | "examples" | "default", _) => {
                (format!("x-{name}"), Value::Null)
            }
            _ => (name.into(), Self::read(member)),
        }
    }
}

/// Corrects what a description of this name stands on, where the provider's servers know better.
fn amend(schemas: &mut Value, name: &str) {
    match name {
        // The model's own words may come back without the id and state that they had.
        "CreateResponse" => {
            schemas["OutputMessage"]["required"] = json!(["type", "role", "content"]);
            schemas["OutputTextContent"]["required"] = json!(["type", "text", "annotations"]);
            let audio = json!({"properties": {"type": {"const": "input_audio"}},
                "required": ["type", "input_audio"]});
            let parts = schemas["InputContent"]["anyOf"].as_array_mut().expect("a list");
            // The words of the description speak of audio, and OpenAI's clients have a type for it.
            parts.push(audio);
        }
        "MessageStreamEvent" => {
            let ping = json!({"properties": {"type": {"const": "ping"}}});
            schemas[name]["anyOf"].as_array_mut().expect("a list").push(ping);
        }
        "GenerateContentRequest" | "GenerateContentResponse" => {
            // The description names this one and does not have it.
            schemas["MediaResolution"] = true.into();
            // Vertex AI has titles, and Google's clients read them from either.
            schemas["CitationSource"]["properties"]["title"] = json!({"type": "string"});
        }
        _ => {}
    }
}

/// What is wrong with a value, in a line each.
fn faults(validator: &Validator, value: &Value) -> Vec<String> {
    let mut value = value.clone();
    for parent in ["", "/response", "/choices/0"] {
        let members = value.pointer_mut(parent).and_then(Value::as_object_mut);
        if let Some(members) = members {
            members.retain(|name, member| !(member.is_null() && NOT_NULL.contains(&&**name)));
        }
    }
    let told = validator.iter_errors(&value);
    told.map(|error| format!("{}: {:.400}", error.instance_path(), error.to_string())).collect()
}

/// The data of a stream's events, but for errors: no provider describes those of streams.
fn events(sse: &str) -> Vec<Value> {
    let data = sse.lines().filter_map(|line| line.strip_prefix("data: "));
    let values = data.filter_map(|data| serde_json::from_str(data).ok());
    values.filter(|value: &Value| value["error"].is_null()).collect()
}

/// The JSON at the beginning of a golden file.
fn first_value(text: &str) -> Value {
    let mut values = serde_json::Deserializer::from_str(text).into_iter();
    values.next().expect("a value").expect("JSON")
}

/// Each golden file of a kind for a dialect, from whichever other, with its name.
fn golden(dialect: &str, kind: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let folders = fs::read_dir(root().join("tests/data")).expect("golden files");
    let folders = folders.map(|entry| entry.expect("an entry").path());
    let to = format!("-{dialect}");
    for folder in folders.filter(|path| path.to_string_lossy().ends_with(&to)) {
        for entry in fs::read_dir(&folder).expect("golden files") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            let is_error = name.starts_with("error.") && kind == "answer";
            if name.ends_with(&format!(".{kind}.txt")) && !is_error {
                let text = fs::read_to_string(&path).expect("a text");
                found.push((path.display().to_string(), text));
            }
        }
    }
    found
}

fn descriptions() -> BTreeMap<&'static str, Description> {
    let script = root().join("tests/sdk/specs.py");
    let described = run(Command::new(python("python")).arg(script), "");
    let described: Value = serde_json::from_str(&described).expect("JSON");
    DIALECTS.map(|dialect| (dialect, Description::of(dialect, &described))).into()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_providers_descriptions_hold() {
    let descriptions = descriptions();
    let (mut checked, mut wrong) = (0, Vec::new());
    let mut check = |name: &str, validator: &Validator, value: &Value| {
        checked += 1;
        wrong.extend(faults(validator, value).iter().map(|fault| format!("{name}: {fault}")));
    };
    for (dialect, description) in &descriptions {
        for (name, text) in golden(dialect, "request") {
            check(&name, &description.request, &first_value(&text));
        }
        for (name, text) in golden(dialect, "answer") {
            check(&name, &description.answer, &first_value(&text));
        }
        for (name, text) in golden(dialect, "stream") {
            events(&text).iter().for_each(|event| check(&name, &description.event, event));
        }
    }
    let mock = Server::mock().await;
    let client = Client::new(mock.url());
    for (dialect, path, body) in questions() {
        let answer = client.post(path, &body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        let description = &descriptions[dialect];
        check(&format!("the question at {path}"), &description.request, &body);
        if answer.header("content-type") == "text/event-stream" {
            let events = events(answer.text());
            assert!(!events.is_empty(), "{path}: {}", answer.text());
            events.iter().for_each(|event| check(path, &description.event, event));
        } else {
            check(path, &description.answer, &answer.json());
        }
    }
    assert!(checked > 800, "only {checked} were checked");
    wrong.dedup();
    assert!(wrong.is_empty(), "{} of {checked}:\n{}", wrong.len(), wrong.join("\n"));
}

/// Questions to the simulated model server: words, a call and a thought, whole and streamed.
fn questions() -> Vec<(&'static str, &'static str, Value)> {
    let user = json!([{"role": "user", "content": "Hello"}]);
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let mut questions = Vec::new();
    for stream in [false, true] {
        let chat = json!({"model": "mock", "messages": user, "stream": stream});
        let tool = json!({"type": "function",
            "function": {"name": "weather", "parameters": schema}});
        questions.push(("chat", "/v1/chat/completions", chat.clone()));
        questions.push(("chat", "/v1/chat/completions", with(chat, "tools", json!([tool]))));
        let response = json!({"model": "mock", "input": "Hello", "stream": stream});
        let tool = json!({"type": "function", "name": "weather", "parameters": schema,
            "strict": false});
        let reasoning = json!({"effort": "low", "summary": "auto"});
        let path = "/v1/responses";
        questions.push(("responses", path, with(response.clone(), "tools", json!([tool]))));
        questions.push(("responses", path, with(response, "reasoning", reasoning)));
        let message =
            json!({"model": "mock", "messages": user, "max_tokens": 2000, "stream": stream});
        let tool = json!({"name": "weather", "input_schema": schema});
        let thinking = json!({"type": "enabled", "budget_tokens": 1024});
        let path = "/v1/messages";
        questions.push(("anthropic", path, with(message.clone(), "tools", json!([tool]))));
        questions.push(("anthropic", path, with(message, "thinking", thinking)));
        let path = if stream {
            "/v1beta/models/mock:streamGenerateContent?alt=sse"
        } else {
            "/v1beta/models/mock:generateContent"
        };
        let content = json!({"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]});
        let tool = json!({"functionDeclarations": [{"name": "weather",
            "description": "The weather now", "parametersJsonSchema": schema}]});
        let thinking = json!({"thinkingConfig": {"includeThoughts": true}});
        questions.push(("gemini", path, with(content.clone(), "tools", json!([tool]))));
        questions.push(("gemini", path, with(content, "generationConfig", thinking)));
    }
    questions
}

fn with(mut body: Value, name: &str, member: Value) -> Value {
    body[name] = member;
    body
}
