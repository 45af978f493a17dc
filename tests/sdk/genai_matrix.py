"""The official Google client for Python against every upstream.

Run by tests/sdk.rs; see matrix.py.
"""

import base64
import functools

import httpx
from google import genai
from google.genai import errors as failures
from google.genai import types
from pydantic import BaseModel

from matrix import (
    ARGUMENTS,
    CUT,
    CUT_TOKENS,
    PDF,
    PNG,
    SIGNATURE,
    THOUGHT,
    THOUGHT_TOKENS,
    TOKENS,
    WEATHER,
    WORDS,
    behaving,
    raised,
    run,
    scripted,
    sent,
)

# What tells that a stream is broken: an error in it, a connection that ends, an event that is none.
BROKEN = (failures.APIError, failures.UnknownApiResponseError, httpx.HTTPError)
CALLS = types.AutomaticFunctionCallingConfig(disable=True)


class Person(BaseModel):
    name: str
    age: int


@functools.cache
def client(upstream, key=None):
    """A client that stays: one that is dropped in mid-call closes its connections."""
    options = types.HttpOptions(base_url=upstream.url)
    return genai.Client(api_key=key or upstream.key, http_options=options)


def ask(upstream, contents="Say hello.", model=None, **config):
    config = types.GenerateContentConfig(automatic_function_calling=CALLS, **config)
    body = {"model": model or upstream.name, "contents": contents, "config": config}
    return client(upstream).models.generate_content(**body)


def ask_stream(upstream, contents="Say hello.", **config):
    config = types.GenerateContentConfig(automatic_function_calling=CALLS, **config)
    body = {"model": upstream.name, "contents": contents, "config": config}
    return list(client(upstream).models.generate_content_stream(**body))


def parts(answers):
    return [part for answer in answers for part in answer.candidates[0].content.parts or []]


def text_of(answers, thoughts=False):
    wanted = [part for part in parts(answers) if bool(part.thought) == thoughts]
    return "".join(part.text or "" for part in wanted)


def check_usage(usage, tokens, thoughts=0):
    assert usage.candidates_token_count == tokens and usage.prompt_token_count > 0, usage
    assert (usage.thoughts_token_count or 0) == thoughts, usage
    assert usage.total_token_count == usage.prompt_token_count + tokens + thoughts, usage


def whole(upstream):
    answer = ask(upstream, system_instruction="Be brief.")
    assert answer.text == upstream.words, answer
    assert answer.candidates[0].content.role == "model", answer
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP, answer
    check_usage(answer.usage_metadata, upstream.tokens)


def cut(upstream):
    answer = ask(upstream, max_output_tokens=CUT_TOKENS)
    assert answer.text == CUT, answer
    assert answer.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS, answer


def stream(upstream):
    answers = ask_stream(upstream)
    assert text_of(answers) == upstream.words, answers
    reasons = [answer.candidates[0].finish_reason for answer in answers]
    assert [reason for reason in reasons if reason] == [types.FinishReason.STOP], reasons
    check_usage(answers[-1].usage_metadata, upstream.tokens)


def tools():
    declaration = types.FunctionDeclaration(
        name="weather", description="The weather now", parameters_json_schema=WEATHER
    )
    return [types.Tool(function_declarations=[declaration])]


def tool(upstream):
    answer = ask(upstream, tools=tools())
    (call,) = answer.function_calls
    assert (call.name, call.args) == ("weather", upstream.arguments), call
    assert answer.candidates[0].finish_reason == types.FinishReason.STOP, answer
    result = types.Part.from_function_response(name="weather", response={"result": "sunny today"})
    result.function_response.id = call.id
    history = [
        types.UserContent("Weather?"),
        answer.candidates[0].content,
        types.Content(role="user", parts=[result]),
    ]
    assert ask(upstream, history, tools=tools()).text == upstream.words
    body = sent(upstream, lambda: ask(upstream, history, tools=tools()).text)
    assert "sunny today" in body and body.count("weather") >= 2, body


def tool_stream(upstream):
    calling = types.FunctionCallingConfig(mode="ANY", allowed_function_names=["weather"])
    config = types.ToolConfig(function_calling_config=calling)
    answers = ask_stream(upstream, tools=tools(), tool_config=config)
    (call,) = [part.function_call for part in parts(answers) if part.function_call]
    assert (call.name, call.args) == ("weather", ARGUMENTS), answers


def results_of(answer):
    """A result for each call of an answer, as the next message."""
    parts = []
    for number, call in enumerate(answer.function_calls):
        result = types.FunctionResponse(name=call.name, id=call.id)
        result.response = {"result": f"sunny {number}"}
        parts.append(types.Part(function_response=result))
    return types.Content(role="user", parts=parts)


def parallel_tools(upstream):
    with behaving("calls=3"):
        answer = ask(upstream, tools=tools())
        streamed = parts(ask_stream(upstream, tools=tools()))
    assert [call.args for call in answer.function_calls] == [ARGUMENTS] * 3, answer
    calls = [part.function_call for part in streamed if part.function_call]
    assert [call.args for call in calls] == [ARGUMENTS] * 3, streamed
    history = [types.UserContent("Weather?"), answer.candidates[0].content, results_of(answer)]
    body = sent(upstream, lambda: ask(upstream, history, tools=tools()).text)
    assert all(f"sunny {number}" in body for number in range(3)), body


def python_function(upstream):
    """The client calls a function of Python's by itself and sends the result back."""
    asked = []

    def weather(city: str) -> str:
        """The weather now"""
        asked.append(city)
        return "sunny today"

    config = types.GenerateContentConfig(tools=[weather])
    body = {"model": upstream.name, "contents": "Weather?", "config": config}
    answer = client(upstream).models.generate_content(**body)
    assert (asked, answer.text) == (["text"], WORDS), answer


def thought_with_tool(upstream):
    thinking = types.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
    more = {"tools": tools(), "thinking_config": thinking}
    answer = ask(upstream, **more)
    history = [types.UserContent("Weather?"), answer.candidates[0].content, results_of(answer)]
    body = sent(upstream, lambda: text_of([ask(upstream, history, **more)]))
    assert "sunny 0" in body, body
    assert (SIGNATURE in body) == upstream.tells_thoughts, body


def conversation(upstream):
    history = [
        types.UserContent("One?"),
        types.ModelContent("Two."),
        types.UserContent("Three?"),
    ]
    tuning = {"temperature": 0.25, "top_p": 0.75, "stop_sequences": ["STOP-HERE"]}
    tuning["system_instruction"] = "Be brief."
    body = sent(upstream, lambda: ask(upstream, history, **tuning).text)
    assert all(word in body for word in ["Be brief.", "One?", "Two.", "Three?"]), body
    assert ("STOP-HERE" in body) == upstream.has_stops, body
    assert ("0.25" in body) == upstream.has_temperature, body


def document(upstream):
    part = types.Part.from_bytes(data=base64.b64decode(PDF), mime_type="application/pdf")
    body = sent(upstream, lambda: ask(upstream, ["What is this?", part]).text)
    assert PDF in body, body


def image(upstream):
    picture = types.Part.from_bytes(data=base64.b64decode(PNG), mime_type="image/png")
    body = sent(upstream, lambda: ask(upstream, ["What is this?", picture]).text)
    assert PNG in body, body


def structured(upstream):
    kind = {"response_mime_type": "application/json"}
    scripted(upstream)
    answer = ask(upstream, response_schema=Person, **kind)
    assert answer.parsed == Person(**upstream.person), answer
    scripted(upstream)
    answer = ask(upstream, response_json_schema=Person.model_json_schema(), **kind)
    assert answer.parsed == upstream.person, answer


def thought(upstream):
    thinking = types.ThinkingConfig(include_thoughts=True, thinking_budget=1024)
    told = upstream.tells_thoughts
    answers = [ask(upstream, thinking_config=thinking)]
    for answers in [answers, ask_stream(upstream, thinking_config=thinking)]:
        assert text_of(answers) == WORDS, answers
        assert text_of(answers, thoughts=True) == (THOUGHT if told else ""), answers
        # Bedrock counts thoughts as a part of what is said.
        apart = THOUGHT_TOKENS if told and upstream.dialect != "bedrock" else 0
        said = TOKENS + (THOUGHT_TOKENS if told else 0) - apart
        check_usage(answers[-1].usage_metadata, said, apart)


def embeddings(upstream):
    config = types.EmbedContentConfig(output_dimensionality=64)
    texts = ["the first", "the second", "the first"]
    body = {"model": upstream.name, "contents": texts, "config": config}
    if not upstream.embeds:
        raised(failures.ClientError, lambda: client(upstream).models.embed_content(**body))
        return
    one, two, again = client(upstream).models.embed_content(**body).embeddings
    assert len(one.values) == upstream.dimensions, one
    assert one.values == again.values != two.values, one


def count_tokens(upstream):
    answer = client(upstream).models.count_tokens(model=upstream.name, contents="Say hello.")
    assert answer.total_tokens > 0, answer


def errors(upstream):
    if not upstream.direct:
        stranger = client(upstream, key="sk-wrong")
        error = raised(failures.ClientError, lambda: list(stranger.models.list()))
        assert (error.code, error.status) == (401, "UNAUTHENTICATED"), error
        error = raised(failures.ClientError, lambda: ask(upstream, model="gemini-9"))
        assert (error.code, error.status) == (404, "NOT_FOUND"), error
    for settings, kind, code, status in [
        ("status=400", failures.ClientError, 400, "INVALID_ARGUMENT"),
        ("status=429", failures.ClientError, 429, "RESOURCE_EXHAUSTED"),
        ("status=500", failures.ServerError, 500, "INTERNAL"),
    ]:
        with behaving(settings):
            error = raised(kind, lambda: ask(upstream))
        assert error.status == status, error
        # Without more, a failure behind the gateway is its 502.
        assert error.code == (502 if code == 500 and not upstream.direct else code), error
        assert ("A simulated failure" in error.message) == upstream.tells(settings), error


def broken_streams(upstream):
    for settings in ["error-at=4", "cut-after=4", "malformed-at=4"]:
        with behaving(settings):
            raised(BROKEN, lambda: ask_stream(upstream))


def models(upstream):
    names = [model.name for model in client(upstream).models.list()]
    assert upstream.direct or f"models/{upstream.name}" in names, names


run(
    [whole, stream, tool, image, structured, embeddings],
    [
        cut,
        tool_stream,
        parallel_tools,
        python_function,
        conversation,
        document,
        thought,
        thought_with_tool,
        count_tokens,
        errors,
        broken_streams,
        models,
    ],
)
