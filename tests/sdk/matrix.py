"""What the clients for Python have in common: where to call, what the simulated model says, and how
checks are run against each upstream.

TOLLGATE_URL and TOLLGATE_KEY say where the gateway is and as whom to call; TOLLGATE_MOCK is the
simulated model server behind it, TOLLGATE_LLMOCK a third party's, and TOLLGATE_UPSTREAMS names the
aliases: each begins with the dialect that its upstream speaks, and one that ends in `-llmock` is served
by the third party's. Before them the model server is called directly: what the client does not take
from there is no fault of the gateway's.
"""

import contextlib
import json
import os
import traceback
import urllib.request
from dataclasses import dataclass

GATEWAY = os.environ["TOLLGATE_URL"]
KEY = os.environ["TOLLGATE_KEY"]
MOCK = os.environ["TOLLGATE_MOCK"]
LLMOCK = os.environ.get("TOLLGATE_LLMOCK")

# What the simulated model says, and how long that is.
WORDS = "The toll is paid, the gate is open, and the road goes on.The toll is paid"
TOKENS = 20
CUT = "The toll is paid,"
CUT_TOKENS = 5
THOUGHT = "Has the toll been paid?"
THOUGHT_TOKENS = 6

# The seal of a thought, which must come back with the thought where the upstream gave it.
SIGNATURE = "bW9jayB0aG91Z2h0"

# A document, as no reader takes it.
PDF = "JVBERi0xLjcKbW9jaw=="

# A PNG of one dot.
PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
ARGUMENTS = {"city": "text"}


@dataclass(frozen=True)
class Upstream:
    """Whom to call: `direct` is the model server itself, the others are behind the gateway."""

    name: str
    url: str
    key: str

    @property
    def direct(self):
        return self.name == "direct"

    @property
    def dialect(self):
        return self.name.split("-")[0]

    def tells(self, settings):
        """Whether the model server's own words about a failure arrive: of what the client cannot
        mend the gateway tells in words of its own."""
        return self.direct or settings == "status=400"

    @property
    def tells_thoughts(self):
        """Chat Completions has no place for thoughts."""
        return self.dialect != "openai"

    @property
    def has_stops(self):
        """Responses has no stop sequences."""
        return self.dialect != "responses"

    @property
    def has_temperature(self):
        """Claude's newer models choose their tokens by themselves."""
        return self.dialect != "anthropic" or self.name.endswith("-older")

    @property
    def embeds(self):
        """Claude has no embeddings, nor has llmock's Gemini; on Vertex AI and Bedrock the gateway
        serves chats alone."""
        without = ["gemini-vertex", "gemini-llmock"]
        return self.dialect not in ["anthropic", "bedrock"] and self.name not in without

    @property
    def third_party(self):
        return self.name.endswith("-llmock")

    # What the model says: words, arguments of calls, JSON by a schema of a person, and vectors.

    @property
    def words(self):
        return "Mock response from mock." if self.third_party else WORDS

    @property
    def tokens(self):
        return len(self.words) // 4 if self.third_party else TOKENS

    @property
    def arguments(self):
        return {"city": "mock-city"} if self.third_party else ARGUMENTS

    @property
    def person(self):
        return {"name": "mock-name" if self.third_party else "text", "age": 1}

    @property
    def dimensions(self):
        """How many numbers a vector has for which 64 were asked."""
        return 1536 if self.third_party else 64


def upstreams():
    yield Upstream("direct", MOCK, "none")
    for name in filter(None, os.environ["TOLLGATE_UPSTREAMS"].split(",")):
        yield Upstream(name, GATEWAY, KEY)


@contextlib.contextmanager
def behaving(settings):
    """Changes what the model server does: `status=400`, `echo`, …"""

    tell(MOCK + "/mock/behaviour", settings)
    try:
        yield
    finally:
        tell(MOCK + "/mock/behaviour", "")


def tell(url, body):
    request = urllib.request.Request(url, data=body.encode(), method="POST")
    urllib.request.urlopen(request).read()


def sent(upstream, call):
    """The body that reaches the model server in a call, which returns the text of its answer."""
    if not upstream.third_party:
        with behaving("echo"):
            return json.loads(call())["body"]
    tell(LLMOCK + "/_llmock/reset", "")
    call()
    with urllib.request.urlopen(LLMOCK + "/_llmock/requests") as journal:
        (request,) = json.load(journal)["requests"]
    return json.dumps(request["body"])


def scripted(upstream):
    """Has the model say what the schema of a person wants, where it does not find the schema by
    itself: llmock knows that of Anthropic's dialect by an older name."""
    if upstream.name == "anthropic-llmock":
        reply = {"type": "reply", "text": json.dumps(upstream.person)}
        tell(LLMOCK + "/_llmock/scenario", json.dumps({"behaviors": [reply]}))


def raised(kind, call):
    """The error that a call raises, which is of this kind, or one of these."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"none of {kind} was raised")


def run(tasks, more=()):
    """Runs each task against each upstream, and the other checks where the model server can be told
    how to behave: all of them, and fails at the end."""
    failed = []
    for upstream in upstreams():
        for check in tasks if upstream.third_party else [*tasks, *more]:
            name = f"{check.__name__} with {upstream.name}"
            try:
                check(upstream)
                print(f"passed: {name}")
            except Exception:
                failed.append(name)
                print(f"FAILED: {name}")
                traceback.print_exc()
    if failed:
        raise SystemExit(f"{len(failed)} checks failed: {failed}")
    print("every check passed")
