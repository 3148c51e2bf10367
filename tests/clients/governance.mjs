// A person in headless Chromium who reviews an identity and asks for access in an emergency, with the keyboard alone: every
// control can be reached with Tab, shows that it has the focus, and Enter in a text field decides nothing. Pictures of both pages
// go to PORTUNUS_SCREENSHOTS, light and dark, on a desktop and on a phone.
//
//   PORTUNUS_URL=https://edge PORTUNUS_PERSON=person.json PORTUNUS_SCREENSHOTS=dir node governance.mjs

import assert from 'node:assert/strict';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { launch, open } from './chromium.mjs';

const url = new URL(process.env.PORTUNUS_URL);
const pictures = process.env.PORTUNUS_SCREENSHOTS;
mkdirSync(pictures, { recursive: true });
const person = JSON.parse(readFileSync(process.env.PORTUNUS_PERSON, 'utf8'));
const LOOKS = [
  { name: 'desktop-light', options: { viewport: { width: 1280, height: 900 }, colorScheme: 'light' } },
  { name: 'phone-dark', options: { viewport: { width: 360, height: 740 }, colorScheme: 'dark' } },
];

const browser = await launch(url);
try {
  const { page, problems, context } = await open(browser);
  await page.goto(new URL('/reviews', url).href);
  await page.fill('input[type=text], input:not([type])', person.user);
  await page.fill('input[type=password]', person.password);
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
  for (const field of await page.locator('input[type=password]').all()) {
    await field.fill((await field.getAttribute('autocomplete')) === 'new-password' ? person.next : person.password);
  }
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
  const state = await context.storageState();
  for (const look of LOOKS) {
    const seen = await open(browser, { ...look.options, storageState: state });
    for (const path of ['/reviews', '/emergencies']) {
      await seen.page.goto(new URL(path, url).href);
      await picture(seen.page, `${path.slice(1)}-${look.name}`);
    }
    assert.deepEqual(seen.problems, []);
    await seen.context.close();
  }

  await page.goto(new URL('/emergencies', url).href);
  await tabTo(page, (at) => at.tag === 'SELECT');
  await tabTo(page, (at) => at.name === 'why');
  await page.keyboard.type('the shop is down');
  await tabTo(page, (at) => at.name === 'minutes');
  await tabTo(page, (at) => at.tag === 'BUTTON' && /Ask two of/.test(at.text));
  await enter(page);
  await says(page, /Two of responders must say yes/);
  await picture(page, 'emergencies-asked');

  await page.goto(new URL('/reviews', url).href);
  await tabTo(page, (at) => at.name === 'why');
  await page.keyboard.type('still wanted');
  await page.keyboard.press('Enter');
  assert.equal(await page.getByRole('status').count(), 0, 'Enter in a text field decides nothing');
  await tabTo(page, (at) => at.tag === 'BUTTON' && /End it/.test(at.text));
  await tabTo(page, (at) => at.tag === 'BUTTON' && /Keep it/.test(at.text));
  await enter(page);
  await says(page, / stays\./);
  await picture(page, 'reviews-said');
  assert.deepEqual(problems, []);
  console.log('governance: reviewed and asked with the keyboard alone');
} finally {
  await browser.close();
}

/** The page fits the screen, and every field has a label. */
async function picture(page, name) {
  await page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  assert.ok(wide <= 0, `${name} is ${wide} pixels wider than the screen`);
  const bare = await page.evaluate(() =>
    [...document.querySelectorAll('input:not([type=hidden]), select')].filter((field) => !field.labels.length).map((field) => field.outerHTML),
  );
  assert.deepEqual(bare, [], `${name} has fields without a label`);
}

async function says(page, words) {
  assert.match(await page.getByRole('status').innerText(), words);
}

async function enter(page) {
  await Promise.all([page.waitForNavigation(), page.keyboard.press('Enter')]);
}

async function tabTo(page, wanted) {
  for (let stop = 0; stop < 40; stop++) {
    const at = await page.evaluate(() => {
      const element = document.activeElement;
      const style = getComputedStyle(element);
      const marked = style.outlineStyle !== 'none' || style.boxShadow !== 'none';
      return { tag: element.tagName, name: element.getAttribute('name'), text: element.innerText ?? '', marked };
    });
    if (wanted(at)) {
      assert.ok(at.marked, `the focus does not show on ${JSON.stringify(at)}`);
      return;
    }
    await page.keyboard.press('Tab');
  }
  assert.fail('the control could not be reached with Tab');
}
