// Servers whose certificates are by the tests' authority.

import { Server } from '../browser/server.mjs';

/** A server that shows a certificate with a key of this kind. */
export function serving(t, kind) {
  const authority = process.env.TLS_AUTHORITY;
  const files = ['--ssl-certfile', `${authority}/${kind}.pem`, '--ssl-keyfile', `${authority}/${kind}.key`];
  return Server.start(t, 0, ['--notify-interval', '0', ...files]);
}
