/* The view: what this page asks to see, kept in the URL's hash: a reload, a bookmark or a second tab shows the same. */

/** @typedef {{sort: string, order: string, q: string, offset: number, limit: number}} Fields */

/** @type {Readonly<Fields>} */
const DEFAULTS = Object.freeze({ sort: "id", order: "asc", q: "", offset: 0, limit: 50 });
export const LIMITS = [25, 50, 100, 500];

/** Sort orders that show the clients in trouble, in one click. @type {Record<string, {sort: string, order: string}>} */
export const PRESETS = {
  slow: { sort: "lag_bytes", order: "desc" },
  talkers: { sort: "lines_in", order: "desc" },
  idle: { sort: "idle_s", order: "desc" },
  new: { sort: "age_s", order: "asc" },
};

export class View {
  /** @param {string[]} sortable the names of the columns @param {() => void} changed */
  constructor(sortable, changed) {
    this.sortable = sortable;
    this.changed = changed;
    /** @type {Fields} */ this.fields = this.read();
    addEventListener("hashchange", () => {
      this.fields = this.read();
      this.changed();
    });
  }

  get isDefault() {
    return Object.entries(DEFAULTS).every(([name, value]) => this.fields[/** @type {keyof Fields} */ (name)] === value);
  }

  /**
   * Ask for something else. Whatever is not about paging begins at the first page again.
   * @param {Partial<Fields>} change
   */
  set(change) {
    this.fields = { ...this.fields, offset: 0, ...change };
    this.write();
    this.changed();
  }

  reset() {
    this.set(DEFAULTS);
  }

  /** The hash as fields; a URL may hold anything, so what is not allowed becomes the default. */
  read() {
    const given = new URLSearchParams(location.hash.slice(1));
    const sort = given.get("sort") ?? "";
    const limit = Number(given.get("limit"));
    const offset = Number(given.get("offset"));
    return {
      sort: this.sortable.includes(sort) ? sort : DEFAULTS.sort,
      order: given.get("order") === "desc" ? "desc" : "asc",
      q: (given.get("q") ?? "").slice(0, 200),
      offset: Number.isSafeInteger(offset) && offset > 0 ? offset : 0,
      limit: LIMITS.includes(limit) ? limit : DEFAULTS.limit,
    };
  }

  /** Only what differs from the default; the history gets no entry for every letter typed. */
  write() {
    const shown = Object.entries(this.fields).filter(
      ([name, value]) => value !== DEFAULTS[/** @type {keyof Fields} */ (name)],
    );
    const hash = new URLSearchParams(shown.map(([name, value]) => [name, String(value)])).toString();
    history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
  }
}
