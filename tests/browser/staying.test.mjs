// What static/slackwater.js does when a move fails, told by fake sockets: while no successor answers the old connection stays,
// and when it ends, the reconnect that follows is one and not two.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HINT, SLOT_MS, commands, connected, hint, moving, publication, surroundings, welcome } from './fakes.mjs';

// No successor

test('while no successor answers the old connection stays, and the attempts follow with the usual back-off', () => {
  const { client, sockets, clock, states, closes, heard, moves } = moving();
  for (let attempt = 1; attempt <= 8; attempt += 1) {
    sockets.at(-1).closes(1006);
    sockets[0].says(publication(`e-${attempt}`));
    assert.equal(client.send(`attempt ${attempt}`), true);
    clock.advanceTo(client.movesAt);
  }
  assert.deepEqual(moves.map(({ inMs }) => inMs), [SLOT_MS, 250, 500, 1_000, 2_000, 4_000, 8_000, 15_000, 15_000]);
  assert.deepEqual(moves.map(({ failures }) => failures), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual([states, closes, heard().length, sockets[0].sent.length], [['connecting', 'open'], [], 8, 8]);
  assert.deepEqual([sockets.length, sockets[0].closedWith], [10, null]);
});

test('an attempt that succeeds at last is the move, from the place of its own beginning', () => {
  const { client, sockets, clock, asked, heard, moves } = moving();
  sockets[1].closes(1006);
  sockets[0].says(publication('e-8'));
  clock.advanceTo(client.movesAt);
  assert.equal(asked().from, 'e-8');
  sockets[2].opens();
  sockets[2].says(welcome({ resumed: true }));
  sockets[2].says(publication('e-9'));
  clock.advance(0);
  assert.deepEqual([heard(), moves.at(-1), sockets[0].closedWith], [['e-8', 'e-9'], 'moved', 1000]);
});

test('a successor without a welcome is given up after ten seconds, whether its handshake was done or not', () => {
  for (const opens of [false, true]) {
    const { client, sockets, clock, moves, messages } = moving();
    if (opens) sockets[1].opens();
    clock.advance(9_999);
    assert.equal(sockets[1].closedWith, null);
    clock.advance(1);
    assert.notEqual(sockets[1].closedWith, null);
    assert.deepEqual([moves.at(-1), client.state], [{ inMs: 250, failures: 1 }, 'open']);
    sockets[1].says(welcome({ resumed: true }));
    sockets[1].closes(1006);
    assert.deepEqual([moves.length, messages.at(-1).message.type], [2, 'reconnect'], 'it goes unheard');
  }
});

test('a successor that ends before its welcome has failed', () => {
  const { sockets, moves } = moving();
  sockets[1].opens();
  sockets[1].closes(1012);
  assert.deepEqual(moves.at(-1), { inMs: 250, failures: 1 });
});

test('a successor that is overloaded or broken is given more time', () => {
  for (const code of [1011, 1013]) {
    const { sockets, moves } = moving();
    sockets[1].opens();
    sockets[1].closes(code);
    assert.deepEqual(moves.at(-1), { inMs: 4_000, failures: 5 });
  }
});

test('a successor that says not to come back is not tried again, and the old connection stays', () => {
  for (const code of [1002, 1003, 1007, 1008, 1009, 4500, 4999]) {
    const { client, sockets, clock, closes } = moving();
    sockets[1].opens();
    sockets[1].closes(code);
    clock.advance(3_600_000);
    assert.deepEqual([client.state, client.movesAt, sockets.length, closes, clock.pending], ['open', null, 2, [], 1]);
    assert.equal(sockets[0].closedWith, null);
  }
});

test('a hint while attempts fail starts over', () => {
  const { client, sockets, clock, moves } = moving();
  sockets[1].closes(1006);
  sockets[0].says(hint({ after_ms: 3_000 }));
  assert.deepEqual(moves.at(-1), { inMs: 3_000, failures: 0 });
  clock.advanceTo(client.movesAt);
  assert.equal(sockets.length, 3);
});

// The old connection ends

test('when the old connection ends before the hinted time, the reconnect is the usual one and the move is forgotten', () => {
  const { client, sockets, clock, closes } = connected();
  clock.advance(60_000);
  sockets[0].says(hint(HINT));
  sockets[0].closes(1012, 'restart');
  const { state, retryAt, movesAt } = client;
  assert.deepEqual([state, retryAt - clock.now, movesAt], ['waiting', 250, null]);
  assert.deepEqual(closes, [{ code: 1012, reason: 'restart', wasOpen: true, willRetry: true, retryAt }]);
  clock.advanceTo(retryAt);
  sockets[1].opens();
  sockets[1].says(welcome({}));
  clock.advance(60_000);
  assert.equal(sockets.length, 2);
});

test('when the old connection ends between two attempts, the reconnect starts afresh', () => {
  const { client, sockets, clock } = moving();
  for (let attempt = 0; attempt < 5; attempt += 1) {
    sockets.at(-1).closes(1006);
    clock.advanceTo(client.movesAt);
  }
  sockets.at(-1).closes(1006);
  sockets[0].closes(1012);
  assert.deepEqual([client.state, client.retryAt - clock.now, clock.pending], ['waiting', 250, 1]);
});

test('when the old connection ends while the successor is opening, that is the attempt', () => {
  const { client, sockets, clock, states, closes, resumes, heard, moves } = moving();
  sockets[0].says(publication('e-8'));
  sockets[0].closes(1012, 'time is up');
  assert.deepEqual([client.state, client.retryAt], ['connecting', null]);
  assert.deepEqual(closes, [{ code: 1012, reason: 'time is up', wasOpen: true, willRetry: true, retryAt: null }]);
  sockets[1].opens();
  sockets[1].says(welcome({ resumed: true, last_event_id: 'e-9' }));
  for (const id of ['e-8', 'e-9']) sockets[1].says(publication(id));
  assert.deepEqual([heard(), resumes], [['e-8', 'e-9'], [{ resumed: true, from: 'e-8', to: 'e-9' }]]);
  clock.advance(3_600_000);
  assert.deepEqual([states, sockets.length], [['connecting', 'open', 'connecting', 'open'], 2]);
  assert.equal(moves.includes('moved'), false, 'it was an ending, and told as one');
});

test('a successor whose handshake is done when the old connection ends is open with its welcome', () => {
  const { client, sockets, clock } = moving();
  const order = [];
  client.addEventListener('statechange', ({ detail }) => order.push(detail.state));
  client.addEventListener('close', () => order.push('close'));
  sockets[1].opens();
  sockets[0].closes(1006);
  sockets[1].says(welcome({ resumed: true }));
  assert.deepEqual(order, ['connecting', 'close', 'open']);
  assert.equal(client.send('to the successor') && sockets[1].sent[0], 'to the successor');
  assert.equal(clock.pending, 1);
});

test('the attempt that was a successor is given up ten seconds after its own beginning', () => {
  const { client, sockets, clock, closes } = moving();
  clock.advance(6_000);
  sockets[0].closes(1012);
  clock.advance(3_999);
  assert.equal(client.state, 'connecting');
  clock.advance(1);
  assert.deepEqual([client.state, sockets.length, closes.length], ['waiting', 2, 2]);
  assert.equal(client.retryAt - clock.now, 250, 'the connection before it lasted');
});

test('when the old connection ends with a code that stops, the successor is closed, too', () => {
  const { client, sockets, clock } = moving();
  sockets[0].closes(1008);
  clock.advance(3_600_000);
  assert.deepEqual([client.state, sockets[1].closedWith, sockets.length, clock.pending], ['stopped', 1000, 2, 0]);
});

test('when the old connection ends, a successor for topics of yesterday is replaced as soon as it is welcomed', () => {
  const { client, sockets, asked } = moving();
  client.subscribe('orders');
  sockets[0].says('{"type":"subscribed","topic":"orders"}');
  sockets[0].closes(1012);
  sockets[1].opens(welcome({ resumed: true }));
  assert.deepEqual([client.state, sockets[1].closedWith], ['connecting', 1000]);
  assert.deepEqual(asked(), { topics: ['notifications', 'orders'], from: 'e-7' });
  sockets[2].opens(welcome({ resumed: true }));
  assert.deepEqual([client.state, sockets.length, commands(sockets[2])], ['open', 3, []]);
});

test('disconnect in a listener of a failed attempt is obeyed', () => {
  const { client, sockets, clock, states, closes } = moving();
  client.addEventListener('moving', () => client.disconnect());
  sockets[1].closes(1006);
  clock.advance(3_600_000);
  assert.deepEqual([client.state, states.at(-1), closes, sockets.length, clock.pending], ['idle', 'idle', [], 2, 0]);
});

test('disconnect in a listener of the ending is obeyed', () => {
  for (const type of ['statechange', 'close']) {
    const { client, sockets, clock, states } = moving();
    sockets[1].opens();
    client.addEventListener(type, () => client.disconnect());
    sockets[0].closes(1012);
    clock.advance(3_600_000);
    assert.deepEqual([client.state, states.at(-1), sockets[1].closedWith, sockets.length], ['idle', 'idle', 1000, 2]);
  }
});

test('whoever leaves as soon as the wait is told hears of an ending that nothing follows', () => {
  const { client, sockets, closes } = surroundings();
  client.addEventListener('statechange', ({ detail }) => detail.state === 'waiting' && client.disconnect());
  client.connect();
  sockets[0].closes(1006);
  assert.deepEqual(closes.map(({ willRetry, retryAt }) => [willRetry, retryAt]), [[false, null]]);
});

// The new connection ends

test('a new connection that ends right after the move is followed by the usual reconnect', () => {
  const { client, sockets, clock, closes, asked } = moving();
  sockets[1].opens();
  sockets[1].says(welcome({ resumed: true, last_event_id: 'e-9' }));
  sockets[1].says(publication('e-8'));
  sockets[1].closes(1006);
  assert.deepEqual([client.state, closes.length], ['waiting', 1]);
  assert.equal(client.retryAt - clock.now, 250, 'the connection before it lasted');
  clock.advanceTo(client.retryAt);
  assert.equal(asked().from, 'e-8');
});

test('an old connection that ends while it lingers is no ending', () => {
  const { client, sockets, clock, closes } = moving();
  sockets[1].opens();
  sockets[1].says(welcome({ resumed: false }));
  sockets[0].closes(1012);
  assert.deepEqual([client.state, closes, clock.pending], ['open', [], 1]);
});

test('failures from before the first connection are forgotten when it has lasted until the move', () => {
  const { client, sockets, clock } = connected({}, { failures: 6 });
  clock.advance(5_000);
  sockets.at(-1).says(hint({ after_ms: 0 }));
  assert.equal(client.movesAt, clock.now);
  clock.advance(0);
  sockets.at(-1).opens();
  sockets.at(-1).says(welcome({ resumed: true }));
  sockets.at(-1).closes(1006);
  assert.equal(client.retryAt - clock.now, 250);
});
