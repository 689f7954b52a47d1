// What a tab does to hear over the connection that all tabs share, which shared-worker.js holds. Locks want https or localhost.
//
//     import { listen, shared } from './shared.js';
//     const stop = listen('tides', ({ data }) => show(data));
//     shared.addEventListener('gap', () => reloadEverything());

/** Tells of `statechange`, `resume`, `gap` and `close` as a client does, and of `subscribed` and `refused` with their `topic`. */
export const shared = new EventTarget();

const { port } = new SharedWorker(new URL('shared-worker.js', import.meta.url), { type: 'module', name: 'slackwater' });
const listeners = new Map();

/** Hears a topic, or all that a pattern covers, until the function that it returns is called. */
export function listen(topic, listener) {
  const entry = { listener };
  if (!listeners.has(topic)) {
    listeners.set(topic, new Set());
    port.postMessage({ subscribe: topic });
  }
  listeners.get(topic).add(entry);
  return () => {
    const others = listeners.get(topic);
    if (!others?.delete(entry) || others.size > 0) return;
    listeners.delete(topic);
    port.postMessage({ unsubscribe: topic });
  };
}

port.onmessage = ({ data: { type, topic, detail } }) => {
  if (type === 'notification') for (const { listener } of listeners.get(topic) ?? []) listener(detail);
  else shared.dispatchEvent(Object.assign(new CustomEvent(type, { detail }), { topic }));
  if (type === 'refused') listeners.delete(topic);
};

// Held as long as this tab lives, however it ends.
const lock = `slackwater ${crypto.randomUUID()}`;
navigator.locks.request(lock, () => {
  port.postMessage({ lock });
  return new Promise(() => {});
});
