// A machine that asks for tokens in its own name, with oauth4webapi: discovery, client credentials with `private_key_jwt`
// (ES256, and RS256) and with a secret, the token used, introspected and revoked, a replayed assertion refused.
//
//   node machine.mjs keys DIR      makes DIR/private.pem (PKCS #8, P-256) and DIR/jwks.json
//   PORTUNUS_URL=… PORTUNUS_ISSUER=… PORTUNUS_SECRET=… NODE_EXTRA_CA_CERTS=… node machine.mjs use DIR

import assert from 'node:assert/strict';
import { createPrivateKey, generateKeyPairSync, webcrypto } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as oauth from 'oauth4webapi';

const [mode, directory] = process.argv.slice(2);
if (mode === 'keys') {
  mkdirSync(directory, { recursive: true });
  const keys = { p256: ['ec', { namedCurve: 'P-256' }], rsa: ['rsa', { modulusLength: 2048 }] };
  const published = [];
  for (const [kid, [type, options]] of Object.entries(keys)) {
    const { publicKey, privateKey } = generateKeyPairSync(type, options);
    writeFileSync(join(directory, `${kid}.pem`), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    published.push({ ...publicKey.export({ format: 'jwk' }), kid, use: 'sig' });
  }
  writeFileSync(join(directory, 'jwks.json'), JSON.stringify({ keys: published }));
  process.exit(0);
}

const issuer = new URL(process.env.PORTUNUS_ISSUER);
const resource = process.env.PORTUNUS_URL;
const discovered = await oauth.discoveryRequest(issuer, { algorithm: 'oauth2' });
const as = await oauth.processDiscoveryResponse(issuer, discovered);
assert(as.grant_types_supported.includes('client_credentials'));
assert(as.token_endpoint_auth_methods_supported.includes('private_key_jwt'));
for (const alg of ['ES256', 'RS256']) assert(as.token_endpoint_auth_signing_alg_values_supported.includes(alg));

const load = (file, algorithm) => {
  const der = createPrivateKey(readFileSync(join(directory, file))).export({ type: 'pkcs8', format: 'der' });
  return webcrypto.subtle.importKey('pkcs8', der, algorithm, false, ['sign']);
};
const p256 = await load('p256.pem', { name: 'ECDSA', namedCurve: 'P-256' });
const rsa = await load('rsa.pem', { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' });
const signer = { client_id: 'signer' };
const secretive = { client_id: 'secretive' };

for (const [name, client, proof] of [
  ['private_key_jwt ES256', signer, oauth.PrivateKeyJwt({ key: p256, kid: 'p256' })],
  ['private_key_jwt RS256', signer, oauth.PrivateKeyJwt({ key: rsa, kid: 'rsa' })],
  ['client_secret_basic', secretive, oauth.ClientSecretBasic(process.env.PORTUNUS_SECRET)],
  ['client_secret_post', secretive, oauth.ClientSecretPost(process.env.PORTUNUS_SECRET)],
]) {
  const answer = await oauth.clientCredentialsGrantRequest(as, client, proof, { resource });
  const token = await oauth.processClientCredentialsResponse(as, client, answer);
  assert.equal(token.refresh_token, undefined);
  assert.equal(await call(token.access_token), 200, name);
  const asked = await oauth.introspectionRequest(as, client, proof, token.access_token);
  const said = await oauth.processIntrospectionResponse(as, client, asked);
  assert.deepEqual([said.active, said.sub, said.aud], [true, `workload:${client.client_id}`, resource], name);
  await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, proof, token.access_token));
  assert.equal(await call(token.access_token), 401, name);
  console.log(`oauth4webapi ${name}: token given, used, asked about and revoked`);
}

// The same request once more, byte for byte.
let sent;
const recorded = (url, options) => {
  sent = [url, { ...options, body: options.body.toString() }];
  return fetch(...sent);
};
const proof = oauth.PrivateKeyJwt({ key: p256, kid: 'p256' });
const first = await oauth.clientCredentialsGrantRequest(as, signer, proof, { resource }, { [oauth.customFetch]: recorded });
assert.equal(first.status, 200);
const replayed = await fetch(...sent);
assert.deepEqual([replayed.status, (await replayed.json()).error], [401, 'invalid_client']);
// A signature by the wrong one of the two keys.
const swapped = await oauth.clientCredentialsGrantRequest(as, signer, oauth.PrivateKeyJwt({ key: rsa, kid: 'p256' }), { resource });
await assert.rejects(oauth.processClientCredentialsResponse(as, signer, swapped), { error: 'invalid_client' });
console.log('oauth4webapi: a replayed assertion and a wrong key are refused');

async function call(token) {
  const message = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'echo', arguments: {} } };
  const answer = await fetch(resource, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      'mcp-protocol-version': '2025-11-25',
    },
    body: JSON.stringify(message),
  });
  await answer.text();
  return answer.status;
}
