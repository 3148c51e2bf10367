// The TypeScript SDKs with their own OAuth code, from the URL alone: v1 (`@modelcontextprotocol/sdk`, the legacy era) and
// v2 (`@modelcontextprotocol/client`, the modern era): discover, register, sign in, list, call, be refused, refresh.
//
//   PORTUNUS_URL=… PORTUNUS_PERSON=… NODE_EXTRA_CA_CERTS=… node sdk.mjs [v1|v2]

import assert from 'node:assert/strict';
import * as modern from '@modelcontextprotocol/client';
import { auth as legacyAuth } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { authorize } from './person.mjs';

const url = new URL(process.env.PORTUNUS_URL);
const REDIRECT = 'http://127.0.0.1:43117/callback';

const SDKS = {
  v1: {
    client: () => new LegacyClient({ name: 'portunus-test-v1', version: '1.0.0' }),
    transport: (authProvider) => new LegacyTransport(url, { authProvider }),
    finish: (transport, callback) => transport.finishAuth(callback.searchParams.get('code')),
    refresh: (provider) => legacyAuth(provider, { serverUrl: url }),
    version: (client, transport) => transport.protocolVersion,
    expected: /^2025-/,
  },
  v2: {
    client: () => new modern.Client({ name: 'portunus-test-v2', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } }),
    transport: (authProvider) => new modern.StreamableHTTPClientTransport(url, { authProvider }),
    finish: (transport, callback) => transport.finishAuth(callback.searchParams),
    refresh: (provider) => modern.auth(provider, { serverUrl: url }),
    version: (client) => client.getNegotiatedProtocolVersion(),
    expected: /^2026-07-28$/,
  },
};

// A schema that a validator cannot read makes it complain here.
const complaints = [];
console.warn = (...words) => complaints.push(words.join(' '));

for (const name of process.argv[2] ? [process.argv[2]] : Object.keys(SDKS)) await story(name, SDKS[name]);
assert.deepEqual(complaints, [], 'the SDKs found nothing odd');

async function story(name, sdk) {
  const provider = memory(name);
  const { client, transport } = await connect(sdk, provider);
  assert.match(String(sdk.version(client, transport)), sdk.expected);
  const { tools } = await client.listTools();
  const names = tools.map((tool) => tool.name);
  for (const tool of ['list_tables', 'describe_table', 'read_query']) assert.ok(names.includes(tool), `${tool} in ${names}`);
  console.log(`sdk ${name}: connected with ${sdk.version(client, transport)}; tools ${names.join(', ')}`);

  const tables = await client.callTool({ name: 'list_tables', arguments: {} });
  assert.match(JSON.stringify(tables.structuredContent), /customers/);
  const answer = await client.callTool({ name: 'read_query', arguments: { sql: 'SELECT count(*) AS n FROM orders' } });
  assert.ok(!answer.isError, JSON.stringify(answer));
  console.log(`sdk ${name}: read_query ${JSON.stringify(answer.structuredContent).slice(0, 120)}`);

  const refusal = await refused(client, { name: 'write_query', arguments: { sql: 'DROP TABLE orders' } });
  console.log(`sdk ${name}: DROP TABLE is refused: ${refusal}`);

  const before = provider.tokens().access_token;
  assert.equal(await sdk.refresh(provider), 'AUTHORIZED');
  assert.notEqual(provider.tokens().access_token, before);
  await client.callTool({ name: 'list_tables', arguments: {} });
  console.log(`sdk ${name}: the refreshed token works`);
  await client.close();
}

/** First attempt is answered 401; the SDK discovers, registers and asks for the browser; the person agrees; again. */
async function connect(sdk, provider) {
  const client = sdk.client();
  const transport = sdk.transport(provider);
  try {
    await client.connect(transport);
    assert.fail('the first attempt must be told to sign in');
  } catch (error) {
    assert.ok(provider.visited, `no sign-in was asked for: ${error.stack}`);
  }
  await sdk.finish(transport, await authorize(provider.visited));
  const again = sdk.client();
  const fresh = sdk.transport(provider);
  await again.connect(fresh);
  return { client: again, transport: fresh };
}

/** The protocol's own error (or a tool's), never a hung or broken connection. */
async function refused(client, call) {
  try {
    const result = await client.callTool(call);
    assert.ok(result.isError, `was not refused: ${JSON.stringify(result)}`);
    return result.content.map((part) => part.text).join(' ');
  } catch (error) {
    assert.equal(typeof error.code, 'number', `not a protocol error: ${error.stack}`);
    return `${error.code} ${error.message} ${JSON.stringify(error.data ?? {})}`;
  }
}

/** What an application keeps for one server: registration, verifier, tokens. */
function memory(name) {
  const kept = {};
  return {
    redirectUrl: REDIRECT,
    clientMetadata: {
      client_name: `Portunus test (${name})`,
      redirect_uris: [REDIRECT],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    },
    state: () => 'a-state-only-this-test-knows',
    clientInformation: () => kept.client,
    saveClientInformation: (client) => (kept.client = client),
    tokens: () => kept.tokens,
    saveTokens: (tokens) => (kept.tokens = tokens),
    saveCodeVerifier: (verifier) => (kept.verifier = verifier),
    codeVerifier: () => kept.verifier,
    saveDiscoveryState: (state) => (kept.discovery = state),
    discoveryState: () => kept.discovery,
    redirectToAuthorization(address) {
      this.visited = address.href;
    },
  };
}
