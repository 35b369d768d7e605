// Asks a Tessera server by the official JavaScript library of OpenAI: models, answers, streams, errors. Takes the variables of
// openai_client.py.
import assert from "node:assert/strict";
import OpenAI from "openai";

const { TESSERA_URL, TESSERA_TOKEN, TESSERA_KEY, TESSERA_WORKSPACE, TESSERA_USER, TESSERA_WRITER } = process.env;
const baseURL = `${TESSERA_URL}/v1`;
const messages = [{ role: "user", content: "What stopped the dome?" }];
const person = new OpenAI({ baseURL, apiKey: TESSERA_TOKEN, maxRetries: 0 });
const service = new OpenAI({
  baseURL,
  apiKey: TESSERA_KEY,
  defaultHeaders: { "Tessera-Workspace": TESSERA_WORKSPACE, "Tessera-Act-As": TESSERA_USER },
  maxRetries: 0,
});

const names = [];
for await (const model of await person.models.list()) names.push(model.id);
assert.deepEqual(names, ["tessera", "tessera-extractive"]);

for (const client of [person, service]) {
  const answer = await client.chat.completions.create({ model: "tessera", messages });
  const { message, finish_reason: finish } = answer.choices[0];
  assert.equal(finish, "stop");
  assert.ok(message.content && message.annotations.length > 0, JSON.stringify(answer));
  const letters = Array.from(message.content);
  for (const { url_citation: cited } of message.annotations) {
    assert.match(letters.slice(cited.start_index, cited.end_index).join(""), /^\[\d+\]$/);
  }
  // The emulator counts nothing.
  assert.ok(TESSERA_WRITER === "model" || answer.usage.total_tokens === 0);
}

const stream = person.chat.completions.stream({ model: "tessera", messages });
let streamed = "";
stream.on("content", (text) => (streamed += text));
const whole = await stream.finalChatCompletion();
assert.ok(streamed && whole.choices[0].message.content === streamed, streamed);
assert.equal(whole.choices[0].finish_reason, "stop");

await assert.rejects(person.chat.completions.create({ model: "gpt-5", messages }), (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found");
await assert.rejects(person.chat.completions.create({ model: "tessera", messages, n: 2 }), (error) => error instanceof OpenAI.BadRequestError && error.param === "n");
const stranger = new OpenAI({ baseURL, apiKey: "x.y.z", maxRetries: 0 });
await assert.rejects(stranger.models.list(), (error) => error instanceof OpenAI.AuthenticationError);
console.log(`openai (JavaScript): all as it should be, by the ${TESSERA_WRITER}`);
