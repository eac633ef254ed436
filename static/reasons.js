/* Which of the closed list of reasons (hub/close_reasons.py) are the hub's own decision about one client. */

const NOT_CHOSEN = new Set(["peer_closed", "peer_reset", "peer_timeout", "io_error", "quit", "server_shutdown"]);

/** @param {string} reason */
export function chosenByHub(reason) {
  return !NOT_CHOSEN.has(reason);
}
