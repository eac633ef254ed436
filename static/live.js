/* The one connection to the page's server: it comes back by itself and says how fresh things are. */

/** @typedef {import("./types.js").Hello} Hello @typedef {import("./types.js").Update} Update */

const RETRY_FIRST_S = 0.5;
const RETRY_MOST_S = 10;
const STALE_AFTER_S = 3;
/** No message for so long: the connection is dead, though no close came. */
const DEAD_AFTER_S = 15;
/** Away for longer than this, a new hello brings the series that were missed. */
const MISSED_AFTER_S = 2.5;

/** @typedef {"connecting" | "live" | "paused" | "stale" | "reconnecting"} State */

export class Live {
  /**
   * @param {{hello(hello: Hello): void, update(update: Update): void, error(text: string): void,
   *   state(state: State, seconds: number): void}} listener is told everything; seconds: until the next
   *   try when reconnecting, the age of what is shown when stale
   * @param {() => object} view what to ask for, without `paused`
   */
  constructor(listener, view) {
    this.listener = listener;
    this.view = view;
    this.paused = false;
    /** @type {WebSocket | null} */ this.socket = null;
    this.failures = 0;
    this.retryAt = 0;
    this.heardAt = 0;
    this.ageThen = 0;
    this.pausedAt = 0;
    this.updated = false;
  }

  /** Connect, and look after the connection from now on. */
  start() {
    document.addEventListener("visibilitychange", () => this.pausedChanged());
    setInterval(() => this.tick(), 250);
    this.connect();
  }

  /** Whether updates are unwanted, because of the pause button or because the page is hidden. */
  get resting() {
    return this.paused || document.hidden;
  }

  /** @param {boolean} paused */
  setPaused(paused) {
    this.paused = paused;
    this.pausedChanged();
  }

  pausedChanged() {
    const now = seconds();
    if (this.resting) {
      this.pausedAt ||= now;
      this.send();
    } else if (this.pausedAt) {
      const missed = now - this.pausedAt > MISSED_AFTER_S;
      this.pausedAt = 0;
      this.heardAt = now;
      if (missed) this.connect();
      else this.send();
    }
    this.tick();
  }

  /** Tell the server what this page wants to see. A connection that opens does so itself. */
  send() {
    if (this.socket?.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify({ ...this.view(), paused: this.resting }));
    }
  }

  connect() {
    this.drop();
    this.retryAt = 0;
    this.updated = false;
    this.heardAt = seconds();
    const url = new URL("live", location.href);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url);
    this.socket = socket;
    socket.addEventListener("open", () => this.send());
    socket.addEventListener("message", (event) => this.take(event.data));
    socket.addEventListener("close", () => this.lost());
  }

  /** Leave a connection and listen to it no more: what it still says belongs to the past. */
  drop() {
    const old = this.socket;
    this.socket = null;
    old?.close();
  }

  lost() {
    if (this.socket?.readyState !== WebSocket.CLOSED) return; // The event is of a dropped socket.
    this.socket = null;
    const wait = Math.min(RETRY_MOST_S, RETRY_FIRST_S * 2 ** this.failures) * (0.75 + Math.random() / 2);
    this.failures = Math.min(this.failures + 1, 10);
    this.retryAt = seconds() + wait;
    this.tick();
  }

  /** @param {string} data */
  take(data) {
    const message = JSON.parse(data);
    this.heardAt = seconds();
    if (message.kind === "hello") this.listener.hello(message);
    else if (message.kind === "error") this.listener.error(String(message.error));
    else if (message.kind === "update") {
      this.updated = true;
      this.failures = 0;
      this.ageThen = message.age_s ?? 0;
      if (!this.resting) this.listener.update(message);
      this.tick();
    }
  }

  /** Four times a second: is it time to try again, and how old is what stands on the page? */
  tick() {
    const now = seconds();
    const silent = now - this.heardAt;
    if (this.retryAt) {
      if (now >= this.retryAt) this.connect();
      else return this.listener.state("reconnecting", this.retryAt - now);
    }
    if (this.resting) return this.listener.state("paused", 0);
    if (silent > DEAD_AFTER_S) {
      this.connect();
    }
    if (!this.updated) return this.listener.state("connecting", 0);
    const age = Math.max(silent, this.ageThen + silent - 1);
    return this.listener.state(age > STALE_AFTER_S ? "stale" : "live", age);
  }
}

/** A clock that never jumps. */
function seconds() {
  return performance.now() / 1000;
}
