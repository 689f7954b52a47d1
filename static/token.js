// The box with the token: what somebody is to the server, what it lets them do, and for how long. Shown once the server wants a
// token, or there is one. It is kept by slackwater.js alone, unless the user wants it kept in this tab.
// Invariant: what a token says is not verified here; it reaches the page through textContent alone.

import { inWords } from './feed.js';
import { claimsOf } from './slackwater.js';

const TICK_MS = 1_000;
const PROBE_TIMEOUT_MS = 5_000;
/** Where this tab keeps it, for the server below this path alone. */
const PLACE = `slackwater.token ${location.pathname}`;
const DEFAULT_TOPIC = 'notifications';
/** As many as a connection may have. */
const MAX_TOPICS = 128;

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

let client = null;
let token = null;

/** The token of the page's address, or the one that was kept in this tab. */
export function firstToken() {
  return new URLSearchParams(location.search).get('token') || sessionStorage.getItem(PLACE) || null;
}

/** Follows a client that has been given the first token. */
export function showTokenOf(followed, first) {
  client = followed;
  token = first;
  ui.keep.checked = sessionStorage.getItem(PLACE) !== null;
  if (token !== null) {
    listenToWhatIsGranted(token);
    show('trying');
  }

  client.addEventListener('message', ({ detail: { message } }) => {
    if (message?.type === 'refreshed' || (message?.type === 'welcome' && token !== null)) show('used');
    if (message?.type === 'error' && message.code === 'forbidden' && ui.box.hidden) show('needed');
  });
  client.addEventListener('tokenerror', ({ detail }) => say('refused', `Refused: ${inWords(detail.message)}.`));
  client.addEventListener('close', ({ detail }) => {
    if (!detail.willRetry && hasExpired(detail)) say('expired', 'It has expired: apply another one.');
  });
}

/** What to send along with requests that publish. */
export function authorization() {
  return token === null ? {} : { Authorization: `Bearer ${token}` };
}

/**
 * A browser does not say why a handshake has failed. Whether it is for the token the server says where a plain request may ask.
 *
 * @returns {Promise<string | null>} why it does not let this page in, or null if it is not for that
 */
export async function whyNotLetIn() {
  const asked = token;
  const query = new URLSearchParams(client.topics.map((topic) => ['topic', topic]));
  const signal = AbortSignal.timeout(PROBE_TIMEOUT_MS);
  try {
    const response = await fetch(`ws?${query}`, { headers: authorization(), cache: 'no-store', signal });
    if (!response.headers.get('WWW-Authenticate')?.startsWith('Bearer')) return null;
    const { error } = await response.json();
    return token === asked ? inWords(error) : null;
  } catch {
    return null;
  }
}

/** The server does not let this page in without another token. Returns what is to be said of it elsewhere. */
export function askForToken(why) {
  ui.box.open = true;
  if (token === null) show('needed');
  else say('refused', `Refused: ${why}.`);
  return token === null ? `The server does not let this page in: ${why}.` : 'The server does not accept this token.';
}

function hasExpired({ code, reason }) {
  return code === 4004 || reason === 'the token has expired';
}

function use(next) {
  client.token = next; // Throws when it cannot be one.
  token = next;
  keep();
}

function keep() {
  if (ui.keep.checked && token !== null) sessionStorage.setItem(PLACE, token);
  else sessionStorage.removeItem(PLACE);
}

/** Of a page that has named no topic: one that the token does not grant would keep the whole connection out. */
function listenToWhatIsGranted(token) {
  const { subscribe } = rightsOf(token);
  const named = client.topics.join();
  if (named !== DEFAULT_TOPIC || subscribe.length === 0 || subscribe.some((it) => it === '*' || it === named)) return;
  client.unsubscribe(DEFAULT_TOPIC);
  for (const pattern of subscribe.slice(0, MAX_TOPICS)) client.subscribe(pattern);
}

function rightsOf(token) {
  const rights = claimsOf(token).slackwater;
  const patterns = (list) => (Array.isArray(list) ? list.filter((pattern) => typeof pattern === 'string') : []);
  return { subscribe: patterns(rights?.subscribe), publish: patterns(rights?.publish) };
}

function say(state, words) {
  show(state);
  ui.answer.textContent = words;
}

let ticking = null;
function show(state) {
  const { sub = 'somebody without a name' } = claimsOf(token);
  ui.box.hidden = false;
  ui.box.dataset.token = state;
  ui.state.textContent = state === 'used' ? inWords(sub) : STATES[state];
  ui.answer.textContent = '';
  ui.facts.hidden = ui.forget.hidden = token === null;
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
  const words = at === null ? 'never' : inTime(at - Date.now());
  if (ui.expires.textContent !== words) ui.expires.textContent = words;
  if (at !== null) ticking = setTimeout(showTime, TICK_MS);
}

function patternsInWords(patterns) {
  if (patterns.includes('*')) return 'everything';
  return patterns.length === 0 ? 'nothing' : patterns.join(', ');
}

function inTime(ms) {
  if (ms <= 0) return 'expired';
  for (const [unit, unitMs] of [['d', 86_400_000], ['h', 3_600_000], ['min', 60_000]]) {
    if (ms >= 2 * unitMs) return `in ${Math.floor(ms / unitMs)} ${unit}`;
  }
  return `in ${Math.ceil(ms / 1000)} s`;
}

// What the user does

ui.form.addEventListener('submit', (event) => {
  event.preventDefault();
  const next = ui.token.value.trim();
  if (next === '') return;
  const isRefresh = client.state === 'open' && token !== null && claimsOf(next).sub === claimsOf(token).sub;
  if (!isRefresh) listenToWhatIsGranted(next);
  try {
    use(next);
  } catch {
    ui.answer.textContent = 'This is no token: it has letters, digits, dots and dashes, and no spaces.';
    return;
  }
  ui.token.value = '';
  show('trying');
  client.connect();
});

ui.keep.addEventListener('change', keep);

ui.forget.addEventListener('click', () => {
  ui.keep.checked = false;
  use(null);
  show('none');
  ui.token.focus();
});
