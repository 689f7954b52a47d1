// The subscriptions of static/slackwater.js: a promise, a listener of its own or a loop, for a topic that several may share, told by
// a fake socket and a fake clock.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HINT, SLOT_MS, commands, connected, hint, surroundings, welcome } from './fakes.mjs';

const told = (said) => JSON.stringify(said);
const published = (topic, data) => told({ type: 'notification', id: `e-${data}`, topic, data });
const ignore = () => {};

/** Lets what has been promised come true. */
function later() {
  return new Promise((resolve) => setImmediate(resolve));
}

/** What has been settled by now: the topic of who may listen, the code of who may not, or nothing. */
function answers(...subscriptions) {
  const answer = (subscription) => subscription.then(({ topic }) => topic, ({ code }) => code);
  return Promise.all(subscriptions.map((subscription) => Promise.race([answer(subscription), later()])));
}

/** Runs a loop over the subscription; what it has heard, and how it ended, can be looked at meanwhile. */
function looping(subscription) {
  const loop = { heard: [], ending: undefined };
  (async () => {
    for await (const { data } of subscription) loop.heard.push(data);
  })().then(
    () => (loop.ending = 'over'),
    ({ code }) => (loop.ending = code),
  );
  return loop;
}

// The answer

test('a subscription resolves with the server’s subscribed, and what it resolves to can be listened to and ended', async () => {
  const { client, sockets } = connected();
  const tides = client.subscribe('tides');
  assert.deepEqual(await answers(tides), [undefined]);
  sockets[0].says(told({ type: 'subscribed', topic: 'other' }));
  assert.deepEqual(await answers(tides), [undefined]);
  sockets[0].says(told({ type: 'subscribed', topic: 'tides' }));
  const granted = await tides;
  const loop = looping(granted);
  sockets[0].says(published('tides', 1));
  await later();
  granted.unsubscribe();
  await later();
  assert.deepEqual([granted.topic, loop], ['tides', { heard: [1], ending: 'over' }]);
  assert.deepEqual(commands(sockets[0]), ['subscribe tides', 'unsubscribe tides']);
});

test('a topic that is refused rejects with the code of the error, and is not asked for again', async () => {
  for (const code of ['forbidden', 'bad_topic', 'too_many_topics']) {
    const { client, sockets } = connected();
    const heard = [];
    const secret = client.subscribe('secret', (notification) => heard.push(notification));
    const loop = looping(client.subscribe('secret'));
    sockets[0].says(told({ type: 'error', code, message: 'no', command: 'subscribe', topic: 'secret' }));
    await assert.rejects(secret, { code, message: 'no' });
    sockets[0].says(published('secret', 1));
    await later();
    assert.deepEqual([heard, loop.ending, client.topics], [[], code, ['notifications']]);
  }
});

test('an error for another topic, or for a publication, rejects nothing', async () => {
  const { client, sockets } = connected();
  const tides = client.subscribe('tides');
  sockets[0].says(told({ type: 'error', code: 'forbidden', message: 'no', command: 'subscribe', topic: 'other' }));
  sockets[0].says(told({ type: 'error', code: 'forbidden', message: 'no', ref: 'r' }));
  assert.deepEqual(await answers(tides), [undefined]);
});

test('a subscription of a client that is not connected is answered by the welcome', async () => {
  const { client, sockets, asked } = surroundings();
  const [tides, orders] = [client.subscribe('tides'), client.subscribe('orders/*')];
  client.connect();
  assert.deepEqual(asked().topics, ['notifications', 'tides', 'orders/*']);
  assert.deepEqual(await answers(tides, orders), [undefined, undefined]);
  sockets[0].opens(welcome({ topics: ['notifications', 'tides'] }));
  assert.deepEqual(await answers(tides, orders), ['tides', undefined]);
});

test('why a topic is missing from the welcome is told behind it, for each topic', async () => {
  const { client, sockets, welcomes } = surroundings();
  const [bad, more] = [client.subscribe('no topic'), client.subscribe('more')];
  client.connect();
  sockets[0].opens();
  welcomes({ topics: ['notifications'] });
  sockets[0].says(told({ type: 'error', code: 'bad_topic', message: 'no', command: 'subscribe', topic: 'no topic' }));
  assert.deepEqual(await answers(bad, more), ['bad_topic', undefined]);
  sockets[0].says(told({ type: 'error', code: 'too_many_topics', message: 'no', command: 'subscribe', topic: 'more' }));
  assert.deepEqual([await answers(more), client.topics], [['too_many_topics'], ['notifications']]);
});

test('a connection that ends before the answer leaves it to the next one', async () => {
  const { client, reconnects, welcomes, asked } = connected({ last_event_id: 'e-7' });
  const tides = client.subscribe('tides');
  reconnects();
  assert.deepEqual([asked().topics, await answers(tides)], [['notifications', 'tides'], [undefined]]);
  welcomes({ topics: ['notifications', 'tides'], resumed: true });
  assert.deepEqual(await answers(tides), ['tides']);
});

test('a subscription that ends before the answer rejects, and nobody who does not wait for it hears of that', async () => {
  const { client } = connected();
  const tides = client.subscribe('tides');
  client.subscribe('ignored').unsubscribe();
  tides.unsubscribe();
  tides.unsubscribe();
  await assert.rejects(tides, { code: 'unsubscribed' });
});

test('a subscription that takes the place of one just ended is answered by the answer to its own command', async () => {
  for (const refused of [false, true]) {
    const { client, sockets } = connected();
    const heard = [];
    client.subscribe('tides').unsubscribe();
    const again = client.subscribe('tides', ({ data }) => heard.push(data));
    for (const type of ['subscribed', 'unsubscribed']) sockets[0].says(told({ type, topic: 'tides' }));
    assert.deepEqual(await answers(again), [undefined]);
    const no = { type: 'error', code: 'forbidden', message: 'no', command: 'subscribe', topic: 'tides' };
    sockets[0].says(told(refused ? no : { type: 'subscribed', topic: 'tides' }));
    sockets[0].says(published('tides', 1));
    assert.deepEqual([await answers(again), heard], refused ? [['forbidden'], []] : [['tides'], [1]]);
  }
});

test('what was refused before counts no more, and an answer that nobody asked for takes the topic away', async () => {
  const { client, sockets } = connected();
  const no = told({ type: 'error', code: 'too_many_topics', message: 'no', command: 'subscribe', topic: 'tides' });
  client.subscribe('tides').unsubscribe();
  const again = client.subscribe('tides');
  for (const said of [no, told({ type: 'unsubscribed', topic: 'tides' })]) sockets[0].says(said);
  assert.deepEqual(await answers(again), [undefined]);
  sockets[0].says(told({ type: 'subscribed', topic: 'tides' }));
  const loop = looping(again);
  sockets[0].says(told({ type: 'unsubscribed', topic: 'tides' }));
  await later();
  assert.deepEqual([await answers(again), loop.ending], [['tides'], 'forbidden']);
});

test('the refusal of another command that names the topic ends no subscription', async () => {
  const { client, sockets } = connected();
  client.subscribe('tides');
  sockets[0].says(told({ type: 'subscribed', topic: 'tides' }));
  sockets[0].says(told({ type: 'error', code: 'unknown_type', message: 'no', command: 'other', topic: 'tides' }));
  assert.deepEqual(client.topics, ['notifications', 'tides']);
});

// One topic, several subscriptions

test('several subscriptions of one topic ask the server once, and the last one that ends tells it', async () => {
  const { client, sockets } = connected();
  const heard = [];
  const [first, second] = ['first', 'second'].map((who) => client.subscribe('tides', ({ data }) => heard.push(who, data)));
  sockets[0].says(told({ type: 'subscribed', topic: 'tides' }));
  const third = client.subscribe('tides', ({ data }) => heard.push('third', data));
  assert.deepEqual(await answers(first, second, third), ['tides', 'tides', 'tides']);
  first.unsubscribe();
  sockets[0].says(published('tides', 1));
  second.unsubscribe();
  assert.deepEqual(commands(sockets[0]), ['subscribe tides']);
  third.unsubscribe();
  sockets[0].says(published('tides', 2));
  assert.deepEqual(heard, ['second', 1, 'third', 1]);
  assert.deepEqual([commands(sockets[0]), client.topics], [['subscribe tides', 'unsubscribe tides'], ['notifications']]);
});

test('a topic that the client began with stays when its last subscription ends, until it is told not to', () => {
  const { client, sockets } = connected();
  client.subscribe('notifications', ignore).unsubscribe();
  assert.deepEqual(client.topics, ['notifications']);
  client.subscribe('notifications', ignore);
  client.unsubscribe('notifications');
  client.subscribe('notifications', ignore).unsubscribe();
  assert.deepEqual([client.topics, commands(sockets[0]).at(-1)], [[], 'unsubscribe notifications']);
});

test('unsubscribe of the client ends all subscriptions of the topic, and no other', async () => {
  const { client, sockets } = connected();
  const [tides, also, other] = ['tides', 'tides', 'other'].map((topic) => looping(client.subscribe(topic)));
  client.unsubscribe('tides');
  await later();
  assert.deepEqual([tides.ending, also.ending, other.ending], ['over', 'over', undefined]);
  assert.deepEqual(commands(sockets[0]), ['subscribe tides', 'subscribe other', 'unsubscribe tides']);
});

test('a pattern hears all below it, and nothing else', () => {
  for (const [filter, expected] of [
    ['orders/*', ['orders/7', 'orders/7/paid']],
    ['*', ['orders', 'orders/7', 'orders/7/paid', 'orders2/7']],
    ['orders', ['orders']],
  ]) {
    const { client, sockets } = connected();
    const heard = [];
    client.subscribe(filter, ({ topic }) => heard.push(topic));
    for (const [at, topic] of ['orders', 'orders/7', 'orders/7/paid', 'orders2/7'].entries()) sockets[0].says(published(topic, at));
    assert.deepEqual(heard, expected, filter);
  }
});

test('a publication without a topic harms no pattern', () => {
  const { client, sockets, heard } = connected();
  client.subscribe('*', ignore);
  sockets[0].says(told({ type: 'notification', id: 'e-1' }));
  assert.deepEqual(heard(), ['e-1']);
});

// What it hears

test('a subscription goes on over a cut, and hears what was missed once', async () => {
  const { client, sockets, reconnects, welcomes } = connected({ last_event_id: 'e-0' });
  const loop = looping(client.subscribe('tides'));
  sockets[0].says(published('tides', 1));
  reconnects();
  welcomes({ topics: ['notifications', 'tides'], resumed: true, last_event_id: 'e-2' });
  for (const data of [1, 2, 3]) sockets[1].says(published('tides', data));
  await later();
  assert.deepEqual(loop, { heard: [1, 2, 3], ending: undefined });
});

test('during a move a subscription and the event hear each publication once, whichever connection brings it', async () => {
  const all = connected({ last_event_id: 'e-0' });
  const { client, sockets, clock } = all;
  const loop = looping(client.subscribe('tides'));
  const events = [];
  client.addEventListener('notification', ({ detail }) => events.push(detail.data));
  clock.advance(60_000);
  sockets[0].says(hint(HINT));
  clock.advance(SLOT_MS);
  sockets[0].says(published('tides', 1));
  sockets[1].opens();
  sockets[1].says(welcome({ topics: ['notifications', 'tides'], resumed: true, last_event_id: 'e-2' }));
  sockets[0].says(published('tides', 2));
  for (const data of [1, 2, 3]) sockets[1].says(published('tides', data));
  await later();
  assert.deepEqual([loop.heard, events], [[1, 2, 3], [1, 2, 3]]);
});

test('a listener that throws keeps nobody else from the publication', async (t) => {
  const { client, sockets } = connected();
  const [heard, thrown] = [[], []];
  const [own] = process.listeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection');
  process.on('unhandledRejection', ({ message }) => thrown.push(message));
  t.after(() => process.removeAllListeners('unhandledRejection') && own && process.on('unhandledRejection', own));
  client.subscribe('tides', () => {
    throw new Error('mine');
  });
  client.subscribe('tides', ({ data }) => heard.push(data));
  sockets[0].says(published('tides', 1));
  assert.deepEqual([heard, client.state], [[1], 'open']);
  await later();
  assert.deepEqual(thrown, ['mine'], 'as of any promise that nobody handles');
});

test('a listener that subscribes, or ends another subscription, is obeyed', () => {
  const { client, sockets } = connected();
  const heard = [];
  client.subscribe('tides', () => {
    second.unsubscribe();
    client.subscribe('tides', ({ data }) => heard.push(data));
  });
  const second = client.subscribe('tides', () => heard.push('second'));
  sockets[0].says(published('tides', 1));
  assert.deepEqual(heard, []);
  sockets[0].says(published('tides', 2));
  assert.deepEqual(heard, [2]);
});

// The loop

test('a loop that is left unsubscribes', async () => {
  const { client, sockets } = connected();
  const heard = (async () => {
    for await (const { data } of client.subscribe('tides')) return data;
  })();
  sockets[0].says(published('tides', 1));
  sockets[0].says(published('tides', 2));
  assert.equal(await heard, 1);
  await later();
  assert.deepEqual(commands(sockets[0]), ['subscribe tides', 'unsubscribe tides']);
});

test('a loop that is told to return while it waits, or before it has begun, is over at once', async () => {
  for (const begins of [true, false]) {
    const { client, sockets } = connected();
    const loop = client.subscribe('tides')[Symbol.asyncIterator]();
    const waited = begins ? loop.next() : null;
    assert.equal((await loop.return()).done, true);
    if (begins) assert.equal((await waited).done, true);
    assert.deepEqual(commands(sockets[0]), ['subscribe tides', 'unsubscribe tides']);
  }
});

test('what comes before the loop begins waits for it', async () => {
  const { client, sockets } = connected();
  const tides = client.subscribe('tides');
  sockets[0].says(told({ type: 'subscribed', topic: 'tides' }));
  sockets[0].says(published('tides', 1));
  const loop = looping(await tides);
  await later();
  assert.deepEqual(loop.heard, [1]);
});

test('whoever asks for more before the answer is answered in turn', async () => {
  const { client, sockets } = connected();
  const tides = client.subscribe('tides')[Symbol.asyncIterator]();
  const asked = [tides.next(), tides.next(), tides.next()];
  for (const data of [1, 2]) sockets[0].says(published('tides', data));
  await later();
  tides.return();
  assert.deepEqual((await Promise.all(asked)).map(({ value, done }) => value?.data ?? done), [1, 2, true]);
});

test('a loop that falls behind by more than the limit ends with an error in place of what waits, and unsubscribes', async () => {
  const { client, sockets } = connected();
  const [heard, behind] = [[], client.subscribe('tides', { limit: 2 })];
  const ending = (async () => {
    for await (const { data } of behind) {
      heard.push(data);
      await new Promise(setImmediate);
    }
  })();
  for (const data of [1, 2]) sockets[0].says(published('tides', data));
  await Promise.resolve();
  for (const data of [3, 4, 5]) sockets[0].says(published('tides', data));
  await assert.rejects(ending, { code: 'too_slow' });
  assert.deepEqual([heard, client.topics], [[1], ['notifications']]);
});

test('a subscription that nobody loops over keeps no more than its limit, and goes on as events', async () => {
  const { client, sockets, heard } = connected();
  const ignored = client.subscribe('tides');
  for (let data = 0; data <= 1000; data += 1) sockets[0].says(published('tides', data));
  assert.deepEqual([heard().length, client.topics], [1001, ['notifications', 'tides']]);
  await assert.rejects(ignored[Symbol.asyncIterator]().next(), { code: 'too_slow' });
  assert.deepEqual(client.topics, ['notifications']);
});

test('a loop takes what waits before it learns that the server no longer lets it listen', async () => {
  const { client, sockets } = connected();
  const tides = client.subscribe('tides');
  sockets[0].says(published('tides', 1));
  sockets[0].says(told({ type: 'error', code: 'forbidden', message: 'no', command: 'subscribe', topic: 'tides' }));
  const loop = looping(tides);
  await later();
  assert.deepEqual(loop, { heard: [1], ending: 'forbidden' });
});

test('a signal that aborts ends every subscription, and those that come later', async () => {
  const user = new AbortController();
  const { client, sockets } = surroundings({ signal: user.signal });
  const loop = looping(client.subscribe('tides'));
  client.connect();
  sockets[0].opens();
  user.abort();
  const late = looping(client.subscribe('late'));
  await later();
  assert.deepEqual([loop.ending, late.ending, client.state, sockets[0].sent], ['over', 'over', 'idle', []]);
});

test('disconnect is a pause for subscriptions', async () => {
  const { client, sockets, welcomes } = connected({ last_event_id: 'e-0' });
  const loop = looping(client.subscribe('tides'));
  client.disconnect();
  await later();
  client.connect();
  sockets[1].opens();
  welcomes({ topics: ['notifications', 'tides'], resumed: true });
  sockets[1].says(published('tides', 1));
  await later();
  assert.deepEqual(loop, { heard: [1], ending: undefined });
});

test('a client that stops fails what waits, a promise or a loop, and keeps its listeners for a connect that follows', async () => {
  const { client, sockets, asked } = connected({ topics: ['notifications'] });
  const loop = looping(client.subscribe('tides'));
  const heard = [];
  const orders = client.subscribe('orders', ({ data }) => heard.push(data));
  await later();
  sockets[0].closes(1008, 'policy');
  await later();
  assert.equal(loop.ending, 'stopped');
  await assert.rejects(orders, { code: 'stopped', message: '1008 policy' });
  client.connect();
  assert.deepEqual(asked().topics, ['notifications', 'orders']);
  sockets[1].opens(welcome({ topics: ['notifications', 'orders'] }), published('orders', 1));
  assert.deepEqual(heard, [1]);
});

test('a loop whose body works while the client stops takes what waits before it fails, and so does one that begins later', async () => {
  const { client, sockets } = connected();
  const [heard, busy] = [[], client.subscribe('tides')];
  let go;
  const ending = (async () => {
    for await (const { data } of busy) {
      heard.push(data);
      await new Promise((resolve) => (go = resolve));
    }
  })().catch(({ code }) => code);
  for (const data of [1, 2]) sockets[0].says(published('tides', data));
  await later();
  sockets[0].closes(1008);
  for (const _ of heard.concat(2)) {
    go();
    await later();
  }
  assert.deepEqual([heard, await ending], [[1, 2], 'stopped']);
  const late = client.subscribe('late');
  const loop = looping(late);
  await assert.rejects(late, { code: 'stopped' });
  await later();
  assert.equal(loop.ending, 'stopped');
});

test('a loop whose client comes back before it asks for more, or at once, goes on', async () => {
  for (const isBusy of [false, true]) {
    const { client, sockets, welcomes } = connected({ last_event_id: 'e-0' });
    const tides = client.subscribe('tides');
    const loop = isBusy ? null : looping(tides);
    await later();
    client.addEventListener('statechange', ({ detail }) => detail.state === 'stopped' && client.connect());
    sockets[0].closes(1008);
    sockets[1].opens();
    welcomes({ topics: ['notifications', 'tides'], resumed: true });
    sockets[1].says(published('tides', 1));
    assert.equal((await tides).topic, 'tides');
    const { heard, ending } = loop ?? looping(tides);
    await later();
    assert.deepEqual([heard, ending], [[1], undefined]);
  }
});

test('a signal that aborts while the client is kept away ends a loop that waits, whether it was connected before or not', async () => {
  for (const wasConnected of [true, false]) {
    const user = new AbortController();
    const { client } = surroundings({ signal: user.signal });
    const loop = looping(client.subscribe('tides'));
    if (wasConnected) {
      client.connect();
      client.disconnect();
    }
    user.abort();
    await later();
    assert.equal(loop.ending, 'over');
  }
});
