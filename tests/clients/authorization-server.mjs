// An MCP server at /mcp with a real authorization server (npm oidc-provider) on the same origin, for the tests of Portunus as
// an OAuth client: rotating refresh tokens, resource indicators, client metadata documents or dynamic registration.
//
//   SERVER='{"port":…,"documents":true,"rotate":false,"clients":[…]}' node authorization-server.mjs
//
// prints one line when it listens. POST /control takes JSON and changes how it behaves from then on:
//   ttl        seconds of an access token
//   person     who says yes without being asked
//   deny       true: they say no
//   forget     true: every access token that was given so far is refused from now on (401)
//   resource   what the metadata calls the server
//   issuer     what the authorization server's metadata calls itself
//   answer     parameters merged into the answer that the browser carries (null removes one)
//   tokens     "error": the token endpoint does its work and then answers 500; "down": it does its work and drops the
//              connection; "busy": 503 without doing anything
//   slow       milliseconds before the token endpoint does anything
// and answers with what it has seen: {"refreshed","errors":{code:count},"revoked","calls":[{tool,sub,scope,client}],
// "asked":[query of each authorization request],"given":[every token]}.

import { createServer } from 'node:http';
import Provider from 'oidc-provider';

const { port, documents = false, registration = true, rotate = true, clients = [] } = JSON.parse(process.env.SERVER);
const origin = `http://127.0.0.1:${port}`;
const mcp = `${origin}/mcp`;
let behaviour = { ttl: 600, person: 'ana-at-notes' };
const seen = { refreshed: 0, errors: {}, revoked: 0, calls: [], asked: [] };
const forgotten = new Set();
const given = new Set();

const provider = new Provider(origin, {
  clients,
  cookies: { keys: ['a secret of the tests'] },
  pkce: { required: () => true },
  clientAuthMethods: ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt'],
  rotateRefreshToken: rotate,
  issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: registration },
    revocation: { enabled: true },
    clientIdMetadataDocument: { enabled: documents, ack: 'draft-02' },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      useGrantedResource: () => true,
      getResourceServerInfo: (_ctx, resource) => {
        if (resource !== mcp) throw new Error('not a resource of this server');
        return { scope: 'notes:read notes:write', audience: mcp, accessTokenFormat: 'opaque', accessTokenTTL: behaviour.ttl };
      },
    },
  },
  findAccount: async (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
  // The edge of the tests is on this very machine, which the provider's own guard would not call.
  fetch: (url, { dispatcher: _guard, ...options }) => globalThis.fetch(url, options),
  interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
  loadExistingGrant: async (ctx) => {
    const { oidc } = ctx;
    const grant = new oidc.provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId });
    grant.addOIDCScope('openid offline_access');
    grant.addResourceScope(mcp, oidc.params.scope || 'notes:read');
    await grant.save();
    return grant;
  },
  ttl: { AuthorizationCode: 60, Interaction: 600, Session: 3600, Grant: 3600, RefreshToken: 3600 },
});
provider.on('grant.success', (ctx) => { if (ctx.oidc.params.grant_type === 'refresh_token') seen.refreshed += 1; });
provider.on('grant.error', (_ctx, error) => { seen.errors[error.error] = (seen.errors[error.error] ?? 0) + 1; });
provider.on('grant.revoked', () => { seen.revoked += 1; });
provider.use(async (ctx, next) => {
  if (ctx.path.startsWith('/interaction/')) {
    const { prompt } = await provider.interactionDetails(ctx.req, ctx.res);
    ctx.respond = false;
    const yes = prompt.name === 'login' ? { login: { accountId: behaviour.person } } : { consent: {} };
    const result = behaviour.deny ? { error: 'access_denied', error_description: 'The user said no.' } : yes;
    return provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: false });
  }
  await next();
  if (ctx.path.startsWith('/.well-known/o')) ctx.body = { ...ctx.body, issuer: behaviour.issuer ?? ctx.body.issuer };
  if (ctx.path === '/token' && ctx.body?.access_token) {
    for (const token of [ctx.body.access_token, ctx.body.refresh_token]) given.add(token);
    if (behaviour.tokens === 'error') { ctx.status = 500; ctx.body = 'broken'; }
    if (behaviour.tokens === 'down') { ctx.respond = false; ctx.req.socket.destroy(); }
  }
  const location = ctx.response.get('location');
  if (behaviour.answer && location && !location.startsWith(origin) && !location.startsWith('/')) {
    const url = new URL(location);
    for (const [name, value] of Object.entries(behaviour.answer)) {
      url.searchParams.delete(name);
      if (value !== null) url.searchParams.set(name, value);
    }
    ctx.set('location', url.href);
  }
  return undefined;
});

createServer(async (request, response) => {
  const { pathname, search } = new URL(request.url, origin);
  if (pathname === '/control') return control(request, response);
  if (pathname === '/.well-known/oauth-protected-resource/mcp') {
    return answer(response, 200, { resource: behaviour.resource ?? mcp, authorization_servers: [origin] });
  }
  if (pathname === '/mcp') return serve(request, response);
  if (pathname === '/token' && behaviour.tokens === 'busy') return response.writeHead(503).end('busy');
  if (pathname === '/token' && behaviour.slow) await new Promise((resolve) => { setTimeout(resolve, behaviour.slow); });
  if (pathname === '/auth') seen.asked.push(search);
  return provider.callback()(request, response);
}).listen(port, '127.0.0.1', () => console.log('ready'));

async function read(request) {
  let body = '';
  for await (const chunk of request) body += chunk;
  return body ? JSON.parse(body) : {};
}

function answer(response, status, body, headers = {}) {
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(body));
}

async function control(request, response) {
  const change = await read(request);
  behaviour = { ...behaviour, ...change };
  if (change.forget) for (const token of given) forgotten.add(token);
  answer(response, 200, { ...seen, given: [...given] });
}

async function serve(request, response) {
  const metadata = `resource_metadata="${origin}/.well-known/oauth-protected-resource/mcp"`;
  const text = /^Bearer (\S+)$/.exec(request.headers.authorization ?? '')?.[1];
  const token = text && !forgotten.has(text) ? await provider.AccessToken.find(text) : undefined;
  if (!token || token.aud !== mcp) {
    const error = text ? 'error="invalid_token", ' : '';
    return answer(response, 401, { error: 'invalid_token' }, { 'www-authenticate': `Bearer ${error}${metadata}` });
  }
  if (request.method !== 'POST') return response.writeHead(request.method === 'DELETE' ? 200 : 405).end();
  const message = await read(request);
  if (message.id === undefined) return response.writeHead(202).end();
  const name = message.params?.name;
  if (message.method === 'tools/call') {
    seen.calls.push({ tool: name, sub: token.accountId, scope: token.scope, client: token.clientId });
    if (name === 'write' && !(token.scope ?? '').split(' ').includes('notes:write')) {
      const challenge = `Bearer error="insufficient_scope", scope="notes:read notes:write", ${metadata}`;
      return answer(response, 403, { error: 'insufficient_scope' }, { 'www-authenticate': challenge });
    }
    if (name === 'admin') {
      return answer(response, 403, {}, { 'www-authenticate': 'Bearer error="insufficient_scope", scope="everything"' });
    }
  }
  const result = results(message);
  if (message.params?._meta?.['io.modelcontextprotocol/protocolVersion']) result.resultType = 'complete';
  return answer(response, 200, { jsonrpc: '2.0', id: message.id, result });
}

function results({ method, params }) {
  const tool = (name) => ({ name, description: name, inputSchema: { type: 'object' } });
  switch (method) {
    case 'initialize':
      return { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: 'notes', version: '1' } };
    case 'server/discover':
      return { supportedVersions: ['2026-07-28', '2025-11-25'], capabilities: { tools: {} }, ttlMs: 0, cacheScope: 'private' };
    case 'tools/list':
      return { tools: [tool('look'), tool('write'), tool('admin')] };
    case 'tools/call':
      return { content: [{ type: 'text', text: `done ${params.name}` }] };
    default:
      return {};
  }
}
