"""Conversations of 20 turns with a real engine behind the gateway, by the official clients of OpenAI and Anthropic.

TOLLGATE_URL and TOLLGATE_KEY say where and as whom. The aliases `chat`, `responses` and `messages` must lead to one
llama_server.py, each in the dialect it is named after, and `short` as `chat` does, with a window of 600 tokens.
The engine's tokens are bytes, so what a prompt must come to can be told exactly; and what it counts of a prompt
as known shows whether that began with the bytes of the one before. Run by tests/context_engine.rs. An assertion
that fails ends the run.
"""

import dataclasses
import os

import anthropic
from openai import OpenAI

ROOT = os.environ["TOLLGATE_URL"]
KEY = os.environ["TOLLGATE_KEY"]
TURNS = 20
# Of an answer. The engine's window has room for all of these conversations.
MAX_TOKENS = 24

openai = OpenAI(base_url=ROOT + "/v1", api_key=KEY, max_retries=0)
claude = anthropic.Anthropic(base_url=ROOT, api_key=KEY, max_retries=0)


@dataclasses.dataclass
class Turn:
    """What a client saw of a turn; of its prompt's tokens `known` were those that the engine had read before."""
    text: str
    prompt: int
    known: int
    answer: int
    headers: dict

    def goes_on_from(self, before):
        """The engine knows a prompt and its answer to that, but for the answer's last token."""
        return self.known >= before.prompt + before.answer - 1


def whole(context, new, model="chat"):
    raw = openai.chat.completions.with_raw_response.create(
        model=model, messages=new, max_tokens=MAX_TOKENS, temperature=0, extra_body={"context": context})
    answer = raw.parse()
    return from_chat(answer.choices[0].message.content, answer.usage, raw.headers)


def streamed(context, new):
    raw = openai.chat.completions.with_raw_response.create(
        model="chat", messages=new, max_tokens=MAX_TOKENS, temperature=0, stream=True,
        stream_options={"include_usage": True}, extra_body={"context": context})
    text, usage = "", None
    for chunk in raw.parse():
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        usage = chunk.usage or usage
    return from_chat(text, usage, raw.headers)


def from_chat(text, usage, headers):
    known = usage.prompt_tokens_details.cached_tokens
    return Turn(text, usage.prompt_tokens, known, usage.completion_tokens, headers)


def response(context, new):
    raw = openai.responses.with_raw_response.create(
        model="responses", input=new, max_output_tokens=MAX_TOKENS, temperature=0,
        extra_body={"context": context})
    answer = raw.parse()
    usage = answer.usage
    known = usage.input_tokens_details.cached_tokens
    return Turn(answer.output_text, usage.input_tokens, known, usage.output_tokens, raw.headers)


def message(context, new):
    raw = claude.messages.with_raw_response.create(
        model="messages", messages=new, max_tokens=MAX_TOKENS,
        extra_body={"context": context, "temperature": 0})
    answer = raw.parse()
    usage = answer.usage
    known = usage.cache_read_input_tokens
    return Turn(answer.content[0].text, usage.input_tokens + known, known, usage.output_tokens, raw.headers)


def question(turn):
    return {"role": "user", "content": f"Question {turn}: what is \"there\" to see in Zürich?"}


def tokens(history):
    """A prompt by llama_server.py's template: a token for each byte, and one for each mark."""
    said = sum(len(f"{each['role']}\n{each['content']}\n".encode()) + 2 for each in history)
    return said + 1 + len("assistant\n")


def everything():
    """The engine gets the whole history with each turn, in every dialect, and knows all of it but what is new."""
    ways = {6: response, 11: message, 17: response}
    new = [{"role": "system", "content": "You are the concierge of a small hotel."}]
    history, before = list(new), Turn("", 0, 0, 0, {})
    for turn in range(TURNS):
        new.append(question(turn))
        history.append(question(turn))
        way = ways.get(turn, streamed if turn % 2 else whole)
        seen = way({"id": "everything", "version": turn}, new)
        print(f"turn {turn} ({way.__name__}): {seen.prompt} tokens, {seen.known} of them known")
        assert seen.headers["x-context-version"] == str(turn + 1), seen
        assert seen.headers["x-context-messages"] == str(len(history)), seen
        assert seen.prompt == tokens(history), (tokens(history), seen)
        assert seen.goes_on_from(before), (before, seen)
        assert seen.text, seen
        history.append({"role": "assistant", "content": seen.text})
        before, new = seen, []
    kept = openai.get("/contexts/everything", cast_to=object)
    assert kept["version"] == TURNS, kept
    assert kept["messages"] == history, (kept["messages"], history)


def window():
    """A cut is the only turn that the engine has to read anew, and there are few of them."""
    dropped, cuts, before = 0, 0, Turn("", 0, 0, 0, {})
    for turn in range(TURNS):
        seen = whole({"id": "window"}, [question(turn)], model="short")
        print(f"turn {turn}: {seen.prompt} tokens, {seen.known} of them known, "
              f"{seen.headers['x-context-dropped']} messages left out")
        if int(seen.headers["x-context-dropped"]) == dropped:
            assert seen.goes_on_from(before), (before, seen)
        else:
            dropped = int(seen.headers["x-context-dropped"])
            cuts += 1
        before = seen
    assert dropped and cuts <= TURNS // 5, (dropped, cuts)


CHECKS = [everything, window]

if __name__ == "__main__":
    for check in CHECKS:
        check()
        print(f"passed: {check.__name__}")
    print("every check passed")
