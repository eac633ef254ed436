/* Loads the page anew when one of its files did not come: a browser gives up all that is under way when a network
   interface comes or goes, loopback included, and a page with a module missing would say "connecting" for ever.
   A classic script and the first one, so that it hears of the others. */
(() => {
  const KEY = "hubbub.loads";
  const WAIT_MS = 2000;
  /** So many times in a row; then it is no passing trouble. */
  const TIMES = 5;
  let failed = false;

  /** How often the page was loaded anew already; as often as allowed where nothing is remembered. */
  function times() {
    try {
      return Number(sessionStorage.getItem(KEY));
    } catch {
      return TIMES;
    }
  }

  /** @param {string} text */
  function say(text) {
    const pill = document.getElementById("pill");
    if (pill) pill.textContent = text;
  }

  /** Reload once the server answers; before, a reload would leave the browser's own error page, which never comes back. */
  async function again() {
    try {
      await fetch("/", { cache: "no-store" });
    } catch {
      setTimeout(again, WAIT_MS);
      return;
    }
    sessionStorage.setItem(KEY, String(times() + 1));
    location.reload();
  }

  /** Errors of a file's loading do not bubble; those of running code have the window as their target. */
  addEventListener(
    "error",
    (event) => {
      const file = /** @type {Element | Window | null} */ (event.target);
      if (!(file instanceof HTMLScriptElement || file instanceof HTMLLinkElement) || failed) return;
      failed = true;
      const more = times() < TIMES;
      const tell = () => say(more ? "loading failed, trying again" : "loading failed: reload the page");
      if (document.readyState === "loading") addEventListener("DOMContentLoaded", tell);
      tell();
      if (more) setTimeout(again, WAIT_MS);
    },
    true,
  );
  addEventListener("load", () => {
    if (failed) return;
    try {
      sessionStorage.removeItem(KEY);
    } catch {
      // Nothing was remembered then.
    }
  });
})();
