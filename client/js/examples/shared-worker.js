// One connection for all tabs of a site: this worker holds it, and each tab says what it wants to hear; see shared.js for the tab.
// Serve it beside slackwater.js. It ends with the last tab, and a tab that is gone, be it by a crash, is forgotten.

import { Slackwater } from './slackwater.js';

const TOLD = ['statechange', 'resume', 'gap', 'close'];

const client = new Slackwater('ws');
client.connect();

addEventListener('connect', ({ ports: [tab] }) => {
  const subscriptions = new Map();
  const gone = new AbortController();

  for (const type of TOLD) {
    client.addEventListener(type, ({ detail }) => tab.postMessage({ type, detail }), { signal: gone.signal });
  }
  tab.postMessage({ type: 'statechange', detail: { state: client.state, previous: client.state } });

  tab.onmessage = ({ data: { lock, subscribe, unsubscribe } }) => {
    if (lock !== undefined) navigator.locks.request(lock, leave);
    if (subscribe !== undefined) listen(subscribe);
    if (unsubscribe !== undefined) leaveTopic(unsubscribe);
  };

  function listen(topic) {
    const subscription = client.subscribe(topic, (detail) => tab.postMessage({ type: 'notification', topic, detail }));
    subscriptions.set(topic, subscription);
    subscription.then(
      () => tab.postMessage({ type: 'subscribed', topic }),
      ({ code, message }) => {
        // The tab has left it, and may listen to it anew.
        if (subscriptions.get(topic) !== subscription) return;
        leaveTopic(topic);
        tab.postMessage({ type: 'refused', topic, detail: { code, message } });
      },
    );
  }

  function leaveTopic(topic) {
    const subscription = subscriptions.get(topic);
    subscriptions.delete(topic);
    subscription?.unsubscribe();
  }

  // The tab holds a lock as long as it lives: whoever gets it after that knows that the tab is gone.
  function leave() {
    gone.abort();
    for (const subscription of subscriptions.values()) subscription.unsubscribe();
  }
});
