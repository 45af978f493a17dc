"""The official OpenAI client for Python: stored responses and conversations, kept by a gateway.

TOLLGATE_URL and TOLLGATE_KEY say where and as whom; the alias `demo` must be served. Run by
tests/sdk.rs. An assertion that fails ends the run.
"""

import os

import openai
from openai import OpenAI

URL = os.environ["TOLLGATE_URL"] + "/v1"
client = OpenAI(base_url=URL, api_key=os.environ["TOLLGATE_KEY"], max_retries=0)


def messages(context):
    return client.get(f"/contexts/{context}", cast_to=object)["messages"]


def chain():
    first = client.responses.create(model="demo", input="one", store=True)
    second = client.responses.create(model="demo", input="two", previous_response_id=first.id)
    assert second.previous_response_id == first.id, second
    context = second.id.removeprefix("resp_").rsplit("_", 1)[0]
    texts = [message["content"] for message in messages(context)]
    assert texts == ["one", first.output_text, "two", second.output_text], texts
    assert client.responses.retrieve(first.id).output_text == first.output_text
    assert client.responses.retrieve(second.id).usage == second.usage
    client.responses.delete(second.id)
    try:
        client.responses.retrieve(second.id)
    except openai.NotFoundError as error:
        assert error.code == "context_not_found", error
    else:
        raise AssertionError("it is deleted")


def streamed():
    with client.responses.stream(model="demo", input="one", store=True) as stream:
        text = "".join(e.delta for e in stream if e.type == "response.output_text.delta")
        response = stream.get_final_response()
    assert text and response.output_text == text, response
    kept = client.responses.retrieve(response.id)
    assert kept.output_text == text, kept
    again = client.responses.create(model="demo", input="two", previous_response_id=response.id)
    assert again.id.endswith("_2"), again


def conversation():
    items = [{"type": "message", "role": "user", "content": "zero"}]
    made = client.conversations.create(items=items, metadata={"topic": "demo"})
    assert made.metadata == {"topic": "demo"}, made
    answer = client.responses.create(model="demo", input="one", conversation=made.id)
    assert answer.conversation.id == made.id, answer
    listed = list(client.conversations.items.list(made.id, order="asc", limit=2))
    assert [item.role for item in listed] == ["user", "user", "assistant"], listed
    assert listed[-1].content[0].text == answer.output_text, listed
    added = client.conversations.items.create(made.id, items=items)
    item = client.conversations.items.retrieve(added.data[0].id, conversation_id=made.id)
    assert item.content[0].text == "zero", item
    client.conversations.items.delete(item.id, conversation_id=made.id)
    assert len(list(client.conversations.items.list(made.id))) == 3
    updated = client.conversations.update(made.id, metadata={"topic": "other"})
    assert client.conversations.retrieve(made.id).metadata == updated.metadata == {"topic": "other"}
    assert client.conversations.delete(made.id).deleted


CHECKS = [chain, streamed, conversation]

if __name__ == "__main__":
    for check in CHECKS:
        check()
        print(f"passed: {check.__name__}")
    print("every check passed")
