/* Which of the closed list of reasons (hub/close_reasons.py) are evictions: the hub chose to close that one client. */

const NOT_EVICTED = new Set(["peer_closed", "peer_reset", "peer_timeout", "io_error", "quit", "server_shutdown"]);

/** @param {string} reason */
export function isEviction(reason) {
  return !NOT_EVICTED.has(reason);
}
