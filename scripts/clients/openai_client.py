"""Asks a Tessera server by the official Python library of OpenAI: models, answers, streams, errors.

TESSERA_URL is where the server is; TESSERA_TOKEN a token of somebody; TESSERA_KEY a service key that may act for TESSERA_USER in
TESSERA_WORKSPACE; TESSERA_WRITER is `model` where a language model writes, else `extractor`.
"""

import os

import openai

url, writer = os.environ["TESSERA_URL"], os.environ["TESSERA_WRITER"]
question = [{"role": "user", "content": "What stopped the dome?"}]
person = openai.OpenAI(base_url=f"{url}/v1", api_key=os.environ["TESSERA_TOKEN"], max_retries=0)
service = openai.OpenAI(
    base_url=f"{url}/v1",
    api_key=os.environ["TESSERA_KEY"],
    default_headers={"Tessera-Workspace": os.environ["TESSERA_WORKSPACE"], "Tessera-Act-As": os.environ["TESSERA_USER"]},
    max_retries=0,
)

assert [model.id for model in person.models.list()] == ["tessera", "tessera-extractive"]
assert person.models.retrieve("tessera").owned_by == "tessera"

for client in (person, service):
    for model in ("tessera", "tessera-extractive"):
        answer = client.chat.completions.create(model=model, messages=question, top_p=0.5, seed=1, user="somebody")
        message = answer.choices[0].message
        assert message.role == "assistant" and answer.choices[0].finish_reason == "stop", answer
        assert message.content and message.annotations, answer
        for mark in message.annotations:
            cited = mark.url_citation
            assert message.content[cited.start_index : cited.end_index].startswith("["), answer
            assert cited.title and "/page/" in cited.url, answer
        is_written = writer == "model" and model == "tessera"
        # The emulator counts nothing.
        assert is_written or answer.usage.total_tokens == 0, answer
        assert answer.model_extra["tessera"]["extractive"] == (not is_written), answer

stream = person.chat.completions.create(
    model="tessera", messages=question, stream=True, stream_options={"include_usage": True}
)
text, finish, usage, annotations = "", None, None, []
for chunk in stream:
    usage = chunk.usage or usage
    for choice in chunk.choices:
        text += choice.delta.content or ""
        finish = choice.finish_reason or finish
        annotations += (choice.delta.model_extra or {}).get("annotations") or getattr(choice.delta, "annotations", None) or []
assert text and finish == "stop" and usage is not None and annotations, (text, finish, usage, annotations)

history = question + [{"role": "assistant", "content": "Ice."}, {"role": "user", "content": "And what was done about it?"}]
assert person.chat.completions.create(model="tessera", messages=history).choices[0].message.content


def refused(kind, **request):
    try:
        person.chat.completions.create(**{"model": "tessera", "messages": question, **request})
    except kind as error:
        return error
    raise AssertionError(f"not refused: {request}")


assert refused(openai.NotFoundError, model="gpt-5").code == "model_not_found"
assert refused(openai.BadRequestError, n=2).param == "n"
tool = {"type": "function", "function": {"name": "send", "parameters": {}}}
assert refused(openai.BadRequestError, tools=[tool]).param == "tools"
stranger = openai.OpenAI(base_url=f"{url}/v1", api_key="x.y.z", max_retries=0)
try:
    stranger.models.list()
    raise AssertionError("a stranger was let in")
except openai.AuthenticationError as error:
    assert error.type == "authentication_error", error
print(f"openai {openai.__version__} (Python): all as it should be, by the {writer}")
