/* A page that was made by another version of the hub loads itself anew, but only once for each start of a hub. */

import { PROTOCOL } from "./types.js";

const KEY = "hubbub.reloaded";
const RESTARTED_KEY = "hubbub.restarted";

/**
 * @param {import("./types.js").Hello} hello
 * @param {boolean} restarted whether it is another hub than a moment ago
 */
export async function reloadIfOutdated(hello, restarted) {
  const { version, wsPort } = document.documentElement.dataset;
  // The port stands in the page's Content-Security-Policy: a page made for another one cannot connect.
  const outdated = hello.protocol !== PROTOCOL || hello.version !== version || String(hello.ws_port) !== wsPort;
  if (!(outdated || (restarted && (await filesChanged()))) || !firstTimeFor(hello.boot)) return;
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

/** Whether the page as it is served now names other files; their URLs carry a hash of what is in them. */
async function filesChanged() {
  try {
    const answer = await fetch("/", { cache: "no-store" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    return answer.ok && files(page) !== files(document);
  } catch {
    return false;
  }
}

/** @param {Document} page */
function files(page) {
  const found = page.querySelectorAll("script[src], link[rel=stylesheet]");
  return [...found].map((element) => element.getAttribute("src") ?? element.getAttribute("href")).join(" ");
}
