/* Where the chat pane connects to, why it could not (a browser tells a page nothing of that), and why it was closed. */

import { plain } from "./format.js";

/** @typedef {{port: number, publicUrl: string, full: boolean}} Place what the hub told: its port (0: none), --public-ws */

/** What the browser tells of a close when the other side gave no reason (RFC 6455, 7.4.1). @type {Record<number, string>} */
const CODES = {
  1000: "done",
  1001: "the hub is going away",
  1002: "protocol error",
  1003: "kind of data refused",
  1006: "the connection broke off",
  1007: "not UTF-8",
  1008: "refused",
  1009: "message too long",
  1011: "fault in the hub",
  1012: "the hub restarts",
  1013: "try again later",
};

/** Why nothing would arrive, by the state of the live view. @type {Record<string, string>} */
export const UNREACHABLE = {
  stale: "the hub does not answer at the moment",
  reconnecting: "this page does not reach the hub at the moment",
};

/** @param {Place} place @param {string} tag names this page's row @param {string} pageProtocol of the page's address */
export function chatAddress(place, tag, pageProtocol = location.protocol) {
  const scheme = pageProtocol === "https:" ? "wss" : "ws";
  const url = new URL(place.publicUrl || `${scheme}://${location.hostname}:${place.port}/`);
  url.searchParams.set("tag", tag);
  return url;
}

/**
 * A sentence for a connection that never opened, with the setting to look at.
 * @param {URL} url @param {Place} place @param {boolean} forbidden the page's Content-Security-Policy does not name it
 * @param {string} known what the browser said or the page knows, else "" @param {string} pageProtocol of its address
 */
export function whyNotConnected(url, place, forbidden, known = "", pageProtocol = location.protocol) {
  const where = `${url.protocol}//${url.host}${url.pathname}`;
  if (pageProtocol === "https:" && url.protocol === "ws:") {
    return `an https page may not open ${where}: --public-ws has to begin with wss://`;
  }
  if (forbidden) {
    return `this page may not open ${where}: --public-ws has to name it, or the proxy has to pass on the page's own Host`;
  }
  if (known) return `no connection to ${where}: ${known}`;
  if (place.full) return "the hub is full (--max-clients)";
  if (place.publicUrl) return `no connection to ${where}: does the proxy at --public-ws lead to port ${place.port}, and does --allowed-host name the Host that it passes on?`;
  if (pageProtocol === "https:") {
    return `no connection to ${where}: behind an https proxy --public-ws has to say where browsers find port ${place.port}`;
  }
  return `no connection to ${where}: full (--max-clients, --max-per-ip), not reachable (--host), or the name is not allowed (--allowed-host)`;
}

/** The reason alone, for the heading. @param {CloseEvent} event */
export function whyClosedBriefly({ code, reason }) {
  return `closed: ${/^reason=([a-z_]+)/.exec(reason)?.[1].replaceAll("_", " ") ?? code}`;
}

/** The hub's sentence for people first, where it gave one. @param {CloseEvent} event */
export function whyClosed({ code, reason }) {
  const [facts, ...sentence] = plain(reason || CODES[code] || "no reason given").split(" - ");
  return sentence.length ? `closed: ${sentence.join(" - ")} (${code} ${facts})` : `closed: ${code} ${facts}`;
}

/** 16 characters that no other page has. */
export function newTag() {
  const letters = "0123456789abcdefghijklmnopqrstuvwxyz";
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => letters[byte % 36]).join("");
}
