// An OAuth library that knows nothing of Portunus (`oauth4webapi`), as a device without a browser: the device grant with
// proofs of possession, a call, a refresh, an exchange; and each of them without the proof, which must fail.
//
//   PORTUNUS_URL=… PORTUNUS_PERSON=… NODE_EXTRA_CA_CERTS=… node machines.mjs

import assert from 'node:assert/strict';
import * as oauth from 'oauth4webapi';
import { authorize } from './person.mjs';

const url = new URL(process.env.PORTUNUS_URL);
const issuer = new URL(url.origin);
const as = await oauth.processDiscoveryResponse(issuer, await oauth.discoveryRequest(issuer, { algorithm: 'oauth2' }));
assert.ok(as.dpop_signing_alg_values_supported.includes('ES256'));
const metadata = {
  client_name: 'A device',
  redirect_uris: ['http://127.0.0.1:43121/callback'],
  token_endpoint_auth_method: 'none',
  grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
  dpop_bound_access_tokens: true,
};
const registration = await oauth.dynamicClientRegistrationRequest(as, metadata);
const client = await oauth.processDynamicClientRegistrationResponse(registration);
const none = oauth.None();

// The device shows a code; the person lets it in on another screen.
const begun = await oauth.deviceAuthorizationRequest(as, client, none, { resource: url.href, scope: 'mcp offline_access' });
const device = await oauth.processDeviceAuthorizationResponse(as, client, begun);
assert.match(device.user_code, /^[B-Z]{5}-[B-Z]{5}$/);
const keys = await oauth.generateKeyPair('ES256');
const DPoP = oauth.DPoP(client, keys);
const fetchTokens = async (options) =>
  oauth.processDeviceCodeResponse(as, client, await oauth.deviceCodeGrantRequest(as, client, none, device.device_code, options));
await assert.rejects(fetchTokens({ DPoP }), { error: 'authorization_pending' });
const page = await authorize(device.verification_uri_complete, { done: /is let in/ });
console.log(`machines: ${page.slice(0, 80)}`);
await new Promise((resolve) => setTimeout(resolve, (device.interval + 1) * 1000));
await assert.rejects(fetchTokens({}), { error: 'invalid_dpop_proof' });
const tokens = await fetchTokens({ DPoP });
assert.equal(tokens.token_type, 'dpop');
console.log('machines: device grant, tokens bound to a P-256 key');

// A call with the proof works; the same token as Bearer, and with another key's proof, does not.
const headers = new Headers({
  'content-type': 'application/json',
  accept: 'application/json, text/event-stream',
  'mcp-protocol-version': '2025-11-25',
});
const message = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'list_tables', arguments: {} } });
const call = async (token, options) => oauth.protectedResourceRequest(token, 'POST', url, headers, message, options);
const answer = await call(tokens.access_token, { DPoP });
assert.equal(answer.status, 200);
assert.match(await answer.text(), /customers/);
const challenged = { code: oauth.WWW_AUTHENTICATE_CHALLENGE, status: 401 };
await assert.rejects(call(tokens.access_token, {}), challenged);
await assert.rejects(call(tokens.access_token, { DPoP: oauth.DPoP(client, await oauth.generateKeyPair('ES256')) }), challenged);
console.log('machines: a stolen token is of no use as Bearer or with another key');

// Refreshing keeps the key.
const refresh = async (token, options) =>
  oauth.processRefreshTokenResponse(as, client, await oauth.refreshTokenGrantRequest(as, client, none, token, options));
await assert.rejects(refresh(tokens.refresh_token, {}), { error: 'invalid_dpop_proof' });
const next = await refresh(tokens.refresh_token, { DPoP });
assert.equal((await call(next.access_token, { DPoP })).status, 200);

// An exchange narrows, and never reaches further.
const exchange = async (parameters, options) => {
  const grant = 'urn:ietf:params:oauth:grant-type:token-exchange';
  const type = 'urn:ietf:params:oauth:token-type:access_token';
  const asked = { subject_token: next.access_token, subject_token_type: type, ...parameters };
  const response = await oauth.genericTokenEndpointRequest(as, client, none, grant, asked, options);
  return oauth.processGenericTokenEndpointResponse(as, client, response);
};
const lesser = await exchange({ scope: 'mcp' }, { DPoP });
assert.equal(lesser.scope, 'mcp');
assert.equal(lesser.refresh_token, undefined);
assert.equal((await call(lesser.access_token, { DPoP })).status, 200);
await assert.rejects(exchange({ scope: 'mcp admin' }, { DPoP }), { error: 'invalid_scope' });
await assert.rejects(exchange({ resource: `${url.origin}/other/mcp` }, { DPoP }), { error: 'invalid_target' });
console.log('machines: exchange narrows');

// Revoking the refresh token ends all of it.
await oauth.processRevocationResponse(await oauth.revocationRequest(as, client, none, next.refresh_token));
for (const token of [tokens.access_token, next.access_token, lesser.access_token]) {
  await assert.rejects(call(token, { DPoP }), challenged);
}
console.log('machines: revoked, and everything that came of it');
