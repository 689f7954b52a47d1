// The page: shows what the connection says and passes on what the user wants. When to reconnect is decided in slackwater.js,
// how messages are listed in feed.js, what is shown of a token in token.js. Every address is relative to the page's own, which may
// be below a prefix.
// Invariant: nothing from a message is parsed as HTML; it reaches the page through textContent alone.

import { addRow, local, received } from './feed.js';
import { make } from './make.js';
import { countMessage } from './rate.js';
import { Slackwater } from './slackwater.js';
import { askForToken, authorization, listenNoMoreTo, listenTo, showTokenOf, whyNotLetIn } from './token.js';
import { inWords } from './words.js';

const COUNTDOWN_TICK_MS = 250;
/** A network that has gone silent would keep a publication for minutes. */
const PUBLISHING_TIMEOUT_MS = 10_000;
/** From here on a wait is told in minutes. */
const LONG_WAIT_S = 120;
const TIME = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
/** Room for the whole column of controls, as in style.css. */
const WIDE = matchMedia('(min-width: 64rem)');

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
  4004: 'The token has expired',
};

const GAP = 'There may be a gap: the server no longer has what was missed';
const LOST_NOTHING = 'nothing is lost';
/** The reason of a close with 1012 for which no server restarts. */
const AGED = 'connection age';
/** Why to move, and in which words. */
const MOVES = {
  server_restart: { moved: 'Moved to the new server', staying: 'No new server yet; staying on this one.' },
  connection_age: { moved: 'Moved to a new connection', staying: 'No new connection yet; staying on this one.' },
};

const element = (id) => document.getElementById(id);
const ui = {
  state: element('state'),
  activeConnections: element('active-connections'),
  connectionId: element('connection-id'),
  compression: element('compression'),
  note: element('note'),
  countdown: element('countdown'),
  retry: element('retry'),
  connect: element('connect'),
  disconnect: element('disconnect'),
  topicsBox: element('topics-box'),
  topicCount: element('topic-count'),
  listener: element('listener'),
  listenerFields: element('listener-fields'),
  topics: element('topics'),
  noTopics: element('no-topics'),
  topic: element('topic'),
  topicAnswer: element('topic-answer'),
  publishBox: element('publish-box'),
  publisher: element('publisher'),
  publishTopic: element('publish-topic'),
  publishData: element('publish-data'),
  publishShape: element('publish-shape'),
  tokenField: element('token-field'),
  token: element('token'),
  publishAnswer: element('publish-answer'),
  composer: element('composer'),
  composerFields: element('composer-fields'),
  text: element('text'),
  textHint: element('text-hint'),
};

const client = new Slackwater(`ws${pageQuery()}`);

/** `/?topic=orders` opens the page on that topic. */
function pageQuery() {
  const known = [...new URLSearchParams(location.search)].filter(([name]) => name === 'topic');
  return known.length === 0 ? '' : `?${new URLSearchParams(known)}`;
}

// The connection

client.addEventListener('statechange', ({ detail }) => {
  sayOfMove = null;
  if (detail.state === 'connecting' && detail.previous !== 'waiting') ui.note.textContent = `To ${location.host}.`;
  if (detail.state === 'idle') ui.note.textContent = 'Not reconnecting until you say so.';
  if (detail.state === 'open') ui.note.textContent = `Since ${TIME.format()}.`;
  if (detail.previous === 'open') {
    showConnectionId(null);
    showCompression();
    forgetActiveConnections();
    doubtUnanswered();
  }
  if (detail.previous === 'open' && detail.state === 'idle') addRow(local('connection', 'Disconnected by you'));
  showState(detail.state);
});

client.addEventListener('close', ({ detail }) => {
  const ending = endingInWords(detail);
  ui.note.textContent = `${ending}.`;
  if (detail.wasOpen) addRow(local('connection', `${ending} (${detail.code})`));
  else if (detail.willRetry) giveUpIfNotLetIn();
});

/** Another attempt with the same token would end the same way. */
async function giveUpIfNotLetIn() {
  const why = await whyNotLetIn();
  if (why === null || (client.state !== 'waiting' && client.state !== 'connecting')) return;
  client.disconnect();
  ui.note.textContent = askForToken(why);
}

client.addEventListener('message', ({ detail: { message, raw } }) => {
  if (message?.type === 'welcome') welcome(message);
  if (message?.type === 'notification') {
    countMessage();
    countMissed(message);
  }
  if (message !== null) {
    followTopics(message);
    settleUnanswered(message);
  }
  if (Number.isFinite(message?.active_connections)) showActiveConnections(message.active_connections);
  const row = received(message, raw);
  const say = addRow(row);
  if (message?.type === 'reconnect') {
    sayOfHint = (words) => say(`${row.text}; ${words}`);
    if (message.reason === 'server_restart') forgetActiveConnections();
    move = Object.hasOwn(MOVES, message.reason) ? MOVES[message.reason] : MOVES.server_restart;
  }
});

client.addEventListener('resume', ({ detail }) => {
  if (!detail.resumed) showGap();
  else if (sayOfMove !== null) showResumedInMove();
  else showResumed(detail.to);
});

client.addEventListener('gap', showLiveGap);

/** How to add words to the row of the latest hint, and to that of the move under way. */
let sayOfHint = null;
let sayOfMove = null;
let hasNowhereToMove = false;
let move = MOVES.server_restart;

client.addEventListener('moving', ({ detail: { at, failures } }) => {
  hasNowhereToMove = failures > 0;
  if (hasNowhereToMove) ui.note.textContent = move.staying;
  else sayOfHint(`moving ${untilInWords(at)}`);
  showCountdown();
});

client.addEventListener('moved', () => {
  sayOfMove = addRow(local('moved', move.moved));
  doubtUnanswered();
  ui.note.textContent = `Moved at ${TIME.format()}.`;
  showCountdown();
});

function endingInWords({ code, reason, wasOpen, willRetry }) {
  if (!wasOpen && code === 1006) return willRetry ? 'The server cannot be reached' : ENDINGS[4004];
  if (code === 1012 && reason === AGED) return 'The server closed this connection, which had become old';
  const words = ENDINGS[code] ?? `The connection closed with code ${code}`;
  const saysMore = reason !== '' && reason.toLowerCase() !== words.toLowerCase();
  return saysMore ? `${words}: ${reason}` : words;
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
  ui.listenerFields.disabled = ui.composerFields.disabled = state !== 'open';
  showCountdown();
  keepFocus(focused);
}

/**
 * A button that goes while it has the focus leaves it to the note, where no key does anything: not to another button, which
 * an Enter meant for the first would press. A form's box takes the focus back when the connection returns.
 */
let hadFocus = null;
function keepFocus(focused) {
  if (focused.matches(':disabled, [hidden]')) {
    const form = focused.closest('form');
    if (form) hadFocus = form.querySelector('input');
    else ui.note.focus();
  }
  if (hadFocus === null || hadFocus.matches(':disabled')) return;
  if (document.activeElement === document.body) hadFocus.focus();
  hadFocus = null;
}

let ticking = null;
function showCountdown() {
  clearTimeout(ticking);
  const at = client.retryAt ?? client.movesAt;
  if (at === null) {
    ui.countdown.textContent = '';
    return;
  }
  const what = hasNowhereToMove ? 'next try' : 'moving';
  ui.countdown.textContent = client.retryAt === null ? `${what} ${untilInWords(at)}` : untilInWords(at);
  ticking = setTimeout(showCountdown, COUNTDOWN_TICK_MS);
}

function untilInWords(at) {
  const ms = at - Date.now();
  if (ms <= 0) return 'now';
  const seconds = Math.max(1, Math.round(ms / 1000));
  return seconds < LONG_WAIT_S ? `in ${seconds} s` : `in ${Math.round(seconds / 60)} min`;
}

function showConnectionId(id) {
  ui.connectionId.textContent = typeof id === 'string' ? id : '–';
}

/** Of what the browser and the server have agreed on; the server may still send plain what is short. */
function showCompression() {
  const words = client.extensions.includes('permessage-deflate') ? 'On' : 'Off';
  ui.compression.textContent = client.state === 'open' ? words : '–';
}

function showActiveConnections(count) {
  const text = count.toLocaleString();
  if (ui.activeConnections.textContent !== text) ui.activeConnections.textContent = text;
}

/** Who leaves counts no more for all to hear. */
function forgetActiveConnections() {
  ui.activeConnections.textContent = '–';
}

// What was missed

/** What is being caught up with: `{ until, to, count, say }`; null when nothing is, or no more. */
let missed = null;
let welcomedAt = NaN; // by the server's clock

function welcome(message) {
  showConnectionId(message.connection_id);
  showCompression();
  welcomedAt = Date.parse(message.timestamp);
  missed = null;
}

function showResumed(to) {
  const words = `Resumed: ${LOST_NOTHING}`;
  const since = ui.note.textContent;
  const sayInRow = addRow(local('resumed', words));
  const say = (words) => {
    sayInRow(words);
    ui.note.textContent = `${since} ${words}.`;
  };
  say(words);
  missed = { until: welcomedAt, to, count: 0, say };
}

/** Nothing was missed that could be counted: the old connection brought it until then. */
function showResumedInMove() {
  const since = ui.note.textContent.replace(/\.$/, '');
  sayOfMove(`${move.moved}: ${LOST_NOTHING}`);
  ui.note.textContent = `${since}: ${LOST_NOTHING}.`;
}

function showGap() {
  addRow(local('gap', GAP));
  ui.note.textContent += ` ${GAP}.`;
}

/** Its message has a row of its own. */
function showLiveGap() {
  ui.note.textContent = `There may be a gap at ${TIME.format()}: the server may have lost something.`;
}

/** Missed is what was published before the welcome, by the server's clock: only this count depends on it. */
function countMissed({ id, timestamp }) {
  if (missed === null) return;
  const wasMissed = Date.parse(timestamp) <= missed.until;
  if (wasMissed) {
    missed.count += 1;
    missed.say(`Resumed: ${missed.count.toLocaleString()} missed ${missed.count === 1 ? 'message' : 'messages'} arrived`);
  }
  if (!wasMissed || id === missed.to) missed = null;
}

// The topics: shown are those that the server says it brings

function followTopics({ type, topic, topics, code, message, command }) {
  if (type === 'notification') return; // A burst of them would touch the page each time.
  if (type === 'welcome') showTopics(listOf(topics));
  if (type === 'subscribed') showTopic(topic);
  if (type === 'unsubscribed') hideTopic(topic);
  if (type === 'welcome' || type === 'subscribed') ui.topicAnswer.textContent = '';
  const isOfTopic = command !== 'publish' && (code === 'bad_topic' || typeof topic === 'string');
  if (type === 'error' && isOfTopic) ui.topicAnswer.textContent = inWords(message);
  const count = ui.topics.childElementCount;
  ui.topicCount.textContent = count.toLocaleString();
  ui.noTopics.hidden = count > 0;
}

function listOf(topics) {
  return Array.isArray(topics) ? topics.filter((topic) => typeof topic === 'string') : [];
}

/** Chips that stay are left alone: after a move somebody may be on one of them. */
function showTopics(topics) {
  for (const { dataset } of [...ui.topics.children]) if (!topics.includes(dataset.topic)) hideTopic(dataset.topic);
  for (const topic of topics) if (!chipOf(topic)) ui.topics.append(chip(topic));
}

function showTopic(topic) {
  if (typeof topic !== 'string') return;
  if (!chipOf(topic)) ui.topics.append(chip(topic));
  if (ui.topic.value.trim() === topic) ui.topic.value = '';
}

/** Whoever removes a topic by the keyboard goes on to the next. */
function hideTopic(topic) {
  const gone = chipOf(topic);
  const neighbour = gone?.nextElementSibling ?? gone?.previousElementSibling;
  if (gone?.contains(document.activeElement)) (neighbour?.querySelector('button') ?? ui.topic).focus();
  gone?.remove();
}

function chipOf(topic) {
  return [...ui.topics.children].find((chip) => chip.dataset.topic === topic);
}

function chip(topic) {
  const made = make('li', 'chip');
  const remove = make('button', 'remove', '×');
  made.dataset.topic = topic;
  remove.type = 'button';
  remove.ariaLabel = `Stop listening to ${topic}`;
  remove.addEventListener('click', () => listenNoMoreTo(topic));
  made.append(make('bdi', null, topic), remove);
  return made;
}

// Sending: the box is emptied once the server has answered, as what a socket takes may never arrive

const TEXT_HINT = ui.textHint.textContent;
const unanswered = new Set();

function send(text) {
  const isSent = client.send(text);
  if (isSent) unanswered.add(text);
  if (isSent) hint('Sending…');
  else warn('Not sent: the connection is ending.');
}

function settleUnanswered(message) {
  const text = [...unanswered].find((text) => answers(message, text));
  if (text === undefined) return;
  unanswered.delete(text);
  if (ui.text.value === text) ui.text.value = '';
  if (unanswered.size === 0) hint(TEXT_HINT);
}

function answers({ type, message }, text) {
  if (type === 'echo') return message === `Server received: ${text}`;
  return (type === 'subscribed' || type === 'unsubscribed' || type === 'error') && text.trimStart().startsWith('{');
}

function doubtUnanswered() {
  if (unanswered.size > 0) warn('Sent, but not answered: it may not have arrived.');
  if (client.state !== 'open') unanswered.clear();
}

function hint(words) {
  ui.textHint.textContent = words;
  ui.textHint.className = 'hint';
}

function warn(words) {
  ui.textHint.textContent = words;
  ui.textHint.className = 'answer';
}

// Publishing

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** JSON goes as it was written, for numbers that JavaScript cannot hold; anything else as a string. */
function publicationOf(topic, text) {
  return `{"topic":${JSON.stringify(topic)},"data":${isJson(text) ? text : JSON.stringify(text)}}`;
}

let isPublishing = false;
async function publish() {
  if (isPublishing) return;
  isPublishing = true;
  const headers = { 'Content-Type': 'application/json', ...authorization() };
  if (ui.token.value !== '') headers.Authorization = `Bearer ${ui.token.value}`;
  const text = ui.publishData.value;
  const body = publicationOf(ui.publishTopic.value.trim(), text);
  const signal = AbortSignal.timeout(PUBLISHING_TIMEOUT_MS);
  try {
    const response = await fetch('publish', { method: 'POST', headers, body, credentials: 'omit', signal });
    answerPublisher(response, await response.json().catch(() => ({})));
    if (response.ok && ui.publishData.value === text) ui.publishData.value = '';
    showShape();
  } catch ({ name }) {
    const isLate = name === 'TimeoutError';
    showPublishAnswer(isLate ? 'No answer: it may have been published or not' : 'The server cannot be reached', false);
  } finally {
    isPublishing = false;
  }
}

function answerPublisher({ ok, status }, { id, ids, error }) {
  if (ok) return showPublishAnswer(`Published as ${inWords(id ?? ids)}`, true);
  showPublishAnswer(`${status}: ${inWords(error ?? 'the server gives no reason')}`, false);
  if (status !== 401) return;
  ui.tokenField.hidden = false;
  ui.token.select();
  ui.token.focus();
}

function showPublishAnswer(text, ok) {
  ui.publishAnswer.textContent = text;
  ui.publishAnswer.dataset.ok = ok;
}

function showShape() {
  const text = ui.publishData.value;
  ui.publishShape.textContent = text !== '' && isJson(text) ? 'Goes out as JSON.' : 'Goes out as text.';
}

// What the user does

ui.connect.addEventListener('click', () => client.connect());
ui.retry.addEventListener('click', () => client.connect());
ui.disconnect.addEventListener('click', () => client.disconnect());

ui.listener.addEventListener('submit', (event) => {
  event.preventDefault();
  ui.topicAnswer.textContent = '';
  listenTo(ui.topic.value.trim());
});

ui.publisher.addEventListener('submit', (event) => {
  event.preventDefault();
  publish();
});

ui.publishData.addEventListener('input', showShape);
ui.publishData.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) ui.publisher.requestSubmit();
});

ui.composer.addEventListener('submit', (event) => {
  event.preventDefault();
  if (ui.text.value !== '') send(ui.text.value);
});

ui.topicsBox.open = ui.publishBox.open = WIDE.matches;
showShape();
showTokenOf(client);
client.connect();
