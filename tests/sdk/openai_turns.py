"""One conversation of many turns by the official OpenAI client for Python, in one of two ways.

TOLLGATE_WAY is `contexts`, where the gateway keeps the conversation and each request brings what is new, or
`resend`, where each request brings everything. TOLLGATE_TURNS says how many turns. Prints the bytes of the bodies
that the client sent. Run by tests/context_savings.rs.
"""

import os

import httpx
from openai import OpenAI

sent = 0


def count(request):
    global sent
    sent += int(request.headers.get("content-length", 0))


client = OpenAI(base_url=os.environ["TOLLGATE_URL"] + "/v1", api_key=os.environ["TOLLGATE_KEY"],
                max_retries=0, http_client=httpx.Client(event_hooks={"request": [count]}))
keeps = os.environ["TOLLGATE_WAY"] == "contexts"
history = [{"role": "system", "content": "You help with orders, briefly and kindly."}]
for turn in range(int(os.environ["TOLLGATE_TURNS"])):
    said = f"Question {turn}: " + "what became of the order that I placed last week, please? " * 3
    history.append({"role": "user", "content": said})
    new = history if turn == 0 or not keeps else history[-1:]
    extra = {"context": {"id": "long", "version": turn}} if keeps else {}
    answer = client.chat.completions.create(model="demo", messages=new, extra_body=extra)
    history.append({"role": "assistant", "content": answer.choices[0].message.content})
print("client bytes:", sent)
print("every check passed")
