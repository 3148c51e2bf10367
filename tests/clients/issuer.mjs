// The conformance suite's authorization-server scenarios against an issuer. The suite prints an authorization URL and
// waits for the browser; here the person of person.mjs signs in and agrees.
//
//   PORTUNUS_URL=… PORTUNUS_PERSON=… NODE_EXTRA_CA_CERTS=… node issuer.mjs

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { globSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { authorize } from './person.mjs';

const CHECKS = ['authorization-server-metadata', 'authorization-server-metadata-cimd', 'authorization-code-grant'];

const resource = process.env.PORTUNUS_URL;
const issuer = new URL(resource).origin;
const port = await freePort();
const client = await register(`http://127.0.0.1:${port}/callback`);
const out = mkdtempSync(join(tmpdir(), 'issuer-'));
try {
  const code = await run(['--client-id', client, '--resource', resource, '--port', String(port), '--output-dir', out]);
  const seen = new Map();
  for (const file of globSync(join(out, '*/checks.json'))) {
    for (const check of JSON.parse(readFileSync(file, 'utf8'))) {
      console.log(`issuer: ${check.status} ${check.id} ${check.errorMessage ?? ''}`);
      seen.set(check.id, [...(seen.get(check.id) ?? []), check.status]);
    }
  }
  for (const check of CHECKS) assert.ok(seen.has(check), `${check} was not run`);
  const other = [...seen].filter(([, statuses]) => statuses.some((status) => status !== 'SUCCESS' && status !== 'INFO'));
  assert.deepEqual(other, [], 'every check passes, none is skipped');
  assert.equal(code, 0);
} finally {
  rmSync(out, { recursive: true });
}

/** Runs the suite; plays the person whenever it prints an authorization URL. */
async function run(words) {
  const suite = fileURLToPath(new URL('node_modules/@modelcontextprotocol/conformance/dist/index.js', import.meta.url));
  const child = spawn(process.execPath, [suite, 'authorization', '--url', issuer, ...words], { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.on('exit', resolve));
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      console.log(`suite: ${line}`);
      if (!line.startsWith(`${issuer}/`) || !line.includes('response_type=code')) continue;
      await fetch(await authorize(line.trim()));
    }
    return await ended;
  } finally {
    child.kill();
  }
}

async function register(redirect) {
  const metadata = await (await fetch(`${issuer}/.well-known/oauth-authorization-server`)).json();
  const response = await fetch(metadata.registration_endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      client_name: 'Conformance suite',
      redirect_uris: [redirect],
      grant_types: ['authorization_code'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    }),
  });
  assert.equal(response.status, 201, await response.clone().text());
  return (await response.json()).client_id;
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
