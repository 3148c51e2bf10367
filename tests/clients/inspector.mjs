// The MCP Inspector's own command line, in both protocol eras, from the URL alone. It registers, opens "the browser"
// (person.mjs) and finishes OAuth with its own code; then lists the tools and calls two.
//
//   PORTUNUS_URL=… PORTUNUS_PERSON=… NODE_EXTRA_CA_CERTS=… node inspector.mjs [legacy|modern]

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { authorize } from './person.mjs';

const LAUNCHER = new URL('./node_modules/@modelcontextprotocol/inspector/clients/launcher/build/index.js', import.meta.url).pathname;
const eras = process.argv[2] ? [process.argv[2]] : ['legacy', 'modern'];

for (const era of eras) {
  const storage = mkdtempSync(join(tmpdir(), 'inspector-'));
  try {
    await story(era, storage);
  } finally {
    rmSync(storage, { recursive: true, force: true });
  }
}

async function story(era, storage) {
  const run = (...words) => inspect(era, storage, words);

  const first = await run('--method', 'tools/list');
  assert.equal(first.signedIn, true, 'the first command had to sign in');
  const names = first.result.tools.map((tool) => tool.name);
  for (const name of ['list_tables', 'describe_table', 'read_query']) assert.ok(names.includes(name), `${name} in ${names}`);
  console.log(`inspector ${era}: signed in; tools ${names.join(', ')}`);

  const tables = await run('--method', 'tools/call', '--tool-name', 'list_tables');
  assert.equal(tables.signedIn, false, 'the second command used the stored token');
  assert.ok(!tables.result.isError, JSON.stringify(tables.result));
  assert.match(JSON.stringify(tables.result), /customers/);
  console.log(`inspector ${era}: list_tables names customers`);

  const count = await run('--method', 'tools/call', '--tool-name', 'read_query', '--tool-args-json', JSON.stringify({ sql: 'SELECT count(*) AS n FROM orders' }));
  assert.ok(!count.result.isError, JSON.stringify(count.result));
  assert.ok(count.result.structuredContent, 'read_query answers structured content');
  console.log(`inspector ${era}: read_query ${JSON.stringify(count.result.structuredContent).slice(0, 120)}`);
}

/** Runs one Inspector command; when it prints an address to visit, the person visits it. */
function inspect(era, storage, words) {
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      [LAUNCHER, '--cli', process.env.PORTUNUS_URL, '--transport', 'http', '--protocol-era', era, '--format', 'json', '--callback-url', 'http://127.0.0.1:0/oauth/callback', ...words],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
        env: { ...process.env, MCP_AUTO_OPEN_ENABLED: 'true', BROWSER: 'true', MCP_STORAGE_DIR: storage, MCP_INSPECTOR_SECRET_STORE: 'file', HOME: storage, NO_COLOR: '1' },
      },
    );
    let out = '';
    let log = '';
    let visit;
    child.stdout.on('data', (data) => (out += data));
    child.stderr.on('data', (data) => {
      log += data;
      const url = /navigate to:\s*(https:\S+)\s/i.exec(log)?.[1];
      if (!url || visit) return;
      visit = authorize(url).then((callback) => fetch(callback));
      visit.catch((error) => {
        child.kill();
        reject(new Error(`the person could not finish: ${error.message}`, { cause: error }));
      });
    });
    child.on('error', reject);
    child.on('close', (code) => {
      if (code !== 0) return reject(new Error(`inspector ${era} ${words.join(' ')} exited ${code}\n${log}\n${out}`));
      const parsed = JSON.parse(out);
      resolve({ result: parsed.result ?? parsed, signedIn: visit !== undefined });
    });
  });
}
