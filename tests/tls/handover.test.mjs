// The page over TLS in Chromium stays connected while another process takes over.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inState, openPage, rows } from '../browser/page.mjs';
import { serving } from './serving.mjs';

test('the page hears on without connecting again', async (t) => {
  const server = await serving(t, 'ec');
  const { page } = await openPage(t, server);
  await inState(page, 'open');
  for (const text of ['from the successor', 'from its successor']) {
    await server.handOver();
    await server.publish('notifications', { text });
    await rows(page, 'notification', text).waitFor();
  }
  assert.equal(page.sockets.length, 1);
});
