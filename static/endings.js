/* The latest endings. The server tells the last twenty; this page remembers those that it saw. */

import { byId, make, one, setText } from "./dom.js";
import { bytes, clock, duration, milliseconds, number, plain } from "./format.js";
import { chosenByHub } from "./reasons.js";

/** @typedef {import("./types.js").Ending} Ending */

const KEPT = 200;
const SHOWN = 40;
/** How long a new one is set off. */
const NEW_MS = 8000;

export class Endings {
  constructor() {
    this.list = byId("endings");
    /** @type {HTMLInputElement} */ this.chosenOnly = byId("chosen-only");
    /** By id, the oldest first. @type {Map<number, Ending>} */ this.seen = new Map();
    /** @type {Map<number, HTMLElement>} */ this.items = new Map();
    this.first = true;
    this.chosenOnly.addEventListener("change", () => this.show());
  }

  /** Another hub: its numbers begin anew. */
  clear() {
    this.seen.clear();
    this.first = true;
    this.show();
  }

  /** Why this client has ended, or "". @param {number} id */
  reasonOf(id) {
    return this.seen.get(id)?.reason ?? "";
  }

  /** @param {{kept: number, closed: Ending[]} | null} page the newest first */
  update(page) {
    if (!page) return;
    const fresh = page.closed.filter((ending) => !this.seen.has(ending.id)).reverse();
    for (const ending of fresh) this.seen.set(ending.id, ending);
    for (const id of this.seen.keys()) {
      if (this.seen.size <= KEPT) break;
      this.seen.delete(id);
    }
    setText(byId("kept"), page.kept ? `${number(page.kept)} kept` : "");
    if (fresh.length) this.show(this.first ? [] : fresh);
    this.first = false;
  }

  /** @param {Ending[]} [fresh] to be set off for a while */
  show(fresh = []) {
    const wanted = [...this.seen.values()].reverse().filter((ending) => !this.chosenOnly.checked || chosenByHub(ending.reason));
    const shown = wanted.slice(0, SHOWN);
    const ids = new Set(shown.map((ending) => ending.id));
    for (const [id, item] of this.items) {
      if (!ids.has(id)) {
        item.remove();
        this.items.delete(id);
      }
    }
    shown.forEach((ending, place) => {
      const item = this.items.get(ending.id) ?? this.make(ending);
      if (this.list.children[place] !== item) this.list.insertBefore(item, this.list.children[place] ?? null);
    });
    for (const ending of fresh) this.setOff(ending.id);
    byId("no-endings").hidden = shown.length > 0;
  }

  /** @param {number} id */
  setOff(id) {
    const item = this.items.get(id);
    item?.classList.add("new");
    setTimeout(() => item?.classList.remove("new"), NEW_MS);
  }

  /** @param {Ending} ending */
  make(ending) {
    const item = make("li", chosenByHub(ending.reason) ? "chosen" : "");
    item.dataset.id = String(ending.id);
    item.dataset.reason = ending.reason;
    const head = make("p");
    const who = make("bdi", "who", plain(ending.nick || ending.peer));
    who.title = plain(`${ending.nick} ${ending.peer} · ${ending.room} · ${ending.transport} · id ${ending.id}`);
    head.append(make("time", "", clock(ending.ended_wall_s)), who, make("strong", "", ending.reason.replaceAll("_", " ")));
    item.append(head, make("p", "detail", plain(details(ending))));
    this.items.set(ending.id, item);
    return item;
  }
}

/** What is worth a second line. @param {Ending} ending */
function details(ending) {
  const unsent = ending.unsent_bytes + ending.unsent_private_bytes;
  const parts = [ending.nick ? ending.peer : "", ending.detail, `open ${duration(ending.age_s)}`];
  if (ending.lateness_ms !== null) parts.push(`${milliseconds(ending.lateness_ms)} late`);
  if (unsent) parts.push(`${bytes(unsent)} unsent`);
  return parts.filter(Boolean).join(" · ");
}
