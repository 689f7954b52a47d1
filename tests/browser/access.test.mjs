// Tokens in Chromium with the real server: how a page shows one, what becomes of it while it is connected, and the page's own
// box for it.

import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { WORK, inState, isAccessible, isWithin, openPage, publish, rows, subscribe } from './page.mjs';
import { Server, atEnd } from './server.mjs';
import { SECRET, granting, signed } from './tokens.mjs';

/** What Chromium says of a handshake, and of a request, that is refused for its token, and of an attempt that is given up. */
const REFUSED = /HTTP Authentication failed|Unexpected response code: 403|status of 40[13]/;
const NARROW = { width: 360, height: 780 };

function guarded(t, ...flags) {
  return Server.start(t, 0, ['--notify-interval', '0', '--auth-secret', SECRET, ...flags]);
}

// Pages of others

/** A page of another origin with a client that asks this test for its tokens, and what it has been told. */
async function elsewhere(t, server, token, topics = 'topic=orders') {
  const pages = createServer((_, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<p>app</p>'));
  await new Promise((resolve) => pages.listen(0, '127.0.0.1', resolve));
  atEnd(t, () => new Promise((resolve) => pages.close(resolve) && pages.closeAllConnections()));
  const script = (page) => page.exposeFunction('issue', token);
  const address = `http://localhost:${pages.address().port}`;
  const { page } = await openPage(t, { address }, { script, expected: /favicon|status of 404/ });
  await page.evaluate(async ([address, topics]) => {
    const { Slackwater } = await import(`${address}/slackwater.js`);
    window.told = [];
    window.client = new Slackwater(`${address}/ws?${topics}`, { token: () => window.issue() });
    for (const type of ['statechange', 'close', 'message', 'resume', 'tokenerror']) {
      window.client.addEventListener(type, ({ detail }) => window.told.push({ type, ...detail, ...detail.message }));
    }
    window.client.connect();
  }, [server.address, topics]);
  const told = (type) => page.evaluate((type) => window.told.filter((it) => it.type === type), type);
  const hears = (type, count = 1) => page.waitForFunction(([type, count]) => {
    return window.told.filter((it) => it.type === type).length >= count;
  }, [type, count]);
  return { page, told, hears };
}

test('a page of another origin shows a token as a sub-protocol, and refreshes it again and again on one connection', async (t) => {
  const server = await guarded(t);
  const issued = [];
  const issue = () => issued[issued.push(granting({ seconds: 2.5 })) - 1];
  const { page, told, hears } = await elsewhere(t, server, issue);
  await hears('refreshed', 3);
  await server.publish('orders', 'still here');
  await hears('notification');
  assert.deepEqual((await told('statechange')).map(({ state }) => state), ['connecting', 'open']);
  assert.deepEqual([await told('close'), await told('tokenerror'), page.sockets.length], [[], [], 1]);
  assert.ok(!page.sockets[0].url().includes('eyJ') && issued.length >= 4);
});

test('a token that expires all the same is followed by another one, and nothing is lost', async (t) => {
  const server = await guarded(t);
  const next = promise();
  const asked = promise();
  let page;
  const issue = async () => {
    if (!page) return granting({ seconds: 2 });
    if (await page.evaluate(() => window.client.state === 'open')) throw new Error('no session');
    asked.resolve();
    return next;
  };
  const all = await elsewhere(t, server, issue);
  await all.hears('welcome');
  page = all.page;
  await server.publish('orders', 'heard');
  await all.hears('notification');
  await asked;
  await server.publish('orders', 'missed');
  next.resolve(granting());
  await all.hears('resume');
  await server.publish('orders', 'live');
  await all.hears('notification', 3);
  assert.deepEqual((await all.told('notification')).map(({ data }) => data), ['heard', 'missed', 'live']);
  assert.deepEqual((await all.told('close')).map(({ code, willRetry }) => [code, willRetry]), [[4004, true]]);
  assert.equal((await all.told('resume'))[0].resumed, true);
  assert.ok((await all.told('tokenerror')).length > 0);
});

test('a new token with fewer rights takes topics away, and the client comes back without them', async (t) => {
  const server = await guarded(t);
  const { page, told, hears } = await elsewhere(t, server, () => granting({ subscribe: ['orders', 'news'] }), 'topic=orders&topic=news');
  await hears('welcome');
  await page.evaluate((token) => (window.client.token = token), granting({ subscribe: ['news'] }));
  await hears('refreshed');
  assert.deepEqual((await told('unsubscribed')).map(({ topic }) => topic), ['orders']);
  await page.evaluate(() => window.client.disconnect() ?? window.client.connect());
  await hears('welcome', 2);
  assert.deepEqual((await told('welcome'))[1].topics, ['news']);
});

test('a client publishes what its token grants, and is told what that does not', async (t) => {
  const server = await guarded(t);
  const { page, told, hears } = await elsewhere(t, server, () => granting({ publish: ['orders'] }));
  await hears('welcome');
  const publish = (topic) => page.evaluate((topic) => window.client.publish(topic, 'hi').catch(({ code }) => code), topic);
  const id = await publish('orders');
  await hears('notification');
  assert.equal((await told('notification'))[0].id, id);
  assert.equal(await publish('news'), 'forbidden');
});

test('a page that is refused stays away for as long as any other, and a string that is over stops', async (t) => {
  const server = await guarded(t);
  const { page } = await openPage(t, server, { expected: REFUSED });
  const outcome = (token) => page.evaluate(async (token) => {
    const { Slackwater } = await import('./slackwater.js');
    const client = new Slackwater('/ws', { token });
    const closed = new Promise((resolve) => client.addEventListener('close', ({ detail }) => resolve(detail)));
    client.connect();
    const { code, reason, willRetry } = await closed;
    client.disconnect();
    return [code, reason, willRetry];
  }, token);
  assert.deepEqual(await outcome(signed({ sub: 'ada', exp: Date.now() / 1000 + 60 }, 'another secret')), [1006, '', true]);
  assert.deepEqual(await outcome(granting({ seconds: -1 })), [1006, 'the token has expired', false]);
});

// The page of the server

function box(page) {
  const form = page.locator('#access-box');
  return {
    form,
    inState: (state) => page.locator(`#access-box[data-token="${state}"]`).waitFor(),
    field: page.getByLabel('Access token (JWT)'),
    answer: page.locator('#access-answer'),
    fact: (name) => form.locator('div', { has: page.getByText(name, { exact: true }) }).locator('dd').last().innerText(),
  };
}

async function apply(page, token) {
  await box(page).field.fill(token);
  await page.keyboard.press('Enter');
}

test('where no token is needed there is no box for it', async (t) => {
  const { page } = await openPage(t, await Server.start(t));
  await inState(page, 'open');
  assert.equal(await box(page).form.isVisible(), false);
});

for (const colorScheme of ['light', 'dark']) {
  test(`a page that needs a token says so, says why one is refused, and shows what one allows, in ${colorScheme}`, async (t) => {
    const server = await guarded(t);
    const { page } = await openPage(t, server, { path: '/?topic=orders/7', expected: REFUSED, colorScheme });
    const { form, field, answer, fact, inState: inTokenState } = box(page);
    const picture = async (name) => {
      await isAccessible(page);
      for (const [size, viewport] of [['wide', { width: 1280, height: 900 }], ['narrow', NARROW]]) {
        await page.setViewportSize(viewport);
        await isWithin(page, viewport.width);
        await page.screenshot({ path: `${WORK}token-${name}-${colorScheme}-${size}.png` });
      }
      await page.setViewportSize({ width: 1280, height: 900 });
    };
    await inTokenState('needed');
    await page.getByText('The server does not let this page in: a token is needed.').waitFor();
    await inState(page, 'idle');
    const attempts = page.sockets.length;
    await picture('needed');

    for (const [token, why] of [
      ['sekrit', 'the token is no JWT'],
      [granting({ seconds: -60 }), null],
      [signed({ sub: 'ada' }, 'another secret'), 'the token\u2019s signature is wrong'],
      [granting({ subscribe: ['news'] }), 'the token does not grant to hear "orders/7"'],
    ]) {
      await apply(page, token);
      if (why === null) await inTokenState('expired');
      else await answer.filter({ hasText: why.replace('\u2019', "'") }).waitFor();
      assert.equal(await field.inputValue(), '');
    }
    assert.ok(page.sockets.length <= attempts + 8, 'nor is any of them tried again and again');
    await picture('refused');
    await apply(page, 'two words');
    await answer.filter({ hasText: 'This is no token' }).waitFor();

    await apply(page, granting({ sub: 'ada@example.com', subscribe: ['orders/*', 'news'], publish: ['orders/7'], seconds: 7_300 }));
    await inState(page, 'open');
    await inTokenState('used');
    assert.deepEqual(
      [await fact('For'), await fact('Hears'), await fact('Publishes to'), await fact('Expires')],
      ['ada@example.com', 'orders/*, news', 'orders/7', 'in 2 h'],
    );
    await picture('used');
    await form.locator('summary').click();
    assert.equal(await form.locator('summary').innerText(), 'Token ada@example.com');
    await isAccessible(page);
  });
}

test('a token is forgotten with the page, unless it is to be kept in this tab', async (t) => {
  const { page } = await openPage(t, await guarded(t), { expected: REFUSED });
  const { inState: inTokenState } = box(page);
  const token = granting();
  const kept = () => page.evaluate(() => JSON.stringify([{ ...localStorage }, document.cookie, location.href]));
  const keptInTab = () => page.evaluate(() => JSON.stringify({ ...sessionStorage }));
  await inTokenState('needed');
  await apply(page, token);
  await inState(page, 'open');
  assert.equal(await keptInTab(), '{}');
  await page.reload();
  await inTokenState('needed');

  await page.getByLabel('Keep it in this tab').check();
  await apply(page, token);
  await inState(page, 'open');
  await page.reload();
  await inState(page, 'open');
  await inTokenState('used');
  assert.ok((await keptInTab()).includes(token) && !(await kept()).includes(token));
  assert.equal(await page.getByLabel('Keep it in this tab').isChecked(), true);

  await box(page).form.locator('summary').click();
  await page.getByRole('button', { name: 'Forget it' }).click();
  await inTokenState('needed');
  assert.equal(await keptInTab(), '{}');
  await page.reload();
  await inTokenState('needed');
});

test('a token in the address of the page is used, and goes no further by it', async (t) => {
  const { page } = await openPage(t, await guarded(t), { path: `/?topic=orders&token=${granting()}` });
  await inState(page, 'open');
  await box(page).inState('used');
  assert.match(page.sockets[0].url(), /\/ws\?topic=orders$/);
  assert.equal(page.url(), `${new URL(page.url()).origin}/?topic=orders`);
});

test('a page with the cookie is let in, and needs no box', async (t) => {
  const server = await guarded(t);
  const script = (page) => page.context().addCookies([{ name: 'slackwater_token', value: granting(), url: server.address }]);
  const { page } = await openPage(t, server, { script });
  await inState(page, 'open');
  assert.equal(await box(page).form.isVisible(), false);
});

test('a page that has named no topic listens to what its token grants', async (t) => {
  const server = await guarded(t);
  const { page } = await openPage(t, server, { expected: REFUSED });
  await box(page).inState('needed');
  await apply(page, granting({ subscribe: ['orders/*', 'news'] }));
  await inState(page, 'open');
  assert.deepEqual(await chips(page), ['orders/*', 'news']);
});

test('it listens to what the present token grants, also after one that was refused or has expired', async (t) => {
  const { page } = await openPage(t, await guarded(t), { expected: REFUSED });
  const { inState: inTokenState } = box(page);
  const hears = (...topics) => page.waitForFunction((topics) => {
    const chips = [...document.querySelectorAll('.chip bdi')].map((it) => it.textContent);
    return document.body.dataset.state === 'open' && chips.join() === topics;
  }, topics.join());
  await inTokenState('needed');
  await apply(page, signed({ sub: 'ada', slackwater: { subscribe: ['team-a'] } }, 'another secret'));
  await inTokenState('refused');
  await apply(page, granting({ sub: 'ada', subscribe: ['team-b'] }));
  await hears('team-b');
  await apply(page, granting({ sub: 'eve', subscribe: ['team-a', 'news'] }));
  await hears('team-a', 'news');
  await apply(page, granting({ sub: 'eve', subscribe: ['news', 'orders/*'] }));
  await hears('news', 'orders/*');
  await apply(page, granting({ sub: 'eve', subscribe: ['orders/*'], seconds: -5 }));
  await inTokenState('refused');
  await hears('news', 'orders/*');
  await apply(page, granting({ sub: 'zoe', subscribe: ['orders/*'], seconds: -5 }));
  await inTokenState('expired');
  await apply(page, granting({ sub: 'zoe', subscribe: ['zzz'] }));
  await hears('zzz');
  await apply(page, granting({ sub: 'ida', subscribe: ['*'] }));
  await hears('notifications');
});

test('what the user has chosen stays for the next token, and a topic that is refused is no choice', async (t) => {
  const { page } = await openPage(t, await guarded(t), { expected: REFUSED });
  await box(page).inState('needed');
  await apply(page, granting({ subscribe: ['team-a', 'news'] }));
  await inState(page, 'open');
  await subscribe(page, 'team-b');
  await page.locator('#topic-answer', { hasText: '"team-b" may not be heard' }).waitFor();
  await apply(page, granting({ sub: 'eve', subscribe: ['team-b', 'news'] }));
  await rows(page, 'welcome').nth(1).waitFor();
  assert.deepEqual((await chips(page)).sort(), ['news', 'team-b']);
  await page.getByRole('button', { name: 'Stop listening to team-b' }).click();
  await rows(page, 'unsubscribed', 'team-b').waitFor();
  await apply(page, granting({ sub: 'zoe', subscribe: ['team-c', 'news'] }));
  await rows(page, 'welcome').nth(2).waitFor();
  assert.deepEqual(await chips(page), ['news']);
});

test('whoever forgets a token listens as before it', async (t) => {
  const server = await guarded(t, '--anonymous-topic', 'notifications');
  const { page } = await openPage(t, server, { path: `/?token=${granting({ subscribe: ['secret/*'] })}` });
  const { form, inState: inTokenState } = box(page);
  await inTokenState('used');
  assert.deepEqual(await chips(page), ['secret/*']);
  await form.locator('summary').click();
  await page.getByRole('button', { name: 'Forget it' }).click();
  await inTokenState('none');
  await rows(page, 'welcome').nth(1).waitFor();
  assert.deepEqual(await chips(page), ['notifications']);
});

test('a token that is applied again is used, and one that was refused is neither kept nor shown any more', async (t) => {
  const token = granting({ publish: ['orders'] });
  const { page } = await openPage(t, await guarded(t), { path: `/?topic=orders&token=${token}`, expected: REFUSED });
  const { form, answer, fact, inState: inTokenState } = box(page);
  await inTokenState('used');
  await form.locator('summary').click();
  await page.getByLabel('Keep it in this tab').check();
  await apply(page, token);
  await inTokenState('used');
  await apply(page, signed({ sub: 'ada' }, 'another secret'));
  await answer.filter({ hasText: "Refused: the token's signature is wrong. The one before still counts." }).waitFor();
  assert.equal(await fact('Publishes to'), 'orders');
  assert.deepEqual(await page.evaluate(() => Object.values(sessionStorage)), [token]);
  await publish(page, 'orders', 'allowed');
  await rows(page, 'notification', 'allowed').waitFor();
  await page.getByRole('button', { name: 'Disconnect' }).click();
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
  await rows(page, 'welcome').nth(1).waitFor();
  await inTokenState('used');
  await apply(page, signed({ sub: 'ada' }, 'another secret'));
  await inTokenState('refused');
  await apply(page, token);
  await inTokenState('used');
  assert.equal(page.sockets.length, 2);

  await page.getByRole('button', { name: 'Disconnect' }).click();
  await apply(page, signed({ sub: 'ada' }, 'another secret'));
  await answer.filter({ hasText: 'The one before still counts.' }).waitFor();
  await page.getByRole('button', { name: 'Connect', exact: true }).click();
  await rows(page, 'welcome').nth(2).waitFor();
  await inTokenState('used');
});

test('whitespace around a token in the address does not count, and what is no token is told', async (t) => {
  const server = await guarded(t);
  const { page } = await openPage(t, server, { path: `/?token=%20${granting()}%0A`, expected: REFUSED });
  await inState(page, 'open');
  await box(page).inState('used');

  const isTold = async () => {
    await box(page).inState('needed');
    await box(page).answer.filter({ hasText: 'This is no token' }).waitFor();
    await page.getByText('The server does not let this page in: a token is needed.').waitFor();
  };
  await page.goto(`${server.address}/?token=a%20b`);
  await isTold();
  await page.evaluate(() => sessionStorage.setItem(`slackwater.token ${location.pathname}`, 'a b'));
  await page.goto(server.address);
  await isTold();
  await apply(page, granting());
  await inState(page, 'open');
});

test('the box opens when a token has expired, while connected or kept', async (t) => {
  const { page } = await openPage(t, await guarded(t), { path: `/?token=${granting({ seconds: 2 })}`, expected: REFUSED });
  const { field, inState: inTokenState } = box(page);
  await inTokenState('used');
  assert.equal(await field.isVisible(), false);
  await inTokenState('expired');
  assert.equal(await field.isVisible(), true);
  assert.equal(await page.locator('#note').innerText(), 'The token has expired.');

  const token = granting({ seconds: -5 });
  await page.evaluate((token) => sessionStorage.setItem(`slackwater.token ${location.pathname}`, token), token);
  await page.goto(new URL('/', page.url()).href);
  await inTokenState('expired');
  assert.equal(await field.isVisible(), true);
});

test('the page listens to as many topics as a request has room for, and says of a token that it is too long', async (t) => {
  const { page } = await openPage(t, await guarded(t), { expected: /status of 4[03]1|response code: 431|HTTP Authentication failed/ });
  const { answer, inState: inTokenState } = box(page);
  const many = (count) => Array.from({ length: count }, (_, nth) => `${'long/'.repeat(13)}${nth}/*`);
  await inTokenState('needed');
  await apply(page, granting({ subscribe: many(80) }));
  await inTokenState('used');
  const count = await page.locator('.chip').count();
  assert.ok(count > 5 && count < 80, `${count}`);
  await answer.filter({ hasText: `Listening to ${count} topics and not to ${80 - count} more` }).waitFor();

  await apply(page, granting({ sub: 'eve', subscribe: many(200) }));
  await answer.filter({ hasText: 'Refused: the token and the topics are too long for one request.' }).waitFor();
  await inState(page, 'idle');
});

function chips(page) {
  return page.locator('.chip bdi').allTextContents();
}

test('a page whose token has expired says so, and goes on where it was with another one', async (t) => {
  const server = await guarded(t);
  const { page } = await openPage(t, server, { path: '/?topic=orders', expected: REFUSED });
  const { inState: inTokenState } = box(page);
  await inTokenState('needed');
  await apply(page, granting({ seconds: 2 }));
  await inTokenState('used');
  await server.publish('orders', 'heard');
  await rows(page, 'notification', 'heard').waitFor();
  await inTokenState('expired');
  await inState(page, 'stopped');
  await rows(page, 'connection', 'The token has expired').waitFor();
  await isAccessible(page);
  await server.publish('orders', 'missed');
  await apply(page, granting());
  await rows(page, 'resumed', '1 missed message').waitFor();
  await rows(page, 'notification', 'missed').waitFor();
});

test('another token of the same subject is taken without reconnecting, and one of another with a connection of its own', async (t) => {
  const server = await guarded(t);
  const { page } = await openPage(t, server, { path: `/?topic=orders&token=${granting()}` });
  const { form, fact, inState: inTokenState } = box(page);
  await inTokenState('used');
  await form.locator('summary').click();
  await apply(page, granting({ publish: ['orders'] }));
  await rows(page, 'refreshed').waitFor();
  assert.deepEqual([await fact('Publishes to'), page.sockets.length], ['orders', 1]);
  await apply(page, granting({ sub: 'eve' }));
  await rows(page, 'welcome').nth(1).waitFor();
  assert.deepEqual([await fact('For'), page.sockets.length], ['eve', 2]);
});

test('what the page publishes is judged by its token', async (t) => {
  const server = await guarded(t);
  const token = granting({ publish: ['orders'] });
  const { page } = await openPage(t, server, { path: `/?topic=orders&token=${token}`, expected: REFUSED });
  await inState(page, 'open');
  await publish(page, 'orders', 'allowed');
  await rows(page, 'notification', 'allowed').waitFor();
  await publish(page, 'news', 'not allowed');
  await page.locator('#publish-answer', { hasText: /^403: / }).waitFor();
});

test('where some topics are for everybody, the box comes with the first that is not', async (t) => {
  const server = await guarded(t, '--anonymous-topic', 'notifications');
  const { page } = await openPage(t, server);
  await inState(page, 'open');
  assert.equal(await box(page).form.isVisible(), false);
  await subscribe(page, 'orders');
  await box(page).inState('needed');
  await page.locator('#topic-answer', { hasText: '"orders" may not be heard' }).waitFor();
  await box(page).form.locator('summary').click();
  await apply(page, granting());
  await rows(page, 'welcome').nth(1).waitFor();
  await subscribe(page, 'orders');
  await rows(page, 'subscribed', 'orders').waitFor();
});

test('the box is used by the keyboard alone', async (t) => {
  const { page } = await openPage(t, await guarded(t), { expected: REFUSED });
  await box(page).inState('needed');
  const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim());
  await page.getByRole('button', { name: 'Connect', exact: true }).focus();
  const order = [];
  for (let stop = 0; stop < 4; stop += 1) {
    await page.keyboard.press('Tab');
    order.push(await focused());
  }
  assert.deepEqual(order, ['Token needed', 'access-token', 'Apply', 'access-keep']);
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.type(granting());
  await page.keyboard.press('Enter');
  await inState(page, 'open');
  await page.getByRole('button', { name: 'Forget it' }).focus();
  await page.keyboard.press('Enter');
  await box(page).inState('needed');
  assert.equal(await focused(), 'access-token');
});

/** A promise that the test keeps. */
function promise() {
  let resolve;
  const made = new Promise((settle) => (resolve = settle));
  return Object.assign(made, { resolve });
}
