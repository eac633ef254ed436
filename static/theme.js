/* Runs before the first paint, so it is a classic script: a module would come after it and flash. */
(() => {
  const KEY = "hubbub.theme";
  const root = document.documentElement;

  /** @param {string | null} theme auto, light or dark */
  function apply(theme) {
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
    else delete root.dataset.theme;
  }

  /** @returns {string} what was chosen; a browser may forbid storage altogether */
  function chosen() {
    try {
      return localStorage.getItem(KEY) ?? "auto";
    } catch {
      return "auto";
    }
  }

  apply(chosen());
  document.addEventListener("DOMContentLoaded", () => {
    const select = /** @type {HTMLSelectElement | null} */ (document.getElementById("theme"));
    if (!select) return;
    select.value = root.dataset.theme ?? "auto";
    select.addEventListener("change", () => {
      apply(select.value);
      try {
        localStorage.setItem(KEY, select.value);
      } catch {
        // The choice holds for this page only.
      }
    });
  });
})();
