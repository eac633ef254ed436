/* The closed connections. The server tells the last twenty; this page remembers those that it saw. */

import { byId, make, one, setText } from "./dom.js";
import { bytes, clock, duration, milliseconds, number, plain } from "./format.js";
import { isEviction } from "./close_reasons.js";

/** @typedef {import("./types.js").ClosedClient} ClosedClient */

const KEPT = 200;
const SHOWN = 40;
/** How long a new one is set off. */
const NEW_MS = 8000;
/** By so much the time of a close has to change. */
const STEP_S = 0.5;

export class ClosedList {
  constructor() {
    this.list = byId("closed");
    /** @type {HTMLInputElement} */ this.evictedOnly = byId("evicted-only");
    /** By id, the oldest first. @type {Map<number, ClosedClient>} */ this.seen = new Map();
    /** @type {Map<number, HTMLElement>} */ this.items = new Map();
    this.first = true;
    this.kept = 0;
    this.lingering = 0;
    this.evictedOnly.addEventListener("change", () => this.show());
  }

  /** Another hub: its numbers begin anew. */
  clear() {
    this.seen.clear();
    this.kept = this.lingering = 0;
    this.first = true;
    this.show();
  }

  /** The close reason of this client, or "". @param {number} id */
  reasonOf(id) {
    return this.seen.get(id)?.reason ?? "";
  }

  /**
   * @param {{kept: number, closed: ClosedClient[]} | null} page the newest first
   * @param {number} lingering how many are counted as closed and not yet in the list
   */
  update(page, lingering) {
    if (!page) return;
    this.redate(page.closed);
    const fresh = page.closed.filter((entry) => !this.seen.has(entry.id)).reverse();
    for (const entry of fresh) this.seen.set(entry.id, entry);
    for (const id of this.seen.keys()) {
      if (this.seen.size <= KEPT) break;
      this.seen.delete(id);
    }
    this.kept = page.kept;
    this.lingering = lingering;
    if (fresh.length) this.show(this.first ? [] : fresh);
    this.tellHowMany();
    this.first = false;
  }

  /** Where the server's wall clock was set, those that it does not tell again go along. @param {ClosedClient[]} told */
  redate(told) {
    let step = 0;
    for (const { id, closed_wall_s } of told) step ||= closed_wall_s - (this.seen.get(id)?.closed_wall_s ?? closed_wall_s);
    if (Math.abs(step) < STEP_S) return;
    for (const entry of this.seen.values()) {
      entry.closed_wall_s += step;
      const item = this.items.get(entry.id);
      if (item) setText(one("time", item), clock(entry.closed_wall_s));
    }
  }

  /** @param {ClosedClient[]} [fresh] to be set off for a while */
  show(fresh = []) {
    const wanted = [...this.seen.values()].reverse().filter((entry) => !this.evictedOnly.checked || isEviction(entry.reason));
    const shown = wanted.slice(0, SHOWN);
    const ids = new Set(shown.map((entry) => entry.id));
    for (const [id, item] of this.items) {
      if (!ids.has(id)) {
        item.remove();
        this.items.delete(id);
      }
    }
    shown.forEach((entry, place) => {
      const item = this.items.get(entry.id) ?? this.make(entry);
      if (this.list.children[place] !== item) this.list.insertBefore(item, this.list.children[place] ?? null);
    });
    for (const entry of fresh) this.setOff(entry.id);
    byId("no-closed").hidden = shown.length > 0;
    this.tellHowMany();
  }

  /** The server tells the newest twenty at a time, and the hub keeps few of strangers, of which this page saw more. */
  tellHowMany() {
    const { kept, lingering } = this;
    const listed = this.items.size === kept ? "" : `${number(this.items.size)} listed, `;
    const more = lingering ? `, ${number(lingering)} lingering` : "";
    setText(byId("kept"), kept || lingering ? `${listed}${number(kept)} kept by the hub${more}` : "");
  }

  /** @param {number} id */
  setOff(id) {
    const item = this.items.get(id);
    item?.classList.add("new");
    setTimeout(() => item?.classList.remove("new"), NEW_MS);
  }

  /** @param {ClosedClient} entry */
  make(entry) {
    const item = make("li", isEviction(entry.reason) ? "evicted" : "");
    item.dataset.id = String(entry.id);
    item.dataset.reason = entry.reason;
    const head = make("p");
    const who = make("bdi", "who", plain(entry.nick || entry.peer));
    who.title = plain(`${entry.nick} ${entry.peer} · ${entry.room} · ${entry.transport} · id ${entry.id}`);
    head.append(make("time", "", clock(entry.closed_wall_s)), who, make("strong", "", entry.reason.replaceAll("_", " ")));
    item.append(head, make("p", "detail", plain(details(entry))));
    this.items.set(entry.id, item);
    return item;
  }
}

/** What is worth a second line. @param {ClosedClient} entry */
function details(entry) {
  const unsent = entry.unsent_bytes;
  const parts = [entry.nick ? entry.peer : "", entry.detail, `open ${duration(entry.age_s)}`];
  if (entry.lateness_ms !== null) parts.push(`${milliseconds(entry.lateness_ms)} late`);
  if (unsent) parts.push(`${bytes(unsent)} unsent`);
  return parts.filter(Boolean).join(" · ");
}
