// Tokens as whoever issues them makes them: signed with the secret of the server under test, or with none for what only reads.

import { createHmac } from 'node:crypto';

export const SECRET = '0123456789abcdef0123456789abcdef';

/** A token with these claims (HS256). */
export function signed(claims, secret = SECRET) {
  const text = [{ alg: 'HS256', typ: 'JWT' }, claims].map((part) => encoded(JSON.stringify(part))).join('.');
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

/** One that lets somebody hear and publish this for so many seconds. */
export function granting({ sub = 'ada', seconds = 3600, subscribe = ['*'], publish = [] } = {}) {
  return signed({ sub, exp: Date.now() / 1000 + seconds, slackwater: { subscribe, publish } });
}

function encoded(text) {
  return Buffer.from(text).toString('base64url');
}
