// The page: shows what the connection says and passes on what the user wants. When to reconnect is decided in slackwater.js.
// Invariant: nothing from a message is parsed as HTML; it reaches the page through textContent alone.

import { Slackwater } from '/slackwater.js';

/** A tab left open for days stays this small. */
const MAX_ROWS = 500;
/** Nearer to the end than this counts as reading the newest message. */
const AT_END_PX = 40;
const COUNTDOWN_TICK_MS = 250;

const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const DAY_AND_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const FULL_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' });

const STATES = {
  idle: 'Disconnected',
  connecting: 'Connecting…',
  open: 'Connected',
  waiting: 'Waiting to reconnect',
  stopped: 'Stopped',
};

/** Close codes in words, for those a user can meet (RFC 6455 §7.4.1 and the server's own). */
const ENDINGS = {
  1000: 'The server closed the connection',
  1001: 'The server went away',
  1002: 'The server saw a protocol error',
  1003: 'The server does not take binary messages',
  1006: 'The connection was lost',
  1007: 'The server saw text that is not UTF-8',
  1008: 'The server does not let this client in',
  1009: 'The message was too big for the server',
  1011: 'The server had an internal error',
  1012: 'The server is restarting',
  1013: 'The server is overloaded',
  4001: 'This client read too slowly',
  4003: 'This client did not answer a ping in time',
};

const element = (id) => document.getElementById(id);
const ui = {
  state: element('state'),
  activeConnections: element('active-connections'),
  connectionId: element('connection-id'),
  note: element('note'),
  countdown: element('countdown'),
  retry: element('retry'),
  connect: element('connect'),
  disconnect: element('disconnect'),
  composer: element('composer'),
  composerFields: element('composer-fields'),
  text: element('text'),
  clear: element('clear'),
  count: element('count'),
  log: element('log'),
  empty: element('empty'),
  dropped: element('dropped'),
  rows: element('rows'),
  newest: element('newest'),
};

const client = new Slackwater(`/ws${pageQuery()}`);

/** `/?topic=orders&token=…` opens the page on that topic: what the socket understands is passed on to it. */
function pageQuery() {
  const known = [...new URLSearchParams(location.search)].filter(([name]) => name === 'topic' || name === 'token');
  return known.length === 0 ? '' : `?${new URLSearchParams(known)}`;
}

// The connection

client.addEventListener('statechange', ({ detail }) => {
  if (detail.state === 'connecting' && detail.previous !== 'waiting') ui.note.textContent = `To ${location.host}.`;
  if (detail.state === 'idle') ui.note.textContent = 'Not reconnecting until you say so.';
  if (detail.state === 'open') ui.note.textContent = `Since ${TIME.format()}.`;
  if (detail.previous === 'open') showConnectionId(null);
  if (detail.previous === 'open' && detail.state === 'idle') addRow(local('Disconnected by you'));
  showState(detail.state);
});

client.addEventListener('close', ({ detail }) => {
  const ending = endingInWords(detail);
  ui.note.textContent = `${ending}.`;
  if (detail.wasOpen) addRow(local(`${ending} (${detail.code})`));
});

client.addEventListener('message', ({ detail: { message, raw } }) => {
  if (message?.type === 'welcome') showConnectionId(message.connection_id);
  if (Number.isFinite(message?.active_connections)) showActiveConnections(message.active_connections);
  addRow(message ? received(message, raw) : unreadable(raw));
});

function endingInWords({ code, reason, wasOpen }) {
  if (!wasOpen && code === 1006) return 'The server cannot be reached';
  const words = ENDINGS[code] ?? `The connection closed with code ${code}`;
  return reason ? `${words}: ${reason}` : words;
}

function showState(state) {
  const focused = document.activeElement;
  const away = state === 'idle' || state === 'stopped';

  document.body.dataset.state = state;
  ui.state.textContent = STATES[state];
  ui.connect.disabled = !away;
  ui.connect.hidden = state === 'waiting';
  ui.disconnect.disabled = away;
  ui.retry.hidden = state !== 'waiting';
  ui.composerFields.disabled = state !== 'open';
  showCountdown();
  keepFocus(focused);
}

/**
 * A button that goes while it has the focus leaves it to the note, where no key does anything: not to another button, which
 * an Enter meant for the first would press. The text box takes the focus back when the connection returns.
 */
let textHadFocus = false;
function keepFocus(focused) {
  const gone = focused.matches(':disabled, [hidden]');
  if (gone && !ui.composer.contains(focused)) ui.note.focus();
  if (gone && ui.composer.contains(focused)) textHadFocus = true;

  if (!textHadFocus || ui.composerFields.disabled) return;
  textHadFocus = false;
  if (document.activeElement === document.body) ui.text.focus();
}

let ticking = null;
function showCountdown() {
  clearTimeout(ticking);
  if (client.retryAt === null) {
    ui.countdown.textContent = '';
    return;
  }
  const seconds = Math.max(0, Math.ceil((client.retryAt - Date.now()) / 1000));
  ui.countdown.textContent = `in ${seconds} s`;
  ticking = setTimeout(showCountdown, COUNTDOWN_TICK_MS);
}

function showConnectionId(id) {
  ui.connectionId.textContent = typeof id === 'string' ? id : '–';
}

function showActiveConnections(count) {
  const text = count.toLocaleString();
  if (ui.activeConnections.textContent !== text) ui.activeConnections.textContent = text;
}

// What a row says: { type, topic, text, at, pretty }

function received(message, raw) {
  return {
    type: typeof message.type === 'string' ? message.type : 'untyped',
    topic: message.type === 'notification' ? inWords(message.topic) : '',
    text: summary(message),
    at: momentOf(message.timestamp),
    pretty: () => prettyJson(message, raw),
  };
}

function momentOf(timestamp) {
  const moment = new Date(typeof timestamp === 'string' ? timestamp : NaN);
  return Number.isNaN(moment.getTime()) ? new Date() : moment;
}

function unreadable(raw) {
  if (typeof raw === 'string') return { type: 'text', text: raw, at: new Date(), pretty: () => raw };
  return { type: 'binary', text: `${raw.byteLength} bytes`, at: new Date(), pretty: null };
}

function local(text) {
  return { type: 'connection', text, at: new Date(), pretty: null };
}

function summary({ type, timestamp, ...rest }) {
  if (type === 'error' && 'code' in rest) return `${inWords(rest.code)}: ${inWords(rest.message)}`;
  if (typeof rest.message === 'string') return rest.message;
  if ('data' in rest) return inWords(rest.data);
  if (type === 'subscribed') return `Now listening to ${inWords(rest.topic)}`;
  if (type === 'unsubscribed') return `No longer listening to ${inWords(rest.topic)}`;
  if (type === 'reconnect') return `The server asks to reconnect: ${inWords(rest.reason)}`;
  return inWords(rest);
}

/** A string as it is, anything else as JSON. */
function inWords(value = '') {
  if (typeof value === 'string') return value;
  try {
    return JSON.stringify(value);
  } catch {
    return '…'; // Nested more deeply than the stack allows.
  }
}

/** Indented, unless JavaScript's numbers and objects cannot hold what was sent: then as it came. */
function prettyJson(message, raw) {
  return inWords(message) === raw ? JSON.stringify(message, null, 2) : raw;
}

// The rows

let dropped = 0;
let unseen = 0;
let followsEnd = true;
let frame = null;

function addRow(row) {
  // Measured once a frame and before the first new row, however many arrive.
  if (frame === null) {
    followsEnd = isAtEnd();
    frame = requestAnimationFrame(settleScroll);
  }
  ui.rows.append(rowElement(row));
  unseen += 1;
  while (ui.rows.childElementCount > MAX_ROWS) {
    ui.rows.firstElementChild.remove();
    dropped += 1;
  }
  showCounts();
}

function clearRows() {
  ui.rows.replaceChildren();
  dropped = 0;
  unseen = 0;
  ui.newest.hidden = true;
  showCounts();
}

function showCounts() {
  const count = ui.rows.childElementCount;
  ui.count.textContent = count.toLocaleString();
  ui.empty.hidden = count > 0;
  ui.dropped.hidden = dropped === 0;
  ui.dropped.textContent = `The newest ${MAX_ROWS} are kept. Older rows dropped: ${dropped.toLocaleString()}.`;
}

function isAtEnd() {
  return ui.log.scrollHeight - ui.log.scrollTop - ui.log.clientHeight < AT_END_PX;
}

function scrollToEnd() {
  ui.log.scrollTop = ui.log.scrollHeight;
}

function settleScroll() {
  frame = null;
  if (followsEnd) scrollToEnd();
  showUnseen();
}

function showUnseen() {
  if (isAtEnd()) unseen = 0;
  ui.newest.hidden = unseen === 0;
  ui.newest.textContent = `${unseen.toLocaleString()} new`;
}

function rowElement({ type, topic, text, at, pretty }) {
  const row = make('li', 'row');
  row.dataset.type = type;
  row.append(timeElement(at), make('span', 'badge', type));
  const body = make('p', 'body');
  if (topic) body.append(make('span', 'topic', topic), ' ');
  body.append(make('bdi', 'text', text));
  row.append(body);
  if (pretty) row.append(detailsElement(pretty));
  return row;
}

/** The time of day; the first row of another day names the day too. */
let latestDay = new Date().toDateString();
function timeElement(at) {
  const format = at.toDateString() === latestDay ? TIME : DAY_AND_TIME;
  latestDay = at.toDateString();
  const time = make('time', 'time', format.format(at));
  time.dateTime = at.toISOString();
  time.title = FULL_TIME.format(at);
  return time;
}

/** The raw message is written into the page only when somebody asks to see it. */
function detailsElement(pretty) {
  const details = make('details');
  const code = make('pre');
  details.append(make('summary', null, 'JSON'), code);
  details.addEventListener('toggle', () => (code.textContent = pretty()), { once: true });
  return details;
}

function make(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

// What the user does

ui.connect.addEventListener('click', () => client.connect());
ui.retry.addEventListener('click', () => client.connect());
ui.disconnect.addEventListener('click', () => client.disconnect());
ui.clear.addEventListener('click', clearRows);

ui.composer.addEventListener('submit', (event) => {
  event.preventDefault();
  if (ui.text.value !== '' && client.send(ui.text.value)) ui.text.value = '';
});

ui.newest.addEventListener('click', () => {
  ui.log.focus();
  scrollToEnd();
});

// While a frame is pending, new rows have moved the end and the place the reader had was measured before.
ui.log.addEventListener('scroll', () => {
  if (frame !== null) return;
  followsEnd = isAtEnd();
  showUnseen();
});

// The keyboard of a phone takes half the height: whoever was at the end stays there.
new ResizeObserver(() => followsEnd && scrollToEnd()).observe(ui.log);

client.connect();
