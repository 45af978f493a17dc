"""The official OpenAI client for Python, used as an application uses it, against a gateway.

TOLLGATE_URL and TOLLGATE_KEY say where and as whom; the alias `demo` must be served. Run by
tests/sdk.rs. An assertion that fails ends the run.
"""

import os

import openai
from openai import OpenAI

URL = os.environ["TOLLGATE_URL"] + "/v1"
client = OpenAI(base_url=URL, api_key=os.environ["TOLLGATE_KEY"], max_retries=0)
MESSAGES = [{"role": "user", "content": "Say hello."}]


def chat():
    answer = client.chat.completions.create(model="demo", messages=MESSAGES)
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def request_id():
    raw = client.chat.completions.with_raw_response.create(model="demo", messages=MESSAGES)
    assert len(raw.headers["x-request-id"]) == 32
    assert raw.parse().choices


def stream():
    chunks = list(client.chat.completions.create(model="demo", messages=MESSAGES, stream=True))
    text = "".join(c.choices[0].delta.content or "" for c in chunks)
    assert text, "a stream has content"
    assert chunks[-1].choices[0].finish_reason == "stop", "no usage chunk was asked for"


def stream_with_usage():
    chunks = list(
        client.chat.completions.create(
            model="demo", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens > 0


def tool_call():
    tool = {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
    answer = client.chat.completions.create(model="demo", messages=MESSAGES, tools=[tool])
    call = answer.choices[0].message.tool_calls[0]
    assert call.function.name == "weather"
    result = {"role": "tool", "tool_call_id": call.id, "content": "sunny"}
    history = [*MESSAGES, answer.choices[0].message.model_dump(exclude_none=True), result]
    answer = client.chat.completions.create(model="demo", messages=history, tools=[tool])
    assert answer.choices[0].message.content


def completion():
    assert client.completions.create(model="demo", prompt="Once").choices[0].text


def embeddings():
    answer = client.embeddings.create(model="demo", input=["one", "two"])
    assert [item.index for item in answer.data] == [0, 1]
    assert all(isinstance(number, float) for number in answer.data[0].embedding)


def moderation():
    assert client.moderations.create(model="demo", input="Hello").results


def audio():
    spoken = client.audio.speech.create(model="demo", voice="alloy", input="Hello")
    assert spoken.read()
    text = client.audio.transcriptions.create(model="demo", file=("a.wav", b"RIFF" * 1000))
    assert text.text


def models():
    assert [model.id for model in client.models.list()] == ["demo"]
    assert client.models.retrieve("demo").id == "demo"


def raised(kind, call):
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def errors():
    stranger = client.with_options(api_key="sk-wrong")
    error = raised(openai.AuthenticationError, stranger.models.list)
    assert error.code == "invalid_api_key", error.code
    assert error.request_id

    def unknown():
        client.chat.completions.create(model="gpt-9", messages=MESSAGES)

    error = raised(openai.NotFoundError, unknown)
    assert (error.code, error.param) == ("model_not_found", "model")
    error = raised(openai.NotFoundError, lambda: client.get("/nothing", cast_to=object))
    assert error.code == "not_found"
    error = raised(
        openai.BadRequestError,
        lambda: client.post("/chat/completions", body={"messages": MESSAGES}, cast_to=object),
    )
    assert error.code == "missing_model"


CHECKS = [
    chat,
    request_id,
    stream,
    stream_with_usage,
    tool_call,
    completion,
    embeddings,
    moderation,
    audio,
    models,
    errors,
]

if __name__ == "__main__":
    for check in CHECKS:
        check()
        print(f"passed: {check.__name__}")
    print("every check passed")
