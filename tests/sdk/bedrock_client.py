"""The official AWS client for Python against the simulated model server, which stands for Bedrock in tests.

No client of the gateway speaks this dialect, so it is the model server alone that is judged here: by
the client's own description of the API, its signatures and its reader of frames. Run by tests/sdk.rs.
"""

import base64
import functools
import json

import boto3
import botocore.exceptions
import urllib3.exceptions
from botocore import eventstream
from botocore.config import Config

from matrix import (
    ARGUMENTS,
    CUT,
    CUT_TOKENS,
    MOCK,
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
    sent,
)

# The key of AWS's examples: what it signs, the model server verifies.
KEY_ID = "AKIDEXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
MODEL = "us.anthropic.claude-x-v1:0"
PERSON = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
SAY_HELLO = [{"role": "user", "content": [{"text": "Say hello."}]}]
SPEC = {"name": "weather", "description": "The weather now", "inputSchema": {"json": WEATHER}}
TOOLS = {"tools": [{"toolSpec": SPEC}]}
THINKING = {
    "inferenceConfig": {"maxTokens": 4096},
    "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
}


@functools.cache
def client(secret=SECRET):
    keys = {"aws_access_key_id": KEY_ID, "aws_secret_access_key": secret}
    config = Config(retries={"total_max_attempts": 1})
    where = {"endpoint_url": MOCK, "region_name": "us-east-1"}
    return boto3.client("bedrock-runtime", config=config, **keys, **where)


def ask(**more):
    return client().converse(**{"modelId": MODEL, "messages": SAY_HELLO, **more})


def ask_stream(**more):
    body = {"modelId": MODEL, "messages": SAY_HELLO, **more}
    return list(client().converse_stream(**body)["stream"])


def content(answer):
    return answer["output"]["message"]["content"]


def members(events, name):
    """The members of this name of a stream's events."""
    return [event[name] for event in events if name in event]


def joined(events, *path):
    """The texts at a place in a stream's deltas, joined."""
    found = [delta["delta"] for delta in members(events, "contentBlockDelta")]
    for name in path:
        found = [one[name] for one in found if name in one]
    return "".join(found)


def check_usage(usage, tokens):
    assert usage["outputTokens"] == tokens and usage["inputTokens"] > 0, usage
    assert usage["totalTokens"] == usage["inputTokens"] + tokens, usage


def whole(_):
    answer = ask(system=[{"text": "Be brief."}])
    assert content(answer) == [{"text": WORDS}], answer
    assert (answer["output"]["message"]["role"], answer["stopReason"]) == ("assistant", "end_turn")
    check_usage(answer["usage"], TOKENS)
    answer = ask(inferenceConfig={"maxTokens": CUT_TOKENS})
    assert (content(answer), answer["stopReason"]) == ([{"text": CUT}], "max_tokens"), answer


def stream(_):
    events = ask_stream()
    assert joined(events, "text") == WORDS, events
    assert members(events, "messageStart") == [{"role": "assistant"}], events
    assert members(events, "messageStop") == [{"stopReason": "end_turn"}], events
    (told,) = members(events, "metadata")
    check_usage(told["usage"], TOKENS)


def tool(_):
    with behaving("calls=2"):
        answer = ask(toolConfig=TOOLS)
        events = ask_stream(toolConfig=TOOLS)
    assert answer["stopReason"] == "tool_use", answer
    calls = [block["toolUse"] for block in content(answer)]
    assert [(call["name"], call["input"]) for call in calls] == [("weather", ARGUMENTS)] * 2
    starts = [start["start"]["toolUse"] for start in members(events, "contentBlockStart")]
    assert [start["name"] for start in starts] == ["weather"] * 2, events
    assert joined(events, "toolUse", "input") == json.dumps(ARGUMENTS, separators=(",", ":")) * 2
    results = [
        {"toolResult": {"toolUseId": call["toolUseId"], "content": [{"text": "sunny today"}]}}
        for call in calls
    ]
    history = [*SAY_HELLO, answer["output"]["message"], {"role": "user", "content": results}]
    assert content(ask(messages=history, toolConfig=TOOLS)) == [{"text": WORDS}]


def media(direct):
    image = {"format": "png", "source": {"bytes": base64.b64decode(PNG)}}
    document = {"format": "pdf", "name": "a", "source": {"bytes": base64.b64decode(PDF)}}
    blocks = [{"text": "What is this?"}, {"image": image}, {"document": document}]
    messages = [{"role": "user", "content": blocks}]
    body = sent(direct, lambda: content(ask(messages=messages))[0]["text"])
    assert PNG in body and PDF in body, body


def structured(_):
    schema = {"jsonSchema": {"schema": json.dumps(PERSON), "name": "person"}}
    answer = ask(outputConfig={"textFormat": {"type": "json_schema", "structure": schema}})
    assert json.loads(content(answer)[0]["text"]) == {"name": "text"}, answer


def thought(_):
    answer = ask(**THINKING)
    said = answer["output"]["message"]["content"]
    expected = {"text": THOUGHT, "signature": SIGNATURE}
    assert said[0]["reasoningContent"]["reasoningText"] == expected, answer
    check_usage(answer["usage"], TOKENS + THOUGHT_TOKENS)
    events = ask_stream(**THINKING)
    assert joined(events, "reasoningContent", "text") == THOUGHT, events
    assert joined(events, "reasoningContent", "signature") == SIGNATURE, events
    history = [*SAY_HELLO, answer["output"]["message"], *SAY_HELLO]
    assert content(ask(messages=history, **THINKING))[-1] == {"text": WORDS}


def errors(_):
    for settings, kind in [
        ("status=400", client().exceptions.ValidationException),
        ("status=404", client().exceptions.ResourceNotFoundException),
        ("status=424", client().exceptions.ModelErrorException),
        ("status=429", client().exceptions.ThrottlingException),
        ("status=500", client().exceptions.InternalServerException),
        ("status=503", client().exceptions.ServiceUnavailableException),
    ]:
        with behaving(settings):
            assert "A simulated failure" in str(raised(kind, ask)), settings
    forged = client("not the secret")
    raised(
        client().exceptions.AccessDeniedException,
        lambda: forged.converse(modelId=MODEL, messages=SAY_HELLO),
    )


def broken_streams(_):
    for settings, kind in [
        ("error-at=4", botocore.exceptions.EventStreamError),
        ("malformed-at=4", eventstream.ChecksumMismatch),
        ("cut-after=4", urllib3.exceptions.ProtocolError),
    ]:
        with behaving(settings):
            raised(kind, ask_stream)
    with behaving("piece-bytes=5"):
        assert joined(ask_stream(), "text") == WORDS


run([whole, stream, tool, media, structured, thought, errors, broken_streams])
