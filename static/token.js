// The box with the token: what somebody is to the server, what it lets them do, and for how long. Shown once the server wants a
// token, or there is one. It is kept by slackwater.js alone, unless the user wants it kept in this tab. As long as the user has
// chosen no topic, the page listens to what the token grants.
// Invariant: what a token says is not verified here; it reaches the page through textContent alone.

import { inWords, spanInWords } from './words.js';

const TICK_MS = 1_000;
const PROBE_TIMEOUT_MS = 5_000;
const TOO_LONG_STATUS = 431;
/** Where this tab keeps it, for the server below this path alone. */
const PLACE = `slackwater.token ${location.pathname}`;
const DEFAULT_TOPIC = 'notifications';
/** The page hears by events: nothing is to wait for a loop. */
const NO_LOOP = { limit: 0 };
/** As many as a connection may have. */
const MAX_TOPICS = 128;
/** For topics and token: the server takes 16 KiB of a request, and the browser's own headers and cookies are in it, too. */
const MAX_REQUEST_BYTES = 12 * 1024;
/** What a JWT is made of: the client takes nothing else. */
const TOKEN = /^[\w.-]+$/;
const NO_TOKEN = 'This is no token: it has letters, digits, dots and dashes, and no spaces.';
const TOO_LONG = 'the token and the topics are too long for one request';

const element = (id) => document.getElementById(id);
const ui = {
  box: element('access-box'),
  state: element('access-state'),
  form: element('access'),
  facts: element('access-facts'),
  subject: element('access-subject'),
  hears: element('access-hears'),
  publishes: element('access-publishes'),
  expires: element('access-expires'),
  token: element('access-token'),
  keep: element('access-keep'),
  forget: element('access-forget'),
  answer: element('access-answer'),
};

/** What the box says in its headline; in use, it names the subject. */
const STATES = { none: '', trying: 'trying it', used: '', needed: 'needed', refused: 'refused', expired: 'expired' };

const query = new URLSearchParams(location.search);

let client = null;
let token = null; // the latest: in use, tried or refused
let accepted = null; // by the server, and not known to have expired
let isChosen = query.has('topic'); // what to listen to
const wished = new Set(); // topics, by the user

/** Gives a client, not yet connected, the token of the page's address, or the one that was kept in this tab, and follows it. */
export function showTokenOf(followed) {
  client = followed;
  const kept = sessionStorage.getItem(PLACE);
  ui.keep.checked = kept !== null;
  const first = (takeFromAddress() || kept || '').trim();
  if (first !== '' && !tryOut(first)) demand('refused', NO_TOKEN);

  client.addEventListener('message', ({ detail: { message } }) => {
    if (message?.type === 'subscribed' && wished.has(message.topic)) isChosen = true;
    if (message?.type === 'error' && message.command !== 'publish') wished.delete(message.topic);
    if (message?.type === 'refreshed' || (message?.type === 'welcome' && token !== null)) accept(message.type);
    if (message?.type === 'error' && message.code === 'forbidden' && ui.box.hidden) show('needed');
  });
  client.addEventListener('tokenerror', ({ detail }) => refuse(inWords(detail.message)));
  client.addEventListener('close', ({ detail }) => {
    if (detail.willRetry || !hasExpired(detail)) return;
    accepted = null;
    demand('expired', 'It has expired: apply another one.');
  });
}

/** The token of the page's address, which is taken out of it: it is not to come back, nor to stay in the history. */
function takeFromAddress() {
  const given = query.get('token');
  if (given === null) return null;
  query.delete('token');
  const rest = query.size > 0 ? `?${query}` : '';
  history.replaceState(history.state, '', location.pathname + rest + location.hash);
  return given;
}

/** The user wants to hear a topic, besides whatever the page listens to by itself; if it may, the topics are the user's choice. */
export function listenTo(topic) {
  wished.add(topic);
  client.subscribe(topic, NO_LOOP);
}

export function listenNoMoreTo(topic) {
  isChosen = true;
  client.unsubscribe(topic);
}

/** What to send along with requests that publish. */
export function authorization() {
  return bearer(accepted ?? token);
}

function bearer(token) {
  return token === null ? {} : { Authorization: `Bearer ${token}` };
}

/**
 * A browser does not say why a handshake has failed. Whether it is for the token the server says where a plain request may ask.
 *
 * @returns {Promise<string | null>} why it does not let this page in, or null if it is not for that
 */
export async function whyNotLetIn() {
  const asked = token;
  const topics = new URLSearchParams(client.topics.map((topic) => ['topic', topic]));
  const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
  try {
    const response = await fetch(`ws?${topics}`, { headers: bearer(asked), cache: 'no-store', signal });
    if (response.status === TOO_LONG_STATUS) return token === asked ? TOO_LONG : null;
    if (!response.headers.get('WWW-Authenticate')?.startsWith('Bearer')) return null;
    const { error } = await response.json();
    return token === asked ? inWords(error) : null;
  } catch {
    return null;
  }
}

/** The server does not let this page in without another token. Returns what is to be said of it elsewhere. */
export function askForToken(why) {
  if (token === null) {
    demand('needed', ui.answer.textContent);
    return `The server does not let this page in: ${why}.`;
  }
  if (token === accepted) accepted = null;
  refuse(why);
  return 'The server does not accept this token.';
}

function hasExpired({ code, reason }) {
  return code === 4004 || reason === 'the token has expired';
}

/**
 * Shows the server another token. What a refresh grants is listened to once it is accepted.
 *
 * @returns {boolean} false if it cannot be a token
 */
function tryOut(next) {
  if (!TOKEN.test(next)) return false;
  const isOfSameSubject = accepted !== null && claimsOf(next).sub === claimsOf(accepted).sub;
  const isInUse = client.state === 'open' && next === accepted;
  if (!isOfSameSubject) accepted = null;
  token = next;
  if (client.state !== 'open' || !isOfSameSubject) listenToWhatIsGranted();
  client.token = next;
  show(isInUse ? 'used' : 'trying');
  return true;
}

function accept(answer) {
  accepted = token;
  keep();
  if (answer === 'refreshed') listenToWhatIsGranted();
  show('used');
  const { topics, left } = whatIsGranted();
  const words = `Listening to ${topics.length} topics and not to ${left} more: a connection has no room for them.`;
  if (left > 0 && !isChosen) ui.answer.textContent = words;
}

/** The token that was accepted before, if there is one, counts again. */
function refuse(why) {
  const hasAnother = accepted !== null && accepted !== token;
  if (hasAnother) {
    client.token = token = accepted;
    if (client.state !== 'open') listenToWhatIsGranted();
  }
  demand('refused', `Refused: ${why}.${hasAnother ? ' The one before still counts.' : ''}`);
}

function keep() {
  if (!ui.keep.checked) sessionStorage.removeItem(PLACE);
  else if (accepted !== null) sessionStorage.setItem(PLACE, accepted);
}

/** Unless the user has chosen something else: one topic that is not granted would keep the whole connection out. */
function listenToWhatIsGranted() {
  if (isChosen) return;
  const { topics } = whatIsGranted();
  for (const topic of client.topics) if (!topics.includes(topic)) client.unsubscribe(topic);
  for (const topic of topics) if (!client.topics.includes(topic)) client.subscribe(topic, NO_LOOP);
}

/** As many of the topics as one request has room for, and how many are left out. Whoever may hear everything hears the default. */
function whatIsGranted() {
  const granted = [...new Set(rightsOf(token).subscribe)];
  if (granted.length === 0 || granted.includes('*')) return { topics: [DEFAULT_TOPIC], left: 0 };
  const topics = [granted[0]];
  const lengthOf = (topics) => `${new URLSearchParams(topics.map((topic) => ['topic', topic]))}${token}`.length;
  for (const topic of granted.slice(1, MAX_TOPICS)) {
    if (lengthOf([...topics, topic]) <= MAX_REQUEST_BYTES) topics.push(topic);
  }
  return { topics, left: granted.length - topics.length };
}

function rightsOf(token) {
  const rights = claimsOf(token).slackwater;
  const patterns = (list) => (Array.isArray(list) ? list.filter((pattern) => typeof pattern === 'string') : []);
  return { subscribe: patterns(rights?.subscribe), publish: patterns(rights?.publish) };
}

/** What a token says, not verified by anybody; nothing if it cannot be read. */
function claimsOf(token) {
  try {
    const base64 = token.split('.')[1].replaceAll('-', '+').replaceAll('_', '/');
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes));
    return claims !== null && typeof claims === 'object' && !Array.isArray(claims) ? claims : {};
  } catch {
    return {};
  }
}

/** The user has to do something. */
function demand(state, words) {
  show(state);
  ui.box.open = true;
  ui.answer.textContent = words;
}

let ticking = null;
function show(state) {
  const { sub = 'somebody without a name' } = claimsOf(token);
  ui.box.hidden = false;
  ui.box.dataset.token = state;
  ui.state.textContent = state === 'used' ? inWords(sub) : STATES[state];
  ui.answer.textContent = '';
  ui.forget.hidden = token === null;
  ui.facts.hidden = Object.keys(claimsOf(token)).length === 0; // Of what cannot be read nothing is said.
  const { subscribe, publish } = rightsOf(token);
  ui.subject.textContent = inWords(sub);
  ui.hears.textContent = patternsInWords(subscribe);
  ui.publishes.textContent = patternsInWords(publish);
  showTime();
}

function showTime() {
  clearTimeout(ticking);
  const { exp } = claimsOf(token);
  const isUsed = ui.box.dataset.token === 'used';
  const claimed = Number.isFinite(exp) ? exp * 1000 : null;
  const at = (isUsed ? client.tokenExpiresAt : null) ?? claimed; // The client knows it by the server's clock.
  const leftMs = at - Date.now();
  const words = at === null ? 'never' : leftMs > 0 ? `in ${spanInWords(leftMs / 1000)}` : 'expired';
  if (ui.expires.textContent !== words) ui.expires.textContent = words;
  if (at !== null) ticking = setTimeout(showTime, TICK_MS);
}

function patternsInWords(patterns) {
  if (patterns.includes('*')) return 'everything';
  return patterns.length === 0 ? 'nothing' : patterns.join(', ');
}

// What the user does

ui.form.addEventListener('submit', (event) => {
  event.preventDefault();
  const next = ui.token.value.trim();
  if (next === '') return;
  if (client.state === 'open' && ui.box.dataset.token === 'trying') {
    ui.answer.textContent = 'Still trying the one before.';
    return;
  }
  if (!tryOut(next)) {
    ui.answer.textContent = NO_TOKEN;
    return;
  }
  ui.token.value = '';
  client.connect();
});

ui.keep.addEventListener('change', keep);

ui.forget.addEventListener('click', () => {
  ui.keep.checked = false;
  keep();
  token = accepted = null;
  isChosen = query.has('topic');
  wished.clear();
  listenToWhatIsGranted();
  client.token = null;
  show('none');
  ui.token.focus();
});
