// A person in headless Chromium on the sign-in, change-of-password and consent pages: with and without script, light and
// dark, on a phone and on a desktop, and with the keyboard alone. Pictures of every page go to PORTUNUS_SCREENSHOTS.
//
//   PORTUNUS_URL=… PORTUNUS_PERSON=… NODE_EXTRA_CA_CERTS=… PORTUNUS_SCREENSHOTS=dir node browser.mjs

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { launch } from './chromium.mjs';

const mcp = new URL(process.env.PORTUNUS_URL);
const pictures = process.env.PORTUNUS_SCREENSHOTS;
mkdirSync(pictures, { recursive: true });

const LOOKS = [
  { name: 'desktop-light', width: 1280, scheme: 'light', script: true },
  { name: 'desktop-dark-noscript', width: 1280, scheme: 'dark', script: false },
  { name: 'phone-light-noscript', width: 360, scheme: 'light', script: false },
  { name: 'phone-dark', width: 360, scheme: 'dark', script: true },
];

const callback = await listen();
const browser = await launch(mcp);
try {
  const client = await register();
  // The first sign-in also changes the one-time password, so it comes first.
  for (const look of LOOKS) await signInAndAgree(client, look);
  await keyboardAlone(client);
  await wrongPassword(client);
  await refusal(client);
  await otherPages();
} finally {
  await browser.close();
  callback.server.close();
}

async function signInAndAgree(client, look) {
  const { page, problems, close } = await open(look);
  const { url, state } = authorization(client);
  await page.goto(url);
  await decide(page, look.name, (form) => press(page, form));
  const back = await callback.next();
  assert.ok(back.searchParams.get('code'), `no code in ${back}`);
  assert.equal(back.searchParams.get('state'), state);
  assert.equal(back.searchParams.get('iss'), client.issuer);
  assert.deepEqual(problems, []);
  await close();
  console.log(`browser ${look.name}: signed in and agreed`);
}

/** Fills in page after page until the browser is back at the client. */
async function decide(page, name, submit) {
  for (let step = 0; step < 6; step++) {
    if (page.url().startsWith(callback.address)) return;
    const kind = await describe(page);
    await look(page, `${kind}-${name}`);
    const person = readPerson();
    if (kind === 'sign-in') {
      await fill(page, 'input:not([type=hidden]):not([type=password])', person.user);
      await fill(page, 'input[type=password]', person.password);
      await submit('form:has(input[type=password])');
    } else if (kind === 'password') {
      for (const field of await page.locator('input[type=password]').all()) {
        const fresh = (await field.getAttribute('autocomplete')) === 'new-password';
        await field.fill(fresh ? person.next : person.password);
      }
      writeFileSync(process.env.PORTUNUS_PERSON, JSON.stringify({ ...person, password: person.next }));
      await submit('form:has(input[type=password])');
    } else {
      await submit('allow');
    }
    await page.waitForLoadState();
  }
  assert.fail(`still at ${page.url()}`);
}

async function describe(page) {
  const secrets = await page.locator('input[type=password]').count();
  if (secrets === 1) return 'sign-in';
  if (secrets > 1) return 'password';
  assert.ok(await allow(page).count(), `an unexpected page at ${page.url()}: ${await page.locator('body').innerText()}`);
  return 'consent';
}

function allow(page) {
  return page.getByRole('button', { name: /allow|approve|agree/i });
}

function deny(page) {
  return page.getByRole('button', { name: /deny|refuse|cancel|don.t/i });
}

async function press(page, form) {
  const button = form === 'allow' ? allow(page) : page.locator(form).locator('button, input[type=submit]').first();
  await Promise.all([page.waitForNavigation(), button.click()]);
}

async function fill(page, selector, text) {
  const field = page.locator(selector).first();
  await field.fill(text);
}

/** Tab, type and Enter only: every control can be reached, in reading order, and shows that it has the focus. */
async function keyboardAlone(client) {
  const { page, close } = await open(LOOKS[0]);
  await page.goto(authorization(client).url);
  const person = readPerson();
  const seen = [];
  await tabTo(page, (element) => element.type !== 'password' && element.tag === 'INPUT', seen);
  await page.keyboard.type(person.user);
  await tabTo(page, (element) => element.type === 'password', seen);
  await page.keyboard.type(person.password);
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
  await tabTo(page, (element) => element.tag === 'BUTTON' && /allow|approve|agree/i.test(element.text), seen);
  await look(page, 'consent-keyboard-focus');
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
  assert.ok((await callback.next()).searchParams.get('code'));
  await close();
  console.log(`browser keyboard: ${seen.length} stops, each visible`);
}

async function tabTo(page, wanted, seen) {
  const here = async () =>
    page.evaluate(() => {
      const element = document.activeElement;
      const style = getComputedStyle(element);
      const marked = style.outlineStyle !== 'none' || style.boxShadow !== 'none';
      return { tag: element.tagName, type: element.type, text: element.innerText ?? '', marked };
    });
  for (let stop = 0; stop < 20; stop++) {
    const element = await here();
    if (wanted(element)) {
      assert.ok(element.marked, `the focus does not show on ${JSON.stringify(element)}`);
      seen.push(element);
      return;
    }
    await page.keyboard.press('Tab');
  }
  assert.fail('the control could not be reached with Tab');
}

async function wrongPassword(client) {
  const { page, close } = await open(LOOKS[0]);
  const texts = [];
  for (const user of [readPerson().user, 'nobody-of-that-name']) {
    await page.goto(authorization(client).url);
    await fill(page, 'input:not([type=hidden]):not([type=password])', user);
    await fill(page, 'input[type=password]', 'certainly-not-this-one');
    await press(page, 'form:has(input[type=password])');
    await look(page, `sign-in-wrong-${texts.length}`);
    texts.push((await page.locator('body').innerText()).replaceAll(user, 'USER'));
  }
  assert.equal(texts[0], texts[1], 'a wrong password and an unknown user must read the same');
  await close();
  console.log('browser wrong password: one text for both');
}

async function refusal(client) {
  const { page, close } = await open(LOOKS[0]);
  await page.goto(authorization(client).url);
  await decide(page, 'deny', async (form) => {
    if (form !== 'allow') return press(page, form);
    await Promise.all([page.waitForNavigation(), deny(page).click()]);
  });
  const back = await callback.next();
  assert.equal(back.searchParams.get('error'), 'access_denied');
  assert.equal(back.searchParams.get('code'), null);
  await close();
  console.log('browser deny: the client is told access_denied');
}

async function otherPages() {
  for (const style of [LOOKS[0], LOOKS[3]]) {
    const { page, problems, close } = await open(style);
    const missing = await page.goto(new URL('/no-such-page', mcp).href);
    assert.equal(missing.status(), 404);
    problems.length = 0; // Chromium logs the 404 itself.
    await look(page, `not-found-${style.name}`);
    await page.goto(new URL('/console/', mcp).href);
    if ((await page.locator('input[type=password]').count()) === 1) {
      const person = readPerson();
      await fill(page, 'input:not([type=hidden]):not([type=password])', person.user);
      await fill(page, 'input[type=password]', person.password);
      await press(page, 'form:has(input[type=password])');
    }
    assert.match(page.url(), /\/console\//);
    await look(page, `console-${style.name}`);
    assert.deepEqual(problems, []);
    await close();
  }
  console.log('browser console and 404: shown');
}

/** A picture, and what every page must satisfy. */
async function look(page, name) {
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
  const facts = await page.evaluate(() => ({
    language: document.documentElement.lang,
    title: document.title,
    heading: document.querySelectorAll('h1').length,
    sideways: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    unlabelled: [...document.querySelectorAll('input:not([type=hidden]), select, textarea')]
      .filter((field) => field.labels.length === 0 && !field.ariaLabel)
      .map((field) => field.name),
    scripts: document.querySelectorAll('script:not([src]), [onclick], [onsubmit]').length,
  }));
  assert.ok(facts.language && facts.title, `${name}: language and title`);
  assert.equal(facts.heading, 1, `${name}: one main heading`);
  assert.ok(facts.sideways <= 0, `${name}: scrolls sideways by ${facts.sideways} px`);
  assert.deepEqual(facts.unlabelled, [], `${name}: fields without a label`);
  assert.equal(facts.scripts, 0, `${name}: inline script`);
}

async function open({ width, scheme, script }) {
  const context = await browser.newContext({
    viewport: { width, height: width < 600 ? 740 : 860 },
    colorScheme: scheme,
    javaScriptEnabled: script,
    deviceScaleFactor: 1,
  });
  const page = await context.newPage();
  const problems = [];
  page.on('console', (line) => {
    const elsewhere = line.location().url.startsWith(new URL(callback.address).origin);
    if (line.type() === 'error' && !elsewhere) problems.push(`${line.text()} (${line.location().url})`);
  });
  page.on('pageerror', (error) => problems.push(String(error)));
  return { page, problems, close: () => context.close() };
}

/** Chromium trusts exactly the key that Node.js, through NODE_EXTRA_CA_CERTS, finds good: nothing else is let through. */
/** Finds the authorization server from the MCP address and registers, as a client would. */
async function register() {
  const json = async (url, body) => {
    const response = await fetch(url, body && { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
    assert.ok(response.ok, `${url} answered ${response.status}`);
    return response.json();
  };
  const resource = await json(new URL(`/.well-known/oauth-protected-resource${mcp.pathname}`, mcp));
  const server = await json(new URL('/.well-known/oauth-authorization-server', resource.authorization_servers[0]));
  const registered = await json(server.registration_endpoint, {
    client_name: 'Browser test <b>&amp;</b>',
    redirect_uris: [callback.address],
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    token_endpoint_auth_method: 'none',
  });
  return { id: registered.client_id, issuer: server.issuer, endpoint: server.authorization_endpoint, resource: resource.resource };
}

function authorization(client) {
  const url = new URL(client.endpoint);
  const state = randomBytes(12).toString('hex');
  url.search = new URLSearchParams({
    response_type: 'code',
    client_id: client.id,
    redirect_uri: callback.address,
    code_challenge: createHash('sha256').update(randomBytes(32).toString('hex')).digest('base64url'),
    code_challenge_method: 'S256',
    state,
    resource: client.resource,
  });
  return { url: url.href, state };
}

/** Where the client waits for the browser. */
async function listen() {
  const arrived = [];
  const waiting = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url, address);
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!doctype html><title>Done</title><h1>Back at the client</h1>');
    if (url.pathname !== '/callback') return;
    if (waiting.length) waiting.shift()(url);
    else arrived.push(url);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = `http://127.0.0.1:${server.address().port}/callback`;
  return { server, address, next: () => new Promise((resolve) => (arrived.length ? resolve(arrived.shift()) : waiting.push(resolve))) };
}

function readPerson() {
  return JSON.parse(readFileSync(process.env.PORTUNUS_PERSON, 'utf8'));
}
