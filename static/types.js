/* The messages of the live page's protocol, version 1, as types for the other modules (web/live.py). */

/** The version of the protocol that this page speaks. */
export const PROTOCOL = 1;

/**
 * The series of the last minutes: rates a second, oldest first, equal lengths.
 * @typedef {"open" | "lines_in" | "lines_out" | "bytes_in" | "bytes_out" | "turns" | "turn_p99_ms" | "busy" | "evicted"} Figure
 * @typedef {Record<Figure, number[]>} Series
 *
 * @typedef {object} Hello
 * @property {"hello"} kind
 * @property {number} protocol
 * @property {string} boot new for each start of the hub
 * @property {string} version
 * @property {string} files the version of all files that the page is made of
 * @property {number} ws_port 0: there is none
 * @property {string} ws_url where browsers reach that port through a proxy (--public-ws); "": at the page's own host
 * @property {Series & {interval_s: number, taken_s: number}} series up to the publication of `taken_s`, 0 before any
 *
 * @typedef {object} ClientRow
 * @property {number} id
 * @property {string} peer
 * @property {string} transport
 * @property {string} nick
 * @property {string} room
 * @property {string} state a text such as "reading", "paused: room" or "blocked for 3 s"; its first word is the kind
 * @property {number} age_s
 * @property {number} idle_s
 * @property {number} lines_in
 * @property {number} lines_out
 * @property {number} bytes_in
 * @property {number} bytes_out
 * @property {number} lag_bytes
 * @property {number} outbox_bytes
 * @property {string} [tag] what a browser named itself by
 *
 * @typedef {object} ClientsPage
 * @property {number} total
 * @property {number} matched
 * @property {number} offset
 * @property {number} limit
 * @property {ClientRow[]} clients
 *
 * @typedef {object} ClosedClient
 * @property {number} id
 * @property {string} peer
 * @property {string} transport
 * @property {string} nick
 * @property {string} room
 * @property {string} reason
 * @property {string} detail
 * @property {number} closed_wall_s
 * @property {number} age_s
 * @property {number | null} lateness_ms
 * @property {number} unsent_bytes
 *
 * @typedef {object} Rates
 * @property {number} lines_in
 * @property {number} lines_out
 * @property {number} bytes_in
 * @property {number} bytes_out
 * @property {number} turns
 * @property {number} busy
 * @property {number} evicted
 * @property {Record<string, number>} events
 *
 * @typedef {object} HubRow
 * @property {string} hub
 * @property {boolean} is_this
 * @property {number} beat_s how old this row is
 * @property {number} clients
 * @property {number} rooms
 * @property {number} lines_in
 * @property {number} lines_out
 * @property {number} ack_p50_ms 0: nothing was acknowledged
 * @property {number} ack_p99_ms
 * @property {number} behind
 * @property {number} gaps
 * @property {number} resent
 * @property {number} refused_lines
 *
 * @typedef {object} ClusterState
 * @property {string} hub
 * @property {boolean} is_linked
 * @property {number} unheard_s
 * @property {number} waiting_bytes
 * @property {number} applied
 * @property {number} head
 * @property {number} links
 * @property {number} refused_messages
 * @property {number} lost
 * @property {number} forks
 * @property {HubRow[]} hubs by name
 *
 * @typedef {Record<string, any>} Summary the hub's totals, hub/control/snapshots.py; `cluster` is null for a hub alone
 *
 * @typedef {object} Update
 * @property {"update"} kind
 * @property {string} boot
 * @property {number | null} age_s
 * @property {string} trouble
 * @property {Summary | null} summary
 * @property {Rates | null} rates
 * @property {ClientsPage | null} clients
 * @property {{kept: number, closed: ClosedClient[]} | null} closed
 */
