// What static/slackwater.js does with a token, told by fake sockets and virtual time: when it asks for one, how it shows it,
// and what becomes of one that is refused, missing or expired.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Slackwater, URL_OF_SERVER, hint, publication, surroundings, welcome } from './fakes.mjs';
import { signed } from './tokens.mjs';

const HOUR_MS = 3_600_000;
/** The time at which every test begins, by the clock of the server. */
const START_MS = 1_000_000;

/** A token of somebody that expires so long after the beginning; each is another one. */
let issued = 0;
function issue(lifeMs, sub = 'ada') {
  issued += 1;
  return signed({ sub, jti: issued, exp: (START_MS + lifeMs) / 1000 });
}

/** A function that gives a token each time, and remembers which. */
function issuer(lifeMs, clock = () => 0) {
  const given = [];
  return Object.assign(() => given[given.push(issue(clock() + lifeMs)) - 1], { given });
}

/** Lets what has been promised come true. */
function settled() {
  return new Promise(setImmediate);
}

/** Lets the time pass, and promises come true in between. */
async function pass(clock, ms) {
  const end = clock.now + ms;
  while (clock.next <= end) {
    clock.step();
    await settled();
  }
  clock.advanceTo(end);
}

function shown({ protocols }) {
  const [first, second, ...rest] = protocols;
  if (first === undefined) return null;
  assert.deepEqual([first, rest], ['slackwater', []]);
  assert.match(second, /^slackwater\.token\./);
  return second.replace('slackwater.token.', '');
}

function refreshes({ sent }) {
  return sent.map((text) => JSON.parse(text)).filter(({ type }) => type === 'refresh').map(({ token }) => token);
}

function at(ms) {
  return new Date(START_MS + ms).toISOString();
}

function opens(all) {
  all.sockets.at(-1).opens();
  all.welcomes({ timestamp: new Date(all.clock.now).toISOString(), last_event_id: 'e-7', topics: all.asked().topics });
}

/** A client that has just had its welcome. */
async function connected(token, options) {
  const all = surroundings({ token, ...options });
  all.client.connect();
  await settled();
  opens(all);
  return all;
}

function refreshed(all, lifeMs) {
  const expires = lifeMs === null ? null : at(lifeMs);
  const timestamp = new Date(all.clock.now).toISOString();
  all.sockets.at(-1).says(JSON.stringify({ type: 'refreshed', expires, timestamp }));
}

function refuses(all, code = 'bad_token') {
  all.sockets.at(-1).says(JSON.stringify({ type: 'error', code, command: 'refresh', message: 'the token has expired (exp)' }));
}

// How it is shown

test('a token goes along as a sub-protocol and not in the address, and without one no sub-protocol is named', async () => {
  for (const [token, expected] of [[undefined, null], [null, null], ['', null], ['a.b.c', 'a.b.c']]) {
    const { client, sockets } = surroundings({ token });
    client.connect();
    assert.deepEqual([sockets[0].url, shown(sockets[0])], [`${URL_OF_SERVER}?topic=notifications`, expected]);
  }
});

test('what cannot be a token is refused at once, in words that do not show it', () => {
  for (const token of ['sekrit with spaces', 'sekrit,sekrit', 'sekrit\nsekrit', 'sékrit', 7, {}]) {
    const client = new Slackwater(URL_OF_SERVER);
    const isNone = (error) => error instanceof TypeError && !/s.krit/.test(error.message);
    assert.throws(() => new Slackwater(URL_OF_SERVER, { token }), isNone);
    assert.throws(() => (client.token = token), isNone);
  }
});

test('whitespace around a token does not count, whether it is given or asked for', async () => {
  for (const around of [' a.b.c', 'a.b.c\n', '\r\n a.b.c\t\r\n']) {
    for (const token of [around, () => around, async () => around]) {
      const { client, sockets } = surroundings({ token });
      client.connect();
      await settled();
      assert.equal(shown(sockets[0]), 'a.b.c');
    }
    const all = await connected('d.e.f');
    all.client.token = around;
    assert.deepEqual(refreshes(all.sockets[0]), ['a.b.c']);
  }
});

test('no token is in an address, an error, a state or an event', async () => {
  const told = [];
  const token = issuer(60_000);
  const all = surroundings({ token });
  for (const type of ['statechange', 'close', 'message', 'resume', 'moving', 'moved', 'tokenerror']) {
    all.client.addEventListener(type, ({ detail }) => told.push({ type, detail }));
  }
  all.client.connect();
  await settled();
  opens(all);
  await pass(all.clock, 55_000);
  refuses(all);
  await pass(all.clock, 60_000);
  all.sockets[0].closes(4004, 'token expired');
  await pass(all.clock, 60_000);
  const text = JSON.stringify([told, all.sockets.map(({ url }) => url), { ...all.client }, String(all.client)]);
  assert.ok(told.length > 8 && token.given.length > 4, text);
  for (const given of token.given) assert.ok(!text.includes(given.split('.')[2]), text);
});

// The function

test('a function is asked before each connection, and what it promises is awaited', async () => {
  const promises = [];
  const token = () => new Promise((resolve) => promises.push(resolve));
  const { client, sockets, clock, states } = surroundings({ token });
  client.connect();
  await settled();
  assert.deepEqual([client.state, sockets.length, promises.length], ['connecting', 0, 1]);
  clock.advance(20_000);
  promises[0]('a.b.c');
  await settled();
  assert.equal(shown(sockets[0]), 'a.b.c');
  clock.advance(9_999);
  assert.equal(client.state, 'connecting', 'the handshake has a time of its own');
  sockets[0].closes(1006);
  clock.advanceTo(client.retryAt);
  await settled();
  promises[1]('d.e.f');
  await settled();
  assert.equal(shown(sockets[1]), 'd.e.f');
  sockets[1].opens(welcome({}));
  assert.deepEqual(states, ['connecting', 'waiting', 'connecting', 'open']);
});

test('the topics and the place are those of the moment in which the token comes', async () => {
  let give;
  const all = await connected(() => 'a.b.c');
  all.client.token = () => new Promise((resolve) => (give = resolve));
  all.sockets[0].closes(1012);
  all.clock.advanceTo(all.client.retryAt);
  all.client.subscribe('orders');
  await settled();
  give('d.e.f');
  await settled();
  assert.deepEqual(all.asked(), { topics: ['notifications', 'orders'], from: 'e-7' });
});

test('an answer that nobody waits for any more opens nothing', async () => {
  const promises = [];
  const { client, sockets, clock } = surroundings({ token: () => new Promise((resolve) => promises.push(resolve)) });
  client.connect();
  client.disconnect();
  client.connect();
  await settled();
  promises[0]('late.b.c');
  await settled();
  assert.equal(sockets.length, 0);
  promises[1]('a.b.c');
  await settled();
  assert.deepEqual(sockets.map(shown), ['a.b.c']);
  client.disconnect();
  assert.equal(clock.pending, 0);
});

test('a function that disconnects the client instead of giving a token is obeyed', async () => {
  const { client, sockets, clock } = surroundings({
    token: () => {
      client.disconnect();
      throw new Error('logged out');
    },
  });
  client.connect();
  await settled();
  assert.deepEqual([client.state, sockets.length, clock.pending], ['idle', 0, 0]);
});

const FAILING = {
  'throws': () => { throw new Error('no session'); },
  'rejects': () => Promise.reject(new Error('no session')),
  'gives nothing': () => undefined,
  'gives null': async () => null,
  'gives an empty text': () => '',
  'gives what is no token': () => 'a b',
  'never answers': () => new Promise(() => {}),
};

for (const [how, give] of Object.entries(FAILING)) {
  test(`a function that ${how} is asked again with the usual back-off, and the client says so`, async () => {
    let asked = 0;
    const token = () => (asked += 1) && give();
    const { client, sockets, clock, closes, tokenErrors } = surroundings({ token });
    client.connect();
    await pass(clock, 31_000);
    assert.deepEqual({ ...closes[0], retryAt: null }, { code: 1006, reason: 'no token', wasOpen: false, willRetry: true, retryAt: null });
    assert.deepEqual([tokenErrors[0].reason, tokenErrors[0].error instanceof Error], ['unavailable', true]);
    await pass(clock, 2 * HOUR_MS);
    assert.ok(asked > 100 && asked < 510, `${asked}`);
    assert.deepEqual([sockets.length, tokenErrors.length, closes.length >= asked - 1], [0, closes.length, true]);
  });
}

// In time

test('a new token is asked for between three quarters and nine tenths of the time, and shown without reconnecting', async () => {
  for (const [dice, share] of [[0, 0.75], [0.5, 0.825], [0.999, 0.89985]]) {
    const token = issuer(HOUR_MS, () => token.given.length * HOUR_MS);
    const all = await connected(token, { dice });
    await pass(all.clock, HOUR_MS * share - 1);
    assert.equal(token.given.length, 1);
    await pass(all.clock, 1);
    assert.deepEqual(refreshes(all.sockets[0]), [token.given[1]]);
    refreshed(all, 2 * HOUR_MS);
    const leftMs = 2 * HOUR_MS - HOUR_MS * share;
    assert.equal(all.client.tokenExpiresAt, START_MS + 2 * HOUR_MS);
    await pass(all.clock, Math.floor(leftMs * share) - 1);
    assert.equal(token.given.length, 2);
    await pass(all.clock, 2);
    assert.deepEqual(refreshes(all.sockets[0]), token.given.slice(1));
    assert.deepEqual([all.client.state, all.sockets.length, all.tokenErrors], ['open', 1, []]);
  }
});

test('the time is the server’s, however wrong the clock of this machine is', async () => {
  for (const aheadMs of [-30 * 24 * HOUR_MS, -HOUR_MS, HOUR_MS, 30 * 24 * HOUR_MS]) {
    const token = issuer(HOUR_MS, () => token.given.length * HOUR_MS);
    const all = surroundings({ token, dice: 0 });
    all.clock.aheadMs = aheadMs;
    all.client.connect();
    await settled();
    opens(all);
    assert.equal(all.client.tokenExpiresAt, START_MS + HOUR_MS + aheadMs);
    await pass(all.clock, 0.75 * HOUR_MS - 1);
    assert.equal(token.given.length, 1);
    await pass(all.clock, 1);
    assert.equal(token.given.length, 2);
    refreshed(all, 2 * HOUR_MS);
    assert.equal(all.client.tokenExpiresAt, START_MS + 2 * HOUR_MS + aheadMs);
  }
});

test('nobody is asked for a token in place of one that does not expire, or of which that cannot be read', async () => {
  for (const given of ['a.b.c', 'abc', signed({ sub: 'ada' }), signed({ exp: '7' }), signed({ exp: 1e300 })]) {
    let asked = 0;
    const all = await connected(() => (asked += 1) && given);
    await pass(all.clock, 24 * HOUR_MS);
    assert.deepEqual([asked, all.client.state], [1, 'open']);
  }
  let asked = 0;
  const all = await connected(() => ((asked += 1) === 1 ? issue(HOUR_MS) : signed({ sub: 'ada' })), { dice: 0 });
  await pass(all.clock, HOUR_MS * 0.75);
  refreshed(all, null);
  assert.equal(all.client.tokenExpiresAt, null);
  await pass(all.clock, 24 * HOUR_MS);
  assert.equal(asked, 2);
});

test('a string is not asked for, and what it says of its time can be read', async () => {
  const all = await connected(issue(HOUR_MS));
  assert.equal(all.client.tokenExpiresAt, START_MS + HOUR_MS);
  await pass(all.clock, HOUR_MS);
  assert.deepEqual(refreshes(all.sockets[0]), []);
});

test('the same token again is not sent, and asked for once more in what is left of its time', async () => {
  const only = issue(HOUR_MS);
  let asked = 0;
  const all = await connected(() => (asked += 1) && only);
  await pass(all.clock, HOUR_MS);
  assert.ok(asked > 3 && asked < 10, `${asked}`);
  assert.deepEqual([refreshes(all.sockets[0]), all.tokenErrors], [[], []]);
});

// Without success

test('a refused refresh is told, and tried again ever more slowly while the old token counts', async () => {
  const token = issuer(HOUR_MS);
  const all = await connected(token, { dice: 0.999 });
  const asked = [];
  all.client.addEventListener('tokenerror', () => asked.push(all.clock.now));
  refusesAll(all);
  await pass(all.clock, HOUR_MS);
  const pauses = asked.map((time, nth) => Math.round((time - asked[nth - 1]) / 1000)).slice(1);
  assert.deepEqual(pauses.slice(0, 7), [1, 1, 2, 4, 8, 16, 30]);
  assert.ok(pauses.slice(6).every((pause) => pause === 30) && pauses.length < 25, `${pauses}`);
  assert.deepEqual(all.tokenErrors[0], { reason: 'refused', message: 'the token has expired (exp)', error: null });
  assert.deepEqual([all.client.state, all.sockets.length, all.closes], ['open', 1, []]);
});

for (const [how, give] of Object.entries(FAILING)) {
  test(`a refresh for which the function ${how} leaves the connection alone until 4004, and then asks before each attempt`, async () => {
    let asked = 0;
    const token = () => ((asked += 1) === 1 ? issue(HOUR_MS) : give());
    const all = await connected(token);
    await pass(all.clock, HOUR_MS);
    assert.ok(asked > 10 && asked < 50, `${asked}`);
    assert.deepEqual([all.client.state, all.sockets.length, refreshes(all.sockets[0])], ['open', 1, []]);
    assert.ok(all.tokenErrors.length >= asked - 2 && all.tokenErrors.every(({ reason }) => reason === 'unavailable'));
    const before = asked;
    all.sockets[0].closes(4004);
    assert.equal(all.client.state, 'waiting');
    await pass(all.clock, HOUR_MS + 60_000);
    assert.ok(asked > before + 50 && asked < before + 260, `${asked - before}`);
    assert.equal(all.sockets.length, 1);
  });
}

/** Answers each refresh at once. */
function refusesAll(all) {
  const { send } = all.sockets[0];
  all.sockets[0].send = function (text) {
    send.call(this, text);
    if (text.includes('refresh')) queueMicrotask(() => refuses(all));
  };
}

for (const [how, next] of Object.entries({ 'a token': () => issue(HOUR_MS), 'a function': () => async () => issue(HOUR_MS) })) {
  test(`whoever answers each refusal with ${how} is held back ever longer, and one set later goes at once`, async () => {
    const all = await connected(issue(2 * HOUR_MS), { dice: 0.999 });
    refusesAll(all);
    const refused = [];
    const answer = async () => {
      refused.push(all.clock.now);
      if (refused.length > 200) return; // Or this would never end.
      await null;
      all.client.token = next();
    };
    all.client.addEventListener('tokenerror', answer);
    all.client.token = next();
    await settled();
    assert.equal(refreshes(all.sockets[0]).length, 1, 'the first is shown at once');
    await pass(all.clock, HOUR_MS);
    const pauses = refused.map((time, nth) => Math.round((time - refused[nth - 1]) / 1000)).slice(1);
    assert.deepEqual(pauses.slice(0, 7), [1, 1, 2, 4, 8, 16, 30]);
    assert.ok(pauses.length < 130 && all.client.state === 'open', `${pauses}`);

    all.client.removeEventListener('tokenerror', answer);
    all.client.token = issue(HOUR_MS);
    await pass(all.clock, 120_000);
    const { length } = refreshes(all.sockets[0]);
    all.client.token = issue(HOUR_MS);
    assert.equal(refreshes(all.sockets[0]).length, length + 1);
    all.client.token = null;
    assert.equal(all.sockets.length, 2, 'whoever leaves waits for nothing');
  });
}

test('of tokens that are held back the latest is shown, and none once the one in use is set again', async () => {
  for (const isGoodAgain of [false, true]) {
    const [good, bad, other, next] = [1, 2, 3, 4].map((hours) => issue(hours * HOUR_MS));
    const last = isGoodAgain ? good : next;
    const all = await connected(good);
    all.client.token = bad;
    refuses(all);
    all.client.token = other;
    all.client.token = last;
    await pass(all.clock, 5_000);
    assert.deepEqual(refreshes(all.sockets[0]), isGoodAgain ? [bad] : [bad, next]);
  }
});

test('a token that is held back waits no longer than the longest pause when the clock is set back', async () => {
  const all = await connected(issue(HOUR_MS));
  all.client.token = issue(HOUR_MS);
  refuses(all);
  all.clock.aheadMs = -24 * HOUR_MS;
  const next = issue(HOUR_MS);
  all.client.token = next;
  await pass(all.clock, 30_000);
  assert.equal(refreshes(all.sockets[0]).at(-1), next);
});

test('whoever answers a failing function at once with another one is held back, too', async () => {
  let asked = 0;
  const give = () => {
    asked += 1;
    if (asked > 1_000) return new Promise(() => {}); // Or this would never end.
    return Promise.reject(new Error('no session'));
  };
  const { client, clock } = surroundings({ token: give });
  client.addEventListener('tokenerror', () => (client.token = () => give()));
  client.connect();
  await pass(clock, HOUR_MS);
  assert.ok(asked > 100 && asked < 260, `${asked}`);
});

test('a token that comes after its time is not shown', async () => {
  const promises = [];
  let asked = 0;
  const all = await connected(() => ((asked += 1) === 1 ? issue(HOUR_MS) : new Promise((resolve) => promises.push(resolve))), { dice: 0 });
  await pass(all.clock, HOUR_MS * 0.75 + 30_000);
  assert.equal(all.tokenErrors.length, 1);
  promises[0](issue(HOUR_MS));
  await settled();
  assert.deepEqual(refreshes(all.sockets[0]), []);
  await pass(all.clock, 1_000);
  promises[1](issue(2 * HOUR_MS));
  await settled();
  assert.equal(refreshes(all.sockets[0]).length, 1);
});

// Expired and refused

test('when the token has expired, the client comes back with another one and goes on where it was', async () => {
  const token = issuer(HOUR_MS);
  const all = await connected(token);
  all.hears('e-8');
  all.clock.advance(60_000);
  all.sockets[0].closes(4004, 'token expired');
  assert.deepEqual([all.client.state, all.closes[0].willRetry], ['waiting', true]);
  await pass(all.clock, 500);
  assert.deepEqual([shown(all.sockets[1]), all.asked().from], [token.given[1], 'e-8']);
});

test('a string that has expired stops the client, and another one brings it back', async () => {
  const only = issue(HOUR_MS);
  const all = await connected(only);
  all.clock.advance(HOUR_MS);
  all.sockets[0].closes(4004, 'token expired');
  const reason = 'the token has expired';
  assert.deepEqual(all.closes, [{ code: 4004, reason, wasOpen: true, willRetry: false, retryAt: null }]);
  await pass(all.clock, HOUR_MS);
  assert.deepEqual([all.client.state, all.sockets.length, all.clock.pending], ['stopped', 1, 0]);

  const next = issue(3 * HOUR_MS);
  all.client.token = next;
  assert.equal(all.client.state, 'waiting');
  await pass(all.clock, 500);
  assert.deepEqual([shown(all.sockets[1]), all.asked().from], [next, 'e-7']);
});

test('whoever answers each end with a token that has expired, too, is held back', async () => {
  const all = await connected(issue(0));
  all.client.addEventListener('close', () => (all.client.token = issue(0)));
  let attempts = 0;
  for (const end = all.clock.now + HOUR_MS; all.clock.now < end; attempts += 1) {
    opens(all);
    all.sockets.at(-1).closes(4004);
    await pass(all.clock, all.client.retryAt - all.clock.now);
  }
  assert.ok(attempts > 100 && attempts < 260, `${attempts}`);
});

test('a refused handshake stops a client whose string has expired, and no other', async () => {
  for (const [lifeMs, aheadMs, state] of [
    [-1_000, 0, 'stopped'], [0, 0, 'stopped'], [1_000, 0, 'waiting'], [-HOUR_MS, -2 * HOUR_MS, 'waiting'],
  ]) {
    const { client, sockets, clock, closes } = surroundings({ token: issue(lifeMs) });
    clock.aheadMs = aheadMs;
    client.connect();
    sockets[0].closes(1006);
    assert.equal(client.state, state, `${lifeMs}`);
    assert.equal(closes[0].reason, state === 'stopped' ? 'the token has expired' : '');
  }
});

test('once a server has told its time, it is by that that a string has expired', async () => {
  for (const aheadMs of [-3 * HOUR_MS, 3 * HOUR_MS]) {
    const all = surroundings({ token: issue(HOUR_MS) });
    all.clock.aheadMs = aheadMs;
    all.client.connect();
    opens(all);
    all.sockets[0].closes(1012);
    all.clock.advanceTo(all.client.retryAt - aheadMs);
    all.sockets[1].closes(1006);
    assert.equal(all.client.state, 'waiting');
    await pass(all.clock, HOUR_MS + 60_000);
    assert.equal(all.client.state, 'stopped');
  }
});

test('a client that is refused for hours tries no more often than one that reaches nobody, with a token of its own each time', async () => {
  const attempts = async (token) => {
    const { client, sockets, clock } = surroundings({ token });
    client.connect();
    for (const end = clock.now + 2 * HOUR_MS; clock.now < end;) {
      await settled();
      sockets.at(-1).closes(1006);
      await pass(clock, client.retryAt - clock.now);
    }
    await settled();
    return sockets;
  };
  const token = issuer(24 * HOUR_MS);
  const [without, string, asked] = [await attempts(null), await attempts(issue(24 * HOUR_MS)), await attempts(token)];
  assert.deepEqual([string.length, asked.length], [without.length, without.length]);
  assert.ok(without.length < 500, `${without.length}`);
  assert.deepEqual(asked.map(shown), token.given);
});

// Moving

test('a client that moves shows a new token on the new connection, and goes by the time of that', async () => {
  const token = issuer(HOUR_MS);
  const all = await connected(token, { dice: 0 });
  await pass(all.clock, HOUR_MS / 2);
  all.sockets[0].says(hint({ after_ms: 1_000 }));
  token.given.push(issue(3 * HOUR_MS));
  await pass(all.clock, 1_000);
  assert.deepEqual([all.sockets.length, shown(all.sockets[1]), all.sockets[0].closedWith], [2, token.given.at(-1), null]);
  all.sockets[1].opens();
  all.sockets[1].says(welcome({ resumed: true, timestamp: new Date(all.clock.now).toISOString(), topics: ['notifications'] }));
  all.clock.advance(0);
  assert.deepEqual([all.client.state, all.sockets[0].closedWith], ['open', 1000]);
  const { length } = token.given;
  await pass(all.clock, 100_000);
  assert.deepEqual([token.given.length, refreshes(all.sockets[0])], [length, []]);
});

test('a move for which there is no token leaves the connection alone and is tried again', async () => {
  let give = () => issue(24 * HOUR_MS);
  const all = await connected(() => give());
  give = () => Promise.reject(new Error('no session'));
  await pass(all.clock, 60_000);
  all.sockets[0].says(hint({ after_ms: 0 }));
  await pass(all.clock, HOUR_MS);
  assert.ok(all.moves.length > 50 && all.moves.length < 260, `${all.moves.length}`);
  assert.deepEqual([all.client.state, all.sockets.length, all.tokenErrors.length + 1], ['open', 1, all.moves.length]);
  give = () => 'a.b.c';
  await pass(all.clock, 30_000);
  assert.equal(shown(all.sockets[1]), 'a.b.c');
});

test('a connection that ends while its successor waits for a token makes that the next attempt', async () => {
  let give = (resolve) => resolve(issue(24 * HOUR_MS));
  const all = await connected(() => new Promise((resolve) => give(resolve)));
  let answer = null;
  give = (resolve) => {
    assert.equal(answer, null, 'asked once');
    answer = resolve;
  };
  all.sockets[0].says(hint({ after_ms: 0 }));
  await pass(all.clock, 0);
  all.client.subscribe('orders');
  all.sockets[0].closes(1012);
  assert.equal(all.client.state, 'connecting');
  answer('a.b.c');
  await settled();
  assert.deepEqual([all.sockets.length, shown(all.sockets[1]), all.asked().topics.length], [2, 'a.b.c', 2]);
  all.clock.advance(10_000);
  assert.equal(all.client.state, 'waiting', 'its handshake is given up like any other');
});

test('a refusal just before a move does no more to the connection that is left', async () => {
  const all = await connected(issue(HOUR_MS));
  all.sockets[0].says(hint({ after_ms: 0 }));
  await pass(all.clock, 0);
  all.client.publish('chat', 1).catch(() => {});
  all.client.token = issue(2 * HOUR_MS);
  refuses({ ...all, sockets: [all.sockets[0]] });
  all.client.token = issue(3 * HOUR_MS);
  all.sockets.at(-1).opens(welcome({ resumed: true, topics: ['notifications'] }));
  await pass(all.clock, 10_000);
  assert.deepEqual([all.client.state, all.sockets.length, all.sockets[0].closedWith], ['open', 4, 1000]);
});

// Set later

test('another token of the same subject is shown on the open connection', async () => {
  const all = await connected(issue(HOUR_MS));
  const next = issue(2 * HOUR_MS);
  all.client.token = next;
  all.client.token = next;
  assert.deepEqual([refreshes(all.sockets[0]), all.sockets.length], [[next], 1]);
  refreshed(all, 2 * HOUR_MS);
  assert.equal(all.client.tokenExpiresAt, START_MS + 2 * HOUR_MS);
  all.client.token = next;
  assert.deepEqual(refreshes(all.sockets[0]), [next]);
  all.clock.advance(2 * HOUR_MS);
  all.sockets[0].closes(4004);
  assert.equal(all.client.state, 'stopped');
});

test('a token that is set while another is on offer is shown once that is accepted', async () => {
  const [first, second] = [issue(2 * HOUR_MS), issue(3 * HOUR_MS)];
  const all = await connected(issue(HOUR_MS));
  all.client.token = first;
  all.client.token = second;
  assert.deepEqual(refreshes(all.sockets[0]), [first]);
  refreshed(all, 2 * HOUR_MS);
  assert.deepEqual(refreshes(all.sockets[0]), [first, second]);
});

test('what a function gives that has been replaced meanwhile is not shown', async () => {
  const promises = [];
  const give = () => new Promise((resolve) => promises.push(resolve));
  const all = await connected(issue(HOUR_MS));
  all.client.token = () => give();
  all.client.token = () => give();
  await settled();
  promises[0](issue(2 * HOUR_MS));
  await settled();
  assert.deepEqual(refreshes(all.sockets[0]), []);
  const next = issue(3 * HOUR_MS);
  promises[1](next);
  await settled();
  assert.deepEqual(refreshes(all.sockets[0]), [next]);
});

test('a token that is refused while connected is the next connection’s all the same', async () => {
  const all = await connected(issue(HOUR_MS));
  const next = issue(2 * HOUR_MS);
  all.client.token = next;
  refuses(all);
  assert.equal(all.tokenErrors[0].reason, 'refused');
  await pass(all.clock, HOUR_MS);
  assert.deepEqual(refreshes(all.sockets[0]), [next]);
  all.sockets[0].closes(4004);
  await pass(all.clock, 500);
  assert.equal(shown(all.sockets[1]), next);
});

test('for another subject, or none, the connection is made anew, and goes on where it was', async () => {
  for (const [before, after] of [
    [issue(HOUR_MS), issue(HOUR_MS, 'eve')], [issue(HOUR_MS), null], [null, issue(HOUR_MS)], [issue(HOUR_MS), signed({ exp: 9e9 })],
  ]) {
    const all = await connected(before);
    all.clock.advance(60_000);
    all.client.token = after;
    assert.deepEqual([all.sockets.length, all.sockets[0].closedWith, all.sockets[0].sent], [2, 1000, []]);
    assert.deepEqual([shown(all.sockets[1]), all.asked().from], [after, 'e-7']);
    assert.deepEqual([all.states, all.closes], [['connecting', 'open', 'connecting'], []]);
  }
});

test('a function that is set later is asked at once, and its token shown', async () => {
  for (const [sub, sockets, refresh] of [['ada', 1, 1], ['eve', 2, 0]]) {
    const all = await connected(issue(HOUR_MS));
    const next = issue(2 * HOUR_MS, sub);
    all.client.token = async () => next;
    await settled();
    // The one that is asked for by the new connection is the same again.
    assert.deepEqual([all.sockets.length, refreshes(all.sockets[0]).length], [sockets, refresh]);
    if (sub === 'eve') assert.equal(shown(all.sockets[1]), next);
  }
});

test('a token that is set while connecting is shown at once, and while waiting with the next attempt', async () => {
  const { client, sockets, clock } = surroundings({ token: 'a.b.c' });
  client.token = 'd.e.f';
  assert.equal(sockets.length, 0, 'not before connect');
  client.connect();
  client.token = 'g.h.i';
  assert.deepEqual([sockets.map(shown), sockets[0].closedWith], [['d.e.f', 'g.h.i'], 1000]);
  sockets[1].closes(1006);
  client.token = 'j.k.l';
  assert.equal(sockets.length, 2);
  client.connect();
  assert.equal(shown(sockets[2]), 'j.k.l');
  client.token = () => new Promise(() => {});
  assert.deepEqual([client.state, sockets[2].closedWith, sockets.length], ['connecting', 1000, 3]);
  client.token = null;
  assert.deepEqual([client.state, shown(sockets[3])], ['connecting', null]);
  client.disconnect();
  client.token = 'm.n.o';
  assert.deepEqual([client.state, sockets.length, clock.pending], ['idle', 4, 0]);
});

test('a token that is set while a client moves is shown on both connections', async () => {
  const all = await connected(issue(HOUR_MS));
  all.sockets[0].says(hint({ after_ms: 0 }));
  await pass(all.clock, 0);
  const next = issue(2 * HOUR_MS);
  all.client.token = next;
  assert.deepEqual([refreshes(all.sockets[0]), all.sockets[1].closedWith, shown(all.sockets[2])], [[next], 1000, next]);
});

// Rights

test('topics that a new token no longer allows are not asked for again', async () => {
  const all = await connected(issue(HOUR_MS), { url: `${URL_OF_SERVER}?topic=a&topic=b&topic=c` });
  all.client.unsubscribe('b');
  all.client.subscribe('b');
  all.client.token = issue(2 * HOUR_MS);
  for (const message of [{ type: 'unsubscribed', topic: 'b' }, { type: 'subscribed', topic: 'b' }, { type: 'unsubscribed', topic: 'a' }]) {
    all.sockets[0].says(JSON.stringify(message));
  }
  refreshed(all, 2 * HOUR_MS);
  assert.deepEqual(all.client.topics.sort(), ['b', 'c']);
  all.reconnects();
  assert.deepEqual(all.asked().topics.sort(), ['b', 'c']);
  assert.deepEqual(all.sockets[1].sent, []);
});

test('a topic that is refused while connected is not asked for again, until the user does so', async () => {
  const all = await connected(issue(HOUR_MS));
  all.client.subscribe('secret');
  all.sockets[0].says('{"type":"error","code":"forbidden","command":"subscribe","topic":"secret","message":"\\"secret\\" may not be heard"}');
  assert.deepEqual([all.client.topics, all.tokenErrors], [['notifications'], []]);
  all.client.subscribe('secret');
  all.reconnects();
  assert.deepEqual(all.asked().topics, ['notifications', 'secret']);
});

test('a publication that is refused takes no topic away, though its answer names one', async () => {
  const all = await connected(issue(HOUR_MS), { url: `${URL_OF_SERVER}?topic=chat%2F7` });
  const refused = all.client.publish('chat/7', 'hi');
  for (const ref of ['"ref":"slackwater-1",', '']) {
    all.sockets[0].says(`{"type":"error","code":"forbidden","command":"publish","topic":"chat/7",${ref}"message":"no"}`);
  }
  await assert.rejects(refused, { code: 'forbidden' });
  assert.deepEqual([all.client.topics, all.tokenErrors], [['chat/7'], []]);
});

test('a topic that cannot be one, and was asked for with the address, is not asked for again', async () => {
  const all = await connected(issue(HOUR_MS), { url: `${URL_OF_SERVER}?topic=a&topic=b+c` });
  all.sockets[0].says('{"type":"error","code":"bad_topic","command":"subscribe","topic":"b c","message":"\\"b c\\" is no topic"}');
  assert.deepEqual(all.client.topics, ['a']);
  all.reconnects();
  assert.deepEqual(all.asked().topics, ['a']);
});

test('a subscription whose topic a new token no longer allows ends with an error, and one that was just asked for awaits its answer', async () => {
  const all = await connected(issue(HOUR_MS), { url: `${URL_OF_SERVER}?topic=a&topic=b` });
  const taken = all.client.subscribe('a')[Symbol.asyncIterator]().next();
  all.sockets[0].says('{"type":"subscribed","topic":"a"}');
  all.client.unsubscribe('b');
  const asked = all.client.subscribe('b');
  all.client.token = issue(2 * HOUR_MS);
  for (const [type, topic] of [['unsubscribed', 'a'], ['unsubscribed', 'b'], ['subscribed', 'b']]) {
    all.sockets[0].says(JSON.stringify({ type, topic }));
  }
  await assert.rejects(taken, { code: 'forbidden' });
  assert.equal((await asked).topic, 'b');
  assert.deepEqual(all.client.topics, ['b']);
});

test('a subscription that is refused during a refresh is no refusal of the token', async () => {
  const all = await connected(issue(HOUR_MS));
  all.client.token = issue(2 * HOUR_MS);
  all.sockets[0].says('{"type":"error","code":"forbidden","command":"subscribe","topic":"secret","message":""}');
  all.sockets[0].says('{"type":"error","code":"forbidden","ref":7,"message":""}');
  assert.deepEqual(all.tokenErrors, []);
  refuses(all, 'forbidden');
  assert.equal(all.tokenErrors.length, 1);
});

// Publishing

/** What became of a publication. */
function outcome(promise) {
  return promise.then((id) => id, ({ code }) => code);
}

test('a publication is answered by its ref, whatever the order', async () => {
  const all = await connected('a.b.c');
  const [first, second] = [all.client.publish('chat', { n: 1 }), all.client.publish('chat', 'hi', { id: 'm-1' })].map(outcome);
  const [one, two] = all.sockets[0].sent.map((text) => JSON.parse(text));
  assert.deepEqual([one, two], [
    { type: 'publish', topic: 'chat', data: { n: 1 }, ref: one.ref },
    { type: 'publish', topic: 'chat', data: 'hi', id: 'm-1', ref: two.ref },
  ]);
  all.sockets[0].says('{"type":"published","id":"e-0","ref":"somebody else’s"}');
  all.sockets[0].says(JSON.stringify({ type: 'error', code: 'forbidden', message: 'no', ref: two.ref }));
  all.sockets[0].says(JSON.stringify({ type: 'published', id: 'e-9', ref: one.ref }));
  assert.deepEqual([await first, await second], ['e-9', 'forbidden']);
  assert.deepEqual([all.client.topics, all.messages.length], [['notifications'], 4]);
});

test('a publication that cannot be sent, or is not answered before the connection ends, is told so', async () => {
  const all = surroundings();
  assert.equal(await outcome(all.client.publish('chat', 1)), 'not_connected');
  all.client.connect();
  assert.equal(await outcome(all.client.publish('chat', 1)), 'not_connected');
  opens(all);
  for (const end of [() => all.sockets.at(-1).closes(1012), () => all.client.disconnect()]) {
    const sent = outcome(all.client.publish('chat', 1));
    end();
    assert.equal(await sent, 'unanswered');
    all.client.connect();
    opens(all);
  }
  await assert.rejects(all.client.publish('chat', 1n), TypeError);
});

test('a publication over the limit of the server is told to be too large, and no other one', async () => {
  for (const texts of [['small', 'b'.repeat(70_000)], ['w'.repeat(30_000), '水'.repeat(25_000)]]) {
    const all = await connected('a.b.c');
    const published = texts.map((text) => outcome(all.client.publish('chat', text)));
    all.sockets[0].closes(1009);
    assert.deepEqual([await Promise.all(published), all.client.state], [['unanswered', 'too_large'], 'stopped']);
  }
  const all = await connected('a.b.c');
  const published = outcome(all.client.publish('chat', 'small'));
  all.client.send('b'.repeat(70_000));
  all.sockets[0].closes(1009);
  assert.equal(await published, 'unanswered');
});

test('a publication to a server that is left is still answered there, or told that it was not', async () => {
  for (const isAnswered of [true, false]) {
    const all = await connected('a.b.c');
    all.sockets[0].says(hint({ after_ms: 0 }));
    await pass(all.clock, 0);
    const published = outcome(all.client.publish('chat', 1));
    const { ref } = JSON.parse(all.sockets[0].sent[0]);
    all.sockets[1].opens();
    all.sockets[1].says(welcome({ resumed: true, topics: ['notifications'] }));
    if (isAnswered) all.sockets[0].says(JSON.stringify({ type: 'published', id: 'e-9', ref }));
    await pass(all.clock, 2_000);
    assert.equal(await published, isAnswered ? 'e-9' : 'unanswered');
  }
});

test('what others publish goes on coming while a token is refreshed', async () => {
  const all = await connected(issue(HOUR_MS));
  all.client.token = issue(2 * HOUR_MS);
  all.sockets[0].says(publication('e-8'));
  refreshed(all, 2 * HOUR_MS);
  all.sockets[0].says(publication('e-9'));
  assert.deepEqual(all.heard(), ['e-8', 'e-9']);
});
