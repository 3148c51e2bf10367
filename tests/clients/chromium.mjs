// Headless Chromium that trusts one edge by the key it shows, whatever its certificate says.

import { createHash } from 'node:crypto';
import tls from 'node:tls';
import { chromium } from 'playwright-core';

const executablePath = process.env.PORTUNUS_CHROMIUM ?? '/usr/bin/chromium';

/** A browser for the edge at this URL. */
export async function launch(url) {
  const key = await new Promise((resolve, reject) => {
    const socket = tls.connect({ host: url.hostname, port: url.port || 443, servername: url.hostname }, () => {
      resolve(createHash('sha256').update(socket.getPeerX509Certificate().publicKey.export({ type: 'spki', format: 'der' })).digest('base64'));
      socket.end();
    });
    socket.on('error', reject);
  });
  return chromium.launch({
    executablePath,
    args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync', `--ignore-certificate-errors-spki-list=${key}`],
  });
}

/** A page that collects what the browser complains about. */
export async function open(browser, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  const problems = [];
  page.on('console', (message) => ['error', 'warning'].includes(message.type()) && problems.push(message.text()));
  page.on('pageerror', (error) => problems.push(String(error)));
  return { context, page, problems };
}
