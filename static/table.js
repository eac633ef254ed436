/* The table of sockets: which clients it shows, and when no row may move.

A list that jumps under the pointer makes people hit the wrong row. So while the pointer is among the rows,
or one of them has the focus, order and membership are held; the values go on, and a chip says what waits. */

import { byId, one, setAttribute, setText } from "./dom.js";
import { count, number } from "./format.js";
import { Rows } from "./rows.js";

/** @typedef {import("./types.js").ClientsPage} ClientsPage */

/** An update that was under way when another view was asked for is not yet its answer; this is. */
const ANSWER_MS = 600;

export class Table {
  /** @param {(id: number) => string} reasonOf the close reason of a client that is gone, or "" */
  constructor(reasonOf) {
    this.reasonOf = reasonOf;
    this.table = byId("clients");
    this.body = one("tbody", this.table);
    this.heads = [...this.table.querySelectorAll("th")];
    const columns = this.heads.map((head) => ({ key: head.dataset.key ?? "", label: head.textContent?.trim() ?? "" }));
    this.rows = new Rows(this.body, columns);
    this.empty = byId("empty");
    this.chip = byId("held");
    this.pointed = false;
    /** Another view was just asked for: what comes next is shown, whatever is held. */
    this.fresh = true;
    this.askedAt = -ANSWER_MS;
    this.own = "";
    /** What is said where no client is. */
    this.nobody = "";
    /** @type {ClientsPage | null} */ this.newest = null;
    this.watch();
  }

  /** The names of the columns, which are what can be sorted by. */
  get keys() {
    return this.rows.columns.map((column) => column.key);
  }

  get held() {
    if (this.fresh || performance.now() - this.askedAt < ANSWER_MS) return false;
    return this.pointed || this.body.contains(document.activeElement);
  }

  watch() {
    this.body.addEventListener("pointerenter", () => (this.pointed = true));
    this.body.addEventListener("pointerleave", () => {
      this.pointed = false;
      this.show();
    });
    // Where the focus goes is known only after it has gone.
    this.body.addEventListener("focusout", () => setTimeout(() => this.show()));
    one("button", this.chip).addEventListener("click", () => this.arrange());
    this.table.addEventListener("keydown", (event) => this.key(event));
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (!this.body.contains(document.activeElement) || event.ctrlKey || event.altKey || event.metaKey) return;
    /** @type {Record<string, "next" | "previous" | "first" | "last">} */
    const moves = { ArrowDown: "next", ArrowUp: "previous", Home: "first", End: "last" };
    if (event.key in moves) {
      event.preventDefault();
      this.rows.focus(moves[event.key]);
    }
  }

  /** Another view was asked for: its rows are shown even under the pointer. */
  viewChanged() {
    this.fresh = true;
    this.askedAt = this.newest ? performance.now() : -ANSWER_MS; // Nothing is under way before the first.
  }

  /** @param {ClientsPage | null} page @param {string} own the tag by which a row is ours */
  update(page, own) {
    this.own = own;
    if (!page) return;
    this.newest = page;
    this.show();
    this.fresh = false;
  }

  show() {
    if (!this.newest) return;
    if (!this.held) return this.arrange();
    const ids = this.rows.ids;
    const wanted = this.newest.clients.map((client) => client.id);
    const changes = Array.from({ length: Math.max(ids.length, wanted.length) }, (_, place) => place).filter(
      (place) => ids[place] !== wanted[place],
    ).length;
    this.rows.refresh(this.newest.clients, this.own, (id) => this.reasonOf(id) || "off page");
    this.chip.hidden = false;
    setText(one("span", this.chip), changes ? `order held · ${count(changes, "place")} changed` : "order held");
    one("button", this.chip).hidden = !changes;
    return undefined;
  }

  arrange() {
    const page = this.newest;
    if (!page) return;
    this.chip.hidden = true;
    this.rows.arrange(page.clients, page.offset, this.own);
    setAttribute(this.table, "aria-rowcount", String(page.matched + 1));
    this.table.classList.toggle("none", !page.clients.length);
    this.empty.hidden = page.clients.length > 0;
    this.tellNobody(this.nobody);
  }

  /** @param {string} nobody why there is no client, which may change while no page comes */
  tellNobody(nobody) {
    this.nobody = nobody;
    if (this.newest) setText(this.empty, whyEmpty(this.newest, nobody));
  }

  /** @param {string} sort @param {string} order */
  sorted(sort, order) {
    for (const head of this.heads) {
      const direction = order === "desc" ? "descending" : "ascending";
      if (head.dataset.key === sort) setAttribute(head, "aria-sort", direction);
      else head.removeAttribute("aria-sort");
    }
  }
}

/** @param {ClientsPage} page @param {string} nobody */
function whyEmpty(page, nobody) {
  if (!page.total) return nobody;
  return page.matched ? "This page is behind the last row." : `None of the ${number(page.total)} fits the filter.`;
}
