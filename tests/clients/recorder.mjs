// An MCP server on Node's own HTTP parser that writes down each request it takes something for: `recorder.mjs PORT LOG`.
import { appendFileSync } from 'node:fs';
import { createServer } from 'node:http';

const [port, log] = process.argv.slice(2);
const values = (request, name) =>
  request.rawHeaders.filter((_, at) => at % 2 === 1 && request.rawHeaders[at - 1].toLowerCase() === name).join(' and ');

createServer((request, response) => {
  const line = `${request.method} ${request.url} HTTP/${request.httpVersion}`;
  const [length, coding] = [values(request, 'content-length'), values(request, 'transfer-encoding')];
  appendFileSync(log, JSON.stringify({ line, length, coding }) + '\n');
  let body = '';
  request.on('data', (piece) => (body += piece));
  request.on('end', () => {
    const { id } = JSON.parse(body);
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ jsonrpc: '2.0', id, result: { content: [] } }));
  });
}).listen(Number(port), '127.0.0.1');
