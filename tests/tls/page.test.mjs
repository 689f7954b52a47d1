// The page over https in Chromium, which believes in the tests' authority because its user does.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inState, openPage, publish, rows } from '../browser/page.mjs';
import { serving } from './serving.mjs';

for (const kind of ['ec', 'rsa']) {
  test(`the page is secure, hears by wss and publishes by https (${kind})`, async (t) => {
    const server = await serving(t, kind);
    const { page } = await openPage(t, server);
    await inState(page, 'open');
    assert.equal(await page.evaluate(() => window.isSecureContext && location.protocol), 'https:');
    assert.match(page.sockets[0].url(), /^wss:/);
    await server.publish('notifications', { text: 'from elsewhere' });
    await rows(page, 'notification', 'from elsewhere').waitFor();
    await publish(page, 'notifications', '"from the page"');
    await rows(page, 'notification', 'from the page').waitFor();
  });

  test(`what is agreed on is the best that both know (${kind})`, async (t) => {
    const server = await serving(t, kind);
    let agreed;
    const script = async (page) => {
      const session = await page.context().newCDPSession(page);
      session.on('Network.responseReceived', ({ response }) => (agreed ??= response.securityDetails));
      await session.send('Network.enable');
    };
    await openPage(t, server, { script });
    const { protocol, issuer, subjectName, keyExchangeGroup } = agreed;
    assert.deepEqual([protocol, keyExchangeGroup], ['TLS 1.3', 'X25519MLKEM768']);
    assert.deepEqual([issuer, subjectName], ["The tests' authority", 'localhost']);
  });
}
