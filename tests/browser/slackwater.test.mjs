// What static/slackwater.js decides, told by a fake socket, a fake clock and chosen dice. Nothing here waits or connects.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Slackwater, URL_OF_SERVER, WELCOME, fakeSocketsInto, surroundings } from './fakes.mjs';

test('a new client is idle and opens nothing', () => {
  const { client, sockets } = surroundings();
  assert.deepEqual([client.state, client.retryAt, sockets.length], ['idle', null, 0]);
});

test('connect opens one socket, and only one however often it is called', () => {
  const { client, sockets, states } = surroundings();
  client.connect();
  client.connect();
  sockets[0].opens(WELCOME);
  client.connect();
  assert.deepEqual(sockets.map(({ url }) => url), [`${URL_OF_SERVER}?topic=notifications`]);
  assert.deepEqual(states, ['connecting', 'open']);
});

test('the address follows the page: its scheme, its host, the path /ws', (t) => {
  t.after(() => delete globalThis.location);
  for (const [page, address] of [
    ['https://notes.example:8443/some/page?x=1', 'wss://notes.example:8443/ws?topic=notifications'],
    ['http://127.0.0.1:8000/', 'ws://127.0.0.1:8000/ws?topic=notifications'],
  ]) {
    globalThis.location = { href: page };
    const { client, sockets } = surroundings({ page });
    client.connect();
    assert.equal(sockets[0].url, address);
  }
});

test('an address that is none is refused at once', () => {
  assert.throws(() => new Slackwater('http://'), TypeError);
});

test('the delay is drawn between nothing and a ceiling that doubles from 0.5 s to 30 s', () => {
  for (const dice of [0, 0.25, 0.999]) {
    const { client, sockets, clock } = surroundings({ dice });
    client.connect();
    const delays = [];
    for (let attempt = 0; attempt < 9; attempt += 1) {
      sockets.at(-1).closes(1006);
      delays.push(client.retryAt - clock.now);
      clock.advanceTo(client.retryAt);
    }
    assert.deepEqual(delays, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000].map((most) => most * dice));
  }
});

test('the delay stays finite after any number of failures', () => {
  const { client, sockets, clock } = surroundings({ dice: 0.5 });
  client.connect();
  for (let attempt = 0; attempt < 1100; attempt += 1) {
    sockets.at(-1).closes(1006);
    clock.advanceTo(client.retryAt);
  }
  assert.equal(client.state, 'connecting');
  sockets.at(-1).closes(1006);
  assert.equal(client.retryAt - clock.now, 15_000);
});

test('a connection that lived on after its welcome starts the back-off afresh', () => {
  const { client, sockets, clock } = surroundings({ dice: 0.5, failures: 3 });
  sockets.at(-1).opens();
  sockets.at(-1).says(WELCOME);
  clock.advance(5_000);
  sockets.at(-1).closes(1012);
  assert.equal(client.retryAt - clock.now, 250);
});

test('a connection that opens and ends again goes on with the back-off', () => {
  for (const words of [[], [WELCOME]]) {
    const { client, sockets, clock } = surroundings({ dice: 0.5, failures: 3 });
    sockets.at(-1).opens(...words);
    clock.advance(4_999);
    sockets.at(-1).closes(1006);
    assert.equal(client.retryAt - clock.now, 2_000);
  }
});

test('a server that is overloaded or broken is given more time', () => {
  for (const code of [1011, 1013]) {
    const { client, sockets, clock } = surroundings({ dice: 0.5 });
    client.connect();
    sockets[0].opens();
    sockets[0].closes(code);
    assert.equal(client.retryAt - clock.now, 4_000);
  }
});

test('codes that name a bug or a policy stop the client', () => {
  for (const code of [1002, 1003, 1007, 1008, 1009, 4500, 4999]) {
    const { client, sockets, clock, closes } = surroundings();
    client.connect();
    sockets[0].opens(WELCOME);
    sockets[0].closes(code, 'no');
    clock.advance(3_600_000);
    assert.deepEqual([client.state, client.retryAt, sockets.length, clock.pending], ['stopped', null, 1, 0]);
    assert.deepEqual(closes, [{ code, reason: 'no', wasOpen: true, willRetry: false, retryAt: null }]);
  }
});

test('every other code reconnects', () => {
  for (const code of [1000, 1001, 1005, 1006, 1011, 1012, 1013, 4001, 4003, 4099, 4499]) {
    const { client, sockets, clock, closes } = surroundings();
    client.connect();
    sockets[0].opens(WELCOME);
    sockets[0].closes(code, 'later');
    const { state, retryAt } = client;
    assert.deepEqual([state, closes], ['waiting', [{ code, reason: 'later', wasOpen: true, willRetry: true, retryAt }]]);
    clock.advanceTo(retryAt);
    assert.deepEqual([client.state, client.retryAt, sockets.length], ['connecting', null, 2]);
  }
});

test('a stopped client connects again when told to', () => {
  const { client, sockets } = surroundings();
  client.connect();
  sockets[0].closes(1008);
  client.connect();
  assert.deepEqual([client.state, sockets.length], ['connecting', 2]);
});

test('disconnect closes with 1000, is idle at once and never comes back by itself', () => {
  const { client, sockets, clock, closes } = surroundings();
  client.connect();
  sockets[0].opens();
  client.disconnect();
  assert.deepEqual([client.state, sockets[0].closedWith], ['idle', 1000]);
  sockets[0].closes(1000);
  clock.advance(3_600_000);
  assert.deepEqual([client.state, sockets.length, closes, clock.pending], ['idle', 1, [], 0]);
});

test('disconnect ends a handshake and a wait alike', () => {
  const { client, sockets, clock, network } = surroundings();
  client.connect();
  client.disconnect();
  assert.equal(sockets[0].closedWith, 1000);

  client.connect();
  sockets[1].closes(1006);
  client.disconnect();
  network.dispatchEvent(new Event('online'));
  clock.advance(3_600_000);
  assert.deepEqual([client.state, client.retryAt, sockets.length], ['idle', null, 2]);
});

test('disconnect in the listener of a close is obeyed', () => {
  const { client, sockets, clock } = surroundings();
  client.addEventListener('close', () => client.disconnect());
  client.connect();
  sockets[0].closes(1006);
  clock.advance(3_600_000);
  assert.deepEqual([client.state, sockets.length], ['idle', 1]);
});

test('connect cuts a wait short and keeps the back-off', () => {
  const { client, sockets, clock } = surroundings({ dice: 0.5 });
  client.connect();
  sockets[0].closes(1006);
  client.connect();
  assert.deepEqual([client.state, sockets.length], ['connecting', 2]);
  clock.advance(400);
  assert.equal(sockets.length, 2, 'the timer of the wait is gone');
  sockets[1].closes(1006);
  assert.equal(client.retryAt - clock.now, 500);
});

test('connect after disconnect starts the back-off afresh', () => {
  const { client, sockets, clock } = surroundings({ dice: 0.5, failures: 5 });
  client.disconnect();
  client.connect();
  sockets.at(-1).closes(1006);
  assert.equal(client.retryAt - clock.now, 250);
});

test('the network coming back ends a wait, and does nothing in any other state', () => {
  const { client, sockets, network } = surroundings({ dice: 0.9 });
  const comesBack = () => network.dispatchEvent(new Event('online'));
  comesBack();
  assert.equal(client.state, 'idle');
  client.connect();
  comesBack();
  sockets[0].opens(WELCOME);
  comesBack();
  assert.equal(sockets.length, 1);
  sockets[0].closes(1006);
  comesBack();
  assert.deepEqual([client.state, sockets.length], ['connecting', 2]);
});

test('a server that does not welcome within ten seconds is given up and tried again, whether it answers the handshake or not', () => {
  for (const opens of [false, true]) {
    const { client, sockets, clock, closes, messages } = surroundings();
    client.connect();
    if (opens) sockets[0].opens('{"type":"echo"}');
    clock.advance(9_999);
    assert.deepEqual([client.state, messages], ['connecting', []]);
    clock.advance(1);
    assert.equal(client.state, 'waiting');
    assert.notEqual(sockets[0].closedWith, null);
    assert.deepEqual([closes.length, closes[0].code, closes[0].wasOpen], [1, 1006, false]);
    sockets[0].closes(1006);
    assert.equal(closes.length, 1);
  }
});

test('a socket that was replaced is not heard any more', () => {
  const { client, sockets, messages, closes } = surroundings();
  client.connect();
  sockets[0].opens();
  client.disconnect();
  client.connect();
  const [stale, current] = sockets;

  stale.opens(WELCOME);
  assert.equal(client.state, 'connecting');
  current.opens(WELCOME);
  stale.says(WELCOME);
  stale.closes(1008);
  assert.deepEqual([client.state, messages.length, closes], ['open', 1, []]);
  assert.equal(client.send('to the current one'), true);
  assert.deepEqual([stale.sent, current.sent], [[], ['to the current one']]);
});

test('a late answer to an abandoned handshake opens nothing', () => {
  const { client, sockets, clock } = surroundings();
  client.connect();
  clock.advance(10_000);
  sockets[0].opens(WELCOME);
  assert.equal(client.state, 'waiting');
});

test('messages arrive parsed and raw; what is no JSON object with a type arrives raw', () => {
  const { client, sockets, messages } = surroundings();
  const none = ['{"type":', '', '[1]', '"text"', 'null', '7', '{}', new ArrayBuffer(3)];
  client.connect();
  sockets[0].opens(WELCOME, '{"type":"echo","message":"hi"}', ...none);
  assert.deepEqual(messages.slice(1), [
    { message: { type: 'echo', message: 'hi' }, raw: '{"type":"echo","message":"hi"}' },
    ...none.map((raw) => ({ message: null, raw })),
  ]);
  assert.equal(client.state, 'open');
});

test('a message whose type or command is no text harms nobody', () => {
  const { client, sockets, messages } = surroundings();
  client.connect();
  sockets[0].opens(WELCOME);
  for (const odd of ['{"type":{"toString":1}}', '{"type":"error","command":7}', '{"type":"error","command":null}']) sockets[0].says(odd);
  assert.deepEqual([messages.length, client.state], [4, 'open']);
});

test('a refusal that a platform tells by an error alone is an ending, and a close that follows is no second one', () => {
  const { client, sockets, clock, closes } = surroundings();
  client.connect();
  sockets[0].onerror();
  clock.advance(0);
  assert.deepEqual([client.state, closes.map(({ code, wasOpen }) => [code, wasOpen])], ['waiting', [[1006, false]]]);
  sockets[0].onclose({ code: 1006, reason: '' });
  assert.equal(closes.length, 1);
});

test('an error that the ending is told behind, or of a connection that is open, leaves the word to that', () => {
  const { client, sockets, clock, closes } = surroundings();
  client.connect();
  sockets[0].opens(WELCOME);
  sockets[0].onerror();
  clock.advance(0);
  assert.equal(client.state, 'open');
  sockets[0].closes(1012);
  clock.advanceTo(client.retryAt);
  sockets[1].closes(1008, 'no');
  clock.advance(0);
  assert.deepEqual(closes.map(({ code }) => code), [1012, 1008]);
});

test('send refuses what cannot go now', () => {
  const { client, sockets } = surroundings();
  assert.equal(client.send('idle'), false);
  client.connect();
  assert.equal(client.send('connecting'), false);
  sockets[0].opens(WELCOME);
  assert.equal(client.send('open'), true);
  sockets[0].readyState = 2; // The peer's close frame is in, the close event is not.
  assert.equal(client.send('closing'), false);
  sockets[0].closes(1012);
  assert.equal(client.send('waiting'), false);
  assert.deepEqual(sockets[0].sent, ['open']);
});

test('the timers and the dice are those of the platform', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  t.mock.method(Math, 'random', () => 0.5);
  const sockets = [];
  const client = new Slackwater(URL_OF_SERVER, { WebSocket: fakeSocketsInto(sockets) });
  client.connect();
  sockets[0].closes(1006);
  t.mock.timers.tick(250);
  assert.deepEqual([client.state, sockets.length], ['connecting', 2]);
});

test('what was agreed on beside the protocol is that of the present connection', () => {
  const { client, sockets } = surroundings();
  assert.equal(client.extensions, '');
  client.connect();
  sockets[0].extensions = 'permessage-deflate';
  sockets[0].opens(WELCOME);
  assert.equal(client.extensions, 'permessage-deflate');
  sockets[0].closes(1006);
  assert.equal(client.extensions, '');
});
