// How static/slackwater.js keeps its place and its topics from one connection to the next, told by a fake socket.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { URL_OF_SERVER, WELCOME, commands, connected, publication, surroundings } from './fakes.mjs';

// The place

test('the first connection asks for no place, and its answer is no resume', () => {
  const { client, resumes, asked } = connected({ last_event_id: 'e-7' });
  assert.deepEqual(asked(), { topics: ['notifications'], from: null });
  assert.deepEqual([resumes, client.lastEventId], [[], 'e-7']);
});

test('a new client has no place yet', () => {
  assert.equal(surroundings().client.lastEventId, null);
});

test('an empty place in the address is none', () => {
  const { client, asked, resumes } = connected({ last_event_id: 'e-7' }, { url: `${URL_OF_SERVER}?last_event_id=` });
  assert.deepEqual([asked().from, resumes, client.lastEventId], [null, [], 'e-7']);
});

test('a reconnect goes on from the last publication heard', () => {
  const { client, hears, reconnects, asked } = connected({ last_event_id: 'e-7' });
  hears('e-8', 'e-9');
  assert.equal(client.lastEventId, 'e-9');
  reconnects();
  assert.equal(asked().from, 'e-9');
});

test('a reconnect goes on from the welcome when nothing was heard since', () => {
  const { reconnects, asked } = connected({ last_event_id: 'e-7' });
  reconnects();
  assert.equal(asked().from, 'e-7');
});

test('a welcome that resumes leaves the place until what was missed has come', () => {
  const { client, hears, reconnects, welcomes, asked } = connected({ last_event_id: 'e-7' });
  reconnects();
  welcomes({ last_event_id: 'e-12', resumed: true });
  assert.equal(client.lastEventId, 'e-7');
  hears('e-8');
  reconnects();
  assert.equal(asked().from, 'e-8', 'the connection ended in the middle of the replay');
});

test('a welcome that does not resume is the new place', () => {
  const { client, reconnects, welcomes } = connected({ last_event_id: 'e-7' });
  reconnects();
  welcomes({ last_event_id: 'f-3', resumed: false });
  assert.equal(client.lastEventId, 'f-3');
});

test('the answer to a reconnect tells whether there may be a gap, right behind the welcome', () => {
  for (const resumed of [true, false]) {
    const { client, reconnects, welcomes, resumes } = connected({ last_event_id: 'e-7' });
    const order = [];
    client.addEventListener('message', ({ detail }) => order.push(detail.message.type));
    client.addEventListener('resume', () => order.push('resume'));
    reconnects();
    welcomes({ last_event_id: 'e-9', resumed });
    assert.deepEqual(resumes, [{ resumed, from: 'e-7', to: 'e-9' }]);
    assert.deepEqual(order, ['welcome', 'resume']);
  }
});

test('a gap on the way is told right behind its message, and is the new place', () => {
  const { client, sockets, hears, reconnects, asked } = connected({ last_event_id: 'e-7' });
  const order = [];
  client.addEventListener('message', ({ detail }) => order.push(detail.message.type));
  client.addEventListener('gap', ({ detail }) => order.push(detail));
  hears('e-8');
  sockets[0].says('{"type":"gap","timestamp":"2026-11-22T12:00:00.000Z","last_event_id":"f-0"}');
  assert.deepEqual(order, ['notification', 'gap', { from: 'e-8', to: 'f-0' }]);
  assert.equal(client.lastEventId, 'f-0');
  reconnects();
  assert.equal(asked().from, 'f-0');
});

test('a gap without a place, amid what was missed, leaves it where it is', () => {
  const { client, sockets, hears } = connected({ last_event_id: 'e-7' });
  const gaps = [];
  client.addEventListener('gap', ({ detail }) => gaps.push(detail));
  sockets[0].says('{"type":"gap"}');
  assert.deepEqual([gaps, client.lastEventId], [[{ from: 'e-7', to: null }], 'e-7']);
  hears('f-1');
  assert.equal(client.lastEventId, 'f-1');
});

test('an attempt that fails keeps the place', () => {
  const { sockets, clock, client, asked } = connected({ last_event_id: 'e-7' });
  for (let attempt = 0; attempt < 3; attempt += 1) {
    sockets.at(-1).closes(1006);
    clock.advanceTo(client.retryAt);
    assert.equal(asked().from, 'e-7');
  }
});

test('a pause of the user’s is a pause: connect after disconnect goes on too', () => {
  const { client, hears, sockets, welcomes, resumes, asked } = connected({ last_event_id: 'e-7' });
  hears('e-8');
  client.disconnect();
  client.connect();
  assert.equal(asked().from, 'e-8');
  sockets.at(-1).opens();
  welcomes({ last_event_id: 'e-8', resumed: true });
  assert.deepEqual(resumes, [{ resumed: true, from: 'e-8', to: 'e-8' }]);
});

test('a place can be given in the address', () => {
  const { client, asked } = surroundings({ url: `${URL_OF_SERVER}?last_event_id=e-5&token=t` });
  client.connect();
  assert.deepEqual(asked(), { topics: ['notifications'], from: 'e-5' });
});

test('a publication is heard once, however often it is brought', () => {
  const { client, hears, heard, reconnects, welcomes } = connected({ last_event_id: 'e-7' });
  hears('e-8', 'e-9');
  reconnects();
  welcomes({ last_event_id: 'e-10', resumed: true });
  hears('e-8', 'e-9', 'e-10');
  assert.deepEqual(heard(), ['e-8', 'e-9', 'e-10']);
  assert.equal(client.lastEventId, 'e-10');
});

test('the ids remembered are bounded', () => {
  const { hears, heard } = connected();
  hears('first');
  for (let number = 1; number < 1000; number += 1) hears(`e-${number}`);
  hears('first');
  assert.equal(heard().length, 1000);
  hears('e-1000', 'first');
  assert.deepEqual(heard().slice(-2), ['e-1000', 'first']);
});

test('what a replaced socket still brings is left to the replay of the new one', () => {
  const { client, sockets, heard, hears, welcomes, asked } = connected({ last_event_id: 'e-7' });
  client.disconnect();
  client.connect();
  sockets[0].says(publication('e-9'));
  assert.deepEqual([heard(), asked().from], [[], 'e-7']);
  sockets[1].opens();
  welcomes({ last_event_id: 'e-9', resumed: true });
  hears('e-8', 'e-9');
  assert.deepEqual(heard(), ['e-8', 'e-9']);
});

test('publications without an id are heard and move nothing', () => {
  const { client, sockets, heard } = connected({ last_event_id: 'e-7' });
  for (let count = 0; count < 3; count += 1) sockets[0].says(publication(undefined));
  assert.deepEqual([heard().length, client.lastEventId], [3, 'e-7']);
});

test('what is no publication moves the place by its last_event_id alone', () => {
  const { client, sockets } = connected({ last_event_id: 'e-7' });
  sockets[0].says(JSON.stringify({ type: 'published', id: 'e-9' }));
  assert.equal(client.lastEventId, 'e-7');
});

test('the place that an echo or a hint names is the new one, so that it does not grow old while the topics are quiet', () => {
  for (const said of [{ type: 'echo', message: 'Server received: ' }, { type: 'echo', message: 'hi' }, { type: 'reconnect', after_ms: 9 }]) {
    const { client, sockets, asked, reconnects } = connected({ last_event_id: 'e-7' });
    sockets[0].says(JSON.stringify(said));
    assert.equal(client.lastEventId, 'e-7', 'while what was missed still comes there is none');
    sockets[0].says(JSON.stringify({ ...said, last_event_id: 'e-9' }));
    reconnects();
    assert.deepEqual([client.lastEventId, asked().from], ['e-9', 'e-9']);
  }
});

test('a client that read too slowly comes back at once, but not again and again', () => {
  const { client, sockets, clock, asked } = connected({ last_event_id: 'e-7' });
  sockets[0].closes(4001);
  assert.equal(client.retryAt, clock.now);
  clock.advance(0);
  assert.equal(asked().from, 'e-7');
  sockets[1].opens();
  sockets[1].closes(4001);
  assert.equal(client.retryAt - clock.now, 500);
});

// The topics

test('the topics of the address are the first, and all else in it is kept', () => {
  const { client, sockets } = surroundings({ url: `${URL_OF_SERVER}?topic=a&token=t%26u&topic=orders%2F*&topic=a` });
  assert.deepEqual(client.topics, ['a', 'orders/*']);
  client.connect();
  const { searchParams } = new URL(sockets[0].url);
  assert.deepEqual([...searchParams], [['token', 't&u'], ['topic', 'a'], ['topic', 'orders/*']]);
});

test('an address without topics means the default one, to which others are added', () => {
  const { client, asked } = surroundings();
  client.subscribe('orders');
  assert.deepEqual(client.topics, ['notifications', 'orders']);
  client.connect();
  assert.deepEqual(asked().topics, ['notifications', 'orders']);
});

test('a change while connected is a command now, and holds on the next connection', () => {
  const { client, sockets, reconnects, asked } = connected();
  client.subscribe('orders');
  client.unsubscribe('notifications');
  assert.deepEqual(commands(sockets[0]), ['subscribe orders', 'unsubscribe notifications']);
  reconnects();
  assert.deepEqual([asked().topics, commands(sockets[1])], [['orders'], []]);
});

test('a change while away waits for the next connection', () => {
  const { client, sockets, asked } = connected();
  client.disconnect();
  client.subscribe('orders');
  client.unsubscribe('notifications');
  client.connect();
  assert.deepEqual(asked().topics, ['orders']);
  sockets[1].opens();
  assert.deepEqual([commands(sockets[0]), commands(sockets[1])], [[], []]);
});

test('a change during the handshake is a command behind the welcome, before any listener hears of it', () => {
  const { client, sockets } = surroundings();
  client.addEventListener('statechange', ({ detail }) => detail.state === 'open' && client.unsubscribe('late'));
  client.connect();
  client.subscribe('late');
  client.unsubscribe('notifications');
  sockets[0].opens(WELCOME);
  assert.deepEqual(commands(sockets[0]), ['subscribe late', 'unsubscribe notifications', 'unsubscribe late']);
});

test('whoever listens to nothing is kept from the default topic', () => {
  const { client, sockets, hears, heard, reconnects, welcomes, resumes, asked } = connected({ last_event_id: 'e-7' });
  client.unsubscribe('notifications');
  reconnects();
  assert.deepEqual(asked(), { topics: ['notifications'], from: null }, 'an address cannot name no topic');
  welcomes({ topics: ['notifications'], last_event_id: 'e-9' });
  assert.deepEqual(commands(sockets[1]), ['unsubscribe notifications']);
  hears('e-10');
  assert.deepEqual([heard(), resumes, client.topics, client.lastEventId], [[], [], [], 'e-9']);
  client.subscribe('orders');
  hears('e-11');
  assert.deepEqual(heard(), ['e-11']);
});

test('a topic that the welcome does not grant, as an error behind it says, is not asked for again', () => {
  const { client, sockets, reconnects, welcomes, asked } = surroundings({ url: `${URL_OF_SERVER}?topic=good&topic=b%20d` });
  client.connect();
  reconnects();
  assert.deepEqual(asked().topics, ['good', 'b d'], 'nobody has refused it yet');
  welcomes({ topics: ['good'] });
  client.subscribe('added');
  sockets.at(-1).says('{"type":"error","code":"bad_topic","command":"subscribe","topic":"b d","message":"no"}');
  assert.deepEqual(client.topics, ['good', 'added']);
  reconnects();
  assert.deepEqual(asked().topics, ['good', 'added']);
});

test('a welcome that does not name the topics takes none away', () => {
  for (const topics of [undefined, 'notifications', null]) {
    const { client, welcomes } = connected();
    welcomes({ topics });
    assert.deepEqual(client.topics, ['notifications']);
  }
});

test('the list of topics that is handed out is a copy', () => {
  const { client } = surroundings();
  client.topics.push('more');
  assert.deepEqual(client.topics, ['notifications']);
});
