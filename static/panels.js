/* The header's facts and the four panels of totals. */

import { byId, make, one, setAttribute, setText } from "./dom.js";
import { brief, bytes, count, duration, number } from "./format.js";
import { isEviction } from "./close_reasons.js";

/** @typedef {import("./types.js").Summary} Summary @typedef {import("./types.js").Update} Update */

export class Panels {
  constructor() {
    this.reasons = byId("reasons");
    this.noReasons = byId("no-reasons");
    /** @type {Map<string, HTMLElement>} */ this.rows = new Map();
  }

  /** @param {Update} update */
  update({ summary, rates }) {
    if (!summary) return;
    facts(summary);
    account(summary.account);
    totals(summary);
    if (rates) events(rates.events, summary.events);
    this.closedByReason(summary.closed);
  }

  /** @param {Record<string, number>} closed */
  closedByReason(closed) {
    const counts = Object.entries(closed).filter(([, count]) => count > 0);
    counts.sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
    const most = counts[0]?.[1] ?? 1;
    this.noReasons.hidden = counts.length > 0;
    for (const [reason, row] of this.rows) {
      if (!closed[reason]) {
        row.remove();
        this.rows.delete(reason);
      }
    }
    counts.forEach(([reason, count], place) => {
      const row = this.rows.get(reason) ?? this.newReason(reason);
      if (this.reasons.children[place] !== row) this.reasons.insertBefore(row, this.reasons.children[place] ?? null);
      bar(row, number(count), count / most);
    });
  }

  /** @param {string} reason */
  newReason(reason) {
    const row = make("div");
    row.dataset.key = reason;
    const term = make("dt", "", reason.replaceAll("_", " "));
    if (isEviction(reason)) {
      term.classList.add("evicted");
      row.title = "the hub chose to close these";
    }
    const svg = /** @type {SVGElement} */ (one("[data-pairs=events] svg").cloneNode(true));
    const holder = make("dd", "bar");
    holder.append(svg);
    row.append(term, make("dd"), holder);
    this.rows.set(reason, row);
    return row;
  }
}

/** @param {string} name @param {string} text */
function fact(name, text) {
  const element = one(`[data-fact="${name}"]`);
  setText(element, text);
  return element;
}

/** @param {Summary} summary */
function facts(summary) {
  const limit = summary.idle_timeout_s ? ` ${duration(summary.idle_timeout_s)}` : " off";
  fact("version", summary.version);
  fact("build", summary.build);
  fact("mode", summary.mode);
  fact("reads", `${summary.trigger} + ${summary.read}`);
  fact("idle", `idle: ${summary.idle_strategy}${limit}`);
  fact("uptime", `up ${duration(summary.uptime_s)}`);
  const sockets = [
    ["lines on", summary.listeners],
    ["viewers on", summary.read_only_listeners ?? []],
    ["write-only on", summary.write_only_listeners ?? []],
    ["ws on", summary.ws_listeners ?? []],
  ];
  const texts = sockets.filter(([, list]) => list.length).map(([name, list]) => `${name} ${list.join(", ")}`);
  fact("listeners", texts.join(" · ") || "listening nowhere");
  one('[data-fact="draining"]').hidden = !summary.draining;
}

/** @param {string} panel @param {string} key */
function pair(panel, key) {
  return one(`[data-pairs="${panel}"] [data-key="${key}"]`);
}

/** @param {HTMLElement} row @param {string} text @param {number} share */
function bar(row, text, share) {
  setText(one("dd", row), text);
  setAttribute(one("rect", row), "width", (Math.min(1, Math.max(0, share)) * 100).toFixed(1));
}

/** @param {Record<string, number>} rates @param {Record<string, number>} counts */
function events(rates, counts) {
  const most = Math.max(1, ...Object.values(rates));
  for (const [kind, rate] of Object.entries(rates)) {
    const row = pair("events", kind);
    bar(row, brief(rate), rate / most);
    setAttribute(one("dt", row), "title", `${number(counts[kind] ?? 0)} since start`);
  }
}

/**
 * owed + replayed = delivered + skipped + unsent + queued. The totals of each second leave `queued` out,
 * because it costs a look at every client; then it is what remains, and the page says so.
 * @param {Record<string, number | null>} sums
 */
function account(sums) {
  const sum = (/** @type {string[]} */ ...names) => names.reduce((all, name) => all + (sums[name] ?? 0), 0);
  const rest = sum("owed", "replayed") - sum("delivered", "skipped", "unsent");
  const queued = sums.queued ?? rest;
  for (const name of ["owed", "replayed", "delivered", "skipped", "unsent"]) {
    setText(one("dd", pair("account", name)), bytes(sums[name] ?? 0));
  }
  setText(one("dd", pair("account", "queued")), bytes(queued));
  const balance = one("[data-balance]");
  const wrong = rest < 0 || queued !== rest;
  balance.classList.toggle("warn", wrong);
  setText(balance, wrong ? `off by ${count(Math.abs(rest < 0 ? rest : queued - rest), "byte")}` : "queued is what remains");
}

/** @param {Summary} summary */
function totals(summary) {
  const allowed = summary.max_clients ? ` of ${number(summary.max_clients)}` : "";
  const closed = Object.values(summary.closed).reduce((a, b) => a + b, 0);
  const missing = summary.clients.accepted - summary.clients.open - closed;
  const texts = {
    peak: number(summary.clients.peak) + allowed,
    accepted: number(summary.clients.accepted),
    refused: number(summary.refused),
    lingering: number(summary.lingering),
    rooms: number(summary.rooms),
    log_dropped: number(summary.log_dropped),
    lines_discarded: number(summary.lines_discarded ?? 0),
  };
  for (const [key, text] of Object.entries(texts)) setText(one("dd", pair("totals", key)), text);
  pair("totals", "lines_discarded").hidden = !summary.lines_discarded;
  const books = one("[data-books]");
  books.classList.toggle("warn", missing !== 0);
  setText(books, missing ? `off by ${number(missing)}` : "accepted = open + closed: adds up");
}
