/* A figure: a number and, below it, its last five minutes as a line, drawn without a library. */

import { make, one, setAttribute, setText } from "./dom.js";

/** How many seconds a line shows; also the most that the server remembers. */
export const LENGTH = 300;
const HEIGHT = 30;

export class Spark {
  /**
   * @param {Element} figure
   * @param {(value: number) => string} show
   * @param {number} least the line's scale never ends below this, so that noise does not look like a storm
   */
  constructor(figure, show, least) {
    this.show = show;
    this.least = least;
    this.value = one(".value", figure);
    const range = one(".range", figure);
    this.most = range.appendChild(make("span"));
    this.mean = range.appendChild(make("span"));
    this.fill = one(".fill", figure);
    this.stroke = one(".stroke", figure);
    this.marks = one(".marks", figure);
    /** Fixed length: a tab left open for a week holds no more than one left open for five minutes. */
    this.points = new Float32Array(LENGTH).fill(NaN);
  }

  /** @param {ArrayLike<number>} values the newest last; replaces everything */
  load(values) {
    this.points.fill(NaN);
    const kept = Array.from(values).slice(-LENGTH);
    this.points.set(kept, LENGTH - kept.length);
  }

  /** @param {number} value @param {number} [missed] seconds without an update: a gap, not a guess */
  push(value, missed = 0) {
    const step = Math.min(LENGTH, 1 + missed);
    this.points.copyWithin(0, step);
    this.points.fill(NaN, LENGTH - step);
    this.points[LENGTH - 1] = value;
  }

  /** @param {string} text the number above the line */
  draw(text) {
    const known = this.points.filter((point) => !Number.isNaN(point));
    const most = known.reduce((a, b) => Math.max(a, b), 0);
    const mean = known.length ? known.reduce((a, b) => a + b, 0) / known.length : 0;
    const { line, area } = paths(this.points, Math.max(most, this.least));
    setText(this.value, text);
    setText(this.most, known.length ? `max ${this.show(most)}` : "");
    setText(this.mean, known.length ? `avg ${this.show(mean)}` : "");
    setAttribute(this.stroke, "d", line);
    setAttribute(this.fill, "d", area);
  }

  /**
   * Ticks at the foot of the line, where another series was above zero.
   * @param {Float32Array} points
   */
  mark(points) {
    let ticks = "";
    points.forEach((point, x) => (ticks += point > 0 ? `M${x} ${HEIGHT}V${HEIGHT - 7}` : ""));
    setAttribute(this.marks, "d", ticks);
  }
}

/**
 * The line, and the area under it, as SVG path data; unknown points are gaps in both.
 * @param {Float32Array} points
 * @param {number} most what reaches the top
 */
function paths(points, most) {
  let line = "";
  let area = "";
  let start = -1;
  for (let x = 0; x <= points.length; x += 1) {
    const known = x < points.length && !Number.isNaN(points[x]);
    if (known) {
      const y = (HEIGHT - 1 - (points[x] / most) * (HEIGHT - 2)).toFixed(1);
      line += `${start < 0 ? "M" : "L"}${x} ${y}`;
      area += start < 0 ? `M${x} ${HEIGHT}L${x} ${y}` : `L${x} ${y}`;
      if (start < 0) start = x;
    } else if (start >= 0) {
      area += `L${x - 1} ${HEIGHT}Z`;
      start = -1;
    }
  }
  return { line, area };
}
