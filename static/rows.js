/* The rows of the table: one for each client, kept with it while it is shown, and written only where it changed. */

import { make } from "./dom.js";
import { bytes, duration, number, plain } from "./format.js";

/** @typedef {import("./types.js").ClientRow} ClientRow */
/** @typedef {{id: number, element: HTMLElement, cells: Map<string, HTMLElement>, texts: Map<string, string>, you: HTMLElement | null}} Row */

/** @type {Record<string, (value: any) => string>} */
const SHOW = {
  id: String,
  age_s: duration,
  idle_s: duration,
  lines_in: number,
  lines_out: number,
  bytes_in: bytes,
  bytes_out: bytes,
  lag_bytes: (value) => (value ? bytes(value) : "0"),
  outbox_bytes: (value) => (value ? bytes(value) : "0"),
};
/** What clients choose, or what may be long: shortened with an ellipsis, whole in the title. */
const LONG = new Set(["peer", "nick", "room", "state"]);

/** The first word of a state such as "paused: rate" or "blocked for 3 s": styles go by it. @param {string} state */
function stateKind(state) {
  return state.split(/[^a-z]/, 1)[0];
}

export class Rows {
  /** @param {HTMLElement} body @param {{key: string, label: string}[]} columns */
  constructor(body, columns) {
    this.body = body;
    this.columns = columns;
    /** @type {Row[]} */ this.shown = [];
    /** Rows that show no client at the moment: made once, used again. @type {Row[]} */ this.spare = [];
  }

  /** The ids in the order they stand in. */
  get ids() {
    return this.shown.map((row) => row.id);
  }

  /**
   * Show exactly these clients in this order.
   * @param {ClientRow[]} clients @param {number} offset of the first one @param {string} own
   */
  arrange(clients, offset, own) {
    const wanted = new Set(clients.map((client) => client.id));
    const byId = new Map(this.shown.map((row) => [row.id, row]));
    for (const row of this.shown) if (!wanted.has(row.id)) this.retire(row);
    this.shown = clients.map((client) => byId.get(client.id) ?? this.take(client.id));
    this.shown.forEach((row, place) => {
      const there = this.body.children[place];
      if (there !== row.element) this.body.insertBefore(row.element, there ?? null);
      row.element.setAttribute("aria-rowindex", String(offset + place + 2));
      row.element.classList.remove("gone");
      this.write(row, clients[place], own);
    });
    this.rove();
  }

  /**
   * New values for the rows that are shown, and nothing moves; a row without a client is marked as gone.
   * @param {ClientRow[]} clients @param {string} own @param {(id: number) => string} whyGone
   */
  refresh(clients, own, whyGone) {
    const byId = new Map(clients.map((client) => [client.id, client]));
    for (const row of this.shown) {
      const client = byId.get(row.id);
      row.element.classList.toggle("gone", !client);
      if (client) this.write(row, client, own);
      else this.put(row, "state", whyGone(row.id));
    }
  }

  /** @param {Row} row @param {ClientRow} client @param {string} own */
  write(row, client, own) {
    for (const { key } of this.columns) {
      const value = /** @type {any} */ (client)[key];
      this.put(row, key, SHOW[key] ? SHOW[key](value) : plain(String(value)));
    }
    const mine = own !== "" && client.tag === own;
    row.element.classList.toggle("own", mine);
    if (row.you) row.you.hidden = !mine;
    row.element.classList.toggle("lags", client.lag_bytes > 0);
    row.element.dataset.state = stateKind(client.state);
  }

  /** @param {Row} row @param {string} key @param {string} text */
  put(row, key, text) {
    const cell = row.cells.get(key);
    if (!cell || row.texts.get(key) === text) return;
    row.texts.set(key, text);
    // Through the element: what stands in it may be another node by now, as a browser that translates puts it there.
    cell.textContent = text;
    if (LONG.has(key)) cell.title = text;
  }

  /** @param {Row} row */
  retire(row) {
    row.element.remove();
    this.spare.push(row);
  }

  /** @param {number} id @returns {Row} */
  take(id) {
    const row = this.spare.pop() ?? this.make();
    row.id = id;
    row.element.dataset.id = String(id);
    return row;
  }

  /** @returns {Row} */
  make() {
    const element = make("tr");
    element.setAttribute("role", "row");
    element.tabIndex = -1;
    const cells = new Map();
    let you = null;
    for (const { key, label } of this.columns) {
      const cell = make("td", SHOW[key] ? "amount" : "");
      cell.setAttribute("role", "cell");
      cell.dataset.label = label;
      cell.dataset.key = key;
      const holder = make("bdi"); // A name in another direction does not turn its neighbours round.
      // In front, where a long name cannot push it out of sight.
      if (key === "nick") cell.append((you = make("b", "you", "you")));
      cell.append(holder);
      cells.set(key, holder);
      element.append(cell);
    }
    return { id: 0, element, cells, texts: new Map(), you };
  }

  /** Let Tab reach a single row; the arrow keys go on from there. */
  rove() {
    const current = this.shown.find((row) => row.element === document.activeElement) ?? this.shown[0];
    for (const row of this.shown) row.element.tabIndex = row === current ? 0 : -1;
  }

  /** @param {"next" | "previous" | "first" | "last"} where */
  focus(where) {
    const at = this.shown.findIndex((row) => row.element === document.activeElement);
    const last = this.shown.length - 1;
    const to = { next: Math.min(at + 1, last), previous: Math.max(at - 1, 0), first: 0, last }[where];
    this.shown[to]?.element.focus();
    this.rove();
  }
}
