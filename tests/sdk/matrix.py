"""What the clients for Python have in common: where to call, what the simulated model says, and how
checks are run against each upstream.

TOLLGATE_URL and TOLLGATE_KEY say where the gateway is and as whom to call; TOLLGATE_MOCK is the
simulated model server behind it, and TOLLGATE_UPSTREAMS names the aliases: each begins with the
dialect that its upstream speaks. Before them the model server is called directly: what the client does not
take from there is no fault of the gateway's.
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
        """Anthropic's newer models choose their tokens by themselves."""
        return self.name != "anthropic"


def upstreams():
    yield Upstream("direct", MOCK, "none")
    for name in filter(None, os.environ["TOLLGATE_UPSTREAMS"].split(",")):
        yield Upstream(name, GATEWAY, KEY)


@contextlib.contextmanager
def behaving(settings):
    """Changes what the model server does: `status=400`, `echo`, …"""

    def tell(path, body):
        request = urllib.request.Request(MOCK + path, data=body.encode(), method="POST")
        urllib.request.urlopen(request).read()

    tell("/mock/behaviour", settings)
    try:
        yield
    finally:
        tell("/mock/behaviour", "")


def echoed(text):
    """The body that reached the model server, from the echo that it answered with."""
    return json.loads(text)["body"]


def raised(kind, call):
    """The error that a call raises, which is of this kind, or one of these."""
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"none of {kind} was raised")


def run(checks):
    """Runs each check against each upstream, all of them, and fails at the end."""
    failed = []
    for upstream in upstreams():
        for check in checks:
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
