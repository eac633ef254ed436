/* The live page put together: what the server tells goes to each part, what people do becomes the view. */

import { Chat } from "./chat.js";
import { Cluster } from "./cluster.js";
import { Controls } from "./controls.js";
import { byId, setAttribute, setText } from "./dom.js";
import { ClosedList } from "./closed.js";
import { evictions, Figures } from "./figures.js";
import { Keys } from "./keys.js";
import { Live } from "./live.js";
import { Panels } from "./panels.js";
import { reloadIfOutdated, restartBeforeReload } from "./version_check.js";
import { Status } from "./status.js";
import { Table } from "./table.js";
import { View } from "./view.js";

/** @typedef {import("./types.js").Hello} Hello @typedef {import("./types.js").Update} Update */

const status = new Status();
const figures = new Figures();
const panels = new Panels();
const cluster = new Cluster((text) => status.say(text));
const closedList = new ClosedList();
const chat = new Chat();
const table = new Table((id) => closedList.reasonOf(id));
const view = new View(table.keys, viewChanged);
const controls = new Controls(view, table.heads, () => table.rows.focus("first"));
const live = new Live({ hello, update, error: (text) => status.tell(text), state }, () => view.fields);
let boot = "";
let wsPort = 0;
let wsUrl = "";
let trouble = "";
let draining = false;
let broken = false;

/** Each by itself: a part that cannot go on does not hold up the others. The first fault is told. @param {(() => void)[]} parts */
function each(...parts) {
  for (const part of parts) {
    try {
      part();
    } catch (error) {
      if (broken) continue;
      broken = true;
      console.error(error);
      status.tell(`A part of this page does not go on (${error}): reload the page.`);
    }
  }
}

/** What the table says while it has no client. */
function nobody() {
  if (chat.unreachable) return `No client is shown: ${chat.unreachable}.`;
  if (draining) return "The hub is stopping and takes no new clients.";
  return `No client is connected. telnet to the address above${wsPort ? ", or connect the chat" : ""}.`;
}

function viewChanged() {
  table.viewChanged();
  table.sorted(view.fields.sort, view.fields.order);
  controls.show();
  live.send();
}

/** @param {Hello} message */
function hello(message) {
  const restarted = boot !== "" && boot !== message.boot;
  reloadIfOutdated(message, restarted);
  boot = message.boot;
  wsPort = message.ws_port;
  wsUrl = message.ws_url;
  figures.load(message.series);
  if (restarted) {
    closedList.clear();
    cluster.clear();
    status.restarted(Date.now());
  }
}

/** @param {Update} message */
function update(message) {
  const { clients, closed, summary } = message;
  draining = summary?.draining ?? false;
  each(
    () => figures.update(message),
    () => panels.update(message),
    () => closedList.update(closed, summary?.lingering ?? 0),
    () => table.update(clients, chat.tag),
    () => controls.update(clients),
    () => chat.offer(wsPort, wsUrl, summary),
    () => summary && status.update(summary.clients.open, evictions(summary.closed)),
    () => cluster.update(summary), // Behind the status, whose sentence may have to wait for this one.
  );
  // Only a change is told, so that a notice which was dismissed stays away.
  if (message.trouble !== trouble) status.tell(message.trouble);
  trouble = message.trouble;
}

/** @param {import("./live.js").State} now @param {number} seconds */
function state(now, seconds) {
  each(
    () => status.show(now, seconds),
    () => chat.reach(now),
    () => table.tellNobody(nobody()),
    showPause,
  );
}

function showPause() {
  const button = byId("pause");
  setAttribute(button, "aria-pressed", String(live.paused));
  setText(button, live.paused ? "go on" : "pause");
}

function togglePause() {
  live.setPaused(!live.paused);
}

byId("pause").addEventListener("click", togglePause);
new Keys({
  "/": () => controls.filter.focus(),
  p: togglePause,
  c: () => chat.input.focus(),
  j: () => table.rows.focus("next"),
  k: () => table.rows.focus("previous"),
});
const restartedAt = restartBeforeReload();
if (restartedAt) status.restarted(restartedAt);
viewChanged();
live.start();
document.documentElement.dataset.started = "yes"; // asset_retry.js looks.
