/* The lines of the chat pane: text only, bounded, drawn once a frame however many came. */

import { make } from "./dom.js";
import { number, plain } from "./format.js";

const KEPT = 500;
const LINE_CHARACTERS = 2000;

export class Lines {
  /** @param {HTMLElement} log */
  constructor(log) {
    this.log = log;
    /** @type {HTMLElement[]} */ this.waiting = [];
    this.skipped = 0;
    this.drawing = false;
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
    const shown = plain(text.slice(0, LINE_CHARACTERS));
    const more = text.length - LINE_CHARACTERS;
    const line = make("p", className, more > 0 ? `${shown}… (${number(more)} more)` : shown);
    line.dir = "auto";
    this.put(line);
  }

  /** @param {string} text a remark of the page's own */
  note(text) {
    this.put(make("p", "note", text));
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
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 8;
    if (this.skipped) this.waiting.unshift(make("p", "note", `${number(this.skipped)} lines not shown`));
    this.skipped = 0;
    log.append(...this.waiting);
    this.waiting = [];
    while (log.childElementCount > KEPT) log.firstElementChild?.remove();
    // A reader who scrolled up stays there.
    if (atEnd) log.scrollTop = log.scrollHeight;
  }
}
