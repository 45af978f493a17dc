"""The official Anthropic client for Python against every upstream.

Run by tests/sdk.rs; see matrix.py.
"""

import functools
import json

import anthropic
import httpx2
from anthropic import Anthropic
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
BROKEN = (anthropic.APIError, httpx2.HTTPError, json.JSONDecodeError)
SAY_HELLO = [{"role": "user", "content": "Say hello."}]
TOOLS = [{"name": "weather", "description": "The weather now", "input_schema": WEATHER}]


class Person(BaseModel):
    name: str
    age: int


@functools.cache
def client(upstream, key=None):
    return Anthropic(base_url=upstream.url, api_key=key or upstream.key, max_retries=0)


def asking(upstream, **more):
    return {"model": upstream.name, "max_tokens": 4096, "messages": SAY_HELLO, **more}


def ask(upstream, **more):
    return client(upstream).messages.create(**asking(upstream, **more))


def text(upstream, **more):
    return ask(upstream, **more).content[-1].text


def said(answer):
    """An answer as a message of the conversation that goes on."""
    return {"role": "assistant", "content": [block.to_dict() for block in answer.content]}


def whole(upstream):
    answer = ask(upstream, system="Be brief.")
    assert (answer.type, answer.role) == ("message", "assistant"), answer
    assert [block.text for block in answer.content] == [upstream.words], answer
    assert answer.stop_reason == "end_turn", answer
    assert answer.usage.output_tokens == upstream.tokens, answer.usage
    assert answer.usage.input_tokens > 0, answer.usage


def cut(upstream):
    answer = ask(upstream, max_tokens=CUT_TOKENS)
    assert (answer.content[0].text, answer.stop_reason) == (CUT, "max_tokens"), answer
    assert answer.usage.output_tokens == CUT_TOKENS, answer.usage


def stream(upstream):
    with client(upstream).messages.stream(**asking(upstream)) as events:
        assert "".join(events.text_stream) == upstream.words
        final = events.get_final_message()
    assert [block.text for block in final.content] == [upstream.words], final
    assert (final.stop_reason, final.usage.output_tokens) == ("end_turn", upstream.tokens), final
    assert final.usage.input_tokens > 0, final.usage
    kinds = [event.type for event in ask(upstream, stream=True)]
    assert (kinds[0], kinds[-1]) == ("message_start", "message_stop"), kinds


def tool(upstream):
    answer = ask(upstream, tools=TOOLS)
    assert answer.stop_reason == "tool_use", answer
    (call,) = [block for block in answer.content if block.type == "tool_use"]
    assert (call.name, call.input) == ("weather", upstream.arguments), call
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny today"}
    history = [
        *SAY_HELLO,
        said(answer),
        {"role": "user", "content": [result]},
    ]
    assert ask(upstream, messages=history, tools=TOOLS).content[0].text == upstream.words
    body = sent(upstream, lambda: text(upstream, messages=history, tools=TOOLS))
    assert "sunny today" in body and body.count("weather") >= 2, body


def tool_stream(upstream):
    choice = {"type": "tool", "name": "weather"}
    body = asking(upstream, tools=TOOLS, tool_choice=choice)
    with client(upstream).messages.stream(**body) as events:
        final = events.get_final_message()
    (call,) = final.content
    assert (call.name, call.input) == ("weather", ARGUMENTS), final
    assert final.stop_reason == "tool_use", final


def parallel_tools(upstream):
    with behaving("calls=3"):
        one = ask(upstream, tools=TOOLS)
        with client(upstream).messages.stream(**asking(upstream, tools=TOOLS)) as events:
            other = events.get_final_message()
    for answer in [one, other]:
        calls = [block for block in answer.content if block.type == "tool_use"]
        assert len({call.id for call in calls}) == 3, answer
        assert all(call.input == ARGUMENTS for call in calls), answer
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": f"sunny {number}"}
            for number, call in enumerate(calls)
        ]
        history = [*SAY_HELLO, said(answer), {"role": "user", "content": results}]
        body = sent(upstream, lambda: text(upstream, messages=history, tools=TOOLS))
        assert all(f"sunny {number}" in body for number in range(3)), body


def thought_with_tool(upstream):
    more = {"tools": TOOLS, "thinking": {"type": "enabled", "budget_tokens": 1024}}
    answer = ask(upstream, **more)
    (call,) = [block for block in answer.content if block.type == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny today"}
    history = [*SAY_HELLO, said(answer), {"role": "user", "content": [result]}]
    body = sent(upstream, lambda: text(upstream, messages=history, **more))
    assert "sunny today" in body, body
    assert (SIGNATURE in body) == upstream.tells_thoughts, body


def conversation(upstream):
    messages = [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": [{"type": "text", "text": "Three?"}]},
    ]
    tuning = {"stop_sequences": ["STOP-HERE"], "metadata": {"user_id": "me"}}
    # The client leaves it to those who know that an older model answers.
    tuning["extra_body"] = {"temperature": 0.25}
    body = sent(upstream, lambda: text(upstream, messages=messages, system="Be brief.", **tuning))
    words = ["Be brief.", "One?", "Two.", "Three?", "0.25"]
    assert all(word in body for word in words), body
    assert ("STOP-HERE" in body) == upstream.has_stops, body


def document(upstream):
    source = {"type": "base64", "media_type": "application/pdf", "data": PDF}
    content = [{"type": "text", "text": "What is this?"}, {"type": "document", "source": source}]
    body = sent(upstream, lambda: text(upstream, messages=[{"role": "user", "content": content}]))
    assert PDF in body, body


def image(upstream):
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    content = [{"type": "text", "text": "What is this?"}, {"type": "image", "source": source}]
    body = sent(upstream, lambda: text(upstream, messages=[{"role": "user", "content": content}]))
    assert PNG in body, body


def structured(upstream):
    scripted(upstream)
    answer = client(upstream).messages.parse(**asking(upstream, output_format=Person))
    assert answer.parsed_output == Person(**upstream.person), answer


def thought(upstream):
    thinking = {"type": "enabled", "budget_tokens": 1024}
    answer = ask(upstream, thinking=thinking)
    assert answer.content[-1].text == WORDS, answer
    thoughts = [block.thinking for block in answer.content if block.type == "thinking"]
    assert thoughts == ([THOUGHT] if upstream.tells_thoughts else []), answer
    if upstream.tells_thoughts:
        assert answer.usage.output_tokens == TOKENS + THOUGHT_TOKENS, answer.usage
        with client(upstream).messages.stream(**asking(upstream, thinking=thinking)) as events:
            final = events.get_final_message()
        assert [block.type for block in final.content] == ["thinking", "text"], final
        assert (final.content[0].thinking, final.content[1].text) == (THOUGHT, WORDS), final
    history = [
        *SAY_HELLO,
        said(answer),
        *SAY_HELLO,
    ]
    assert ask(upstream, messages=history, thinking=thinking).content[-1].text == WORDS


def count_tokens(upstream):
    answer = client(upstream).messages.count_tokens(model=upstream.name, messages=SAY_HELLO)
    assert answer.input_tokens > 0, answer


def errors(upstream):
    if not upstream.direct:
        stranger = client(upstream, key="sk-wrong")
        error = raised(anthropic.AuthenticationError, stranger.models.list)
        assert error.body["error"]["type"] == "authentication_error", error
        error = raised(anthropic.NotFoundError, lambda: ask(upstream, model="claude-9"))
        assert error.body["error"]["type"] == "not_found_error", error
    for settings, kind, name in [
        ("status=400", anthropic.BadRequestError, "invalid_request_error"),
        ("status=429", anthropic.RateLimitError, "rate_limit_error"),
        ("status=500", anthropic.InternalServerError, "api_error"),
    ]:
        with behaving(settings):
            error = raised(kind, lambda: ask(upstream))
        assert error.body["error"]["type"] == name, error
        message = error.body["error"]["message"]
        assert ("A simulated failure" in message) == upstream.tells(settings), error


def broken_streams(upstream):
    for settings in ["error-at=4", "cut-after=4", "malformed-at=4"]:
        with behaving(settings):
            raised(BROKEN, lambda: list(ask(upstream, stream=True)))


def models(upstream):
    ids = [model.id for model in client(upstream).models.list()]
    assert upstream.direct or upstream.name in ids, ids


run(
    [whole, stream, tool, image, structured],
    [
        cut,
        tool_stream,
        parallel_tools,
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
