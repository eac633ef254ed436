/* The live page put together: what the server tells goes to each part, what people do becomes the view. */

import { Chat } from "./chat.js";
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
    status.restarted(Date.now());
  }
}

/** @param {Update} message */
function update(message) {
  figures.update(message);
  panels.update(message);
  closedList.update(message.closed, message.summary?.lingering ?? 0);
  table.update(message.clients, chat.tag, wsPort > 0);
  controls.update(message.clients);
  chat.offer(wsPort, wsUrl, message.summary);
  if (message.summary) status.update(message.summary.clients.open, evictions(message.summary.closed));
  // Only a change is told, so that a notice which was dismissed stays away.
  if (message.trouble !== trouble) status.tell(message.trouble);
  trouble = message.trouble;
}

/** @param {import("./live.js").State} now @param {number} seconds */
function state(now, seconds) {
  status.show(now, seconds);
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
