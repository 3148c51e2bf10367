// Loaded with `node --require` before a client that has no options for what a protected HTTPS server needs. For requests
// to one origin, whichever of fetch, undici and node:http makes them, and for no other:
//
// - an access token is added;
// - the certificate is checked against the origin's name, also when the client writes another Host to see it refused;
// - node:http, where a client uses that for any URL, speaks TLS.
//
//   AUTHORIZED_ORIGIN=https://localhost:8443 AUTHORIZED_TOKEN=… node --require ./authorized.cjs client.js

const channels = require('node:diagnostics_channel');
const http = require('node:http');
const https = require('node:https');
const tls = require('node:tls');

const origin = new URL(process.env.AUTHORIZED_ORIGIN);
const value = `Bearer ${process.env.AUTHORIZED_TOKEN}`;

// fetch is undici too.
channels.subscribe('undici:request:create', ({ request }) => {
  if (String(request.origin) === origin.origin) request.addHeader('authorization', value);
});

const connect = tls.connect;
tls.connect = (options, ...rest) => {
  const ours = String(options?.port) === origin.port;
  return connect(ours ? { ...options, servername: origin.hostname } : options, ...rest);
};

const request = http.request;
http.request = (options, ...rest) => {
  const ours = options?.hostname === origin.hostname && String(options.port) === origin.port;
  if (!ours) return request(options, ...rest);
  return https.request({ ...options, headers: { ...options.headers, authorization: value } }, ...rest);
};
