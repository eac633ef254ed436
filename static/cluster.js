/* The cluster: how the link is, in words, and a row for each hub that is alive. Hidden for a hub alone.

The hubs tell totals, so a rate is worked out here, between two beats of a hub. A hub that is gone is forgotten
at once, and one that began anew has no rate before its second beat. */

import { byId, make, one, setText } from "./dom.js";
import { brief, bytes, count, duration, milliseconds, number, plain } from "./format.js";

/** @typedef {import("./types.js").ClusterState} ClusterState @typedef {import("./types.js").HubRow} HubRow */
/** @typedef {import("./types.js").Summary} Summary */
/** @typedef {{element: HTMLElement, cells: Map<string, HTMLElement>, here: HTMLElement, pace: Pace}} Row */
/** @typedef {"linked" | "waiting" | "down"} Link */

/** So long a stream that takes nothing is merely slow; then /readyz is degraded, too. */
const SILENT_S = 1;
/** So many bytes may be on their way without a word; from here on the hub has its senders wait. */
const ON_THEIR_WAY = 256 * 1024;
/** Beats are a second apart, and after three without one a hub is gone; from here on its figures are marked as old. */
const LATE_S = 2;
/** Closer together than this is the same beat, told once more. */
const SAME_BEAT_S = 0.25;
const UNKNOWN = "–";

/** @type {Record<string, (value: any) => string>} */
const SHOW = {
  hub: plain,
  clients: number,
  rooms: number,
  rate: (value) => (Number.isNaN(value) ? UNKNOWN : brief(value)),
  ack_p50_ms: acknowledged,
  ack_p99_ms: acknowledged,
  behind: number,
  gaps: number,
  resent: number,
  refused_lines: number,
  beat_s: duration,
};
/** What is said aloud when the link becomes so. @type {Record<Link, string>} */
const SPOKEN = {
  linked: "the cluster answers again",
  waiting: "the cluster does not answer, lines wait",
  down: "no link to the cluster",
};

/** Nothing was acknowledged where it took no time at all. @param {number} value */
function acknowledged(value) {
  return value ? milliseconds(value) : UNKNOWN;
}

/** Lines a second, between the last two beats of a hub. */
class Pace {
  rate = NaN;
  lines = 0;
  at = NaN;

  /** @param {number} lines since its start @param {number} at when it said so */
  beat(lines, at) {
    const passed = at - this.at;
    if (Math.abs(passed) < SAME_BEAT_S) return;
    this.rate = passed > 0 && lines >= this.lines ? (lines - this.lines) / passed : NaN;
    this.lines = lines;
    this.at = at;
  }
}

export class Cluster {
  /** @param {(text: string) => void} say tells it to who cannot see it */
  constructor(say) {
    this.say = say;
    this.section = byId("cluster");
    this.json = byId("cluster-json");
    this.alive = byId("cluster-alive");
    this.pill = byId("cluster-link");
    this.faults = byId("cluster-faults");
    const table = byId("hubs");
    this.body = one("tbody", table);
    this.columns = [...table.querySelectorAll("th")].map((head) => ({
      key: head.dataset.key ?? "",
      label: head.textContent?.trim() ?? "",
    }));
    /** @type {Map<string, Row>} */ this.rows = new Map();
    /** @type {Link | ""} */ this.link = "";
    this.downAt = 0;
    /** The page saw how the link went down, so it knows since when. */
    this.sawEnd = false;
  }

  /** @param {Summary | null} summary */
  update(summary) {
    if (!summary) return;
    /** @type {ClusterState | null} */
    const state = summary.cluster ?? null;
    this.section.hidden = this.json.hidden = !state;
    if (!state) return this.clear();
    setText(this.alive, count(state.hubs.length, "hub"));
    this.tellLink(state, summary.taken_s);
    this.tellFaults(state);
    this.arrange(state.hubs, summary.taken_s);
  }

  /** Another hub process answers from now on: all counters begin anew. */
  clear() {
    for (const row of this.rows.values()) row.element.remove();
    this.rows.clear();
    this.link = "";
  }

  /** @param {ClusterState} state @param {number} now on the hub's clock */
  tellLink(state, now) {
    const silent = state.unheard_s >= SILENT_S;
    const many = state.waiting_bytes >= ON_THEIR_WAY;
    const link = !state.is_linked ? "down" : silent || many ? "waiting" : "linked";
    if (link === "down" && this.link !== "down") {
      this.downAt = now;
      this.sawEnd = this.link !== "";
    }
    const words = [link === "down" ? this.noLink(now - this.downAt) : "linked"];
    if (link === "waiting" && silent) words.push(`no answer for ${duration(state.unheard_s)}`);
    if (link !== "linked" && state.waiting_bytes) words.push(`lines wait: ${bytes(state.waiting_bytes)}`);
    setText(this.pill, words.join(" · "));
    if (this.link === link) return;
    if (this.link || link !== "linked") this.say(SPOKEN[link]);
    this.link = link;
    this.pill.dataset.state = link;
  }

  /** @param {number} seconds since the page saw that there is no link */
  noLink(seconds) {
    if (this.sawEnd) return `no link for ${duration(seconds)}`;
    return seconds < 1 ? "no link" : `no link for over ${duration(seconds)}`;
  }

  /** What should never be: shown only where it was. @param {ClusterState} state */
  tellFaults(state) {
    const counts = {
      "in no record any more": state.lost,
      "unreadable messages": state.refused_messages,
      "record went back": state.forks,
    };
    const told = Object.entries(counts).filter(([, times]) => times > 0);
    this.faults.hidden = !told.length;
    setText(this.faults, told.map(([what, times]) => `${what}: ${number(times)}`).join(" · "));
  }

  /** Show exactly these hubs in this order. @param {HubRow[]} hubs @param {number} now on the hub's clock */
  arrange(hubs, now) {
    const alive = new Set(hubs.map((hub) => hub.hub));
    for (const [name, row] of this.rows) {
      if (alive.has(name)) continue;
      row.element.remove();
      this.rows.delete(name);
    }
    hubs.forEach((hub, place) => {
      const row = this.rows.get(hub.hub) ?? this.make(hub.hub);
      const there = this.body.children[place];
      if (there !== row.element) this.body.insertBefore(row.element, there ?? null);
      row.pace.beat(hub.lines_in, now - hub.beat_s);
      this.write(row, hub);
    });
  }

  /** @param {Row} row @param {HubRow} hub */
  write(row, hub) {
    const values = /** @type {Record<string, any>} */ ({ ...hub, rate: row.pace.rate });
    for (const [key, cell] of row.cells) setText(cell, SHOW[key](values[key]));
    row.element.classList.toggle("own", hub.is_this);
    row.element.classList.toggle("late", hub.beat_s >= LATE_S);
    row.here.hidden = !hub.is_this;
  }

  /** @param {string} name @returns {Row} */
  make(name) {
    const element = make("tr");
    element.setAttribute("role", "row");
    element.dataset.hub = name;
    const cells = new Map();
    const here = make("b", "you", "this hub");
    for (const { key, label } of this.columns) {
      const cell = make(key === "hub" ? "th" : "td", key === "hub" ? "" : "amount");
      cell.setAttribute("role", key === "hub" ? "rowheader" : "cell");
      if (key === "hub") cell.setAttribute("scope", "row");
      cell.dataset.key = key;
      cell.dataset.label = label;
      const holder = make("bdi");
      if (key === "hub") cell.append(here);
      cell.append(holder);
      cells.set(key, holder);
      element.append(cell);
    }
    const row = { element, cells, here, pace: new Pace() };
    this.rows.set(name, row);
    return row;
  }
}
