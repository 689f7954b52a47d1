// How static/slackwater.js moves from a server that leaves to another without a gap, told by fake sockets: when, what is
// heard of which connection, and what holds on the new one. What becomes of a move that fails is in staying.test.mjs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HINT, SLOT_MS, commands, connected, hint, moving, publication, welcome } from './fakes.mjs';

// When

test('at the hinted time, and not before, a second connection is opened from the place of that moment', () => {
  const { client, sockets, clock, hears, asked } = connected({ last_event_id: 'e-7' });
  sockets[0].says(hint(HINT));
  hears('e-8');
  clock.advance(SLOT_MS - 1);
  assert.equal(sockets.length, 1);
  clock.advance(1);
  assert.deepEqual(asked(), { topics: ['notifications'], from: 'e-8' });
  assert.deepEqual([sockets.length, sockets[0].closedWith, client.state], [2, null, 'open']);
});

test('a hint is handed on like any message, and right behind it comes when the client will move', () => {
  const { client, sockets, clock, messages, moves } = connected();
  client.addEventListener('message', () => assert.deepEqual(moves, []));
  sockets[0].says(hint(HINT));
  assert.deepEqual(messages.at(-1), { message: JSON.parse(hint(HINT)), raw: hint(HINT) });
  assert.deepEqual([moves, client.movesAt - clock.now], [[{ inMs: SLOT_MS, failures: 0 }], SLOT_MS]);
  clock.advance(SLOT_MS);
  assert.equal(client.movesAt, null);
});

test('a time of nothing is at once', () => {
  const { sockets, clock } = connected();
  sockets[0].says(hint({ after_ms: 0 }));
  clock.advance(0);
  assert.equal(sockets.length, 2);
});

test('a second hint replaces the time of the first', () => {
  for (const [first, second] of [[1_000, 5_000], [5_000, 1_000]]) {
    const { client, sockets, clock } = connected();
    sockets[0].says(hint({ after_ms: first }));
    sockets[0].says(hint({ after_ms: second }));
    assert.equal(client.movesAt - clock.now, second);
    clock.advance(second - 1);
    assert.equal(sockets.length, 1);
    clock.advance(10_000 - second);
    assert.equal(sockets.length, 2);
  }
});

test('a hint that names no time is followed within half a minute, at no certain moment', () => {
  for (const times of [{}, { after_ms: 'soon' }, { after_ms: {} }, { after_ms: -1 }]) {
    const { client, sockets, clock } = connected({}, { dice: 0.5 });
    sockets[0].says(hint(times));
    assert.equal(client.movesAt - clock.now, 15_000);
  }
});

test('a second hint while the successor is opening starts over', () => {
  const { sockets, clock, messages } = moving();
  sockets[0].says(hint({ after_ms: 5_000 }));
  assert.equal(sockets[1].closedWith, 1000);
  sockets[1].says(welcome({ resumed: true }));
  assert.equal(messages.at(-1).message.type, 'reconnect', 'the abandoned one is not heard');
  clock.advance(5_000);
  assert.equal(sockets.length, 3);
});

test('a successor that leaves as well is left in the same way', () => {
  const { client, sockets, clock, states, heard, moves, asked } = moved();
  clock.advance(60_000);
  sockets[1].says(publication('e-9'));
  sockets[1].says(hint({ after_ms: 2_000 }));
  clock.advance(2_000);
  assert.deepEqual([asked().from, sockets[1].closedWith], ['e-9', null]);
  sockets[2].opens();
  sockets[2].says(welcome({ resumed: true, last_event_id: 'e-9' }));
  sockets[2].says(publication('e-10'));
  clock.advance(0);
  assert.deepEqual([sockets[1].closedWith, heard().slice(-2), states], [1000, ['e-9', 'e-10'], ['connecting', 'open']]);
  assert.deepEqual(moves.slice(1), ['moved', { inMs: 2_000, failures: 0 }, 'moved']);
  assert.equal(client.send('to the third') && sockets[2].sent[0], 'to the third');
});

test('servers that each ask a new connection to leave at once are not hammered', () => {
  const { client, sockets, clock } = connected({}, { dice: 0.5 });
  const waits = [];
  for (let move = 0; move < 7; move += 1) {
    sockets.at(-1).says(hint({ after_ms: 0 }));
    waits.push(client.movesAt - clock.now);
    clock.advanceTo(client.movesAt);
    sockets.at(-1).opens();
    sockets.at(-1).says(welcome({ resumed: true }));
  }
  assert.deepEqual(waits, [0, 500, 1_000, 2_000, 4_000, 8_000, 0], 'the last but one lasted');
});

test('disconnect in the listener of a hint is obeyed', () => {
  const { client, sockets, clock, moves } = connected();
  client.addEventListener('message', () => client.disconnect());
  sockets[0].says(hint(HINT));
  clock.advance(3_600_000);
  assert.deepEqual([client.state, client.movesAt, sockets.length, moves, clock.pending], ['idle', null, 1, [], 0]);
});

// What is heard

test('over a whole move the state stays open and no ending is told', () => {
  const { sockets, clock, states, closes } = moved();
  clock.advance(0);
  assert.equal(sockets[0].closedWith, 1000);
  for (const code of [1000, 1008, 1012]) sockets[0].closes(code);
  assert.deepEqual([states, closes], [['connecting', 'open'], []]);
});

test('the old connection is heard until the new welcome, and what the new one repeats is not heard again', () => {
  const { sockets, heard } = moving();
  sockets[0].says(publication('e-8'));
  sockets[1].opens();
  sockets[0].says(publication('e-9'));
  sockets[1].says(welcome({ resumed: true, last_event_id: 'e-10' }));
  for (const id of ['e-8', 'e-9', 'e-10', 'e-11']) sockets[1].says(publication(id));
  assert.deepEqual(heard(), ['e-8', 'e-9', 'e-10', 'e-11']);
});

test('after the new welcome the publications of the old connection are left to the new one, in their order', () => {
  const { client, sockets, heard } = moving();
  client.send('keeps the old connection for its echo');
  sockets[1].opens();
  sockets[1].says(welcome({ resumed: true, last_event_id: 'e-9' }));
  sockets[0].says(publication('e-9'));
  for (const id of ['e-8', 'e-9']) sockets[1].says(publication(id));
  assert.deepEqual([heard(), client.lastEventId], [['e-8', 'e-9'], 'e-9']);
});

test('nothing that the successor says before its welcome is heard', () => {
  const { sockets, heard, messages } = moving();
  sockets[1].opens();
  for (const raw of [publication('e-9'), hint(HINT), 'text']) sockets[1].says(raw);
  assert.deepEqual([heard(), messages.length], [[], 2]);
});

test('the move is told before the new welcome, and the answer to the resume behind it', () => {
  const { client, sockets, resumes } = moving();
  const order = [];
  for (const type of ['moved', 'resume']) client.addEventListener(type, () => order.push(type));
  client.addEventListener('message', ({ detail }) => order.push(detail.message.type));
  sockets[0].says(publication('e-8'));
  sockets[1].opens();
  sockets[1].says(welcome({ resumed: true, last_event_id: 'e-9' }));
  assert.deepEqual(order, ['notification', 'moved', 'welcome', 'resume']);
  assert.deepEqual(resumes, [{ resumed: true, from: 'e-8', to: 'e-9' }], 'from the last one heard, on whichever connection');
});

test('however much is heard while the successor opens, it is heard once, and then forgotten', () => {
  const { sockets, heard } = moving();
  const ids = Array.from({ length: 5_000 }, (_, number) => `e-${number}`);
  for (const id of ids) sockets[0].says(publication(id));
  sockets[1].opens();
  sockets[1].says(welcome({ resumed: true }));
  for (const id of [...ids, 'new']) sockets[1].says(publication(id));
  assert.equal(heard().length, 5_001);
  sockets[1].says(publication('e-4001'));
  assert.equal(heard().length, 5_001);
  sockets[1].says(publication('e-4000'));
  assert.equal(heard().length, 5_002, 'a thousand ids are remembered');
});

test('the old connection is closed at once when no publication of the user’s waits for its answer there', () => {
  const { client, sockets, clock } = moving();
  client.send('whose answer is an event alone');
  sockets[1].opens(welcome({ resumed: true }));
  clock.advance(0);
  assert.deepEqual([sockets[0].closedWith, clock.pending], [1000, 1], 'the one timer notices silence');
});

test('the answer to a publication is awaited on the old connection, for two seconds', async () => {
  const { client, sockets, clock } = moving();
  const [answered, late] = [client.publish('orders', 1), client.publish('orders', 2)];
  const [{ ref }] = sockets[0].sent.map((text) => JSON.parse(text));
  sockets[1].opens(welcome({ resumed: true }));
  sockets[0].says(JSON.stringify({ type: 'published', id: 'e-9', ref }));
  assert.equal(await answered, 'e-9');
  clock.advance(1_999);
  assert.equal(sockets[0].closedWith, null);
  clock.advance(1);
  assert.equal(sockets[0].closedWith, 1000);
  await assert.rejects(late, { code: 'unanswered' });
});

test('nothing that the old connection says behind the new welcome is heard', () => {
  const { client, sockets, messages, heard } = moving();
  client.publish('orders', 1).catch(() => {});
  sockets[1].opens(welcome({ resumed: false, last_event_id: 'f-3' }));
  for (const raw of [hint({ after_ms: 0 }), publication('e-8'), '{"type":"gap","last_event_id":"e-9"}', 'text']) sockets[0].says(raw);
  assert.deepEqual([client.movesAt, client.lastEventId, heard(), messages.at(-1).message.type], [null, 'f-3', [], 'welcome']);
});

test('a successor that does not know the place takes over all the same, and the gap is told', () => {
  const { client, sockets, resumes, heard, asked, reconnects } = moving();
  sockets[1].opens();
  sockets[1].says(welcome({ resumed: false, last_event_id: 'f-3' }));
  sockets[1].says(publication('f-4'));
  assert.deepEqual(resumes, [{ resumed: false, from: 'e-7', to: 'f-3' }]);
  assert.deepEqual([client.state, client.lastEventId, heard()], ['open', 'f-4', ['f-4']]);
  reconnects();
  assert.equal(asked().from, 'f-4');
});

// What holds on the new connection

test('what is sent goes to the old connection until the move, and to the new one from then on', () => {
  const { client, sockets } = moving();
  sockets[1].opens();
  client.addEventListener('moved', () => client.send('in the listener'));
  client.send('before');
  sockets[1].says(welcome({ resumed: true }));
  client.send('after');
  assert.deepEqual([sockets[0].sent, sockets[1].sent], [['before'], ['in the listener', 'after']]);
});

test('connect during a move does nothing', () => {
  const { client, sockets, states } = connected();
  sockets[0].says(hint({ after_ms: 0 }));
  client.connect();
  assert.equal(sockets.length, 1);
  sockets[0].says(hint({ after_ms: 0 }));
  client.connect();
  assert.deepEqual([sockets.length, client.movesAt === null, states], [1, false, ['connecting', 'open']]);
});

test('a topic subscribed to during the move is asked of the successor from the start, or it would miss some', () => {
  const { client, sockets, asked, heard, moves } = moving();
  client.subscribe('orders');
  client.unsubscribe('notifications');
  assert.deepEqual(commands(sockets[0]), ['subscribe orders', 'unsubscribe notifications']);
  sockets[0].says('{"type":"subscribed","topic":"orders"}');
  sockets[1].opens();
  sockets[0].says(publication('e-8'));
  sockets[1].says(welcome({ resumed: true, topics: ['notifications'] }));
  assert.deepEqual([sockets[1].closedWith, sockets.length, asked()], [1000, 3, { topics: ['orders'], from: 'e-8' }]);
  sockets[0].says(publication('e-9'));
  sockets[2].opens();
  sockets[2].says(welcome({ resumed: true, topics: ['orders'] }));
  for (const id of ['e-9', 'e-10']) sockets[2].says(publication(id));
  assert.deepEqual([heard(), client.topics], [['e-8', 'e-9', 'e-10'], ['orders']]);
  assert.deepEqual([commands(sockets[2]), moves.at(-1)], [[], 'moved']);
});

test('topics that change faster than a welcome comes cost one more attempt, and the gap that this may leave is told', () => {
  const { client, sockets, clock, hears, resumes, moves } = moving();
  const subscribes = (topic) => {
    client.subscribe(topic);
    sockets[0].says(JSON.stringify({ type: 'subscribed', topic }));
  };
  subscribes('one');
  sockets[1].opens(welcome({ resumed: true, topics: ['notifications'], last_event_id: 'e-9' }));
  subscribes('two');
  sockets[2].opens(welcome({ resumed: true, topics: ['notifications', 'one'], last_event_id: 'e-9' }));
  clock.advance(0);
  assert.deepEqual([sockets.length, commands(sockets[2]), moves.at(-1)], [3, ['subscribe two'], 'moved']);
  assert.deepEqual([resumes, client.lastEventId], [[{ resumed: false, from: 'e-7', to: 'e-9' }], 'e-9']);
  hears('e-10');
  assert.equal(client.lastEventId, 'e-10');
});

test('a topic that is given up during the move, or not yet granted, needs no second attempt', () => {
  const { client, sockets, resumes } = moving();
  client.subscribe('orders');
  client.unsubscribe('notifications');
  sockets[1].opens(welcome({ resumed: true, topics: ['notifications'], last_event_id: 'e-9' }));
  assert.deepEqual([sockets.length, commands(sockets[1])], [2, ['subscribe orders', 'unsubscribe notifications']]);
  assert.deepEqual(resumes.map(({ resumed }) => resumed), [true]);
});

test('topics changed before the hinted time, or changed and changed back, need no second attempt', () => {
  const { client, sockets, clock, asked } = connected();
  sockets[0].says(hint(HINT));
  client.subscribe('orders');
  clock.advance(SLOT_MS);
  assert.deepEqual(asked().topics, ['notifications', 'orders']);
  client.unsubscribe('orders');
  client.subscribe('orders');
  sockets[1].opens();
  sockets[1].says(welcome({ resumed: true }));
  assert.deepEqual([sockets.length, commands(sockets[1])], [2, []]);
});

test('whoever listens to nothing moves, too, and is kept from the default topic', () => {
  const { client, sockets, clock, asked, resumes, heard, moves } = connected({ last_event_id: 'e-7' });
  client.unsubscribe('notifications');
  sockets[0].says(hint(HINT));
  clock.advance(SLOT_MS);
  assert.deepEqual(asked(), { topics: ['notifications'], from: null });
  sockets[1].opens();
  sockets[1].says(welcome({ resumed: false, topics: ['notifications'], last_event_id: 'e-9' }));
  sockets[1].says(publication('e-10'));
  assert.deepEqual(commands(sockets[1]), ['unsubscribe notifications']);
  assert.deepEqual([heard(), resumes, moves.at(-1), client.lastEventId], [[], [], 'moved', 'e-9']);
});

test('disconnect closes the old connection and the opening one', () => {
  const { client, sockets, clock, closes } = moving();
  client.disconnect();
  sockets[0].closes(1000);
  sockets[1].closes(1006);
  clock.advance(3_600_000);
  assert.deepEqual(sockets.map(({ closedWith }) => closedWith), [1000, 1000]);
  assert.deepEqual([client.state, closes, clock.pending], ['idle', [], 0]);
});

test('disconnect in a listener of the move closes both connections, and is obeyed', () => {
  for (const type of ['moved', 'resume']) {
    const { client, sockets, clock, states, messages } = moving();
    client.addEventListener(type, () => client.disconnect());
    sockets[1].opens(welcome({ resumed: false }));
    clock.advance(0);
    assert.deepEqual(sockets.map(({ closedWith }) => closedWith), [1000, 1000]);
    assert.deepEqual([states.at(-1), clock.pending], ['idle', 0]);
    assert.equal(messages.at(-1).message.type, type === 'moved' ? 'reconnect' : 'welcome');
  }
});

/** A client that has just moved. */
function moved() {
  const all = moving();
  all.sockets[1].opens();
  all.sockets[1].says(welcome({ resumed: true, last_event_id: 'e-7' }));
  return all;
}
