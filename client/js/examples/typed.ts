// What a program in TypeScript writes; compiled by tests/client/run, never run.
import { Slackwater } from 'slackwater';
const client = new Slackwater('ws://localhost/ws', { topics: ['orders'], signal: new AbortController().signal });
client.addEventListener('notification', ({ detail }) => console.log(detail.id.length, detail.data));
client.addEventListener('close', ({ detail }) => { const code: number = detail.code; console.log(code); });
// @ts-expect-error the detail of a publication has no such field
client.addEventListener('notification', ({ detail }) => detail.nothing);
const id: Promise<string> = client.publish('orders', { a: 1 });
void id; client.token = async () => 'x'; client.connect();
