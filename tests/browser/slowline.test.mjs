// How static/slackwater.js tells a slow line from a silent one: the time of a question begins when what was sent has left. Told by
// a fake socket and a fake clock.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connected, publication } from './fakes.mjs';

const SILENCE_MS = 25_000;

/** A client that nobody answers, unasked as yet. */
function unanswered() {
  const all = connected({ ping_interval_ms: 20_000 }, { dice: 0.5 });
  all.sockets[0].isAlive = false;
  return all;
}

test('a text has the time that it takes on a slow line, a minute at most for each question', () => {
  for (const [text, times, noticedMs] of [
    ['x'.repeat(20_000), 1, 20_000 + 10_000],
    ['\u{1F30A}'.repeat(2_500), 1, 10_000 + 10_000],
    ['x'.repeat(20_000), 2, 40_000 + 5_000],
    ['x'.repeat(1_000_000), 1, 120_000 + 10_000],
  ]) {
    const { client, clock } = unanswered();
    for (let count = 0; count < times; count += 1) client.send(text);
    clock.advance(noticedMs - 1);
    assert.equal(client.state, 'open', `${text.length} ${times}`);
    clock.advance(1);
    assert.equal(client.state, 'waiting', `${text.length} ${times}`);
  }
});

test('so has what is asked behind a long text, and once that has left all is as ever', () => {
  const { client, sockets, clock, network } = unanswered();
  client.send('x'.repeat(50_000));
  clock.advance(5_000);
  sockets[0].says(publication('e-8'));
  clock.advance(SILENCE_MS);
  assert.equal(sockets[0].questions, 1);
  clock.advance(20_000 + 4_999);
  assert.equal(sockets[0].questions, 1);
  sockets[0].says(publication('e-9'));
  network.dispatchEvent(new Event('online'));
  clock.advance(4_000);
  assert.equal(client.state, 'waiting');
});

test('a sign leaves a long text the time to leave', () => {
  const { client, clock, network } = unanswered();
  client.send('x'.repeat(20_000));
  clock.advance(1_000);
  network.dispatchEvent(new Event('visibilitychange'));
  clock.advance(19_000 + 9_999);
  assert.equal(client.state, 'open');
  clock.advance(1);
  assert.equal(client.state, 'waiting');
});

test('a clock that is set back adds no more than a minute to the time of a question', () => {
  const { client, clock } = unanswered();
  client.send('x'.repeat(60_000));
  clock.aheadMs = -3_600_000;
  clock.advance(2 * 65_000);
  assert.equal(client.state, 'waiting');
});
