/* The lines of the chat pane: text only, bounded, drawn once a frame however many came. */

import { make } from "./dom.js";
import { count, number, plain } from "./format.js";

const KEPT = 500;
const LINE_CHARACTERS = 2000;

export class Lines {
  /** @param {HTMLElement} log */
  constructor(log) {
    this.log = log;
    /** @type {HTMLElement[]} */ this.waiting = [];
    this.skipped = 0;
    this.drawing = false;
    /** How high the log was when it was looked at last. */ this.height = log.clientHeight;
    // The field below it grows with what is typed, and would cover the end.
    new ResizeObserver(() => this.drawn(this.isAtEnd())).observe(log);
  }

  isAtEnd() {
    return this.log.scrollHeight - this.log.scrollTop - this.height < 8;
  }

  /** A reader who scrolled up stays there. @param {boolean} atEnd */
  drawn(atEnd) {
    if (atEnd) this.log.scrollTop = this.log.scrollHeight;
    this.height = this.log.clientHeight;
  }

  /** @param {string} text a line as it came */
  add(text) {
    this.putText(text, text.startsWith("* ") ? "hub" : "");
  }

  /** @param {string} text a line of this page, which the hub does not send back */
  addOwn(text) {
    this.putText(text, "own");
  }

  /** @param {string} text @param {string} className */
  putText(text, className) {
    // Half a character at the cut would be shown as one that is broken.
    const kept = text.length > LINE_CHARACTERS ? text.slice(0, LINE_CHARACTERS).replace(/[\ud800-\udbff]$/, "") : text;
    const more = text.length - kept.length;
    const line = make("p", className, more ? `${plain(kept)}… (${number(more)} more)` : plain(kept));
    line.dir = "auto";
    this.put(line);
  }

  /** @param {string} text a remark of the page's own */
  note(text) {
    this.putText(text, "note");
  }

  /** @param {HTMLElement} line */
  put(line) {
    this.waiting.push(line);
    // A hidden page draws no frames; what waits for one stays bounded all the same.
    if (this.waiting.length > KEPT) {
      this.waiting.shift();
      this.skipped += 1;
    }
    if (!this.drawing) requestAnimationFrame(() => this.draw());
    this.drawing = true;
  }

  draw() {
    this.drawing = false;
    const { log } = this;
    const atEnd = this.isAtEnd();
    if (this.skipped) this.waiting.unshift(make("p", "note", `${count(this.skipped, "line")} not shown`));
    this.skipped = 0;
    log.append(...this.waiting);
    this.waiting = [];
    while (log.childElementCount > KEPT) log.firstElementChild?.remove();
    this.drawn(atEnd);
  }
}
