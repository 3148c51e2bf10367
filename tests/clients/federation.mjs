// A person signs in at an identity provider in a real browser, which minds our own content security policy on every
// redirect, and signs out at both. Pictures go to PORTUNUS_SCREENSHOTS.
//
//   PORTUNUS_URL=… PORTUNUS_SCREENSHOTS=dir node federation.mjs

import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { launch, open } from './chromium.mjs';

const origin = new URL(process.env.PORTUNUS_URL);
const pictures = process.env.PORTUNUS_SCREENSHOTS;
mkdirSync(pictures, { recursive: true });
const browser = await launch(origin);
try {
  for (const colorScheme of ['light', 'dark']) {
    const { page, problems } = await open(browser, { colorScheme });
    await page.goto(new URL('/login', origin).href);
    await page.screenshot({ path: join(pictures, `federation-sign-in-${colorScheme}.png`), fullPage: true });
    // With the keyboard: the provider's button comes first.
    await page.getByRole('button', { name: /Continue with/ }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('button', { name: /Continue as/ }).click();
    await page.waitForURL(new URL('/console/', origin).href);
    await page.screenshot({ path: join(pictures, `federation-console-${colorScheme}.png`), fullPage: true });
    await page.getByRole('button', { name: 'Sign out', exact: true }).click();
    await page.getByRole('link', { name: /Sign out at/ }).waitFor();
    await page.screenshot({ path: join(pictures, `federation-signed-out-${colorScheme}.png`), fullPage: true });
    await page.getByRole('link', { name: /Sign out at/ }).click();
    await page.locator('button[name=logout]').first().click();
    await page.waitForURL((url) => url.origin === origin.origin && url.pathname === '/login');
    // The provider's own pages ask for fonts and icons that are not there; what counts is our policy.
    assert.deepEqual(problems.filter((text) => /Content Security Policy|Refused/.test(text)), []);
  }
  console.log('federation: in and out, light and dark');
} finally {
  await browser.close();
}
