/* Which of the closed list of reasons (hub/close_reasons.py) are evictions: the hub chose to end a client that was in. */

const LEFT = ["silent", "peer_closed", "peer_reset", "peer_timeout", "io_error", "quit", "server_shutdown"];
/** Never let in. */
const REFUSED = ["server_full", "per_ip_limit", "origin_refused", "wrong_protocol", "handshake_timeout"];
const NOT_EVICTED = new Set([...LEFT, ...REFUSED]);

/** @param {string} reason */
export function isEviction(reason) {
  return !NOT_EVICTED.has(reason);
}
