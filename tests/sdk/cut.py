"""The official clients and streams that a budget ends: none of them raises, and each says why it ended.

Run by tests/cuts.rs: an alias for each dialect of upstreams, and a key for each alias.
"""

import os

from anthropic import Anthropic
from google import genai
from openai import OpenAI

URL = os.environ["TOLLGATE_URL"]


def openai(alias):
    return OpenAI(base_url=f"{URL}/v1", api_key=f"sk-sdk-{alias}", max_retries=0)


stream = openai("openai").chat.completions.create(
    model="openai", messages=[{"role": "user", "content": "Hello"}], stream=True
)
chunks = list(stream)
assert chunks[-1].choices[0].finish_reason == "length", chunks[-1]

events = list(openai("responses").responses.create(model="responses", input="Hello", stream=True))
assert events[-1].type == "response.incomplete", events[-1]
assert events[-1].response.incomplete_details.reason == "max_output_tokens", events[-1]
assert events[-1].response.output_text.startswith("word word ")

client = genai.Client(api_key="sk-sdk-gemini", http_options={"base_url": URL})
answers = list(client.models.generate_content_stream(model="gemini", contents="Hello"))
assert answers[-1].candidates[0].finish_reason.name == "MAX_TOKENS", answers[-1]

client = Anthropic(base_url=URL, api_key="sk-sdk-anthropic", max_retries=0)
messages = [{"role": "user", "content": "Hello"}]
with client.messages.stream(model="anthropic", max_tokens=900, messages=messages) as stream:
    message = stream.get_final_message()
assert message.stop_reason == "max_tokens", message
assert message.content[0].text.startswith("word word ")

print("every check passed")
