/* The keyboard. Single letters can be switched off (WCAG 2.1.4), and never act inside a field. */

import { byId, recall, remember } from "./dom.js";

const KEY = "hubbub.keys";

export class Keys {
  /** @param {Record<string, () => void>} actions by the key's name */
  constructor(actions) {
    this.actions = { ...actions, "?": () => this.help() };
    /** @type {HTMLDialogElement} */ this.dialog = byId("keys");
    /** @type {HTMLInputElement} */ this.on = byId("keys-on");
    this.on.checked = recall(KEY, "on") === "on";
    this.on.addEventListener("change", () => remember(KEY, this.on.checked ? "on" : "off"));
    byId("help").addEventListener("click", () => this.help());
    document.addEventListener("keydown", (event) => this.press(event));
  }

  help() {
    if (!this.dialog.open) this.dialog.showModal();
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.defaultPrevented || this.dialog.open) return;
    const active = /** @type {HTMLElement | null} */ (document.activeElement);
    if (event.key === "Escape") {
      active?.blur();
      return;
    }
    if (!this.on.checked || active?.matches("input, select, textarea")) return;
    const action = this.actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }
}
