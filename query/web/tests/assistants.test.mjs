// `/mcp`, asked by the client library of the protocol's authors, against a real server on the sample workspace.
//
//   TESSERA_URL   the server, in insecure development; `scripts/test-browser.sh` starts one

import assert from "node:assert/strict";
import { test } from "node:test";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

async function as(user, work) {
  const headers = { "Tessera-Workspace": "observatory", ...(user ? { "Tessera-User": user } : {}) };
  const transport = new StreamableHTTPClientTransport(new URL(`${process.env.TESSERA_URL}/mcp`), { requestInit: { headers } });
  const client = new Client({ name: "assistants.test", version: "1.0.0" });
  try {
    await client.connect(transport);
    return await work(client);
  } finally {
    await client.close();
  }
}
const found = async (client, query) => (await client.callTool({ name: "search", arguments: { query } })).structuredContent.results;

test("a person's assistant is offered two tools that read alone", async () => {
  const { tools } = await as("petra", (client) => client.listTools());
  assert.deepEqual(tools.map((tool) => tool.name), ["search", "fetch"]);
  assert.ok(tools.every((tool) => tool.annotations.readOnlyHint));
});

test("it finds and reads what that person may see, and for others it is not there", async () => {
  const [page] = await as("petra", (client) => found(client, '"vellumcrest"'));
  assert.equal(page.title, "Terms of the director");
  const read = await as("petra", (client) => client.callTool({ name: "fetch", arguments: { id: page.id } }));
  assert.match(read.structuredContent.text, /vellumcrest/);
  assert.deepEqual(await as("ada", (client) => found(client, '"vellumcrest"')), []);
  const fetched = (id) => as("ada", (client) => client.callTool({ name: "fetch", arguments: { id } }));
  const [hidden, absent] = [await fetched(page.id), await fetched("no-such-page")];
  assert.equal(hidden.isError, true);
  assert.deepEqual(hidden, absent);
});

test("whoever is nobody is refused", async () => {
  await assert.rejects(as("", (client) => client.listTools()), /401|unauthenticated|Unauthorized/i);
});
