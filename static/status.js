// The operators' page: asks the server each second how it is (`/status`) and shows it; what is drawn is in plot.js. It can ask the
// server to leave, after a question. Every address is relative to the page's own, which may be below a prefix.
// Invariant: nothing from an answer is parsed as HTML; it reaches the page through textContent alone.

import { make } from './make.js';
import { Plot } from './plot.js';
import { inWords, spanInWords } from './words.js';

const ASK_EVERY_MS = 1_000;
const TIMEOUT_MS = 5_000;
/** Five minutes, if each answer comes in time. */
const SAMPLES = 300;

const NUMBER = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const TIME = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const count = (value) => (Number.isFinite(value) ? NUMBER.format(value) : '–');

/** What is plotted: a quantity as it is told, or how fast one of the totals grows. */
const PLOTS = [
  { name: 'Connections', of: (status) => status.connections, format: count },
  { name: 'Connects a second', total: 'connects', format: count },
  { name: 'Disconnects a second', total: 'disconnects', format: count },
  { name: 'Publications a second', total: 'publications', format: count },
  { name: 'Deliveries a second', total: 'deliveries', format: count },
  { name: 'Outbox', of: (status) => status.outbox_bytes, format: size },
  { name: 'Resumes a second', total: 'resumes', format: count },
  { name: 'Gaps a second', total: 'gaps', format: count },
].map(({ of, total, ...look }) => ({ of, total, plot: new Plot({ ...look, most: SAMPLES }) }));

const STATES = { serving: 'Serving', draining: 'Leaving' };

const ui = new Proxy({}, { get: (_, name) => document.getElementById(name.replace(/[A-Z]/g, (big) => `-${big.toLowerCase()}`)) });

let token = null;
/** The answer before, and when it came; null before the first and behind each that did not come. */
let before = null;

// Asking

async function ask() {
  try {
    const answer = await request('status', 'GET');
    if (answer.ok) show(await answer.json());
    else if (answer.status === 401 || answer.status === 403) await demandToken(answer);
    else showAway(`The server answers with ${answer.status}`);
  } catch ({ name }) {
    showAway(name === 'TimeoutError' ? 'The server does not answer' : 'The server cannot be reached');
  }
  setTimeout(ask, ASK_EVERY_MS);
}

function request(path, method) {
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  return fetch(path, { method, headers, cache: 'no-store', credentials: 'omit', signal: AbortSignal.timeout(TIMEOUT_MS) });
}

async function demandToken(answer) {
  const { error } = await answer.json().catch(() => ({}));
  showAway('A token is needed');
  demand(told(error ?? 'The server gives no reason'));
}

function demand(words) {
  ui.accessAnswer.textContent = words;
  if (!ui.access.hidden) return;
  ui.access.hidden = false;
  ui.token.focus();
}

// Showing

function show(status) {
  const now = performance.now();
  const isAnother = before !== null && status.since !== before.status.since;
  for (const { plot, of, total } of PLOTS) plot.add(of ? of(status) : growth(status, total, now), isAnother);
  before = { status, at: now };
  document.body.dataset.state = status.status === 'draining' ? 'draining' : 'serving';
  setText(ui.state, STATES[status.status] ?? told(status.status));
  setText(ui.note, `Version ${told(status.version)}, since ${moment(status.since)} (${span(status.uptime_seconds)}).`);
  ui.drain.disabled = status.status !== 'serving';
  showDrain(status.drain);
  showHandover(status.handover);
  showEngine(status.engine);
  showHistory(status.history ?? {});
  fill(ui.workers, list(status.workers).map((it) => [it.number, told(it.pid), it.connections, it.event_streams, size(it.outbox_bytes)]));
  setText(ui.topicCount, count(status.topics?.count));
  fill(ui.topics, list(status.topics?.most_heard).map(({ topic, subscribers }) => [told(topic), subscribers]));
  showNumbers();
}

/** A second, since the answer before. A process that is new counts anew. */
function growth(status, total, now) {
  const [is, was] = [status.totals?.[total], before?.status.totals?.[total]];
  if (!Number.isFinite(is) || !Number.isFinite(was) || is < was) return null;
  return ((is - was) * 1000) / (now - before.at);
}

function showAway(words) {
  for (const { plot } of PLOTS) plot.add(null, false);
  const leaving = before?.status.status === 'draining' || document.body.dataset.state === 'left';
  before = null;
  document.body.dataset.state = leaving ? 'left' : 'away';
  setText(ui.state, leaving ? 'It has gone' : words);
  if (leaving) setText(ui.note, `${words}. Below is what it said last.`);
  ui.drain.disabled = true;
  ui.leaving.hidden = true;
  ui.question.close();
}

function showDrain(drain) {
  ui.leaving.hidden = !drain;
  if (!drain) return;
  const { connections_then: then, remaining, departures_per_second: speed, deadline } = drain;
  ui.left.max = Math.max(1, finite(then));
  ui.left.value = Math.max(0, finite(then - remaining));
  setText(ui.remaining, `${count(remaining)} of ${count(then)} still here`);
  setText(ui.departures, `${count(speed)} a second, on average`);
  const seconds = (Date.parse(deadline) - Date.parse(drain.since)) / 1000 - secondsSince(drain.since);
  setText(ui.deadline, `${moment(deadline)} (${seconds > 0 ? `in ${span(seconds)}` : 'now'})`);
  setText(ui.begun, drain.origin ? `${moment(drain.since)}, by ${told(drain.origin)}` : moment(drain.since));
}

/** By the server's clock as far as it is known: its uptime counts from `since`. */
function secondsSince(moment) {
  const { since, uptime_seconds: uptime } = before.status;
  const now = Number.isFinite(uptime) ? Date.parse(since) + uptime * 1000 : Date.now();
  return (now - Date.parse(moment)) / 1000;
}

function showHandover(handover) {
  ui.handover.hidden = !handover;
  if (!handover) return;
  setText(ui.handoverResult, told(handover.result));
  setText(ui.handoverEnded, moment(handover.ended));
  setText(ui.handoverClients, `${count(handover.moved)} moved, ${count(handover.stayed)} stayed`);
  setText(ui.handoverSeconds, `${count(handover.seconds * 1000)} ms`);
}

function showEngine(engine) {
  ui.engine.hidden = !engine;
  if (!engine) return;
  const { status, error, address, lag_seconds: lag, reconnects } = engine;
  setText(ui.engineState, error ? `${told(status)}: ${told(error)}` : told(status));
  setText(ui.engineAddress, told(address));
  setText(ui.engineLag, `${count(lag)} s`);
  setText(ui.engineReconnects, count(reconnects));
}

function showHistory({ events, events_limit: most, bytes, bytes_limit: mostBytes, oldest }) {
  showMeter(ui.events, events, most);
  showMeter(ui.bytes, bytes, mostBytes);
  setText(ui.eventsWords, `${count(events)} of ${count(most)}`);
  setText(ui.bytesWords, `${size(bytes)} of ${size(mostBytes)}`);
  setText(ui.oldest, moment(oldest));
}

function showMeter(meter, value, most) {
  meter.max = Math.max(1, finite(most));
  meter.value = finite(value);
}

function showNumbers() {
  if (ui.numbers.open) fill(ui.numberRows, PLOTS.map(({ plot }) => [plot.name, ...plot.inNumbers()]));
}

// In words

/** What is not told is a dash. */
function told(value = '–') {
  return inWords(value);
}

function span(seconds) {
  return Number.isFinite(seconds) ? spanInWords(seconds) : '–';
}

function moment(timestamp) {
  const at = new Date(typeof timestamp === 'string' ? timestamp : NaN);
  return Number.isNaN(at.getTime()) ? '–' : TIME.format(at);
}

function size(bytes) {
  if (!Number.isFinite(bytes)) return '–';
  for (const [unit, octets] of [['GiB', 2 ** 30], ['MiB', 2 ** 20], ['KiB', 2 ** 10]]) {
    if (bytes >= octets) return `${NUMBER.format(bytes / octets)} ${unit}`;
  }
  return `${NUMBER.format(bytes)} B`;
}

function finite(value) {
  return Number.isFinite(value) ? value : 0;
}

function list(value) {
  return Array.isArray(value) ? value : [];
}

/** Only what has changed is touched, so that nothing is read out or selected anew each second. */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function fill(body, rows) {
  while (body.rows.length > rows.length) body.lastElementChild.remove();
  rows.forEach((cells, nth) => {
    const row = body.rows[nth] ?? body.appendChild(make('tr'));
    cells.forEach((cell, place) => {
      const made = row.cells[place] ?? row.appendChild(make(place === 0 ? 'th' : 'td'));
      if (place === 0) made.scope = 'row';
      setText(made, Number.isFinite(cell) ? count(cell) : told(cell));
    });
  });
}

// What the operator does

ui.access.addEventListener('submit', (event) => {
  event.preventDefault();
  token = ui.token.value;
  ui.token.value = '';
  ui.access.hidden = true;
});

ui.drain.addEventListener('click', () => {
  const here = before?.status.connections;
  ui.questionWords.textContent = `It accepts nobody any more and asks its clients (${count(here)}) to move. Whoever is still here at the `
    + 'deadline is closed, and then it ends. This cannot be taken back.';
  ui.questionAnswer.textContent = '';
  ui.question.showModal();
});

ui.leave.addEventListener('click', async () => {
  ui.leave.disabled = true;
  try {
    const answer = await request('drain', 'POST');
    if (answer.ok) return ui.question.close();
    const { error } = await answer.json().catch(() => ({}));
    ui.questionAnswer.textContent = `${answer.status}: ${told(error ?? 'the server gives no reason')}`;
    if (answer.status !== 401) return;
    ui.question.close();
    demand(`To make it leave takes the operators’ token: ${told(error ?? 'the server gives no reason')}. Then ask again.`);
  } catch {
    ui.questionAnswer.textContent = 'No answer: it may leave or not.';
  } finally {
    ui.leave.disabled = false;
  }
});

ui.numbers.addEventListener('toggle', showNumbers);

ui.plots.append(...PLOTS.map(({ plot }) => plot.element));
ask();
