// The whole dance of clients that no one here wrote, from the URL alone, in each era that a client has: discover, register,
// sign in, agree, call; refresh after the token has ended; be asked again after the grant was revoked.
//
//   PORTUNUS_URL=… PORTUNUS_PERSON=… PORTUNUS_REVOKE='["portunus","kill","--all"]' PORTUNUS_WAIT_MS=… node dance.mjs CLIENT
//
// prints one line `ROW {json}` for each era that was danced to its end. docs/compatibility.md is made of these lines.

import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import * as modern from '@modelcontextprotocol/client';
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { authorize } from './person.mjs';

const url = new URL(process.env.PORTUNUS_URL);
const here = new URL('.', import.meta.url).pathname;
const CALL = { name: process.env.PORTUNUS_TOOL, arguments: JSON.parse(process.env.PORTUNUS_ARGUMENTS ?? '{}') };
const version = (name) => JSON.parse(readFileSync(join(here, 'node_modules', name, 'package.json'), 'utf8')).version;
const tokenEnds = () => wait(Number(process.env.PORTUNUS_WAIT_MS));
const revoke = () => {
  const [command, ...words] = JSON.parse(process.env.PORTUNUS_REVOKE);
  execFileSync(command, words, { stdio: ['ignore', 'ignore', 'inherit'] });
};
const row = (client, era) => console.log(`ROW ${JSON.stringify({ client, era, registration: 'DCR', ...STEPS })}`);
const STEPS = { call: true, refresh: true, again: true };

const V1 = {
  client: () => new LegacyClient({ name: 'dance-v1', version: '1.0.0' }),
  transport: (authProvider) => new LegacyTransport(url, { authProvider }),
  finish: (transport, callback) => transport.finishAuth(callback.searchParams.get('code')),
  version: (client, transport) => transport.protocolVersion,
};
const v2 = (mode) => ({
  client: () => new modern.Client({ name: `dance-v2-${mode}`, version: '1.0.0' }, { versionNegotiation: { mode } }),
  transport: (authProvider) => new modern.StreamableHTTPClientTransport(url, { authProvider }),
  finish: (transport, callback) => transport.finishAuth(callback.searchParams),
  version: (client) => client.getNegotiatedProtocolVersion(),
});

const DANCES = {
  'sdk-v1': () => sdk('TypeScript SDK v1', version('@modelcontextprotocol/sdk'), V1),
  'sdk-v2': async () => {
    for (const mode of ['legacy', 'auto']) await sdk('TypeScript SDK v2', version('@modelcontextprotocol/client'), v2(mode));
  },
  inspector: async () => {
    for (const era of ['legacy', 'modern']) await inspector(era);
  },
  'mcp-remote': () => mcpRemote(),
  'step-up-v1': () => stepUp('TypeScript SDK v1', V1, false),
  'step-up-v2': () => stepUp('TypeScript SDK v2', v2('auto'), true),
};

await DANCES[process.argv[2]]();

/** An application on one of the SDKs: keeps its provider, makes a new connection when it was told to sign in. */
async function sdk(name, released, make) {
  const provider = memory(name);
  const dance = async (visits) => {
    const before = provider.visits;
    let connected;
    try {
      connected = await connect(make, provider);
    } catch (error) {
      assert.ok(provider.visits > before, `${name}: no sign-in was asked for: ${error.stack}`);
      await make.finish(provider.transport, await authorize(provider.visited));
      connected = await connect(make, provider);
    }
    assert.equal(provider.visits - before, visits, `${name}: sign-ins`);
    await called(await connected.client.callTool(CALL));
    return connected;
  };
  const first = await dance(1);
  const era = make.version(first.client, first.transport);
  const token = provider.tokens().access_token;
  await tokenEnds();
  await called(await first.client.callTool(CALL));
  assert.notEqual(provider.tokens().access_token, token, `${name}: the token was refreshed`);
  assert.equal(provider.visits, 1, `${name}: nobody was asked to sign in for a refresh`);
  await first.client.close();
  revoke();
  const second = await dance(1);
  await second.client.close();
  row(`${name} ${released}`, era);
}

/** A tool needs a scope that nobody asked for at first: the SDK is told with one challenge, asks the person, and repeats. */
async function stepUp(name, make, keepsRefreshTokens) {
  const provider = memory(name);
  if (!keepsRefreshTokens) {
    // v1 refreshes before it asks, and a refreshed token has no more scopes: an application has to let go of that first.
    const save = provider.saveTokens;
    provider.saveTokens = ({ refresh_token: _, ...tokens }) => save(tokens);
  }
  await connect(make, provider).then(() => assert.fail(`${name}: has to sign in first`), () => {});
  await make.finish(provider.transport, await authorize(provider.visited));
  const { client } = await connect(make, provider);
  const { tools } = await client.listTools();
  const listed = tools.find((tool) => tool.name === CALL.name);
  assert.ok(listed, `${name}: a tool that can be stepped up to is listed`);
  assert.ok(!provider.tokens().scope.includes('tables:list'), provider.tokens().scope);
  const before = provider.visits;
  await assert.rejects(client.callTool(CALL), undefined, `${name}: the first call is refused`);
  assert.equal(provider.visits, before + 1, `${name}: the SDK asks the person once more`);
  const asked = new URL(provider.visited).searchParams.get('scope').split(' ');
  assert.deepEqual(asked.filter((scope) => scope !== 'offline_access').sort(), ['mcp', 'tables:list'], `${name}: for everything in one`);
  await make.finish(provider.transport, await authorize(provider.visited));
  const again = await connect(make, provider);
  called(await again.client.callTool(CALL));
  assert.equal(provider.visits, before + 1, `${name}: and no more`);
  assert.ok(provider.tokens().scope.split(' ').includes('tables:list'));
  console.log(`${name}: stepped up to ${provider.tokens().scope}`);
}

async function connect(make, provider) {
  const client = make.client();
  const transport = make.transport(provider);
  provider.transport = transport;
  await client.connect(transport);
  return { client, transport };
}

/** The Inspector's command line: each command is a process, the tokens are in its storage. */
async function inspector(era) {
  const launcher = join(here, 'node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js');
  const storage = mkdtempSync(join(tmpdir(), 'dance-'));
  const call = ['--method', 'tools/call', '--tool-name', CALL.name, '--tool-args-json', JSON.stringify(CALL.arguments)];
  const run = () =>
    new Promise((resolve, reject) => {
      const words = [launcher, '--cli', url.href, '--transport', 'http', '--protocol-era', era, '--format', 'json', '--callback-url', 'http://127.0.0.1:0/oauth/callback', ...call];
      const env = { ...process.env, MCP_AUTO_OPEN_ENABLED: 'true', BROWSER: 'true', MCP_STORAGE_DIR: storage, MCP_INSPECTOR_SECRET_STORE: 'file', HOME: storage, NO_COLOR: '1' };
      const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'], env });
      let [out, log, visits] = ['', '', 0];
      const visited = new Set();
      child.stdout.on('data', (data) => (out += data));
      child.stderr.on('data', (data) => {
        log += data;
        for (const [, address] of log.matchAll(/navigate to:\s*(https:\S+)\s/gi)) {
          if (visited.has(address)) continue;
          visited.add(address);
          visits += 1;
          authorize(address).then((callback) => fetch(callback)).catch((error) => {
            child.kill();
            reject(error);
          });
        }
      });
      child.on('error', reject);
      child.on('close', (code) => (code === 0 ? resolve({ result: JSON.parse(out), visits }) : reject(new Error(`inspector ${era} exited ${code}\n${log}\n${out}`))));
    });
  try {
    const first = await run();
    assert.equal(first.visits, 1, `inspector ${era}: the first command signs in`);
    await tokenEnds();
    const second = await run();
    assert.equal(second.visits, 0, `inspector ${era}: the second one refreshes`);
    revoke();
    const third = await run();
    assert.equal(third.visits, 1, `inspector ${era}: the third one has to ask again`);
    for (const { result } of [first, second, third]) called(result.result ?? result);
    row(`MCP Inspector --cli ${version('@modelcontextprotocol/inspector')}`, era === 'modern' ? '2026-07-28' : '2025-11-25');
  } finally {
    rmSync(storage, { recursive: true, force: true });
  }
}

/** mcp-remote: what clients that know local servers only put in front of a remote one. */
async function mcpRemote() {
  const storage = mkdtempSync(join(tmpdir(), 'dance-'));
  const start = () => {
    const env = { ...process.env, MCP_REMOTE_CONFIG_DIR: storage, HOME: storage, BROWSER: 'true', NO_COLOR: '1' };
    const words = [join(here, 'node_modules/mcp-remote/dist/proxy.js'), url.href, '--transport', 'http-only'];
    const child = spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'pipe'], env });
    const session = { child, visits: 0, log: '', waiting: new Map(), next: 1 };
    const visited = new Set();
    child.stderr.on('data', (data) => {
      session.log += data;
      for (const [, address] of session.log.matchAll(/(https:\/\/\S+\/authorize\?\S+)\s/g)) {
        if (visited.has(address)) continue;
        visited.add(address);
        session.visits += 1;
        authorize(address).then((callback) => fetch(callback)).catch((error) => {
          session.log += error.stack;
          child.kill();
        });
      }
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      const message = JSON.parse(line);
      session.waiting.get(message.id)?.resolve(message);
    });
    child.on('close', (code) => {
      for (const { reject } of session.waiting.values()) reject(new Error(`mcp-remote ended with ${code}\n${session.log}`));
    });
    session.ask = (method, params) =>
      new Promise((resolve, reject) => {
        const id = session.next++;
        session.waiting.set(id, { resolve, reject });
        child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id, method, params })}\n`);
      });
    session.open = async () => {
      const answer = await session.ask('initialize', { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'dance', version: '1.0.0' } });
      child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/initialized' })}\n`);
      return answer.result.protocolVersion;
    };
    session.call = async () => called((await session.ask('tools/call', CALL)).result);
    session.close = () => {
      session.waiting.clear();
      child.kill();
    };
    return session;
  };
  let session = start();
  try {
    const era = await session.open();
    session.call && (await session.call());
    assert.equal(session.visits, 1, 'mcp-remote: signs in once');
    await tokenEnds();
    await session.call();
    assert.equal(session.visits, 1, 'mcp-remote: refreshes');
    revoke();
    session.close();
    session = start();
    await session.open();
    await session.call();
    assert.equal(session.visits, 1, 'mcp-remote: has to ask again');
    row(`mcp-remote ${version('mcp-remote')}`, era);
  } finally {
    session.close();
    rmSync(storage, { recursive: true, force: true });
  }
}

function called(result) {
  assert.ok(result && !result.isError, JSON.stringify(result));
}

/** What an application keeps for one server. */
function memory(name) {
  const kept = {};
  const redirect = 'http://127.0.0.1:43117/callback';
  return {
    visits: 0,
    redirectUrl: redirect,
    clientMetadata: { client_name: name, redirect_uris: [redirect], grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], token_endpoint_auth_method: 'none' },
    state: () => 'a-state-only-this-test-knows',
    clientInformation: () => kept.client,
    saveClientInformation: (client) => (kept.client = client),
    tokens: () => kept.tokens,
    saveTokens: (tokens) => (kept.tokens = tokens),
    saveCodeVerifier: (verifier) => (kept.verifier = verifier),
    codeVerifier: () => kept.verifier,
    saveDiscoveryState: (state) => (kept.discovery = state),
    discoveryState: () => kept.discovery,
    invalidateCredentials(scope) {
      if (scope === 'tokens' || scope === 'all') kept.tokens = undefined;
      if (scope === 'client' || scope === 'all') kept.client = undefined;
      if (scope === 'verifier' || scope === 'all') kept.verifier = undefined;
    },
    redirectToAuthorization(address) {
      this.visits += 1;
      this.visited = address.href;
    },
  };
}
