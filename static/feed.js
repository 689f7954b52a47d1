// The list of messages: what a row says, how many rows are kept, and where the reader is. Knows nothing of the connection. A frame
// builds some rows, and none that would be dropped at once: a burst does not hold up the page.
// Invariant: nothing from a message is parsed as HTML; it reaches the page through textContent alone.

import { make } from './make.js';
import { inWords } from './words.js';

/** A tab left open for days stays this small. */
const MAX_ROWS = 500;
/** In one frame: it takes some milliseconds. */
const ROWS_A_FRAME = 100;
/** Nearer to the end than this counts as reading the newest message. */
const AT_END_PX = 40;
/** JSON up to this length is read more easily in one line. */
const ONE_LINE = 72;

const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const DAY_AND_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const FULL_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'long' });

const element = (id) => document.getElementById(id);
const ui = {
  clear: element('clear'),
  count: element('count'),
  log: element('log'),
  empty: element('empty'),
  dropped: element('dropped'),
  rows: element('rows'),
  newest: element('newest'),
};

// What a row says: { type, id, topic, text, style, at, pretty }

/** A message as it was received; `message` is null when it is not a JSON object. */
export function received(message, raw) {
  if (message === null) return unreadable(raw);
  const isPublication = message.type === 'notification';
  return {
    type: typeof message.type === 'string' ? message.type : 'untyped',
    id: isPublication ? inWords(message.id) : '',
    topic: isPublication ? inWords(message.topic) : '',
    ...summary(message),
    at: momentOf(message.timestamp),
    pretty: () => prettyJson(message, raw),
  };
}

/** Something that the page itself has to say. */
export function local(type, text) {
  return { type, text, at: new Date(), pretty: null };
}

function unreadable(raw) {
  if (typeof raw === 'string') return { type: 'text', text: raw, at: new Date(), pretty: () => raw };
  return { type: 'binary', text: `${raw.size} bytes`, at: new Date(), pretty: null };
}

function momentOf(timestamp) {
  const moment = new Date(typeof timestamp === 'string' ? timestamp : NaN);
  return Number.isNaN(moment.getTime()) ? new Date() : moment;
}

function summary({ type, timestamp, ...rest }) {
  if (type === 'error' && 'code' in rest) return { text: `${inWords(rest.code)}: ${inWords(rest.message)}` };
  if (typeof rest.message === 'string') return { text: rest.message };
  if ('data' in rest) return data(rest.data);
  if (type === 'subscribed') return { text: `Now listening to ${inWords(rest.topic)}` };
  if (type === 'unsubscribed') return { text: `No longer listening to ${inWords(rest.topic)}` };
  if (type === 'refreshed') return { text: 'The new token counts from now on' };
  if (type === 'reconnect') return { text: hint(rest.reason) };
  if (type === 'gap') return { text: 'There may be a gap: the server may have lost something' };
  return data(rest);
}

function hint(reason) {
  if (reason === 'server_restart') return 'The server restarts';
  if (reason === 'connection_age') return 'This connection is old';
  return `The server asks to reconnect: ${inWords(reason)}`;
}

function data(value) {
  if (typeof value === 'string') return { text: value };
  const line = inWords(value);
  return line.length > ONE_LINE ? { text: inWords(value, 2), style: 'code block' } : { text: line, style: 'code' };
}

/** Indented, unless JavaScript's numbers and objects cannot hold what was sent: then as it came. */
function prettyJson(message, raw) {
  return inWords(message) === raw ? JSON.stringify(message, null, 2) : raw;
}

// The rows

/** How the next frames build rows, the oldest first; all are newer than those in the list. */
let waiting = [];
let dropped = 0;
let unseen = 0;
let followsEnd = true;
let latestTop = 0; // where the list was scrolled to
let frame = null;

/** Adds a row at the end; returns how to change its text later. */
export function addRow(row) {
  let text = null;
  const build = () => {
    text = make('bdi', `text ${row.style ?? ''}`, row.text);
    return rowElement(row, text);
  };
  waiting.push(build);
  unseen += 1;
  if (waiting.length >= 2 * MAX_ROWS) dropOldest(); // No frame comes to a tab in the background.
  frame ??= requestAnimationFrame(buildSome);
  return (words) => {
    if (text) text.textContent = words;
    else row = { ...row, text: words };
  };
}

function buildSome() {
  dropOldest();
  const rows = waiting.splice(0, ROWS_A_FRAME).map((build) => build());
  ui.rows.append(...rows);
  frame = waiting.length > 0 ? requestAnimationFrame(buildSome) : null;
  showCounts();
  if (followsEnd) scrollToEnd();
  showUnseen();
}

/** So that those that are kept follow on one another. */
function dropOldest() {
  const excess = ui.rows.childElementCount + waiting.length - MAX_ROWS;
  if (excess <= 0) return;
  const listed = Math.min(excess, ui.rows.childElementCount);
  const isReadNoMore = !followsEnd && isBelowTop(ui.rows.children[listed]);
  for (let count = 0; count < listed; count += 1) ui.rows.firstElementChild.remove();
  // What was being read is gone: the oldest row that is kept comes next.
  if (isReadNoMore) ui.log.scrollTop = 0;
  waiting.splice(0, excess - listed);
  dropped += excess;
}

function clearRows() {
  ui.rows.replaceChildren();
  waiting = [];
  dropped = 0;
  unseen = 0;
  followsEnd = true;
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
  followsEnd = true;
  ui.log.scrollTop = ui.log.scrollHeight;
  latestTop = ui.log.scrollTop;
}

/** Whether a row, if there is one, begins below the upper edge. */
function isBelowTop(row) {
  return !row || row.getBoundingClientRect().top > ui.log.getBoundingClientRect().top;
}

function showUnseen() {
  if (followsEnd) unseen = 0;
  ui.newest.hidden = unseen === 0;
  ui.newest.textContent = `${unseen.toLocaleString()} new`;
}

function rowElement({ type, id, topic, at, pretty }, text) {
  const row = make('li', 'row');
  row.dataset.type = type;
  row.append(timeElement(at), topic ? topicElement(topic) : make('span', 'badge', type));
  const body = make('p', 'body');
  body.append(text);
  row.append(body);
  if (id) row.append(idElement(id));
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

/** What is listened to says more than the word "notification" would on each row. */
function topicElement(topic) {
  const made = make('bdi', 'badge topic', topic);
  made.title = `Topic ${topic}`;
  return made;
}

/** Not read out with each message, as it is opaque: whoever wants it finds it in the JSON. */
function idElement(id) {
  const made = make('span', 'id', id);
  made.title = `Id ${id}`;
  made.ariaHidden = 'true';
  return made;
}

/** The raw message is written into the page only when somebody asks to see it. */
function detailsElement(pretty) {
  const details = make('details');
  const code = make('pre');
  details.append(make('summary', null, 'JSON'), code);
  details.addEventListener('toggle', () => (code.textContent = pretty()), { once: true });
  return details;
}

// What the reader does

ui.clear.addEventListener('click', clearRows);

ui.newest.addEventListener('click', () => {
  ui.log.focus();
  scrollToEnd();
});

// Rows stretch as they come into sight, and so does the list under a reader who goes to the end.
ui.log.addEventListener('keydown', (event) => {
  if (event.key !== 'End') return;
  event.preventDefault();
  scrollToEnd();
});

/** Whoever goes up leaves the end. What grows below a reader is no move of his. */
ui.log.addEventListener('scroll', () => {
  const { scrollTop } = ui.log;
  if (isAtEnd()) followsEnd = true;
  else if (scrollTop < latestTop) followsEnd = false;
  latestTop = scrollTop;
  showUnseen();
});

// Whoever opens a row reads it where it is; below the last one there is nothing else to see.
ui.rows.addEventListener('click', ({ target }) => {
  if (target.closest('summary')) followsEnd &&= target.closest('.row') === ui.rows.lastElementChild;
});

// The keyboard of a phone takes half the height, and rows may be higher than they seemed: whoever was at the end stays there.
const sizes = new ResizeObserver(() => followsEnd && scrollToEnd());
for (const part of [ui.log, ui.rows]) sizes.observe(part);
