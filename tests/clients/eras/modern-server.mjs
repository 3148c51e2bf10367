// A server of the modern era only, made with the TypeScript SDK v2: at /mcp, a journal of what happened at /journal.
// Prints its port.

import { createServer } from 'node:http';
import { Readable } from 'node:stream';
import { McpServer, acceptedContent, createMcpHandler, inputRequired } from '@modelcontextprotocol/server';
import { z } from 'zod';

const journal = [];
const text = (words) => ({ content: [{ type: 'text', text: String(words) }] });
let handler;

function makeServer() {
  const capabilities = { resources: { subscribe: true, listChanged: true }, tools: { listChanged: true }, logging: {} };
  const mcp = new McpServer({ name: 'new', version: '2.0.0' }, { capabilities, instructions: 'A new server.' });
  mcp.registerTool('add', { inputSchema: z.object({ a: z.number(), b: z.number() }) }, ({ a, b }) => text(a + b));
  mcp.registerTool('count', { inputSchema: z.object({ to: z.number() }) }, async ({ to }, ctx) => {
    const progressToken = ctx.mcpReq._meta?.progressToken;
    for (let progress = 1; progress <= to; progress += 1) {
      await ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: to } });
    }
    return text(`counted to ${to}`);
  });
  mcp.registerTool('wait', {}, (ctx) => {
    journal.push('waiting');
    return new Promise((resolve) => {
      ctx.mcpReq.signal.addEventListener('abort', () => {
        journal.push('cancelled');
        resolve(text('too late'));
      });
    });
  });
  mcp.registerTool('greet', {}, (ctx) => {
    const form = z.object({ name: z.string() });
    const answer = ctx.mcpReq.inputResponses?.who;
    if (!answer) return inputRequired({ inputRequests: { who: inputRequired.elicit({ message: 'Who are you?', requestedSchema: form }) }, requestState: 'greeting' });
    const name = acceptedContent(ctx.mcpReq.inputResponses, 'who', form)?.name;
    return text(name ? `hello ${name}` : answer.action);
  });
  mcp.registerTool('change_note', {}, () => (handler.notify.resourceUpdated('note://1'), text('changed')));
  mcp.registerResource('note', 'note://1', {}, (uri) => ({ contents: [{ uri: uri.href, text: 'a note' }] }));
  return mcp;
}

// A handshake that is refused is how the era is found out.
const onerror = (error) => /2025-era/.test(error.message) || journal.push(`failed: ${error.message}`);
handler = createMcpHandler(makeServer, { legacy: 'reject', onerror });

async function serve(request, response) {
  const gone = new AbortController();
  response.on('close', () => gone.abort());
  const init = { method: request.method, headers: request.headers, signal: gone.signal };
  if (request.method === 'POST') Object.assign(init, { body: Readable.toWeb(request), duplex: 'half' });
  const answer = await handler.fetch(new Request(`http://${request.headers.host}${request.url}`, init));
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  if (!answer.body) return response.end();
  const reader = answer.body.getReader();
  gone.signal.addEventListener('abort', () => reader.cancel().catch(() => {}));
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return response.end();
    response.write(value);
  }
}

const http = createServer((request, response) => {
  if (request.url === '/journal') return response.end(JSON.stringify(journal));
  serve(request, response).catch((error) => {
    if (!response.headersSent) response.writeHead(500).end(String(error));
    else response.destroy();
  });
});
http.listen(0, '127.0.0.1', () => console.log(http.address().port));
