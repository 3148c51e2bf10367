// A real identity provider (npm oidc-provider) that can be told to misbehave, for the tests of signing in.
//
//   PROVIDER='{"port":…,"clients":[…]}' node identity-provider.mjs
//
// prints one line when it listens. POST /control takes JSON and changes how it behaves from then on:
//   person    who is signed in without being asked: {"sub","email","email_verified","name","groups","acr","amr"}
//   ask       true: a page with a button comes before that
//   claims    members merged into the next ID tokens (null removes one), which are then signed again
//   header    the same for their header; "alg" may be none, HS256 (with the public key as the secret) or a real one
//   foreign   true: signed with a key that is not published
//   discovery members merged into the discovery document
//   answer    parameters merged into the answer that the browser carries (null removes one)
//   userinfo  members merged into the answer of the userinfo endpoint
//   down      true: connections are dropped; "slow": never answered; "error": 503
//   roll      any value: new keys from now on
// and answers with what it has seen: {"asked":[query of each authorization request],"keys":times they were fetched}.

import { createHmac, generateKeyPairSync, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import { SignJWT, decodeJwt, decodeProtectedHeader, importJWK } from 'jose';
import Provider from 'oidc-provider';

const { port, clients, host = '127.0.0.1' } = JSON.parse(process.env.PROVIDER);
const issuer = `http://${host}:${port}`;
let behaviour = { person: { sub: 'subject-1', email: 'ana@example.com', email_verified: true, name: 'Ana Example', groups: ['analysts'] } };
const seen = { asked: [], keys: 0 };
let keys = makeKeys();
let provider = makeProvider();

createServer((request, response) => {
  const { pathname } = new URL(request.url, issuer);
  if (pathname === '/control') return control(request, response);
  if (behaviour.down === 'slow') return undefined;
  if (behaviour.down === 'error') return response.writeHead(503).end('down for maintenance');
  if (behaviour.down) return request.socket.destroy();
  if (pathname === '/auth') seen.asked.push(new URL(request.url, issuer).search);
  if (pathname === '/jwks') seen.keys += 1;
  return provider.callback()(request, response);
}).listen(port, host, () => console.log('ready'));

async function control(request, response) {
  let body = '';
  for await (const chunk of request) body += chunk;
  const change = body ? JSON.parse(body) : {};
  behaviour = { ...behaviour, ...change };
  if (change.roll) {
    keys = makeKeys();
    provider = makeProvider();
  }
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(seen));
}

function makeKeys() {
  const make = (type, options, alg) => {
    const { privateKey } = generateKeyPairSync(type, options);
    return { ...privateKey.export({ format: 'jwk' }), alg, use: 'sig', kid: randomBytes(6).toString('hex') };
  };
  return [make('rsa', { modulusLength: 2048 }, 'RS256'), make('ec', { namedCurve: 'P-256' }, 'ES256')];
}

function makeProvider() {
  const made = new Provider(issuer, {
    clients,
    jwks: { keys },
    cookies: { keys: ['a secret of the tests'] },
    pkce: { required: () => true },
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['name', 'groups'], acr: null, auth_time: null, sid: null, amr: null, iss: null },
    acrValues: ['silver', 'gold'],
    conformIdTokenClaims: false,
    features: {
      devInteractions: { enabled: false },
      backchannelLogout: { enabled: true },
      rpInitiatedLogout: { enabled: true },
    },
    findAccount: async (_ctx, id) => ({ accountId: id, claims: async () => ({ ...behaviour.person, sub: id }) }),
    // The edge of the tests is on this very machine, which the provider's own guard would not call.
    fetch: (url, { dispatcher: _guard, ...options }) => globalThis.fetch(url, options),
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    loadExistingGrant: async (ctx) => {
      const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId });
      grant.addOIDCScope('openid email profile');
      await grant.save();
      return grant;
    },
    ttl: { AccessToken: 600, AuthorizationCode: 60, IdToken: 600, Interaction: 600, Session: 3600, Grant: 3600 },
  });
  made.use(misbehave);
  return made;
}

async function misbehave(ctx, next) {
  if (ctx.path.startsWith('/interaction/')) return interact(ctx);
  await next();
  if (ctx.path === '/.well-known/openid-configuration') ctx.body = merged(ctx.body, behaviour.discovery);
  if (ctx.path === '/token' && ctx.body?.id_token) ctx.body = { ...ctx.body, id_token: await mangle(ctx.body.id_token) };
  if (ctx.path === '/me' && behaviour.userinfo) ctx.body = merged(ctx.body, behaviour.userinfo);
  const location = ctx.response.get('location');
  if (behaviour.answer && location && !location.startsWith(issuer) && !location.startsWith('/')) {
    const url = new URL(location);
    for (const [name, value] of Object.entries(behaviour.answer)) {
      url.searchParams.delete(name);
      if (value !== null) url.searchParams.set(name, value);
    }
    ctx.set('location', url.href);
  }
  return undefined;
}

async function interact(ctx) {
  if (behaviour.ask && ctx.method === 'GET') {
    ctx.type = 'html';
    ctx.body = `<!doctype html><html lang="en"><title>Provider</title><h1>Sign in at the provider</h1><form method="post"><button>Continue as ${behaviour.person.email}</button></form></html>`;
    return;
  }
  const { sub, acr, amr } = behaviour.person;
  ctx.respond = false;
  await provider.interactionFinished(ctx.req, ctx.res, { login: { accountId: sub, acr, amr, remember: true } }, { mergeWithLastSubmission: false });
}

async function mangle(token) {
  if (!behaviour.claims && !behaviour.header && !behaviour.foreign) return token;
  const claims = merged(decodeJwt(token), behaviour.claims);
  const header = merged(decodeProtectedHeader(token), behaviour.header);
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  if (header.alg === 'none') return `${part(header)}.${part(claims)}.`;
  if (header.alg === 'HS256') {
    const signed = `${part(header)}.${part(claims)}`;
    const { n, e, kty, kid } = keys[0];
    return `${signed}.${createHmac('sha256', JSON.stringify({ kty, n, e, kid })).update(signed).digest('base64url')}`;
  }
  const own = keys.find((key) => key.alg === header.alg) ?? keys[0];
  const key = behaviour.foreign ? makeKeys().find((made) => made.alg === own.alg) : own;
  return new SignJWT(claims).setProtectedHeader({ kid: own.kid, ...header }).sign(await importJWK(key, header.alg));
}

function merged(members, changes) {
  return Object.fromEntries(Object.entries({ ...members, ...changes }).filter(([, value]) => value !== null));
}
