// The types of static/slackwater.js, where each of these is described.

export type State = 'idle' | 'connecting' | 'open' | 'waiting' | 'stopped';
export type TokenSource = string | (() => string | Promise<string>);
export type Notification = {
  type: 'notification'; id: string; topic: string; timestamp: string;
  message?: string; data?: unknown; active_connections?: number;
};

export interface Options {
  token?: TokenSource | null;
  getToken?: () => string | Promise<string>;
  topics?: Iterable<string>;
  lastEventId?: string | null;
  signal?: AbortSignal;
  /** The constructor of the platform, or that of the package `ws`. */
  WebSocket?: new (url: string, protocols?: string[]) => unknown;
  random?: () => number;
  now?: () => number;
  timers?: { setTimeout(act: () => void, delayMs: number): unknown; clearTimeout(timer: any): void };
  network?: EventTarget;
}

export interface SlackwaterEventMap {
  statechange: CustomEvent<{ state: State; previous: State }>;
  message: CustomEvent<{ message: Record<string, unknown> | null; raw: string | ArrayBuffer }>;
  notification: CustomEvent<Notification>;
  resume: CustomEvent<{ resumed: boolean; from: string; to: string | null }>;
  gap: CustomEvent<{ from: string | null; to: string | null }>;
  close: CustomEvent<{ code: number; reason: string; wasOpen: boolean; willRetry: boolean; retryAt: number | null }>;
  moving: CustomEvent<{ at: number; failures: number }>;
  moved: CustomEvent<null>;
  tokenerror: CustomEvent<{ reason: 'unavailable' | 'refused'; message: string; error: unknown }>;
}

export class Slackwater extends EventTarget {
  constructor(url?: string | URL, options?: Options);
  readonly state: State;
  readonly retryAt: number | null;
  readonly movesAt: number | null;
  readonly topics: string[];
  readonly lastEventId: string | null;
  readonly extensions: string;
  readonly tokenExpiresAt: number | null;
  set token(source: TokenSource | null);
  subscribe(topic: string): void;
  unsubscribe(topic: string): void;
  connect(): void;
  disconnect(): void;
  send(text: string): boolean;
  publish(topic: string, data: unknown, options?: { id?: string }): Promise<string>;
  addEventListener<K extends keyof SlackwaterEventMap>(
    type: K, listener: (event: SlackwaterEventMap[K]) => void, options?: boolean | AddEventListenerOptions): void;
  addEventListener(
    type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void;
}

export function isToken(token: unknown): token is string;
export function claimsOf(token: string): Record<string, unknown>;
