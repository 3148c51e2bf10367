// A person adds a passkey (Chromium's virtual authenticator), signs in with it, and removes it; and the same page when the
// device's lock says no, and without script. Pictures go to PORTUNUS_SCREENSHOTS.
//
//   PORTUNUS_URL=… PORTUNUS_PERSON=… PORTUNUS_SCREENSHOTS=dir node passkey.mjs

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch, open } from './chromium.mjs';

const origin = new URL(process.env.PORTUNUS_URL);
const pictures = process.env.PORTUNUS_SCREENSHOTS;
const person = JSON.parse(readFileSync(process.env.PORTUNUS_PERSON, 'utf8'));
mkdirSync(pictures, { recursive: true });
const at = (path) => new URL(path, origin).href;
const browser = await launch(origin);
try {
  const { context, page, problems } = await open(browser);
  const device = await context.newCDPSession(page);
  await device.send('WebAuthn.enable');
  const options = { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true };
  const { authenticatorId } = await device.send('WebAuthn.addVirtualAuthenticator', { options });

  // The first sign-in is by password, and changes the one-time password.
  await page.goto(at('/login'));
  await page.fill('#username', person.user);
  await page.fill('#password', person.password);
  await press(page, 'form[action="/login"] button');
  if (await page.locator('#new_password').count()) {
    await page.fill('#current_password', person.password);
    await page.fill('#new_password', person.next);
    await page.fill('#repeat_password', person.next);
    await press(page, 'form[action="/account/password"] button');
  }
  await picture(page, 'console');

  await page.getByRole('link', { name: /passkeys/i }).click();
  await page.waitForURL(at('/account/passkeys'));
  await add(page, 'not the password');
  await page.getByText('Your password is not right.').waitFor();
  await add(page, person.next);
  await page.getByText('can sign you in from now on').waitFor();
  assert.equal((await device.send('WebAuthn.getCredentials', { authenticatorId })).credentials.length, 1);
  await picture(page, 'passkeys');
  // The same device once more: the browser itself says no.
  await add(page, person.next);
  await page.getByText('has a passkey for you already').waitFor();

  await signOut(page);
  await picture(page, 'sign-in-passkey');
  // The keyboard alone reaches the button.
  await page.locator('#passkey-sign-in button').focus();
  await Promise.all([page.waitForURL(at('/console/')), page.keyboard.press('Enter')]);
  await page.getByText('Your access').waitFor();
  assert.match(await page.locator('section[aria-labelledby=sessions]').innerText(), /passkey/);

  await signOut(page);
  // The device's lock is not opened: nobody is signed in.
  await device.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false });
  await page.locator('#passkey-sign-in button').click();
  await page.getByText('No passkey was used').waitFor();
  await device.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: true });
  await page.locator('#passkey-sign-in button').click();
  await page.waitForURL(at('/console/'));

  // Removed, it signs nobody in.
  await page.goto(at('/account/passkeys'));
  await press(page, 'form[action="/account/passkeys/remove"] button');
  await page.getByText('It can sign nobody in any more').waitFor();
  await signOut(page);
  await page.locator('#passkey-sign-in button').click();
  await page.getByText('This passkey is not known here').waitFor();
  assert.deepEqual(problems.filter((text) => !/status of 40[13]|status of 422/.test(text)), []);

  // Without script there is no button for it, and the password works.
  const plain = await open(browser, { javaScriptEnabled: false });
  await plain.page.goto(at('/login'));
  assert.equal(await plain.page.locator('#passkey-sign-in').isVisible(), false);
  await plain.page.fill('#username', person.user);
  await plain.page.fill('#password', person.next);
  await press(plain.page, 'form[action="/login"] button');
  assert.match(plain.page.url(), /\/console\/$/);
  console.log('passkey: added, used, refused, removed');
} finally {
  await browser.close();
}

async function press(page, selector) {
  await Promise.all([page.waitForNavigation(), page.locator(selector).first().click()]);
}

async function add(page, password) {
  await page.fill('#name', 'work laptop');
  await page.fill('#current_password', password);
  await page.locator('#passkey-add button').click();
}

async function signOut(page) {
  await press(page, 'form[action="/logout"] button');
  await page.goto(at('/login'));
}

async function picture(page, name) {
  await page.screenshot({ path: join(pictures, `passkey-${name}.png`), fullPage: true });
}
