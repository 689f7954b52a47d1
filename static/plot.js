// A small plot of one quantity over the last minutes: what it is now in words, and how it came to be as a line. Whoever does not see
// the line has its least, most and mean in numbers.
// Invariant: no style is set by a script, which the policy of the page does not allow.

import { make } from './make.js';

const SVG = 'http://www.w3.org/2000/svg';
/** The plot's own measures: one sample is one unit wide. */
const HEIGHT = 48;

/** A quantity's samples, the oldest first; null where nothing is known. */
export class Plot {
  #samples = [];
  #marks = [];
  #most;
  #format;
  #now = make('span', 'now', '–');
  #top = make('span', 'top', '');
  #line = drawn('path', 'line');
  #area = drawn('path', 'area');
  #lines = drawn('path', 'marks');

  /** @param {{ name: string, most: number, format: (value: number) => string }} look of which `most` samples are kept */
  constructor({ name, most, format }) {
    this.name = name;
    this.#most = most;
    this.#format = format;
    const picture = drawn('svg');
    picture.setAttribute('viewBox', `0 0 ${most - 1} ${HEIGHT}`);
    picture.setAttribute('preserveAspectRatio', 'none');
    picture.setAttribute('aria-hidden', 'true');
    picture.append(this.#area, this.#line, this.#lines);
    const caption = make('figcaption');
    caption.append(make('span', 'name', name), this.#now);
    this.element = make('figure', 'plot');
    this.element.append(caption, picture, this.#top);
  }

  /** Takes the next sample; with `isMarked` a vertical line says that something happened just then. */
  add(sample, isMarked) {
    this.#samples.push(Number.isFinite(sample) ? sample : null);
    this.#marks.push(isMarked);
    if (this.#samples.length > this.#most) {
      this.#samples.shift();
      this.#marks.shift();
    }
    this.#draw();
  }

  /** Now, mean, least and most, in words. */
  inNumbers() {
    const known = this.#samples.filter((sample) => sample !== null);
    if (known.length === 0) return ['–', '–', '–', '–'];
    const mean = known.reduce((sum, sample) => sum + sample, 0) / known.length;
    return [this.#now.textContent, ...[mean, Math.min(...known), Math.max(...known)].map(this.#format)];
  }

  #draw() {
    const latest = this.#samples.at(-1);
    const highest = Math.max(0, ...this.#samples);
    this.#now.textContent = latest === null ? '–' : this.#format(latest);
    this.#top.textContent = highest > 0 ? this.#format(highest) : '';
    const start = this.#most - this.#samples.length;
    const runs = runsOf(this.#samples.map((sample, nth) => (sample === null ? null : [start + nth, heightOf(sample, highest)])));
    this.#line.setAttribute('d', runs.map((run) => `M${run.map(([x, y]) => `${x} ${y}`).join('L')}`).join(''));
    this.#area.setAttribute('d', runs.map((run) => areaBelow(run)).join(''));
    const marks = this.#marks.flatMap((isMarked, nth) => (isMarked ? [`M${start + nth} 0V${HEIGHT}`] : []));
    this.#lines.setAttribute('d', marks.join(''));
  }
}

function heightOf(sample, highest) {
  return highest === 0 ? HEIGHT : Math.round((1 - sample / highest) * HEIGHT * 10) / 10;
}

/** The stretches without a gap. */
function runsOf(points) {
  const runs = [[]];
  for (const point of points) {
    if (point === null) runs.push([]);
    else runs.at(-1).push(point);
  }
  return runs.filter((run) => run.length > 0);
}

function areaBelow(run) {
  const [[first], [last]] = [run[0], run.at(-1)];
  return `M${first} ${HEIGHT}L${run.map(([x, y]) => `${x} ${y}`).join('L')}L${last} ${HEIGHT}Z`;
}

function drawn(tag, className) {
  const made = document.createElementNS(SVG, tag);
  if (className) made.setAttribute('class', className);
  return made;
}
