"""The official OpenAI client for Python, Chat Completions and Responses, against every upstream.

Run by tests/sdk.rs; see matrix.py.
"""

import functools
import json

import httpx2
import openai
from openai import OpenAI
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
BROKEN = (openai.APIError, httpx2.HTTPError, json.JSONDecodeError)
SAY_HELLO = [{"role": "user", "content": "Say hello."}]
FUNCTION = {"name": "weather", "description": "The weather now", "parameters": WEATHER}
IMAGE = f"data:image/png;base64,{PNG}"


class Person(BaseModel):
    name: str
    age: int


@functools.cache
def client(upstream, key=None):
    return OpenAI(base_url=upstream.url + "/v1", api_key=key or upstream.key, max_retries=0)


def chat(upstream, **more):
    body = {"model": upstream.name, "messages": SAY_HELLO, **more}
    return client(upstream).chat.completions.create(**body)


def respond(upstream, **more):
    body = {"model": upstream.name, "input": "Say hello.", **more}
    return client(upstream).responses.create(**body)


def chat_text(upstream, **more):
    return chat(upstream, **more).choices[0].message.content


def respond_text(upstream, **more):
    return respond(upstream, **more).output_text


def chat_whole(upstream):
    answer = chat(upstream)
    choice = answer.choices[0]
    assert (choice.message.role, choice.message.content) == ("assistant", upstream.words), choice
    assert choice.finish_reason == "stop", choice
    usage = answer.usage
    assert usage.completion_tokens == upstream.tokens and usage.prompt_tokens > 0, usage
    assert usage.total_tokens == usage.prompt_tokens + upstream.tokens, usage


def chat_cut(upstream):
    for limit in ["max_tokens", "max_completion_tokens"]:
        answer = chat(upstream, **{limit: CUT_TOKENS})
        assert answer.choices[0].message.content == CUT, answer
        assert answer.choices[0].finish_reason == "length", answer
        assert answer.usage.completion_tokens == CUT_TOKENS, answer


def chat_stream(upstream):
    chunks = list(chat(upstream, stream=True))
    assert all(chunk.usage is None for chunk in chunks), "usage was not asked for"
    chunks = list(chat(upstream, stream=True, stream_options={"include_usage": True}))
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert deltas[0].role == "assistant", deltas[0]
    assert "".join(delta.content or "" for delta in deltas) == upstream.words, chunks
    assert len({chunk.id for chunk in chunks}) == 1, chunks
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert [reason for reason in reasons if reason] == ["stop"], reasons
    last = chunks[-1]
    assert (last.choices, last.usage.completion_tokens) == ([], upstream.tokens), last


def chat_tool(upstream):
    tools = [{"type": "function", "function": FUNCTION}]
    answer = chat(upstream, tools=tools)
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls", choice
    (call,) = choice.message.tool_calls
    assert call.function.name == "weather", call
    assert json.loads(call.function.arguments) == upstream.arguments, call
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny today"}
    history = [*SAY_HELLO, choice.message.model_dump(exclude_none=True), result]
    answer = chat(upstream, messages=history, tools=tools)
    assert answer.choices[0].message.content == upstream.words, answer
    body = sent(upstream, lambda: chat_text(upstream, messages=history, tools=tools))
    assert "sunny today" in body and body.count("weather") >= 2, body


def chat_tool_stream(upstream):
    tools = [{"type": "function", "function": FUNCTION}]
    choice = {"type": "function", "function": {"name": "weather"}}
    body = {"model": upstream.name, "messages": SAY_HELLO, "tools": tools, "tool_choice": choice}
    with client(upstream).chat.completions.stream(**body) as stream:
        final = stream.get_final_completion().choices[0]
    (call,) = final.message.tool_calls
    assert (final.finish_reason, call.function.name) == ("tool_calls", "weather"), final
    assert json.loads(call.function.arguments) == ARGUMENTS, call


def chat_parallel_tools(upstream):
    tools = [{"type": "function", "function": FUNCTION}]
    body = {"model": upstream.name, "messages": SAY_HELLO, "tools": tools}
    with behaving("calls=3"):
        whole = chat(upstream, tools=tools).choices[0]
        with client(upstream).chat.completions.stream(**body) as stream:
            streamed = stream.get_final_completion().choices[0]
    for choice in [whole, streamed]:
        calls = choice.message.tool_calls
        assert len({call.id for call in calls}) == 3, choice
        assert all(json.loads(call.function.arguments) == ARGUMENTS for call in calls), choice
        results = [
            {"role": "tool", "tool_call_id": call.id, "content": f"sunny {number}"}
            for number, call in enumerate(calls)
        ]
        message = choice.message.model_dump(exclude_none=True, exclude={"parsed"})
        for call in message["tool_calls"]:
            call["function"].pop("parsed_arguments", None)
        history = [*SAY_HELLO, message, *results]
        body_there = sent(upstream, lambda: chat_text(upstream, messages=history, tools=tools))
        assert all(f"sunny {number}" in body_there for number in range(3)), body_there


def chat_conversation(upstream):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": [{"type": "text", "text": "Three?"}]},
    ]
    tuning = {"temperature": 0.25, "stop": ["STOP-HERE"], "user": "someone"}
    body = sent(upstream, lambda: chat_text(upstream, messages=messages, **tuning))
    words = ["Be brief.", "Be kind.", "One?", "Two.", "Three?"]
    assert all(word in body for word in words), body
    assert ("STOP-HERE" in body) == upstream.has_stops, body
    assert ("0.25" in body) == upstream.has_temperature, body


def chat_document(upstream):
    file = {"filename": "a.pdf", "file_data": f"data:application/pdf;base64,{PDF}"}
    content = [{"type": "text", "text": "What is this?"}, {"type": "file", "file": file}]
    messages = [{"role": "user", "content": content}]
    body = sent(upstream, lambda: chat_text(upstream, messages=messages))
    assert PDF in body, body


def chat_image(upstream):
    image = {"type": "image_url", "image_url": {"url": IMAGE}}
    content = [{"type": "text", "text": "What is this?"}, image]
    messages = [{"role": "user", "content": content}]
    body = sent(upstream, lambda: chat_text(upstream, messages=messages))
    assert PNG in body, body


def chat_structured(upstream):
    scripted(upstream)
    body = {"model": upstream.name, "messages": SAY_HELLO, "response_format": Person}
    answer = client(upstream).chat.completions.parse(**body)
    assert answer.choices[0].message.parsed == Person(**upstream.person), answer


def responses_whole(upstream):
    answer = respond(upstream, instructions="Be brief.")
    assert (answer.status, answer.output_text) == ("completed", upstream.words), answer
    usage = answer.usage
    assert usage.output_tokens == upstream.tokens and usage.input_tokens > 0, usage
    assert usage.total_tokens == usage.input_tokens + upstream.tokens, usage


def responses_cut(upstream):
    answer = respond(upstream, max_output_tokens=CUT_TOKENS)
    assert (answer.status, answer.output_text) == ("incomplete", CUT), answer
    assert answer.incomplete_details.reason == "max_output_tokens", answer


def responses_stream(upstream):
    events = list(respond(upstream, stream=True))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed"), events
    assert [event.sequence_number for event in events] == list(range(len(events))), events
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == upstream.words, deltas
    last = events[-1].response
    assert (last.output_text, last.usage.output_tokens) == (upstream.words, upstream.tokens), last
    with client(upstream).responses.stream(model=upstream.name, input="Say hello.") as stream:
        assert stream.get_final_response().output_text == upstream.words


def responses_tool(upstream):
    tools = [{"type": "function", "strict": True, **FUNCTION}]
    asked = [{"role": "user", "content": "Weather?"}]
    answer = respond(upstream, input=asked, tools=tools)
    (call,) = [item for item in answer.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments)) == ("weather", upstream.arguments), call
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny today"}
    history = [*asked, *(item.to_dict() for item in answer.output), result]
    assert respond(upstream, input=history, tools=tools).output_text == upstream.words
    body = sent(upstream, lambda: respond_text(upstream, input=history, tools=tools))
    assert "sunny today" in body and body.count("weather") >= 2, body
    events = list(respond(upstream, input=asked, tools=tools, stream=True))
    deltas = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
    assert json.loads("".join(deltas)) == upstream.arguments, events


def responses_parallel_tools(upstream):
    tools = [{"type": "function", "strict": True, **FUNCTION}]
    asked = [{"role": "user", "content": "Weather?"}]
    with behaving("calls=3"):
        whole = respond(upstream, input=asked, tools=tools)
        streamed = list(respond(upstream, input=asked, tools=tools, stream=True))[-1].response
    for answer in [whole, streamed]:
        calls = [item for item in answer.output if item.type == "function_call"]
        assert len({call.call_id for call in calls}) == 3, answer
        assert all(json.loads(call.arguments) == ARGUMENTS for call in calls), answer
        results = [
            {"type": "function_call_output", "call_id": call.call_id, "output": f"sunny {number}"}
            for number, call in enumerate(calls)
        ]
        history = [*asked, *(item.to_dict() for item in answer.output), *results]
        body = sent(upstream, lambda: respond_text(upstream, input=history, tools=tools))
        assert all(f"sunny {number}" in body for number in range(3)), body


def responses_conversation(upstream):
    items = [
        {"role": "developer", "content": "Be kind."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "Two."},
        {"role": "user", "content": [{"type": "input_text", "text": "Three?"}]},
    ]
    more = {"instructions": "Be brief.", "temperature": 0.25}
    body = sent(upstream, lambda: respond_text(upstream, input=items, **more))
    words = ["Be brief.", "Be kind.", "One?", "Two.", "Three?"]
    assert all(word in body for word in words), body
    assert ("0.25" in body) == upstream.has_temperature, body


def responses_thought_with_tool(upstream):
    tools = [{"type": "function", "strict": True, **FUNCTION}]
    asked = [{"role": "user", "content": "Weather?"}]
    more = {"tools": tools, "reasoning": {"effort": "low", "summary": "auto"}, "store": False}
    more["include"] = ["reasoning.encrypted_content"]
    answer = respond(upstream, input=asked, **more)
    (call,) = [item for item in answer.output if item.type == "function_call"]
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "sunny today"}
    history = [*asked, *(item.to_dict() for item in answer.output), result]
    body = sent(upstream, lambda: respond_text(upstream, input=history, **more))
    assert "sunny today" in body, body
    assert (SIGNATURE in body) == upstream.tells_thoughts, body


def responses_image(upstream):
    content = [
        {"type": "input_text", "text": "What is this?"},
        {"type": "input_image", "image_url": IMAGE, "detail": "auto"},
    ]
    items = [{"role": "user", "content": content}]
    body = sent(upstream, lambda: respond_text(upstream, input=items))
    assert PNG in body, body


def responses_structured(upstream):
    scripted(upstream)
    body = {"model": upstream.name, "input": "Who?", "text_format": Person}
    answer = client(upstream).responses.parse(**body)
    assert answer.output_parsed == Person(**upstream.person), answer


def responses_thought(upstream):
    reasoning = {"effort": "low", "summary": "auto"}
    answer = respond(upstream, reasoning=reasoning)
    assert answer.output_text == WORDS, answer
    thoughts = [item for item in answer.output if item.type == "reasoning"]
    summaries = [part.text for thought in thoughts for part in thought.summary]
    assert summaries == ([THOUGHT] if upstream.tells_thoughts else []), answer
    if upstream.tells_thoughts:
        assert answer.usage.output_tokens == TOKENS + THOUGHT_TOKENS, answer.usage
        events = list(respond(upstream, reasoning=reasoning, stream=True))
        deltas = [e.delta for e in events if e.type == "response.reasoning_summary_text.delta"]
        assert "".join(deltas) == THOUGHT, events


def embeddings(upstream):
    body = {"model": upstream.name, "input": ["the first", "the second", "the first"]}
    body["dimensions"] = 64
    if not upstream.embeds:
        refusals = (openai.BadRequestError, openai.NotFoundError)
        raised(refusals, lambda: client(upstream).embeddings.create(**body))
        return
    answer = client(upstream).embeddings.create(**body)
    assert [item.index for item in answer.data] == [0, 1, 2], answer
    one, two, again = [item.embedding for item in answer.data]
    assert len(one) == upstream.dimensions and one == again and one != two, answer
    assert answer.usage.prompt_tokens > 0, answer.usage


def errors(upstream):
    calls = [chat, respond]
    if not upstream.direct:
        stranger = client(upstream, key="sk-wrong")
        error = raised(openai.AuthenticationError, stranger.models.list)
        assert error.code == "invalid_api_key", error
        for call in calls:
            error = raised(openai.NotFoundError, lambda call=call: call(upstream, model="gpt-9"))
            assert (error.code, error.param) == ("model_not_found", "model"), error
    for settings, kind in [
        ("status=400", openai.BadRequestError),
        ("status=429", openai.RateLimitError),
        ("status=500", openai.InternalServerError),
    ]:
        for call in calls:
            with behaving(settings):
                error = raised(kind, lambda call=call: call(upstream))
            assert ("A simulated failure" in error.message) == upstream.tells(settings), error


def broken_streams(upstream):
    for settings in ["error-at=4", "cut-after=4", "malformed-at=4"]:
        for call in [chat, respond]:
            with behaving(settings):
                raised(BROKEN, lambda call=call: list(call(upstream, stream=True)))


def models(upstream):
    ids = [model.id for model in client(upstream).models.list()]
    assert upstream.direct or upstream.name in ids, ids


run(
    [
        chat_whole,
        chat_stream,
        chat_tool,
        chat_image,
        chat_structured,
        responses_whole,
        responses_stream,
        responses_tool,
        responses_image,
        responses_structured,
        embeddings,
    ],
    [
        chat_cut,
        chat_tool_stream,
        chat_parallel_tools,
        chat_conversation,
        chat_document,
        responses_cut,
        responses_parallel_tools,
        responses_conversation,
        responses_thought_with_tool,
        responses_thought,
        errors,
        broken_streams,
        models,
    ],
)
