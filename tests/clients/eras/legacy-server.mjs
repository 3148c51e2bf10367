// A server of the legacy era only, made with the TypeScript SDK v1: streamable HTTP with sessions at /mcp (or HTTP+SSE of
// 2024-11-05 at /sse), a journal of what happened at /journal. Prints its port.
//
//   node legacy-server.mjs streamable|sse

import { randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { ElicitResultSchema, SubscribeRequestSchema, UnsubscribeRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';

const journal = [];
const sessions = new Map();
const text = (words) => ({ content: [{ type: 'text', text: String(words) }] });
const FORM = { type: 'object', properties: { name: { type: 'string' } }, required: ['name'] };

function makeServer() {
  const capabilities = { resources: { subscribe: true, listChanged: true }, tools: { listChanged: true }, logging: {} };
  const mcp = new McpServer({ name: 'old', version: '1.0.0' }, { capabilities, instructions: 'An old server.' });
  mcp.registerTool('add', { inputSchema: { a: z.number(), b: z.number() } }, ({ a, b }) => text(a + b));
  mcp.registerTool('count', { inputSchema: { to: z.number() } }, async ({ to }, extra) => {
    const progressToken = extra._meta?.progressToken;
    for (let progress = 1; progress <= to; progress += 1) {
      await extra.sendNotification({ method: 'notifications/progress', params: { progressToken, progress, total: to } });
    }
    await extra.sendNotification({ method: 'notifications/message', params: { level: 'debug', data: 'not asked for' } });
    return text(`counted to ${to}`);
  });
  mcp.registerTool('wait', {}, (extra) => {
    journal.push('waiting');
    return new Promise((resolve) => {
      extra.signal.addEventListener('abort', () => {
        journal.push('cancelled');
        resolve(text('too late'));
      });
    });
  });
  const greet = async (ask) => {
    const answer = await ask({ mode: 'form', message: 'Who are you?', requestedSchema: FORM });
    return text(answer.action === 'accept' ? `hello ${answer.content.name}` : answer.action);
  };
  // Once on the stream of the call, once on the stream of the session: servers do both.
  mcp.registerTool('greet', {}, (extra) => greet((params) => extra.sendRequest({ method: 'elicitation/create', params }, ElicitResultSchema)));
  mcp.registerTool('greet_aside', {}, () => greet((params) => mcp.server.elicitInput(params)));
  mcp.registerTool('change_note', {}, async () => {
    await mcp.server.sendResourceUpdated({ uri: 'note://1' });
    return text('changed');
  });
  mcp.registerResource('note', 'note://1', {}, (uri) => ({ contents: [{ uri: uri.href, text: 'a note' }] }));
  mcp.server.setRequestHandler(SubscribeRequestSchema, ({ params }) => (journal.push(`subscribe ${params.uri}`), {}));
  mcp.server.setRequestHandler(UnsubscribeRequestSchema, ({ params }) => (journal.push(`unsubscribe ${params.uri}`), {}));
  return mcp;
}

async function body(request) {
  let whole = '';
  for await (const piece of request) whole += piece;
  return whole === '' ? undefined : JSON.parse(whole);
}

async function streamable(request, response) {
  const id = request.headers['mcp-session-id'];
  const message = await body(request);
  let transport = sessions.get(id);
  if (!transport) {
    if (id) return response.writeHead(404).end();
    if (message?.method !== 'initialize') {
      const error = { code: -32000, message: 'Bad Request: No valid session ID provided' };
      return response.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', error, id: null }));
    }
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (session) => (journal.push('session'), sessions.set(session, transport)),
      onsessionclosed: (session) => (journal.push('session ended'), sessions.delete(session)),
    });
    await makeServer().connect(transport);
  }
  await transport.handleRequest(request, response, message);
}

async function sse(request, response) {
  const url = new URL(request.url, 'http://localhost');
  if (request.method === 'GET' && url.pathname === '/sse') {
    const transport = new SSEServerTransport('/messages', response);
    sessions.set(transport.sessionId, transport);
    response.on('close', () => (journal.push('session ended'), sessions.delete(transport.sessionId)));
    journal.push('session');
    return makeServer().connect(transport);
  }
  const transport = url.pathname === '/messages' && sessions.get(url.searchParams.get('sessionId'));
  if (!transport) return response.writeHead(request.method === 'POST' ? 405 : 404).end();
  return transport.handlePostMessage(request, response, await body(request));
}

const serve = process.argv[2] === 'sse' ? sse : streamable;
const http = createServer((request, response) => {
  if (request.url === '/journal') return response.end(JSON.stringify(journal));
  if (request.url === '/forget') return sessions.clear(), response.end();
  serve(request, response).catch((error) => {
    journal.push(`failed: ${error.stack}`);
    if (!response.headersSent) response.writeHead(500).end();
  });
});
http.listen(0, '127.0.0.1', () => console.log(http.address().port));
