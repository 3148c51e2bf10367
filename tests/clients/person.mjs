// The person's part of an authorization, played on the real HTML: sign in, change a one-time password, agree (or not).
// Every client script uses this one. It knows no address and no field name of Portunus: it reads the forms it is shown, as
// a browser without script would.
//
//   PORTUNUS_PERSON=person.json node person.mjs AUTHORIZATION_URL [deny]
//
// prints the redirect back to the client. person.json is {"user","password","next"}; after a forced change of password
// `password` is `next`, and the file says so.

import { readFileSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';

const PAGES_AT_MOST = 12;

/** Signs in and decides; resolves to the URL (with `code` or `error`) the client is waiting for, or, where nobody waits for
 *  the browser, to the words of the page that matches `done`. */
export async function authorize(authorizationUrl, { decision = 'allow', file = process.env.PORTUNUS_PERSON, done } = {}) {
  const origin = new URL(authorizationUrl).origin;
  const jar = new Map();
  let request = { url: new URL(authorizationUrl), method: 'GET' };
  for (let page = 0; page < PAGES_AT_MOST; page++) {
    const response = await send(request, jar);
    const location = response.headers.get('location');
    if (location) {
      const next = new URL(location, request.url);
      if (next.origin !== origin) return next;
      request = { url: next, method: 'GET' };
      continue;
    }
    const html = await response.text();
    if (done?.test(words(html))) return words(html);
    const away = leavingLink(html, request.url, origin);
    if (away) return away;
    if (response.status >= 500) throw new Error(`${request.url.pathname} answered ${response.status}: ${words(html)}`);
    request = answer(html, request.url, readPerson(file), decision, file);
  }
  throw new Error(`still not back at the client after ${PAGES_AT_MOST} pages, last ${request.url}`);
}

/** The forms of a page: where they go, their fields and buttons. */
export function forms(html) {
  return [...html.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)].map(([, head, body]) => {
    const fields = [...body.matchAll(/<input\b([^>]*)>/gi)].map(([, text]) => attributes(text));
    const buttons = [...body.matchAll(/<button\b([^>]*)>([\s\S]*?)<\/button>/gi)].map(([, text, label]) => ({
      ...attributes(text),
      label: words(label),
    }));
    for (const field of fields.filter((field) => field.type === 'submit')) buttons.push({ ...field, label: field.value });
    return { ...attributes(head), fields: fields.filter((field) => field.type !== 'submit'), buttons };
  });
}

function answer(html, base, person, decision, file) {
  const all = forms(html);
  const secret = (form) => form.fields.filter((field) => field.type === 'password');
  const form = all.find((candidate) => secret(candidate).length > 0) ?? all.find((candidate) => button(candidate, decision)) ?? all.find(hasText);
  if (!form) throw new Error(`no form to fill in at ${base.pathname}: ${words(html)}`);
  const changes = secret(form).some((field) => field.autocomplete === 'new-password');
  const body = new URLSearchParams();
  for (const field of form.fields.filter((candidate) => candidate.name)) {
    if (field.type === 'checkbox' || field.type === 'radio') {
      if ('checked' in field) body.append(field.name, field.value ?? 'on');
    } else body.append(field.name, typed(field, person));
  }
  const pressed = button(form, decision) ?? form.buttons[0];
  if (pressed?.name) body.append(pressed.name, pressed.value ?? '');
  if (changes) writeFileSync(file, JSON.stringify({ ...person, password: person.next }));
  const url = new URL(form.action || base, base);
  if ((form.method ?? 'get').toLowerCase() === 'post') return { url, method: 'POST', body, referrer: base };
  url.search = body;
  return { url, method: 'GET' };
}

/** A form with something to type in, such as a code that is filled in already. */
function hasText(form) {
  return form.fields.some((field) => field.type === 'text');
}

function typed(field, person) {
  if (field.type === 'hidden') return field.value ?? '';
  if (field.type === 'password') return field.autocomplete === 'new-password' ? person.next : person.password;
  return field.value || person.user;
}

function button(form, decision) {
  const wanted = decision === 'allow' ? /\b(allow|approve|agree|accept)\b/i : /\b(deny|refuse|reject|cancel)\b/i;
  return form.buttons.find((candidate) => wanted.test(`${candidate.label} ${candidate.value ?? ''}`));
}

/** A page may send the browser on by a link or a refresh where a redirect after a form is not allowed. */
function leavingLink(html, base, origin) {
  const refresh = /<meta[^>]*http-equiv="?refresh"?[^>]*url=([^">]+)/i.exec(html)?.[1];
  const links = [...html.matchAll(/<a\b([^>]*)>/gi)].map(([, text]) => attributes(text).href).filter(Boolean);
  for (const target of [refresh && decode(refresh), ...links].filter(Boolean)) {
    if (!URL.canParse(target, base)) continue;
    const url = new URL(target, base);
    if (url.origin !== origin && (url.searchParams.has('code') || url.searchParams.has('error'))) return url;
  }
  return undefined;
}

async function send({ url, method, body, referrer }, jar) {
  const headers = { accept: 'text/html' };
  if (jar.size) headers.cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
  if (method === 'POST') headers.origin = referrer.origin;
  const response = await fetch(url, { method, body, headers, redirect: 'manual' });
  for (const line of response.headers.getSetCookie()) {
    const [, name, value] = /^([^=;]+)=([^;]*)/.exec(line);
    if (value === '' || /;\s*max-age=0\b/i.test(line)) jar.delete(name);
    else jar.set(name, value);
  }
  return response;
}

function readPerson(file) {
  if (!file) throw new Error('PORTUNUS_PERSON must name a JSON file with "user", "password" and "next"');
  return JSON.parse(readFileSync(file, 'utf8'));
}

function attributes(text) {
  const found = {};
  for (const [, name, , double, single, bare] of text.matchAll(/([\w:-]+)(\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?/g)) {
    found[name.toLowerCase()] = decode(double ?? single ?? bare ?? '');
  }
  return found;
}

function decode(text) {
  const named = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (whole, hex, decimal, name) =>
    hex ? String.fromCodePoint(parseInt(hex, 16)) : decimal ? String.fromCodePoint(Number(decimal)) : (named[name] ?? whole),
  );
}

function words(html) {
  return decode(html.replace(/<(style|script|svg)[\s\S]*?<\/\1>/gi, ' ').replace(/<[^>]*>/g, ' ')).replace(/\s+/g, ' ').trim().slice(0, 400);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [url, decision] = process.argv.slice(2);
  console.log(String(await authorize(url, { decision })));
}
