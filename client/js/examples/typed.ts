// What a program in TypeScript writes, and what it cannot. Compiled by tests/client/run with --strict, and never run.

import { Slackwater, type Notification, type SlackwaterError, type Subscription } from 'slackwater';
import { WebSocket as WebSocketOfUndici } from 'undici';
import { WebSocket as WebSocketOfWs } from 'ws';

const user = new AbortController();
const client = new Slackwater('wss://push.example.com/ws', {
  getToken: async () => (await fetch('/token')).text(),
  topics: new Set(['orders/*']),
  lastEventId: localStorage.getItem('place'),
  signal: user.signal,
});
new Slackwater('ws://localhost:8000/ws', { WebSocket });
new Slackwater('ws://localhost:8000/ws', { WebSocket: WebSocketOfWs, token: null });
new Slackwater('ws://localhost:8000/ws', { WebSocket: WebSocketOfUndici });
// @ts-expect-error a date is no socket
new Slackwater('ws://localhost:8000/ws', { WebSocket: Date });
// @ts-expect-error there is no such option
new Slackwater('ws://localhost:8000/ws', { topic: 'orders' });
// @ts-expect-error a place is a string
new Slackwater('ws://localhost:8000/ws', { lastEventId: 7 });

const show = ({ detail }: CustomEvent<Notification>): void => console.log(detail.id.length, detail.topic, detail.data);
client.addEventListener('notification', show, { signal: user.signal });
client.removeEventListener('notification', show);
client.addEventListener('close', ({ detail: { code, retryAt } }) => {
  const at: number | null = retryAt;
  console.log(code.toFixed(), at);
});
client.addEventListener('message', ({ detail }) => detail.message?.type === 'echo');
// @ts-expect-error a publication has no such field
client.addEventListener('notification', ({ detail }) => detail.nothing);
// @ts-expect-error there is no such event
client.addEventListener('notifications', show);
// @ts-expect-error what was published may be anything
client.addEventListener('notification', ({ detail }) => detail.data.length);

export async function listen(): Promise<void> {
  const tides: Subscription = await client.subscribe('tides', (notification) => console.log(notification.topic));
  client.subscribe('tides', { listener: ({ timestamp }) => console.log(timestamp) }).unsubscribe();
  for await (const { id, data } of client.subscribe('orders/*', { limit: 10 })) console.log(id, data as { state: string });
  tides.unsubscribe();
  await client.subscribe('secret').catch(({ code }: SlackwaterError) => console.log(code));
  // @ts-expect-error a topic is a string
  client.subscribe(7);
  // @ts-expect-error what is awaited is a subscription, no promise
  (await client.subscribe('tides')).then();
  const id: string = await client.publish('orders/7', { state: 'paid' }, { id: 'payment-1' });
  console.log(id);
}

client.token = async () => 'x';
client.token = null;
// @ts-expect-error a token cannot be read back
const token: string = client.token;
// @ts-expect-error the state is for the client to change
client.state = 'open';
export { token };
