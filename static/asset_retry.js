/* Loads the page anew when one of its own files did not come: a browser gives up all that is under way when a network
   interface comes or goes, loopback included, and a page with a module missing would say "connecting" for ever.
   A classic script and the first one, so that it hears of the others. Extensions of the browser add elements of
   their own at any time; only the files that the page names count, and only until all of them are there. */
(() => {
  // Each hub behind one name has a path of its own; a browser remembers by name.
  const LOADS = `hubbub.loads ${location.pathname}`;
  const TYPED = `hubbub.typed ${location.pathname}`;
  const WAIT_MS = 2000;
  /** So many times in a row; then it is no passing trouble. */
  const TIMES = 5;
  /** By then even a slow network has brought all of it. */
  const START_MS = 15_000;
  const named = document.currentScript?.dataset.own?.match(/\S+/g) ?? [];
  /** The addresses of the page's own files. */
  const own = new Set(named.map((address) => new URL(address, location.href).href));
  const files = new URL("static/", location.href).href;
  let failed = false;
  let fault = "";
  let restored = false;

  /** What this tab remembers, or `otherwise` where it keeps nothing. @param {string} key @param {string} otherwise */
  function recall(key, otherwise) {
    try {
      return sessionStorage.getItem(key) ?? "";
    } catch {
      return otherwise;
    }
  }

  /** @param {string} key @param {string} value "" forgets it */
  function remember(key, value) {
    try {
      if (value) sessionStorage.setItem(key, value);
      else sessionStorage.removeItem(key);
    } catch {
      // Then nothing is remembered.
    }
  }

  /** How often the page was loaded anew already; as often as allowed where nothing is remembered. */
  function times() {
    return Number(recall(LOADS, String(TIMES)));
  }

  /** @param {string} text */
  function say(text) {
    const pill = document.getElementById("pill");
    if (pill) pill.textContent = text;
  }

  /** Reload once the server answers; before, a reload would leave an error page (the browser's own, or a proxy's),
      which never comes back. */
  async function again() {
    const answer = await fetch(location.href, { cache: "no-store" }).catch(() => null);
    if (!answer?.ok) {
      setTimeout(again, WAIT_MS);
      return;
    }
    remember(LOADS, String(times() + 1));
    location.reload();
  }

  /** Errors of a file's loading do not bubble; those of running code have the window as their target. @param {ErrorEvent} event */
  function heard(event) {
    const file = /** @type {any} */ (event.target);
    if (event.filename?.startsWith(files)) fault ||= event.message;
    if (failed || !own.has(file.src || file.href)) return;
    failed = true;
    const more = times() < TIMES;
    const tell = () => say(more ? "loading failed, trying again" : "loading failed: reload the page");
    if (document.readyState === "loading") addEventListener("DOMContentLoaded", tell);
    tell();
    if (more) setTimeout(again, WAIT_MS);
  }

  addEventListener("error", heard, true);
  /** A file that came cut short, or a browser without something that the page needs, ends in silence otherwise. */
  function look() {
    if (failed || document.documentElement.dataset.started) return;
    say("could not start: reload the page");
    const notice = document.getElementById("notice");
    if (!notice?.firstElementChild || !fault) return;
    notice.firstElementChild.textContent = `This page could not start (${fault}). Reload it, or take a newer browser.`;
    notice.hidden = false;
  }

  // A file that never ends keeps the page from being loaded.
  setTimeout(look, START_MS);
  addEventListener("load", () => {
    removeEventListener("error", heard, true);
    if (!failed) remember(LOADS, "");
    setTimeout(look);
  });

  /** The field of the chat, of which browsers keep nothing over a reload. @returns {HTMLTextAreaElement | null} */
  function field() {
    return /** @type {HTMLTextAreaElement | null} */ (document.getElementById("chat-line"));
  }

  addEventListener("pagehide", () => {
    const line = field();
    // Before it was restored, what is remembered is newer than an empty field.
    if (!line || (!restored && !line.value)) return;
    const { value, selectionStart, selectionEnd } = line;
    remember(TYPED, JSON.stringify([value, selectionStart, selectionEnd, document.activeElement?.id ?? ""]));
  });
  addEventListener("DOMContentLoaded", () => {
    const line = field();
    const kept = recall(TYPED, "");
    remember(TYPED, ""); // A tab that is made of this one gets a copy of what is remembered.
    restored = true;
    if (!line || line.value || !kept) return;
    const [value, start, end, focused] = JSON.parse(kept);
    line.value = value;
    line.setSelectionRange(start, end);
    document.getElementById(focused)?.focus();
  });
})();
