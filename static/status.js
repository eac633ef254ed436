/* What the page says about itself: the pill, the notice, the title, and a polite line for screen readers. */

import { byId, one, setText } from "./dom.js";
import { duration, number } from "./format.js";

/** @typedef {import("./live.js").State} State */

/** A screen reader speaks at most a sentence in so many milliseconds. */
const SPEAK_EVERY_MS = 10_000;

export class Status {
  constructor() {
    this.pill = byId("pill");
    this.notice = byId("notice");
    this.line = byId("status");
    this.state = "";
    this.spokenAt = -SPEAK_EVERY_MS;
    this.evictedThen = 0;
    this.restartedUntil = 0;
    this.open = "";
    one("button", this.notice).addEventListener("click", () => (this.notice.hidden = true));
  }

  /** @param {State} state @param {number} seconds */
  show(state, seconds) {
    const restarted = state === "live" && performance.now() < this.restartedUntil;
    const texts = {
      connecting: "connecting",
      live: restarted ? "hub restarted" : "live",
      paused: "paused",
      stale: `stale, ${duration(seconds)} old`,
      reconnecting: `reconnecting in ${Math.ceil(seconds)} s`,
    };
    setText(this.pill, texts[state]);
    if (this.state === state) return;
    this.state = state;
    this.pill.dataset.state = state;
    document.body.classList.toggle("old", state === "stale" || state === "reconnecting");
    this.title();
    if (state === "reconnecting") this.line.textContent = "connection lost, reconnecting";
    if (state === "stale") this.line.textContent = "the figures are stale";
  }

  /** @param {number} wallMs */
  restarted(wallMs) {
    this.restartedUntil = performance.now() + 10_000;
    this.evictedThen = 0;
    this.tell(`The hub restarted at ${new Date(wallMs).toTimeString().slice(0, 8)}: everything here begins anew.`);
    this.line.textContent = "the hub restarted";
  }

  /** @param {string} text "" takes it away */
  tell(text) {
    this.notice.hidden = !text;
    setText(one("span", this.notice), text);
  }

  /** Say it to a screen reader, which has time for it. @param {string} text */
  say(text) {
    this.line.textContent = text;
    this.spokenAt = performance.now();
  }

  /** @param {number} open @param {number} evicted since start */
  update(open, evicted) {
    this.open = number(open);
    this.title();
    const now = performance.now();
    if (now - this.spokenAt < SPEAK_EVERY_MS) return;
    const more = Math.max(0, evicted - this.evictedThen);
    const ended = more ? `, ${number(more)} evicted since` : "";
    setText(this.line, `${this.open} open${this.spokenAt < 0 ? "" : ended}`);
    this.spokenAt = now;
    this.evictedThen = evicted;
  }

  title() {
    const mark = { stale: "stale · ", reconnecting: "no connection · ", paused: "paused · " }[this.state] ?? "";
    document.title = this.open ? `${mark}${this.open} open · hubbub` : "hubbub";
  }
}
