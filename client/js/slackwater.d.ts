// The types of static/slackwater.js, which says what each of these does; what is said here is what an editor is to show.

/**
 * - `idle`: not connected, as the user wishes
 * - `connecting`: no welcome has come yet
 * - `open`: messages flow
 * - `waiting`: the next attempt comes by itself, at `retryAt`
 * - `stopped`: the server said not to come back, or the only token has expired
 */
export type State = 'idle' | 'connecting' | 'open' | 'waiting' | 'stopped';

/** A token, or a function that is asked for one before each connection and again in time before it expires. */
export type TokenSource = string | (() => string | Promise<string>);

/** A publication. `data` is what was published; the server's own periodic ones have a `message` instead. */
export interface Notification {
  type: 'notification';
  /** Opaque, and in the order of the server: what a later client can be given as `lastEventId`. */
  id: string;
  topic: string;
  /** RFC 3339, UTC. */
  timestamp: string;
  data?: unknown;
  message?: string;
  active_connections?: number;
}

/** What comes first on each connection, and is heard as a `message`. */
export interface Welcome {
  type: 'welcome';
  /** Version of the contract, docs/protocol.md: within 1 nothing is removed, and nothing comes to mean something else. */
  protocol: number;
  message: string;
  /** RFC 3339, UTC. */
  timestamp: string;
  /** Opaque. */
  connection_id: string;
  topics: string[];
  /** Of the newest publication so far. */
  last_event_id: string;
  resumed: boolean;
  /** Null if the server never pings. */
  ping_interval_ms: number | null;
}

export type Listener = (notification: Notification) => void;

export interface SubscriptionOptions {
  /** Called with each publication; without it, they wait for a `for await` loop. */
  listener?: Listener;
  /** How many may wait for the loop, 1000 if not given. One more, and the loop ends with an error whose `code` is `too_slow`. */
  limit?: number;
}

export interface Subscription {
  readonly topic: string;
  /** Ends this subscription and its loop; the last one of a topic tells the server. */
  unsubscribe(): void;
  [Symbol.asyncIterator](): AsyncIterableIterator<Notification>;
}

/**
 * What a promise or a loop of this module fails with. The codes are those of the server's `error`, and the module's own:
 * `unsubscribed`, `too_slow`, `stopped`, `not_connected`, `unanswered`, and `too_large` for what was over the server's limit.
 */
export interface SlackwaterError extends Error {
  code: string;
}

export interface Options {
  /** None, if not given. */
  token?: TokenSource | null;
  /** The same, as a function, by another name; goes before `token`. */
  getToken?: () => string | Promise<string>;
  /** The first topics, or a single one, beside those of the address; `notifications`, if there are none. */
  topics?: string | Iterable<string>;
  /** The first place to go on from, in place of the address's. */
  lastEventId?: string | null;
  /** Disconnects for good, and ends every subscription. */
  signal?: AbortSignal;
  /** The platform's own, if not given; Node has one from version 22, and before that there is the one of `ws`. */
  WebSocket?: WebSocketConstructor;
}

export type WebSocketConstructor = new (url: string, protocols?: string[]) => {
  readonly readyState: number;
  send(text: string): void;
  close(code?: number): void;
};

export interface SlackwaterEventMap {
  statechange: CustomEvent<{ state: State; previous: State }>;
  /** Whatever the server sends, a `Welcome` first: the JSON object, or null when `raw` is none with a type. */
  message: CustomEvent<{ message: ({ type: string } & Record<string, unknown>) | null; raw: string }>;
  /** A publication on any of the topics. */
  notification: CustomEvent<Notification>;
  /** The answer to a connection that asked to go on from a place: all that was missed follows, or there may be a gap. */
  resume: CustomEvent<{ resumed: boolean; from: string; to: string | null }>;
  /** Publications may have been missed though the connection lived on. */
  gap: CustomEvent<{ from: string | null; to: string | null }>;
  close: CustomEvent<{ code: number; reason: string; wasOpen: boolean; willRetry: boolean; retryAt: number | null }>;
  /** When another connection will be tried, this one staying meanwhile. */
  moving: CustomEvent<{ at: number; failures: number }>;
  moved: CustomEvent<null>;
  tokenerror: CustomEvent<{ reason: 'unavailable' | 'refused'; message: string; error: unknown }>;
}

/** A client of a Slackwater server that reconnects by itself and brings each publication once, or tells that some may be missing. */
export class Slackwater extends EventTarget {
  /** @throws {TypeError} when the URL does not parse, or the token cannot be one */
  constructor(url?: string | URL, options?: Options);
  readonly state: State;
  /** When the next attempt comes, in milliseconds since the epoch. */
  readonly retryAt: number | null;
  /** When another connection will be tried beside the present one. */
  readonly movesAt: number | null;
  readonly topics: string[];
  /** The place: what a later client can be given as `lastEventId`. */
  readonly lastEventId: string | null;
  /** As `WebSocket.extensions` has it. */
  readonly extensions: string;
  readonly tokenExpiresAt: number | null;
  /** What is shown from now on; cannot be read back. */
  set token(source: TokenSource | null);
  /** Rejects with a `SlackwaterError` when the server does not let this client listen; need not be awaited. */
  subscribe(topic: string, options?: SubscriptionOptions | Listener): Promise<Subscription> & Subscription;
  /** Ends all subscriptions of the topic, and listens to it no longer. */
  unsubscribe(topic: string): void;
  /** @throws {TypeError} when the platform has no WebSocket, and none was given */
  connect(): void;
  disconnect(): void;
  /** Whether the socket took it; nothing is queued. */
  send(text: string): boolean;
  /** Resolves to the id of the publication, or rejects with a `SlackwaterError`. */
  publish(topic: string, data: unknown, options?: { id?: string }): Promise<string>;

  addEventListener<K extends keyof SlackwaterEventMap>(
    type: K,
    listener: ((event: SlackwaterEventMap[K]) => void) | { handleEvent(event: SlackwaterEventMap[K]): void } | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof SlackwaterEventMap>(
    type: K,
    listener: ((event: SlackwaterEventMap[K]) => void) | { handleEvent(event: SlackwaterEventMap[K]): void } | null,
    options?: boolean | EventListenerOptions,
  ): void;
}
