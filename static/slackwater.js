// A WebSocket that comes back and goes on where it was: decides when to connect, when to wait, when to move to another server,
// when to ask for a token and when to stop, and keeps the place and the topics. Knows nothing of the page, and of the messages
// only what says where it stands.
// Invariants: at most one connection is open, and at most one is opening. The first is heard; the second is heard for its welcome
// alone, with which it takes over. Of any other, nothing but answers to publications is taken.
// The place moves behind a publication only when that publication is handed on.

/** The first retry comes within this time; each failure in a row doubles it, up to the cap. */
const BASE_DELAY_MS = 500;
const MAX_DELAY_MS = 30_000;
/** From the handshake to the welcome. A network that swallows packets would keep it pending for minutes. */
const OPENING_TIMEOUT_MS = 10_000;
/** A connection that ends sooner after its welcome counts as a failure, or a server that keeps crashing is hammered. */
const STABLE_AFTER_MS = 5_000;
/** After a close that asks for back-off the delay is drawn as after this many failures: from up to 8 s. */
const BACK_OFF_FAILURES = 4;
/** So many ids are remembered, so that what a server brings again is not heard again; and so many publications wait for a loop. */
const MEMORY = 1000;
/** How often a server pings that does not say so. */
const PING_INTERVAL_MS = 20_000;
/** Nobody is asked for anything more often than this: whether it is there, or for a token. */
const PAUSE_MS = 1_000;
/** Whoever is asked has this long to say something. */
const ANSWER_MS = 5_000;
/** And this long once the network or the page has changed, or behind a move. */
const HURRIED_ANSWER_MS = 2_000;
/** Asked twice: while the first question was out, this machine may have slept. */
const QUESTIONS = 2;
/** What was sent has this long to leave at most, at a millisecond for each byte, before the time of a question begins. */
const LEAVING_MS = 60_000;
/** The user's function has this long to give a token. */
const TOKEN_TIMEOUT_MS = 30_000;
/** A new token is asked for after three quarters of the time that is left, or a little later: not by all clients at once. */
const REFRESH_FROM = 0.75;
const REFRESH_SPREAD = 0.15;
/** A timer set for longer fires at once: browsers and Node keep the delay in 32 bits. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** Protocol error, binary, bad UTF-8, policy, too big (RFC 6455 §7.4.1): the next attempt would end the same way. */
const STOP_CODES = [1002, 1003, 1007, 1008, 1009];
/** The server's own that are yet to come: from here on they mean the same. */
const STOP_FROM = 4500;
/** Internal error, try again later. */
const BACK_OFF_CODES = [1011, 1013];
/** The server let go of us because we read too slowly: nobody else is affected, so there is no crowd to keep apart from. */
const TOO_SLOW = 4001;
/** A message of ours was over the server's limit. */
const TOO_BIG = 1009;
/** The token has expired. */
const EXPIRED = 4004;
/** What the browser reports when there was no close frame. */
const ABNORMAL_CLOSURE = 1006;

/** The network may be another one now, or the page may have slept. */
const SIGNS = ['online', 'offline', 'visibilitychange'];
const NO_ANSWER = 'no answer';
const NO_TOKEN = 'no token';

const OPEN = 1; // WebSocket.OPEN, which an injected implementation need not carry.

/**
 * Where the client stands.
 *
 * - `idle`: not connected, as the user wishes: before `connect()` and after `disconnect()`
 * - `connecting`: no welcome has come yet
 * - `open`: messages flow, from the welcome on
 * - `waiting`: the connection ended or could not be had; the next attempt comes by itself at `retryAt`
 * - `stopped`: the server closed with a code that says not to come back, or the only token has expired; `connect()` or another
 *   token tries again all the same
 *
 * @typedef {'idle' | 'connecting' | 'open' | 'waiting' | 'stopped'} State
 */

/**
 * What is shown to the server: one token, or a function that is asked for a new one each time.
 *
 * @typedef {string | (() => string | Promise<string>)} TokenSource
 */

/**
 * @typedef {object} Options
 * @property {TokenSource | null} [token] none, if not given
 * @property {() => string | Promise<string>} [getToken] the same, for whoever knows it by this name; goes before `token`
 * @property {string | Iterable<string>} [topics] the first topics, beside those of the address
 * @property {string | null} [lastEventId] the first place, in place of the address's
 * @property {AbortSignal} [signal] disconnects for good
 * @property {typeof WebSocket} [WebSocket] the implementation, the platform's own if not given
 */

/**
 * How one part of a program hears a topic: by a listener of its own, or else by a loop, behind which no more than `limit`
 * publications wait, 1000 if not given. Without a listener and without a loop, 0 keeps none.
 *
 * @typedef {{ listener?: (notification: object) => void, limit?: number }} SubscriptionOptions
 */

/**
 * A client of a Slackwater server that reconnects by itself, with full jitter, until `disconnect()`, and brings every
 * publication on its topics once and in order, or tells that some may be missing.
 *
 *     import { Slackwater } from './slackwater.js';
 *     const client = new Slackwater('/ws?topic=orders');
 *     client.addEventListener('message', ({ detail }) => console.log(detail.message ?? detail.raw));
 *     client.addEventListener('resume', ({ detail }) => detail.resumed || reloadEverything());
 *     client.addEventListener('gap', () => reloadEverything());
 *     client.connect();
 *
 * The place is the id of the last publication heard, or what the server has called the newest since, once all up to there has come:
 * in the welcome, in each `echo`, as to the questions below, and in a hint to move. So it does not grow old while its topics are quiet.
 * Each connection after the first asks to go on from it, also one made by `connect()` after `disconnect()`: a pause of the
 * user's is a pause. A new client starts with none, unless its address has a `last_event_id`, a `lastEventId` of old.
 *
 * There is one place for all topics. A topic added since then may therefore bring, on the next connection, what was
 * published on it a little before it was added.
 *
 * A server that leaves, or for which the connection has become old, says so with a `reconnect` message and names a time. Then a
 * second connection is opened, to another server or to the same; the first stays, in the state `open`, until the second has its
 * welcome, and is closed. Nothing is missed and nobody sees a gap. While no other server answers, the first simply stays, and
 * attempts follow with the usual back-off, unless one is refused with a code that says not to come back. A server that does not
 * know the place takes over all the same, as publications go there now, and `resume` tells of the gap; so it does where topics were
 * subscribed to faster than a second attempt took. The answers to what was published before are awaited on the old connection for a
 * moment.
 *
 * A network that goes silent tells nobody, and scripts do not see the server's pings. So the server is asked by an empty text,
 * whose echo is not handed on: when nothing has come for longer than the time between two pings, which the welcome names, when
 * the network comes or goes, and when the page is shown again. Each text of the user's is a question, too, and a long one is given
 * the time that it takes on a slow line. Whatever comes is a sign of life. When nothing does, the connection has ended, with code
 * 1006; what was sent last may have arrived or not.
 *
 * A token goes along as a sub-protocol, never in the address, and is told to nobody else. A function is asked before each
 * connection, and again in time before the token expires: the new one is shown on the connection that there is. Should there be
 * none, the connection lives on until the server closes it with 4004; then, as for any end, attempts follow with the usual
 * back-off, each with a token of its own. A string is shown each time, until it has expired: then the client stops. Why a
 * handshake fails no browser says: a refused one is tried again like one that nobody has answered.
 *
 * Events, each a `CustomEvent`:
 *
 * - `statechange`, detail `{ state: State, previous: State }`
 * - `message`, detail `{ message: object | null, raw: string }`: `message` is the JSON object received, or null when `raw` is
 *   none with a type
 * - `notification`, detail: the JSON object of a publication, right behind its `message`
 * - `resume`, detail `{ resumed: boolean, from: string, to: string | null }`: the answer to a connection that asked to go on
 *   from a place, right behind the `message` of its welcome. Resumed: what was missed follows, all of it, up to `to`, the
 *   newest id of all topics. Not resumed: there may be a gap between the two, and the client goes on from `to`.
 * - `gap`, detail `{ from: string | null, to: string | null }`: publications may have been missed though the connection lived on,
 *   as the machines that share the publications have lost some. Comes right behind the `message` that says so; the client goes
 *   on from `to`, or from where it was if that is null.
 * - `close`, detail `{ code: number, reason: string, wasOpen: boolean, willRetry: boolean, retryAt: number | null }`: an
 *   ending the user did not ask for, or an attempt that failed (`wasOpen` false). Comes after its `statechange`. There is no
 *   `retryAt` when none will be, nor when the connection ended during a move, whose attempt is then the next.
 * - `moving`, detail `{ at: number, failures: number }`: when another connection will be tried, this one staying meanwhile, and
 *   how many in a row have failed. Comes right behind the `message` of a hint, and again after each attempt that failed.
 * - `tokenerror`, detail `{ reason: 'unavailable' | 'refused', message: string, error: unknown }`: the function gave no token,
 *   and `error` is what it threw, if it did; or the server did not accept one, and the connection goes on with the one before.
 * - `moved`: the move succeeded; from the `message` of the new welcome on, which follows, messages come from the new server.
 */
export class Slackwater extends EventTarget {
  #address;
  #WebSocket;
  #signal;

  /** @type {State} */
  #state = 'idle';
  /** @type {Connection | null} */
  #connection = null; // the one that is open
  /** @type {Connection | null} */
  #opening = null;
  #planAttempt = timer();
  #attemptAt = null;
  #failures = 0; // in a row
  #token;
  #skewMs = 0; // by how much the server's clock is ahead
  #place;
  #heard = new Set(); // the latest ids, oldest first
  #refs = 0;
  #whyStopped; // while it has
  /** @type {Set<Subscription>} */
  #subscriptions = new Set();

  /**
   * @param {string | URL} [url] where to connect, relative to the page; http and https become ws and wss. Its `topic`
   *   parameters are the first topics, its `last_event_id` the first place; any others are sent along each time
   * @param {Options} [options] the surroundings, for tests and for other runtimes
   * @throws {TypeError} when the URL does not parse, or the token cannot be one
   */
  constructor(url = '/ws', { getToken, token, topics = [], lastEventId, signal, WebSocket = globalThis.WebSocket } = {}) {
    super();
    const address = new URL(url, globalThis.location?.href);
    const { searchParams } = address;
    address.protocol = address.protocol.replace('http', 'ws');
    this.#address = address;
    this.#WebSocket = WebSocket;
    this.#token = sourceOf(getToken ?? token);

    // A single topic is not taken for its letters.
    const first = [...searchParams.getAll('topic'), ...(typeof topics === 'string' ? [topics] : topics)];
    for (const topic of topicsOrDefault(first)) this.subscribe(topic, () => {});
    this.#place = lastEventId || searchParams.get('last_event_id') || null;
    searchParams.delete('topic');
    searchParams.delete('last_event_id');
    this.#signal = signal;
  }

  /** @returns {State} */
  get state() {
    return this.#state;
  }

  /** When the next attempt comes, in milliseconds since the epoch; null unless waiting. */
  get retryAt() {
    return this.#connection ? null : this.#attemptAt;
  }

  /** When another connection will be tried beside the present one, as the server asked; null when none will. */
  get movesAt() {
    return this.#connection && this.#attemptAt;
  }

  /** The topics to listen to, on this connection and the next, without those that the server has refused or taken away. */
  get topics() {
    return [...new Set([...this.#subscriptions].map(({ topic }) => topic))];
  }

  /** The place: what a later client can be given as `last_event_id`; null before the first welcome. */
  get lastEventId() {
    return this.#place;
  }

  /** What the present connection agreed on beside the protocol itself, as `WebSocket.extensions` has it: empty without any. */
  get extensions() {
    return this.#connection?.socket.extensions ?? '';
  }

  /** When the token of the present connection expires, in milliseconds since the epoch; null if that is never or not known. */
  get tokenExpiresAt() {
    return this.#connection?.expiresAt || null;
  }

  /**
   * What is shown from now on; it cannot be read back. An open connection goes on with a token of the same subject (`sub`); for
   * another one, or none, it is closed and made anew, as it is while connecting. A stopped client comes back. One that waits
   * keeps its time, unless `connect()` cuts it short. After a refusal the next token waits a second on the same connection, and
   * longer after each. Whitespace around a token does not count.
   *
   * @param {TokenSource | null} source
   */
  set token(source) {
    this.#token = sourceOf(source);
    // Not at once: whoever answers each end with another token would never be held back.
    if (this.#state === 'stopped') {
      this.#retry();
      this.#enter('waiting');
    }
    if (this.#opening) this.#dial();
    if (this.#connection) this.#obtainToken(this.#connection);
  }

  /**
   * Listens to a topic, or with `orders/*` to all below it, from now on and on each later connection. The server is asked once,
   * however many subscriptions share the topic, and again told once the last of them has ended.
   *
   *     const tides = await client.subscribe('tides', ({ data }) => show(data));
   *     for await (const { data } of client.subscribe('orders/*')) await store(data);
   *
   * A loop that is left unsubscribes. One that falls behind by more than the limit ends with a `too_slow` error in place of what
   * waits; the events still tell everything.
   *
   * @param {string} topic
   * @param {SubscriptionOptions | SubscriptionOptions['listener']} [options]
   * @returns resolves once the server has said `subscribed`, be it on a later connection; need not be awaited. Rejects, as the loop
   *   does, with an `Error` that has the `code` of the server's `error`, when it does not let this client listen, or no longer;
   *   with `unsubscribed`, when it has ended before; with `stopped`, when the client has
   */
  subscribe(topic, options = {}) {
    if (typeof topic !== 'string') throw new TypeError('no topic');
    const other = [...this.#subscriptions].find((subscription) => subscription.topic === topic);
    const given = typeof options === 'function' ? { listener: options } : options;
    const subscription = new Subscription(topic, given, (error) => {
      this.#subscriptions.delete(subscription);
      // What the server has refused it need not be told.
      if (!error && !this.topics.includes(topic)) this.#command('unsubscribe', topic);
    });
    this.#subscriptions.add(subscription);
    if (this.#signal?.aborted) subscription.end();
    else if (!other) this.#command('subscribe', topic);
    else if (other.isAnswered) subscription.answer();
    this.#signal?.addEventListener('abort', this.#onAbort);
    subscription.stop(this.#whyStopped);
    return subscription.handle;
  }

  /**
   * Listens to a topic no longer, and ends all its subscriptions. What is under way still arrives as events, until the server
   * answers `unsubscribed`.
   */
  unsubscribe(topic) {
    for (const subscription of this.#subscriptions) if (subscription.topic === topic) subscription.end();
  }

  /**
   * Connects now; cuts a wait short. Does nothing while connecting or open, nor once the signal has aborted.
   *
   * @throws {TypeError} when the platform has no WebSocket, and none was given
   */
  connect() {
    if (this.#signal?.aborted || this.#connection || this.#opening) return;
    if (!this.#WebSocket) throw new TypeError('no WebSocket before Node 22: new Slackwater(url, { WebSocket })');
    if (this.#state !== 'waiting') this.#failures = 0;
    this.#dial();
  }

  /** Closes the connection and stays away until `connect()`. The state is `idle` at once, without waiting for the peer. */
  disconnect() {
    this.#release();
    this.#enter('idle');
  }

  /**
   * Sends one text message. Nothing is queued: what cannot go now is refused.
   *
   * @param {string} text
   * @returns {boolean} whether the socket took it; that it has arrived is known only from the server's answer
   */
  send(text) {
    return this.#connection?.send(text) ?? false;
  }

  /**
   * Publishes to a topic, if the token grants it. With an `id` another attempt does no harm.
   *
   * @param {string} topic
   * @param {unknown} data anything that JSON can hold
   * @param {{ id?: string }} [options]
   * @returns {Promise<string>} the id of the publication. Rejects with an `Error` whose `code` is that of the server's answer;
   *   `too_large` also when the server closed with 1009, for a message over its limit; `not_connected`, when nothing was sent; or
   *   `unanswered`, when the connection ended before: it may have been published
   */
  publish(topic, data, { id } = {}) {
    const ref = `slackwater-${(this.#refs += 1)}`;
    return new Promise((resolve, reject) => {
      const text = JSON.stringify({ type: 'publish', topic, data, id, ref });
      if (!this.#connection?.send(text, { ref, resolve, reject })) throw failure('not_connected');
    });
  }

  #command(type, topic) {
    this.#connection?.commands.push(topic);
    this.send(JSON.stringify({ type, topic }));
  }

  /** Opens a connection, beside the present one if there is one. */
  #dial(isSecond) {
    const connection = new Connection();
    connection.isSecond = isSecond;
    this.#obtainToken(connection);
    this.#opening?.end();
    this.#opening = connection;
    this.#planAttempt();
    this.#attemptAt = null;
    if (!this.#connection) this.#enter('connecting');
  }

  /** Makes the socket of a connection, asked for the topics and the place of this moment. */
  #call(connection, token) {
    const address = new URL(this.#address);
    connection.topics = topicsOrDefault(this.topics);
    for (const topic of connection.topics) address.searchParams.append('topic', topic);
    // Whoever listens to nothing misses nothing, and must not be brought what the default topic missed.
    connection.from = this.#subscriptions.size > 0 && this.#place;
    if (connection.from) address.searchParams.set('last_event_id', connection.from);
    connection.token = token;
    this.#learnExpiry(connection);
    const socket = new this.#WebSocket(address.href, token ? ['slackwater', `slackwater.token.${token}`] : []);
    connection.socket = socket;
    socket.onmessage = ({ data }) => this.#onMessage(connection, data);
    socket.onclose = ({ code, reason }) => this.#onEnd(connection, code, reason);
    // Node 22 tells a refusal by this alone. Elsewhere a `close` is right behind it, and knows more.
    socket.onerror = () => connection === this.#opening && connection.remind(() => this.#onEnd(connection, ABNORMAL_CLOSURE, ''), 0);
    connection.remind();
    connection.open(() => this.#onEnd(connection, ABNORMAL_CLOSURE, NO_ANSWER));
  }

  /** Lets go of all connections and plans. */
  #release() {
    this.#connection?.end();
    this.#opening?.end();
    this.#connection = this.#opening = this.#attemptAt = null;
    this.#planAttempt();
  }

  #onMessage(connection, raw) {
    const message = parse(() => raw);
    const { type, id, message: words, command, last_event_id: to = null } = message;
    const isLastWord = connection.settle(message);
    if (connection === this.#opening && type === 'welcome') this.#onWelcome(connection, message, raw, to);
    else if (connection === this.#connection) {
      connection.hear();
      const from = this.#place;
      if (type === 'notification' && !this.#isNew(id)) return;
      // Up to the place that a message names there is no more to come. Behind a `gap` no server would know how to go on from elsewhere.
      this.#place = (type === 'notification' ? id : to) ?? from;
      // The answer to an empty text.
      if (type === 'echo' && words === 'Server received: ') return;
      if (type === 'refreshed') this.#onRefreshed(message);
      this.#handOn(message, raw, isLastWord);
      // A listener may have left in the meantime.
      if (connection !== this.#connection) return;
      if (type === 'gap') this.#tell('gap', { from, to });
      if (type === 'reconnect') this.#onHint(message);
      if (command === 'refresh') this.#onNoToken(connection, null, words);
    }
  }

  /** The opening connection takes over. */
  #onWelcome(connection, message, raw, to) {
    const { topics, from } = connection;
    const old = this.#connection;
    // Subscribed to only now, a topic that has been heard would be without what was published on it since then.
    const isPartial = [...this.#subscriptions].some(({ isAnswered, topic }) => isAnswered && !topics.includes(topic));
    // Whoever changes topics faster than a welcome comes does not wait for ever.
    if (from && isPartial && !connection.isSecond) return this.#dial(true);

    const resumed = message.resumed && !isPartial;
    const lastHeard = this.#place; // During a move it may have gone on from where the new connection was asked to.
    this.#opening = null;
    this.#connection = connection;
    connection.begin(message.ping_interval_ms ?? PING_INTERVAL_MS);
    // Commands for what was changed since the address was written; and no topics at all cannot be written in an address.
    for (const topic of this.topics) if (!topics.includes(topic)) this.#command('subscribe', topic);
    for (const topic of topics) if (!this.topics.includes(topic)) this.#command('unsubscribe', topic);
    this.#learnExpiry(connection, message.timestamp);
    this.#planRefresh();
    if (old) {
      this.#failures = old.hasLasted() ? 0 : this.#failures + 1;
      old.linger();
      this.#tell('moved');
    } else this.#enter('open');
    if (connection !== this.#connection) return;
    // Resumed, the place stays where it is until what was missed has come: this connection may end before.
    if (!resumed) this.#place = to;
    this.#handOn(message, raw);
    if (from) this.#tell('resume', { resumed, from: lastHeard, to });
  }

  #onEnd(connection, code, reason) {
    connection.end(code);
    const wasOpen = connection === this.#connection;
    if (!wasOpen && connection !== this.#opening) return;
    if (wasOpen) this.#connection = null;
    else this.#opening = null;

    // That cannot get better if the token is all that the user has given.
    const isLast = connection.token && connection.token === this.#token;
    const hasExpired = isLast && (code === EXPIRED || connection.expiresAt <= Date.now());
    const willRetry = !(hasExpired || STOP_CODES.includes(code) || code >= STOP_FROM);
    if (connection.hasLasted()) this.#failures = 0;
    const another = this.#connection;
    // During a move the attempt that is under way is the next.
    if (willRetry && !this.#opening) this.#retry(code);
    if (another) return;
    if (!willRetry) this.#release();
    if (hasExpired) reason = 'the token has expired';
    this.#enter(willRetry ? (this.#opening ? 'connecting' : 'waiting') : 'stopped', !willRetry && failure('stopped', `${code} ${reason}`));
    // A listener may have left in the meantime, or come back.
    this.#tell('close', { code, reason, wasOpen, willRetry: willRetry && this.#state !== 'idle', retryAt: this.#attemptAt });
  }

  #drawDelay(failures = this.#failures) {
    return Math.random() * Math.min(MAX_DELAY_MS, BASE_DELAY_MS * 2 ** failures);
  }

  /** Plans the next attempt after one that failed, or after an end. */
  #retry(code) {
    if (BACK_OFF_CODES.includes(code)) this.#failures = Math.max(this.#failures, BACK_OFF_FAILURES);
    const delayMs = code === TOO_SLOW && !this.#failures ? 0 : this.#drawDelay();
    this.#failures += 1;
    this.#plan(delayMs);
  }

  #onHint({ after_ms: slotMs }) {
    if (this.#connection.hasLasted()) this.#failures = 0;
    this.#opening?.end();
    this.#opening = null;
    // A server that asks everybody to leave at once, and is found again each time, must not be hammered.
    this.#plan(Math.max(slotMs >= 0 ? slotMs : this.#drawDelay(Infinity), this.#failures > 0 && this.#drawDelay()));
  }

  /** Plans an attempt in place of any other. */
  #plan(delayMs) {
    this.#attemptAt = Date.now() + delayMs;
    this.#planAttempt(() => this.#dial(), delayMs);
    if (this.#connection) this.#tell('moving', { at: this.#attemptAt, failures: this.#failures });
  }

  #onAbort = () => {
    this.disconnect();
    for (const subscription of this.#subscriptions) subscription.end();
  };

  #onSign = ({ type, target }) => {
    if (target.hidden) return;
    this.#connection?.hurry();
    if (this.#state === 'waiting' && type !== 'offline') this.connect();
  };

  /** Whether a publication is to be handed on. */
  #isNew(id) {
    // It is on the default topic, of a connection that could not name none.
    if (!this.#subscriptions.size || this.#heard.has(id)) return false;
    if (id) this.#heard.add(id);
    // While a successor opens nothing is forgotten, for it will bring all that was heard in the meantime once more.
    while (!this.#opening && this.#heard.size > MEMORY) {
      const [oldest] = this.#heard;
      this.#heard.delete(oldest);
    }
    return true;
  }

  /** Takes the token of this moment, or asks the user's function for one. */
  #obtainToken(connection) {
    const source = this.#token;
    if (typeof source !== 'function') return this.#onToken(connection, source);
    if (connection.isHeld) return;
    const isWanted = () =>
      source === this.#token && !connection.isHeld && (connection === this.#connection || connection === this.#opening);
    connection.remind(() => this.#onNoToken(connection, failure(NO_ANSWER)), TOKEN_TIMEOUT_MS);
    Promise.resolve().then(source).then(checked).then(
      (token) => isWanted() && this.#onToken(connection, token),
      (error) => isWanted() && this.#onNoToken(connection, error),
    );
  }

  /** Shows it: to a new connection, on the present one, or on another if the server would not accept it on this. */
  #onToken(connection, token) {
    if (connection !== this.#connection) return this.#call(connection, token);
    if (!token !== !connection.token || claimsOf(token).sub !== claimsOf(connection.token).sub) {
      this.#release();
      return this.#dial();
    }
    if (connection.isHeld) return;
    if (token === connection.token) return this.#planRefresh();
    connection.offered = token;
    connection.isHeld = true;
    connection.remind();
    this.send(JSON.stringify({ type: 'refresh', token }));
  }

  /** An open connection goes on with the token that it has. Whoever sets another is held back meanwhile, ever longer. */
  #onNoToken(connection, error, words) {
    // Whoever answers with another source is held back only once the attempt has ended.
    if (connection === this.#opening) this.#onEnd(connection, ABNORMAL_CLOSURE, NO_TOKEN);
    else {
      const refused = connection.offered;
      connection.offered = null;
      connection.isHeld = true;
      connection.remind(() => {
        connection.isHeld = false;
        if (this.#token !== refused) this.#obtainToken(connection);
      }, Math.max(PAUSE_MS, this.#drawDelay(connection.refusals)));
      connection.refusals += 1;
    }
    this.#tell('tokenerror', { reason: words ? 'refused' : 'unavailable', message: words ?? NO_TOKEN, error });
  }

  /** The token that was shown expires at a time of the server's clock. */
  #learnExpiry(connection, timestamp) {
    const serverNow = Date.parse(timestamp);
    if (serverNow) this.#skewMs = serverNow - Date.now();
    connection.expiresAt = claimsOf(connection.token).exp * 1000 - this.#skewMs;
  }

  /** Asks for a new token in time before this one expires. */
  #planRefresh() {
    const connection = this.#connection;
    const leftMs = connection.expiresAt - Date.now();
    const delayMs = leftMs * (REFRESH_FROM + REFRESH_SPREAD * Math.random());
    connection.remind(typeof this.#token === 'function' && leftMs > 0 && (() => this.#obtainToken(connection)), Math.max(PAUSE_MS, delayMs));
  }

  #onRefreshed({ timestamp }) {
    const connection = this.#connection;
    connection.token = connection.offered ?? connection.token;
    connection.offered = null;
    connection.isHeld = false;
    connection.refusals = 0;
    this.#learnExpiry(connection, timestamp);
    // Another may have been set in the meantime.
    if (typeof this.#token === 'function') this.#planRefresh();
    else this.#obtainToken(connection);
  }

  #enter(state, whyStopped) {
    const previous = this.#state;
    if (state === previous) return;
    this.#state = state;
    this.#whyStopped = whyStopped;
    const isIdle = state === 'idle';
    for (const sign of SIGNS) globalThis[isIdle || state === 'stopped' ? 'removeEventListener' : 'addEventListener']?.(sign, this.#onSign);
    // A signal may outlive many clients, and holds one no longer than there is something to end.
    this.#signal?.[!isIdle || [...this.#subscriptions].some(({ isLoop }) => isLoop) ? 'addEventListener' : 'removeEventListener']('abort', this.#onAbort);
    this.#tell('statechange', { state, previous });
    // A listener may have come back.
    for (const subscription of this.#subscriptions) subscription.stop(this.#whyStopped);
  }

  #handOn(message, raw, isLastWord) {
    this.#tell('message', { message: message.type ? message : null, raw });
    if (message.type === 'notification') this.#tell('notification', message);
    for (const subscription of [...this.#subscriptions]) subscription.hear(message, isLastWord);
  }

  #tell(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

/** One socket and what was agreed on it. There is none until there is a token for it. */
class Connection {
  // What the client notes on it:
  // socket; topics, as its address names them; from, the place it was asked to go on from, if any; and whether it isSecond, in place
  // of one that knew too few topics
  // token; expiresAt, by this machine's clock, NaN if it does not; offered, a token in its place that is not answered yet; and
  // whether it isHeld, after a refusal, or while a token is offered: the next one waits
  refusals = 0; // of tokens, in a row
  commands = []; // the topics of those not answered yet
  /** Sets what happens to its token next. */
  remind = timer();
  #expect = timer();
  #onSilence;
  #welcomedAt;
  #silenceMs; // longer is silence
  #asked = 0; // questions since anything was heard
  #leavesAt = 0; // when a slow line has taken all that was sent
  #longestBytes = 0; // of the texts that were sent
  #publications = new Map(); // those not answered yet, by their ref: { bytes, resolve, reject }

  /** Waits for the welcome. */
  open(onSilence) {
    this.#onSilence = onSilence;
    this.#expect(onSilence, OPENING_TIMEOUT_MS);
  }

  /** Welcomed, it is asked whether it is there when nothing comes for too long. */
  begin(pingIntervalMs) {
    this.#welcomedAt = Date.now();
    // Longer than between two pings, and not the same for all: or all would ask at once after each publication.
    this.#silenceMs = Math.max(PAUSE_MS, pingIntervalMs) * (1 + Math.random() / 2);
    this.hear();
  }

  hear() {
    this.#asked = 0;
    this.#expect(() => this.#ask(ANSWER_MS), this.#silenceMs);
  }

  /** Asks at once. */
  hurry() {
    if (!this.#asked) this.#ask(HURRIED_ANSWER_MS);
  }

  hasLasted() {
    return Date.now() - this.#welcomedAt >= STABLE_AFTER_MS;
  }

  /** @returns {boolean} whether the socket took it; what becomes of a publication is told by its `resolve` or `reject` */
  send(text, publication) {
    if (this.socket.readyState !== OPEN) return false;
    const bytes = new TextEncoder().encode(text).length;
    this.socket.send(text);
    this.#leavesAt = Math.max(this.#leavesAt, Date.now()) + bytes;
    this.#longestBytes = Math.max(this.#longestBytes, bytes);
    if (publication) this.#publications.set(publication.ref, { ...publication, bytes });
    if (!this.#asked) this.#awaitAnswer(ANSWER_MS);
    return true;
  }

  /** Takes what may be the answer to a publication or a command. Whether it says where its topic stands: no other is under way. */
  settle({ type, ref, id, code, message, command = type, topic }) {
    const publication = this.#publications.get(ref);
    this.#publications.delete(ref);
    if (type === 'error') publication?.reject(failure(code, message));
    else publication?.resolve(id);

    if (!command?.match?.(/subscribed?$/)) return false;
    const at = this.commands.indexOf(topic);
    if (at >= 0) this.commands.splice(at, 1);
    return !this.commands.includes(topic);
  }

  /** Ends once nothing can be under way on it. */
  linger() {
    this.remind();
    this.#expect(() => this.end(), this.#publications.size > 0 ? HURRIED_ANSWER_MS : 0);
  }

  /** Does not wait for the socket, whose end may take minutes to be told. */
  end(code) {
    this.#expect();
    this.remind();
    this.socket?.close(1000);
    for (const { bytes, reject } of this.#publications.values()) {
      // The message that was too big is the longest.
      reject(failure(code === TOO_BIG && bytes === this.#longestBytes ? 'too_large' : 'unanswered'));
    }
  }

  #ask(patienceMs) {
    this.#awaitAnswer(patienceMs);
    // Every text is answered, and none is shorter: it fits any limit on messages.
    this.socket.send('');
  }

  /** Nobody is there when nothing comes, not even after a second question. */
  #awaitAnswer(patienceMs) {
    const leavingMs = Math.min(LEAVING_MS, Math.max(0, this.#leavesAt - Date.now())); // The clock may have been set back.
    this.#asked += 1;
    this.#expect(() => {
      if (this.#asked < QUESTIONS) this.#ask(patienceMs);
      // What has come while this timer was late is heard first.
      else this.#expect(this.#onSilence, 0);
    }, leavingMs + patienceMs);
  }
}

/** One part of a program that listens to a topic. Connects nothing: it is told what comes, and tells that it has ended. */
class Subscription {
  #reject;
  #listener;
  #limit;
  #onEnd;
  #whyStopped;
  #waiting = []; // for the loop
  #turn = Promise.resolve(); // of the loop: whoever asks for more before the answer waits for that
  #wake; // the loop, once it has waited
  #isOver;
  #error; // what the loop ends with

  constructor(topic, { listener, limit = MEMORY }, onEnd) {
    this.topic = topic;
    // What it throws is told as of any listener: nobody else is kept from the publication.
    this.#listener = listener && (async (notification) => listener(notification));
    this.isLoop = !listener;
    this.#limit = limit;
    this.#onEnd = onEnd;
    const next = () => this.#next();
    const handle = {
      topic,
      unsubscribe: () => this.end(),
      next: () => (this.#turn = this.#turn.then(next, next)),
      return: async () => this.end(),
      [Symbol.asyncIterator]: () => handle,
    };
    const answered = new Promise((resolve, reject) => {
      /** The server has agreed. */
      this.answer = () => {
        this.isAnswered = true;
        resolve(handle);
      };
      this.#reject = reject;
    });
    answered.catch(() => {}); // Whoever does not wait for it must not fail for it.
    /** What the part of the program is given. The same without a promise is what the promise resolves to, or it would never. */
    this.handle = Object.assign(answered, handle);
  }

  hear(message, isLastWord) {
    const { type, topic, topics, code = 'forbidden' } = message;
    if (this.#isOver) return;
    if (type === 'welcome' && topics?.includes(this.topic)) this.answer();
    if (type === 'notification' && covers(this.topic, topic)) this.#take(message);
    // The answer to what was asked before this began says nothing of this.
    if (topic !== this.topic || !isLastWord) return;
    if (type === 'subscribed') this.answer();
    else this.end(failure(code, message.message));
  }

  /** While nothing comes whoever waits learns why, if it is given; anybody else hears more, should there be another connection. */
  stop(error) {
    this.#whyStopped = error;
    if (!error) return;
    this.#reject(error);
    this.#wake?.();
  }

  end(error) {
    if (!this.#isOver) {
      this.#isOver = true;
      if (!error) this.#waiting = [];
      this.#error ??= error;
      this.#reject(error ?? failure('unsubscribed'));
      this.#wake?.();
      this.#onEnd(error);
    }
    return { done: true };
  }

  #take(notification) {
    if (this.#listener) return this.#listener(notification);
    if (this.#error) return;
    if (this.#waiting.push(notification) > this.#limit) {
      this.#waiting = [];
      this.#error = failure('too_slow');
    }
    this.#wake?.();
  }

  async #next() {
    // A client that has come back meanwhile has not stopped.
    while (!(this.#waiting.length > 0 || this.#isOver || (this.#error ||= this.#whyStopped))) {
      await new Promise((resolve) => (this.#wake = resolve));
    }
    if (this.#waiting.length > 0) return { value: this.#waiting.shift() };
    const result = this.end();
    if (this.#error) throw this.#error;
    return result;
  }
}

/** Sets a timer in place of the one before, or clears it. */
function timer() {
  let id;
  return (act, delayMs) => {
    clearTimeout(id);
    id = act && setTimeout(act, Math.min(MAX_TIMER_MS, delayMs));
  };
}

/** Whether who listens to the one hears what is published on the other. */
function covers(filter, topic) {
  return filter === topic || (filter.endsWith('*') && topic?.startsWith?.(filter.slice(0, -1)));
}

function failure(code, message = code) {
  return Object.assign(new Error(message), { code });
}

/** Connections that name no topic hear the default one. */
function topicsOrDefault(topics) {
  return topics.length > 0 ? topics : ['notifications'];
}

function sourceOf(given) {
  return typeof given === 'function' ? given : given ? checked(given) : null;
}

/** A file, or what a command has printed, ends in a newline. */
function checked(given) {
  const token = given?.trim?.() ?? '';
  // A JWT has no other characters. Browsers refuse some of the others in an error that would show the token.
  if (!/^[\w.-]+$/.test(token)) throw new TypeError(NO_TOKEN);
  return token;
}

/** What a token says, not verified by anybody. Letters beyond ASCII are not put together. */
function claimsOf(token) {
  return parse(() => atob(token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/')));
}

/** The JSON in a text, if it can be read. */
function parse(read) {
  try {
    return JSON.parse(read()) ?? {};
  } catch {
    return {};
  }
}
