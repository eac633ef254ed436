/* The strip of figures: from the server's series at first, then one point a second. */

import { one } from "./dom.js";
import { brief, bytes, milliseconds, number, percent } from "./format.js";
import { isEviction } from "./close_reasons.js";
import { Spark } from "./spark.js";

/** @typedef {import("./types.js").Series} Series @typedef {import("./types.js").Update} Update */

/** How each figure is written, and the least that its scale ends at. @type {Record<string, [(v: number) => string, number]>} */
const KINDS = {
  open: [number, 5],
  lines_in: [brief, 5],
  lines_out: [brief, 5],
  bytes_in: [bytes, 100],
  bytes_out: [bytes, 100],
  busy: [percent, 0.05],
  turns: [brief, 5],
  turn_p99_ms: [milliseconds, 1],
  evicted: [brief, 2],
};

export class Figures {
  constructor() {
    /** @type {Record<string, Spark>} */ this.sparks = {};
    for (const [name, [show, least]] of Object.entries(KINDS)) {
      this.sparks[name] = new Spark(one(`[data-figure="${name}"]`), show, least);
    }
    this.takenAt = 0;
  }

  /** @param {Series & {taken_s: number}} series the server's memory, and up to when it goes */
  load(series) {
    for (const [name, spark] of Object.entries(this.sparks)) {
      spark.load(series[/** @type {keyof Series} */ (name)] ?? []);
    }
    this.takenAt = series.taken_s;
  }

  /** @param {Update} update */
  update({ summary, rates }) {
    if (!summary || !rates) return;
    const values = { ...rates, open: summary.clients.open, turn_p99_ms: summary.loop?.turn_p99_ms ?? 0 };
    const passed = this.takenAt ? summary.taken_s - this.takenAt : 1;
    // After a new view the server answers at once, with totals that were drawn already.
    if (passed > 0) this.append(values, Math.max(0, Math.round(passed) - 1));
    this.takenAt = summary.taken_s;
    this.draw(values, summary);
  }

  /** @param {Record<string, any>} values @param {number} missed */
  append(values, missed) {
    for (const [name, spark] of Object.entries(this.sparks)) spark.push(values[name], missed);
  }

  /** @param {Record<string, any>} values @param {import("./types.js").Summary} summary */
  draw(values, summary) {
    for (const [name, spark] of Object.entries(this.sparks)) {
      const text = name === "evicted" ? number(evictions(summary.closed)) : KINDS[name][0](values[name]);
      spark.draw(text);
    }
    this.sparks.open.mark(this.sparks.evicted.points);
  }
}

/** @param {Record<string, number>} closed counts by reason */
export function evictions(closed) {
  return Object.entries(closed).reduce((sum, [reason, count]) => sum + (isEviction(reason) ? count : 0), 0);
}
