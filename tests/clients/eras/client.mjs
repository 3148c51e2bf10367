// A client of one era, made with the TypeScript SDK of that era (v1 legacy, v2 modern), in front of a server of the other:
// everything both eras can do, through the edge.
//
//   PORTUNUS_URL=… PORTUNUS_TOKEN=… PORTUNUS_JOURNAL=… NODE_EXTRA_CA_CERTS=… node client.mjs modern|legacy PART…

import assert from 'node:assert/strict';
import * as v2 from '@modelcontextprotocol/client';
import { Client as Client1 } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as Transport1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema, ResourceUpdatedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';

const [era, ...parts] = process.argv.slice(2);
const modern = era === 'modern';
const url = new URL(process.env.PORTUNUS_URL);
const requestInit = { headers: { authorization: `Bearer ${process.env.PORTUNUS_TOKEN}` } };
const updates = [];
const asked = [];

async function connect(answer = { action: 'accept', content: { name: 'Ana' } }) {
  const info = { name: `eras-${era}`, version: '1.0.0' };
  const capabilities = { elicitation: { form: {} } };
  const elicit = ({ params }) => (asked.push(params.message), answer);
  const updated = ({ params }) => void updates.push(params.uri);
  if (modern) {
    const client = new v2.Client(info, { capabilities, versionNegotiation: { mode: { pin: '2026-07-28' } } });
    client.setRequestHandler('elicitation/create', elicit);
    client.setNotificationHandler('notifications/resources/updated', updated);
    await client.connect(new v2.StreamableHTTPClientTransport(url, { requestInit }));
    assert.equal(client.getNegotiatedProtocolVersion(), '2026-07-28');
    return { client };
  }
  const client = new Client1(info, { capabilities });
  client.setRequestHandler(ElicitRequestSchema, elicit);
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, updated);
  const transport = new Transport1(url, { requestInit });
  await client.connect(transport);
  assert.match(transport.protocolVersion, /^2025-/);
  return { client, transport };
}

const words = (result) => result.content.map((part) => part.text).join(' ');
const whole = async () => (await fetch(process.env.PORTUNUS_JOURNAL)).json();
// What clients before this one did does not count.
const before = (await whole()).length;
const journal = async () => (await whole()).slice(before);

async function until(what, condition) {
  for (let tries = 0; tries < 600; tries += 1) {
    if (await condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.fail(`waited in vain until ${what}; the server says ${JSON.stringify(await journal())}`);
}

const call = (client, name, args = {}, options) =>
  modern ? client.callTool({ name, arguments: args }, options) : client.callTool({ name, arguments: args }, undefined, options);

const PARTS = {
  async basics({ client }) {
    assert.match(client.getServerVersion().name, /^(old|new)$/);
    assert.match(client.getInstructions(), /An? (old|new) server/);
    const { tools } = await client.listTools();
    assert.ok(tools.some((tool) => tool.name === 'add' && tool.inputSchema.properties.a), JSON.stringify(tools));
    assert.equal(words(await call(client, 'add', { a: 2, b: 3 })), '5');
    const { resources } = await client.listResources();
    assert.deepEqual(resources.map((resource) => resource.uri), ['note://1']);
    const { contents } = await client.readResource({ uri: 'note://1' });
    assert.equal(contents[0].text, 'a note');
    const sums = await Promise.all(Array.from({ length: 20 }, (_, n) => call(client, 'add', { a: n, b: 1 })));
    assert.deepEqual(sums.map(words), Array.from({ length: 20 }, (_, n) => String(n + 1)));
    const refused = await call(client, 'forbidden').catch((error) => error);
    assert.equal(refused.code, -32010, `policy decides on the client's message: ${refused}`);
  },
  async progress({ client }) {
    const seen = [];
    const result = await call(client, 'count', { to: 3 }, { onprogress: ({ progress }) => seen.push(progress) });
    assert.equal(words(result), 'counted to 3');
    assert.deepEqual(seen, [1, 2, 3]);
  },
  async cancellation({ client }) {
    const stop = new AbortController();
    const pending = call(client, 'wait', {}, { signal: stop.signal });
    pending.catch(() => {});
    await until('the server waits', async () => (await journal()).includes('waiting'));
    stop.abort('enough');
    await assert.rejects(pending);
    await until('the cancellation is seen', async () => (await journal()).includes('cancelled'));
    assert.equal(words(await call(client, 'add', { a: 1, b: 1 })), '2');
  },
  async elicitation({ client }) {
    assert.equal(words(await call(client, 'greet')), 'hello Ana');
    assert.deepEqual(asked.splice(0), ['Who are you?']);
  },
  async elicitation_aside({ client }) {
    assert.equal(words(await call(client, 'greet_aside')), 'hello Ana');
    assert.deepEqual(asked.splice(0), ['Who are you?']);
  },
  async declined() {
    const { client } = await connect({ action: 'decline' });
    assert.equal(words(await call(client, 'greet')), 'decline');
    asked.splice(0);
    await client.close();
  },
  async subscription({ client }) {
    const subscription = modern ? await client.listen({ resourceSubscriptions: ['note://1'] }) : await client.subscribeResource({ uri: 'note://1' });
    await until('an update arrives', async () => {
      await call(client, 'change_note');
      return updates.includes('note://1');
    });
    if (modern) await subscription.close();
    else await client.unsubscribeResource({ uri: 'note://1' });
  },
  async unsubscribed() {
    await until('the subscription is given up', async () => (await journal()).includes('unsubscribe note://1'));
  },
  async forgotten({ client }) {
    const sessions = async () => (await journal()).filter((entry) => entry === 'session').length;
    const known = await sessions();
    await fetch(process.env.PORTUNUS_JOURNAL.replace('/journal', '/forget'));
    assert.equal(words(await call(client, 'add', { a: 20, b: 3 })), '23');
    assert.equal(await sessions(), known + 1, 'a new session was made');
  },
  async ended({ client, transport }) {
    await transport.terminateSession();
    await assert.rejects(call(client, 'add', { a: 1, b: 1 }), 'a session that was ended is unknown');
  },
};

const connection = await connect();
for (const part of parts) {
  await PARTS[part](connection);
  console.log(`${era} client: ${part} works`);
}
await connection.client.close();
const failures = (await journal()).filter((entry) => entry.startsWith('failed'));
assert.deepEqual(failures, [], 'the server found nothing odd');
process.exit(0);
