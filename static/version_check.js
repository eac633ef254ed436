/* A page that was made by another version of the hub loads itself anew, but only once for each start of a hub. */

import { PROTOCOL } from "./types.js";

/* Each hub behind one name has a path of its own; a browser remembers by name. */
const KEY = `hubbub.reloaded ${location.pathname}`;
const RESTARTED_KEY = `hubbub.restarted ${location.pathname}`;

/**
 * @param {import("./types.js").Hello} hello
 * @param {boolean} restarted whether it is another hub than a moment ago
 */
export function reloadIfOutdated(hello, restarted) {
  const { version, files, wsPort, wsUrl } = document.documentElement.dataset;
  const same = hello.protocol === PROTOCOL && hello.version === version && hello.files === files;
  // Both stand in the page's Content-Security-Policy: a page made for others cannot connect.
  const reaches = String(hello.ws_port) === wsPort && hello.ws_url === wsUrl;
  if ((same && reaches) || !firstTimeFor(hello.boot)) return;
  if (restarted) sessionStorage.setItem(RESTARTED_KEY, String(Date.now()));
  location.reload();
}

/** When the hub restarted, if this page was loaded anew because of it; else 0. Asked once. */
export function restartBeforeReload() {
  try {
    const at = Number(sessionStorage.getItem(RESTARTED_KEY));
    sessionStorage.removeItem(RESTARTED_KEY);
    return at;
  } catch {
    return 0;
  }
}

/** @param {string} boot */
function firstTimeFor(boot) {
  try {
    if (sessionStorage.getItem(KEY) === boot) return false;
    sessionStorage.setItem(KEY, boot);
    return true;
  } catch {
    return false; // Without a memory it could go on for ever.
  }
}
