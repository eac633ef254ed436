/* The controls around the table: sort buttons, filter, presets, pages. All of them only change the view. */

import { byId, one, setAttribute, setText } from "./dom.js";
import { number } from "./format.js";
import { PRESETS } from "./view.js";

/** @typedef {import("./view.js").View} View @typedef {import("./types.js").ClientsPage} ClientsPage */

/** Fast typing asks once. */
const TYPING_MS = 150;
/** Text reads best from A on, amounts from the largest down. */
const TEXT = new Set(["id", "peer", "transport", "nick", "room", "state"]);

export class Controls {
  /** @param {View} view @param {HTMLElement[]} heads @param {() => void} enterTable */
  constructor(view, heads, enterTable) {
    this.enterTable = enterTable;
    this.view = view;
    /** @type {HTMLInputElement} */ this.filter = byId("filter");
    /** @type {HTMLSelectElement} */ this.limit = byId("limit");
    /** @type {HTMLButtonElement} */ this.previous = byId("previous");
    /** @type {HTMLButtonElement} */ this.next = byId("next");
    this.reset = byId("reset");
    /** @type {HTMLElement[]} */ this.presets = [...document.querySelectorAll("[data-preset]")];
    this.typing = 0;
    for (const head of heads) {
      one("button", head).addEventListener("click", () => this.sortBy(head.dataset.key ?? "id"));
    }
    this.listen();
  }

  listen() {
    this.filter.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => {
        this.typing = 0;
        this.view.set({ q: this.filter.value });
      }, TYPING_MS);
    });
    this.filter.addEventListener("keydown", (event) => {
      if (event.key !== "ArrowDown") return;
      event.preventDefault();
      this.enterTable();
    });
    for (const button of this.presets) {
      button.addEventListener("click", () => this.view.set(PRESETS[button.dataset.preset ?? ""] ?? {}));
    }
    this.limit.addEventListener("change", () => this.view.set({ limit: Number(this.limit.value) }));
    this.previous.addEventListener("click", () => this.turn(-1));
    this.next.addEventListener("click", () => this.turn(1));
    this.reset.addEventListener("click", () => {
      clearTimeout(this.typing);
      this.typing = 0;
      this.view.reset();
      this.filter.focus(); // The button that was pressed is gone.
    });
  }

  /** @param {string} key */
  sortBy(key) {
    const { sort, order } = this.view.fields;
    const first = TEXT.has(key) ? "asc" : "desc";
    const other = order === "asc" ? "desc" : "asc";
    this.view.set({ sort: key, order: sort === key ? other : first });
  }

  /** @param {number} by pages */
  turn(by) {
    const { offset, limit } = this.view.fields;
    this.view.set({ offset: Math.max(0, offset + by * limit) });
  }

  /** Show what the view says, wherever it came from. */
  show() {
    const { sort, order, q, limit } = this.view.fields;
    // What is being typed is not taken away by a sort or a page that was asked for meanwhile.
    if (!this.typing && this.filter.value !== q) this.filter.value = q;
    this.limit.value = String(limit);
    this.reset.hidden = this.view.isDefault;
    for (const button of this.presets) {
      const preset = PRESETS[button.dataset.preset ?? ""];
      setAttribute(button, "aria-pressed", String(preset?.sort === sort && preset.order === order));
    }
  }

  /** @param {ClientsPage | null} page */
  update(page) {
    if (!page) return;
    const last = Math.min(page.offset + page.clients.length, page.matched);
    setText(byId("window"), page.clients.length ? `${number(page.offset + 1)}–${number(last)}` : "0");
    const all = page.matched === page.total;
    setText(byId("matched"), all ? `${number(page.total)} open` : `${number(page.matched)} of ${number(page.total)}`);
    this.previous.disabled = page.offset === 0;
    this.next.disabled = last >= page.matched;
    // The last clients of this page have left: show the last page that there is.
    if (!page.clients.length && page.matched && page.offset === this.view.fields.offset) {
      const { limit } = this.view.fields;
      this.view.set({ offset: Math.floor((page.matched - 1) / limit) * limit });
    }
  }
}
