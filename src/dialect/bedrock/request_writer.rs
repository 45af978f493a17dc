//! A request out of the intermediate form, as Converse.

use serde::Serialize;
use serde_json::value::RawValue;

use super::media;
use super::tuning::Tuning;
use super::wire::{
    Block, CachePoint, Empty, InferenceConfig, InputSchema, JsonSchema, Message, Metadata, Named,
    OutputConfig, Reasoning, ReasoningText, Request, Structure, TextFormat, Tool, ToolChoice,
    ToolConfig, ToolResult, ToolSpec, ToolUse, Typed,
};
use crate::dialect::ir::loss::{Fate, Feature, Losses};
use crate::dialect::ir::model::{Maker, bedrock_maker};
use crate::dialect::ir::settings::ServiceTier;
use crate::dialect::ir::wire::{Json, Text, to_json, to_raw};
use crate::dialect::ir::{
    self, CacheMark, Call, CallResult, Dialect, OutputFormat, Part, PartKind, Role, Target, schema,
};

/// An object schema for functions that have none; Converse requires one.
const EMPTY_SCHEMA: &str = r#"{"type":"object","properties":{}}"#;

/// The longest id of a call, and the longest value of metadata, in characters.
const ID_CHARS_MAX: usize = 64;
const METADATA_CHARS_MAX: usize = 256;

/// Writes a request. What cannot be said is noted.
pub fn write(request: &ir::Request<'_>, target: Target<'_>, losses: &mut Losses) -> Vec<u8> {
    let maker = bedrock_maker(target.model);
    let tuning = Tuning::of(request, target, maker, losses);
    let schema = closed_schema(request.output.as_ref(), losses);
    let empty = serde_json::from_str::<&RawValue>(EMPTY_SCHEMA).ok();
    if request.parallel_tool_calls == Some(false) {
        losses.feature(Feature::ParallelToolCalls);
    }
    let mut writer = Writer { maker, documents: 0, losses };
    let (system, messages) = writer.messages(&request.messages);
    to_json(&Request {
        messages,
        system,
        inference_config: Some(tuning.config)
            .filter(|config| *config != InferenceConfig::default()),
        tool_config: writer.tools(request, empty),
        output_config: schema.as_ref().map(|schema| output(request, schema)),
        service_tier: request.service_tier.and_then(service_tier),
        request_metadata: request.user.as_ref().map(|user| Metadata { user: metadata(user) }),
        additional_model_request_fields: tuning.fields,
        additional_model_response_field_paths: tuning.response_fields,
    })
}

fn closed_schema<'a>(
    output: Option<&'a OutputFormat<'a>>,
    losses: &mut Losses,
) -> Option<Json<'a>> {
    match output? {
        OutputFormat::Json => {
            losses.feature(Feature::FreeJson);
            None
        }
        OutputFormat::Schema { schema, .. } => Some(schema::closed(schema)),
    }
}

fn output<'a>(request: &'a ir::Request<'a>, schema: &'a RawValue) -> OutputConfig<'a> {
    let (name, description) = match &request.output {
        Some(OutputFormat::Schema { name, description, .. }) => {
            (name.as_ref(), description.as_ref())
        }
        Some(OutputFormat::Json) | None => (None, None),
    };
    let json_schema = JsonSchema {
        schema: Text::from(schema.get()),
        name: name.map(Text::view),
        description: description.map(Text::view),
    };
    let structure = Structure { json_schema };
    OutputConfig { text_format: TextFormat { r#type: "json_schema", structure } }
}

fn service_tier(tier: ServiceTier) -> Option<Typed<'static>> {
    let name = match tier {
        ServiceTier::Auto => return None,
        ServiceTier::Standard => "default",
        ServiceTier::Flex => "flex",
        ServiceTier::Priority => "priority",
    };
    Some(Typed { r#type: Text::from(name) })
}

/// What metadata may hold (API reference, "Converse", `requestMetadata`); other characters are made `_`.
fn metadata<'a>(user: &'a Text<'a>) -> Text<'a> {
    let fits = |one: char| one.is_ascii_alphanumeric() || " :_@$#=/+,-.".contains(one);
    fitted(user, METADATA_CHARS_MAX, fits)
}

/// An id of letters, digits, `_` and `-`, which is all that Converse takes.
fn id<'a>(id: &'a Text<'a>) -> Text<'a> {
    if id.is_empty() {
        return Text::from("call");
    }
    fitted(id, ID_CHARS_MAX, |one| one.is_ascii_alphanumeric() || matches!(one, '_' | '-'))
}

/// The text with `_` for what does not fit, and without its beginning where it is too long: ids differ at the end.
fn fitted<'a>(text: &'a Text<'a>, chars_max: usize, fits: impl Fn(char) -> bool) -> Text<'a> {
    let over = text.chars().count().saturating_sub(chars_max);
    if over == 0 && text.chars().all(&fits) {
        return text.view();
    }
    let fitted: String =
        text.chars().skip(over).map(|one| if fits(one) { one } else { '_' }).collect();
    Text::from(fitted)
}

struct Writer<'l> {
    maker: Maker,
    documents: u32,
    losses: &'l mut Losses,
}

impl Writer<'_> {
    /// The system prompt, and turns of strictly alternating speakers: Converse refuses others.
    fn messages<'a>(
        &mut self,
        messages: &'a [ir::Message<'a>],
    ) -> (Vec<Block<'a>>, Vec<Message<'a>>) {
        let (mut system, mut turns) = (Vec::new(), Vec::<Message<'a>>::new());
        for message in messages {
            if message.name.is_some() {
                self.losses.feature(Feature::SpeakerName);
            }
            let mut blocks = self.blocks(&message.content);
            let role = match message.role {
                Role::System | Role::Developer => {
                    if !turns.is_empty() {
                        self.losses.feature_with(Feature::InstructionsLater, Fate::Moved);
                    }
                    system.append(&mut blocks);
                    continue;
                }
                Role::User => "user",
                Role::Assistant => "assistant",
            };
            match turns.last_mut() {
                Some(last) if last.role == *role => last.content.append(&mut blocks),
                _ if blocks.is_empty() => {}
                _ => turns.push(Message { role: Text::from(role), content: blocks }),
            }
        }
        (system, turns)
    }

    fn blocks<'a>(&mut self, content: &'a [Part<'a>]) -> Vec<Block<'a>> {
        let mut blocks = Vec::with_capacity(content.len());
        for part in content {
            blocks.extend(self.block(part));
            if let Some(cache_point) = part.cache.as_ref().and_then(|mark| self.cache_point(mark)) {
                blocks.push(Block { cache_point: Some(cache_point), ..Block::default() });
            }
        }
        blocks
    }

    fn block<'a>(&mut self, part: &'a Part<'a>) -> Option<Block<'a>> {
        match &part.kind {
            PartKind::Text { text, citations } => {
                if !citations.is_empty() {
                    self.losses.feature(Feature::Citations);
                }
                text_block(text)
            }
            PartKind::Refusal(text) => text_block(text),
            PartKind::Media(medium) => media::block(medium, &mut self.documents, self.losses),
            PartKind::Thinking { text, signature } => self.thought(text, signature.as_ref()),
            PartKind::Redacted(data) => self.redacted(data),
            PartKind::Call(call) => Some(self.call(call)),
            PartKind::Result(result) => Some(self.result(result)),
        }
    }

    /// Only some makers' models have a cache, and the others refuse the mark.
    fn cache_point<'a>(&mut self, mark: &'a CacheMark<'a>) -> Option<CachePoint<'a>> {
        if !matches!(self.maker, Maker::Claude | Maker::Nova { .. }) {
            self.losses.feature(Feature::CacheMarks);
            return None;
        }
        Some(CachePoint { r#type: "default", ttl: mark.ttl.as_ref().map(Text::view) })
    }

    /// Claude takes back only thoughts that are signed, and other makers' models take none.
    fn thought<'a>(
        &mut self,
        text: &'a Text<'a>,
        signature: Option<&'a ir::Signature<'a>>,
    ) -> Option<Block<'a>> {
        let own = signature.filter(|signature| {
            self.maker == Maker::Claude && signature.origin == Dialect::Anthropic
        });
        let Some(signature) = own else {
            self.losses.feature(Feature::ThinkingHistory);
            return None;
        };
        let said = ReasoningText { text: text.view(), signature: Some(signature.data.view()) };
        Some(reasoning(Reasoning { reasoning_text: Some(said), redacted_content: None }))
    }

    fn redacted<'a>(&mut self, data: &'a Text<'a>) -> Option<Block<'a>> {
        if self.maker != Maker::Claude {
            self.losses.feature(Feature::RedactedThinking);
            return None;
        }
        let redacted_content = Some(data.view());
        Some(reasoning(Reasoning { reasoning_text: None, redacted_content }))
    }

    fn call<'a>(&mut self, call: &'a Call<'a>) -> Block<'a> {
        let tool_use = ToolUse {
            tool_use_id: id(&call.id),
            name: call.name.view(),
            input: Some(self.arguments(&call.arguments)),
        };
        Block { tool_use: Some(tool_use), ..Block::default() }
    }

    /// The arguments as an object; other text, which models do write, as the one member of one.
    fn arguments<'a>(&mut self, text: &'a str) -> Json<'a> {
        let text = if text.trim().is_empty() { "{}" } else { text };
        match serde_json::from_str::<&RawValue>(text) {
            Ok(raw) if raw.get().starts_with('{') => Json::from(raw),
            _ => {
                self.losses.feature_with(Feature::BrokenArguments, Fate::Changed);
                to_raw(&BrokenArguments { arguments: text })
            }
        }
    }

    fn result<'a>(&mut self, result: &'a CallResult<'a>) -> Block<'a> {
        let tool_result = ToolResult {
            tool_use_id: id(&result.id),
            content: self.blocks(&result.content),
            status: result.is_error.then_some("error"),
        };
        Block { tool_result: Some(tool_result), ..Block::default() }
    }

    /// The functions. A conversation that holds calls must name some, and cannot forbid further ones: those that were
    /// called are named where the client names none.
    fn tools<'a>(
        &mut self,
        request: &'a ir::Request<'a>,
        empty: Option<&'a RawValue>,
    ) -> Option<ToolConfig<'a>> {
        let called = called(&request.messages);
        let forbidden = request.tool_choice == Some(ir::ToolChoice::None);
        if forbidden && !called.is_empty() {
            self.losses.feature(Feature::ForbiddenCalls);
        }
        let mut tools = Vec::with_capacity(request.tools.len());
        if !forbidden || !called.is_empty() {
            for tool in &request.tools {
                tools.extend(tool_spec(tool, empty));
                if let Some(cache_point) =
                    tool.cache.as_ref().and_then(|mark| self.cache_point(mark))
                {
                    tools.push(Tool { cache_point: Some(cache_point), ..Tool::default() });
                }
            }
        }
        if tools.is_empty() {
            let known = |name: &'a Text<'a>| spec(name.view(), None, empty?, None);
            tools.extend(called.into_iter().filter_map(known));
        }
        let tool_choice = if tools.is_empty() { None } else { self.tool_choice(request) };
        (!tools.is_empty()).then_some(ToolConfig { tools, tool_choice })
    }

    fn tool_choice<'a>(&mut self, request: &'a ir::Request<'a>) -> Option<ToolChoice<'a>> {
        let any = || ToolChoice { any: Some(Empty {}), ..ToolChoice::default() };
        match request.tool_choice.as_ref().filter(|_| !request.tools.is_empty())? {
            ir::ToolChoice::Auto | ir::ToolChoice::None => None,
            ir::ToolChoice::Required => Some(any()),
            ir::ToolChoice::Function(name) => {
                let tool = Some(Named { name: name.view() });
                Some(ToolChoice { tool, ..ToolChoice::default() })
            }
            ir::ToolChoice::Allowed { required, .. } => {
                self.losses.feature(Feature::AllowedTools);
                required.then(any)
            }
        }
    }
}

#[derive(Serialize)]
struct BrokenArguments<'a> {
    arguments: &'a str,
}

/// Converse refuses a text of nothing but spaces.
fn text_block<'a>(text: &'a Text<'a>) -> Option<Block<'a>> {
    let said = !text.trim().is_empty();
    said.then(|| Block { text: Some(text.view()), ..Block::default() })
}

fn reasoning(content: Reasoning<'_>) -> Block<'_> {
    Block { reasoning_content: Some(content), ..Block::default() }
}

/// The names of the functions that were called, each once.
fn called<'a>(messages: &'a [ir::Message<'a>]) -> Vec<&'a Text<'a>> {
    let mut names: Vec<&'a Text<'a>> = Vec::new();
    for part in messages.iter().flat_map(|message| &message.content) {
        if let PartKind::Call(call) = &part.kind
            && !names.contains(&&call.name)
        {
            names.push(&call.name);
        }
    }
    names
}

fn tool_spec<'a>(tool: &'a ir::Tool<'a>, empty: Option<&'a RawValue>) -> Option<Tool<'a>> {
    let schema = tool.schema.as_deref().or(empty)?;
    let strict = tool.strict.filter(|strict| *strict);
    spec(tool.name.view(), tool.description.as_ref().map(Text::view), schema, strict)
}

fn spec<'a>(
    name: Text<'a>,
    description: Option<Text<'a>>,
    json: &'a RawValue,
    strict: Option<bool>,
) -> Option<Tool<'a>> {
    // Converse refuses an empty description.
    let description = description.filter(|text| !text.is_empty());
    let tool_spec = ToolSpec { name, description, input_schema: InputSchema { json }, strict };
    Some(Tool { tool_spec: Some(tool_spec), ..Tool::default() })
}
