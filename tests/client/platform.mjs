// What Node has from version 22 on: preloaded into programs of the read-me that name no WebSocket.

import { WebSocket } from 'undici';

globalThis.WebSocket ??= WebSocket;
