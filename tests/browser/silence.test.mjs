// How static/slackwater.js notices that a network has gone silent, and does not take a quiet server or a late timer for it, told
// by a fake socket and a fake clock.

import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { test } from 'node:test';
import { connected, moving, publication, surroundings, welcome } from './fakes.mjs';

/** With these dice a server is asked after a quarter more than its interval. */
const EVEN = { dice: 0.5 };
const PINGED = { last_event_id: 'e-7', ping_interval_ms: 20_000 };
const SILENCE_MS = 25_000;

// When it asks

test('a server is asked when nothing has come for longer than between two of its pings, and not before', () => {
  const { client, sockets, clock, messages } = connected(PINGED, EVEN);
  clock.advance(SILENCE_MS - 1);
  assert.equal(sockets[0].questions, 0);
  clock.advance(1);
  assert.deepEqual([sockets[0].questions, sockets[0].sent], [1, []]);
  clock.advance(SILENCE_MS);
  assert.deepEqual([sockets[0].questions, client.state, messages.length], [2, 'open', 1], 'answers are not handed on');
});

test('an open connection whose server answers may be quiet for any time', () => {
  const { client, sockets, clock, states } = connected(PINGED, EVEN);
  clock.advance(86_400_000);
  assert.deepEqual([states, sockets.length, clock.pending], [['connecting', 'open'], 1, 1]);
  assert.equal(sockets[0].questions, 86_400_000 / SILENCE_MS);
  assert.equal(client.lastEventId, 'e-7');
});

test('whatever comes puts the question off', () => {
  for (const raw of [publication('e-8'), '{"type":"echo","message":"mine"}', 'not JSON', '', new ArrayBuffer(3)]) {
    const { sockets, clock } = connected(PINGED, EVEN);
    clock.advance(20_000);
    sockets[0].says(raw);
    clock.advance(SILENCE_MS - 1);
    assert.equal(sockets[0].questions, 0);
    clock.advance(1);
    assert.equal(sockets[0].questions, 1);
  }
});

test('a server that does not say how often it pings is taken to do it every 20 s, and one that is never pinged by is asked all the same', () => {
  for (const [said, silenceMs] of [
    [undefined, 25_000],
    [null, 25_000],
    [2_000, 2_500],
    [10, 1_250],
    [3_600_000, 4_500_000],
    [1e300, 2 ** 31 - 1],
  ]) {
    const { sockets, clock } = connected({ ping_interval_ms: said }, EVEN);
    clock.advance(silenceMs - 1);
    assert.equal(sockets[0].questions, 0, said);
    clock.advance(1);
    assert.equal(sockets[0].questions, 1, said);
  }
});

test('clients that have heard the same do not all ask at the same moment', () => {
  const firstQuestion = (dice) => {
    const { sockets, clock } = connected(PINGED, { dice });
    const begun = clock.now;
    while (sockets[0].questions === 0) clock.step();
    return clock.now - begun;
  };
  assert.deepEqual([0, 0.25, 0.999].map(firstQuestion), [20_000, 22_500, 29_990]);
});

test('whatever the dice, an answer is not followed by the next question at once', () => {
  for (let dice = 0; dice < 1; dice += 0.0123) {
    const { sockets, clock } = connected(PINGED, { dice });
    assert.equal(sockets[0].questions, 0, `at the welcome, ${dice}`);
    clock.advance(30_000);
    assert.equal(sockets[0].questions, 1, `after its silence, ${dice}`);
  }
});

test('a clock that is set makes it ask at most once more, and never keeps it from asking', () => {
  for (const aheadMs of [-600_000, 600_000]) {
    for (const isHeard of [true, false]) {
      const { client, sockets, clock } = connected(PINGED, EVEN);
      clock.advance(10_000);
      clock.aheadMs = aheadMs;
      if (isHeard) sockets[0].says(publication('e-8'));
      clock.advance(SILENCE_MS + 10_000);
      assert.deepEqual([client.state, sockets[0].questions], ['open', 1], `${aheadMs} ${isHeard}`);
      sockets[0].isAlive = false;
      clock.advance(SILENCE_MS + 10_000);
      assert.notEqual(client.state, 'open');
    }
  }
});

// When nobody answers

test('a network that goes silent is noticed, let go of and come back from, with nothing missed or doubled', () => {
  const { client, sockets, clock, closes, asked, heard } = connected(PINGED, EVEN);
  sockets[0].says(publication('e-8'));
  sockets[0].isAlive = false;
  clock.advance(SILENCE_MS + 9_999);
  assert.deepEqual([client.state, sockets[0].questions], ['open', 2]);
  clock.advance(1);
  const { state, retryAt } = client;
  assert.deepEqual([state, retryAt - clock.now], ['waiting', 250]);
  assert.deepEqual(closes, [{ code: 1006, reason: 'no answer', wasOpen: true, willRetry: true, retryAt }]);
  assert.notEqual(sockets[0].closedWith, null);

  clock.advanceTo(retryAt);
  assert.equal(asked().from, 'e-8');
  sockets[1].opens();
  sockets[0].says(publication('e-9')); // The network is back, and with it what was under way.
  sockets[0].answers();
  sockets[0].closes(1006);
  sockets[1].says(welcome({ resumed: true, last_event_id: 'e-9' }));
  sockets[1].says(publication('e-9'));
  assert.deepEqual([heard(), client.state, closes.length], [['e-8', 'e-9'], 'open', 1]);
});

test('an answer to either question, or anything else, shows that the network is there', () => {
  for (const questions of [1, 2]) {
    for (const word of [(socket) => socket.answers(), (socket) => socket.says(publication('e-8'))]) {
      const { client, sockets, clock } = connected(PINGED, EVEN);
      sockets[0].isAlive = false;
      clock.advance(SILENCE_MS + questions * 5_000 - 1);
      assert.equal(sockets[0].questions, questions);
      word(sockets[0]);
      clock.advance(SILENCE_MS + 9_999);
      assert.deepEqual([client.state, sockets[0].questions], ['open', questions + 2], 'it begins anew');
      clock.advance(1);
      assert.equal(client.state, 'waiting');
    }
  }
});

test('a page that slept asks again instead of judging, and one that was busy hears what has come first', () => {
  const { client, sockets, clock } = connected(PINGED, EVEN);
  sockets[0].isAlive = false;
  clock.now += 3_600_000;
  clock.step();
  assert.deepEqual([client.state, sockets[0].questions], ['open', 1], 'late, it asks');
  clock.now += 3_600_000;
  clock.step();
  assert.deepEqual([client.state, sockets[0].questions], ['open', 2], 'late again, it asks again');
  clock.now += 3_600_000;
  clock.step();
  assert.equal(client.state, 'open', 'the messages that wait behind the timer come first');
  sockets[0].answers();
  clock.step();
  assert.equal(client.state, 'open');
});

// What it can be told apart from

test('the echo of an empty text is taken for the answer to a question, whoever has sent it', () => {
  const { client, sockets, messages } = connected(PINGED, EVEN);
  client.send('');
  sockets[0].answers();
  assert.deepEqual(messages.map(({ message }) => message.type), ['welcome']);
});

// What else makes it ask

test('when the network or the page changes it asks at once, and waits less long', () => {
  for (const sign of ['online', 'offline', 'visibilitychange']) {
    const { client, sockets, clock, network } = connected(PINGED, EVEN);
    const isSeen = () => network.dispatchEvent(new Event(sign));
    isSeen();
    assert.deepEqual([client.state, sockets[0].questions], ['open', 1], sign);
    sockets[0].isAlive = false;
    isSeen();
    isSeen();
    assert.equal(sockets[0].questions, 2, 'one question at a time');
    clock.advance(3_999);
    assert.equal(client.state, 'open');
    clock.advance(1);
    assert.equal(client.state, 'waiting', sign);
  }
});

test('a page that is hidden does not ask', () => {
  const { sockets, network } = connected(PINGED, EVEN);
  network.hidden = true;
  network.dispatchEvent(new Event('visibilitychange'));
  assert.equal(sockets[0].questions, 0);
});

test('a sign leaves a question that is out its time', () => {
  for (const sign of ['online', 'offline', 'visibilitychange']) {
    const { client, sockets, clock, network } = connected(PINGED, EVEN);
    sockets[0].isAlive = false;
    clock.advance(SILENCE_MS);
    for (let passedMs = 0; passedMs < 10_000; passedMs += 100) {
      assert.equal(client.state, 'open');
      network.dispatchEvent(new Event(sign));
      clock.advance(100);
    }
    assert.deepEqual([client.state, sockets[0].questions], ['waiting', 2]);
  }
});

test('a network that is back or a page that wakes up ends a wait at once', () => {
  for (const sign of ['online', 'visibilitychange']) {
    const { client, sockets, network } = connected(PINGED, EVEN);
    sockets[0].closes(1006);
    network.dispatchEvent(new Event('offline'));
    network.hidden = true;
    network.dispatchEvent(new Event('visibilitychange'));
    assert.deepEqual([client.state, sockets.length], ['waiting', 1], sign);
    network.hidden = false;
    network.dispatchEvent(new Event(sign));
    network.dispatchEvent(new Event(sign));
    assert.deepEqual([client.state, sockets.length], ['connecting', 2], sign);
  }
});

test('a handshake has its ten seconds, whatever the signs', () => {
  const { client, clock, network } = surroundings(EVEN);
  client.connect();
  for (const sign of ['offline', 'online']) network.dispatchEvent(new Event(sign));
  clock.advance(9_999);
  assert.equal(client.state, 'connecting');
  clock.advance(1);
  assert.equal(client.state, 'waiting');
});

test('signs mean nothing to a client that the user keeps away or the server sent away', () => {
  const { client, sockets, network, clock } = surroundings(EVEN);
  const tell = () => ['online', 'visibilitychange'].forEach((sign) => network.dispatchEvent(new Event(sign)));
  tell();
  client.connect();
  sockets[0].opens();
  client.disconnect();
  tell();
  client.connect();
  sockets[1].closes(1008);
  tell();
  clock.advance(3_600_000);
  assert.deepEqual([client.state, sockets.length, sockets[1].questions, clock.pending], ['stopped', 2, 0, 0]);
});

test('what the user sends is a question, too', () => {
  const { client, sockets, clock } = connected(PINGED, EVEN);
  sockets[0].isAlive = false;
  client.send('hello');
  client.subscribe('orders');
  clock.advance(4_999);
  sockets[0].says('{"type":"echo","message":"Server received: hello"}');
  clock.advance(SILENCE_MS - 1);
  assert.equal(sockets[0].questions, 0);
  client.send('anybody?');
  clock.advance(5_000 + 'anybody?'.length - 1);
  client.send('nobody?');
  assert.equal(sockets[0].questions, 0);
  clock.advance(1);
  assert.equal(sockets[0].questions, 1);
  clock.advance(5_000 + 'nobody?'.length);
  assert.equal(client.state, 'waiting');
});

test('the window holds no client that is kept or sent away', () => {
  const { client, sockets, network } = surroundings(EVEN);
  const held = () => getEventListeners(network, 'online').length;
  client.connect();
  assert.equal(held(), 1);
  sockets[0].closes(1008);
  assert.equal(held(), 0);
  client.connect();
  client.disconnect();
  assert.equal(held(), 0);
});

// During a move

test('an old connection that goes silent while its successor opens leaves the field to that', () => {
  const { client, sockets, clock, network, heard, moves } = moving();
  sockets[0].isAlive = false;
  network.dispatchEvent(new Event('offline'));
  clock.advance(4_000);
  assert.deepEqual([client.state, sockets.length], ['connecting', 2]);
  sockets[1].opens();
  sockets[1].says(welcome({ resumed: true, last_event_id: 'e-8' }));
  sockets[1].says(publication('e-8'));
  sockets[0].says(publication('e-8'));
  assert.deepEqual([heard(), client.state, moves.includes('moved')], [['e-8'], 'open', false]);
});

test('a question that the old connection has not answered does not count against the new one, which is asked in its turn', () => {
  const { client, sockets, clock, network, closes } = moving();
  sockets[0].isAlive = false;
  network.dispatchEvent(new Event('offline'));
  sockets[1].opens();
  sockets[1].says(welcome({ ...PINGED, resumed: true }));
  sockets[1].isAlive = false;
  clock.advance(SILENCE_MS - 1);
  assert.deepEqual([client.state, sockets[1].questions, closes.length], ['open', 0, 0]);
  clock.advance(10_001);
  assert.deepEqual([client.state, sockets[1].questions, closes.length], ['waiting', 2, 1]);
});
