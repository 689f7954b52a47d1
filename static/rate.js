// How many messages arrive a second, over the last minute: a number and a small plot beside the title of the list. At rest, once a
// minute has passed without a message, nothing is shown and no timer runs.

const SECOND_MS = 1_000;
/** Seconds that the plot shows, the latest at its right end. */
const SECONDS = 60;
/** The plot's own measures, as in index.html: a second is one unit wide. */
const HEIGHT = 16;
/** Over so many seconds the number is a mean, so that it can be read. */
const MEAN_SECONDS = 5;
const NUMBER = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

const element = (id) => document.getElementById(id);
const ui = { box: element('rate'), words: element('rate-words'), line: element('rate-line') };

/** Messages in each second, the oldest first; the last second is under way. */
let counts = [];
let latest = 0; // second, since 1970
let ticking = null;

/** A message has arrived. */
export function countMessage() {
  advance();
  counts[counts.length - 1] += 1;
  if (ticking !== null) return;
  ticking = setInterval(show, SECOND_MS);
  show();
}

/** A tab in the background ticks more rarely, and a clock may be set. */
function advance() {
  const second = Math.floor(Date.now() / SECOND_MS);
  const passed = counts.length === 0 ? 1 : Math.min(Math.max(second - latest, 0), SECONDS);
  latest = second;
  counts = [...counts, ...Array(passed).fill(0)].slice(-SECONDS);
}

function show() {
  advance();
  const isAtRest = counts.every((count) => count === 0);
  if (isAtRest) {
    clearInterval(ticking);
    ticking = null;
    counts = [];
  }
  const recent = counts.slice(-MEAN_SECONDS);
  const mean = recent.reduce((sum, count) => sum + count, 0) / MEAN_SECONDS;
  ui.box.hidden = isAtRest;
  ui.words.textContent = `${NUMBER.format(mean)} a second`;
  ui.line.setAttribute('points', pointsOf(counts));
}

/** The highest second of the minute takes the whole height. */
function pointsOf(counts) {
  const most = Math.max(1, ...counts);
  const start = SECONDS - counts.length;
  return counts.map((count, second) => `${start + second},${(1 - count / most) * HEIGHT}`).join(' ');
}
