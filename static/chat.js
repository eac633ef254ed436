/* The chat pane: a client of the hub like any other, on its WebSocket port. Each line is a text message. */

import { byId, setText } from "./dom.js";
import { Lines } from "./lines.js";

/** What the browser tells of a close when the other side gave no reason (RFC 6455, 7.4.1). @type {Record<number, string>} */
const CODES = {
  1000: "done",
  1001: "the hub is going away",
  1002: "protocol error",
  1003: "kind of data refused",
  1006: "no connection, or it broke off",
  1007: "not UTF-8",
  1008: "refused",
  1009: "message too long",
  1011: "fault in the hub",
  1012: "the hub restarts",
  1013: "try again later",
};
const UNSENT_MOST_BYTES = 1 << 20;

export class Chat {
  constructor() {
    /** Names this page's own row in the table; new with every connection. */
    this.tag = "";
    this.port = 0;
    /** @type {WebSocket | null} */ this.socket = null;
    this.lines = new Lines(byId("chat-log"));
    this.state = byId("chat-state");
    /** @type {HTMLButtonElement} */ this.button = byId("chat-connect");
    /** @type {HTMLInputElement} */ this.input = byId("chat-line");
    /** What was typed before there was a connection. */ this.waiting = "";
    /** Whether the hub sends a client's own lines back to it. */ this.selfEcho = true;
    this.button.addEventListener("click", () => (this.socket ? this.disconnect() : this.connect()));
    byId("chat-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
  }

  /** @param {number} port 0: there is none @param {boolean} [selfEcho] whether the hub sends a client's own lines back */
  offer(port, selfEcho = true) {
    this.port = port;
    this.selfEcho = selfEcho;
    this.button.disabled = !port && !this.socket;
    this.input.disabled = !port && !this.socket;
    if (!port && !this.socket) this.say("this hub has no WebSocket port");
    else if (!this.socket && this.state.textContent === "this hub has no WebSocket port") this.say("not connected");
  }

  connect() {
    if (!this.port) return;
    this.tag = newTag();
    const socket = new WebSocket(`ws://${location.hostname}:${this.port}/?tag=${this.tag}`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.say("connecting");
    setText(this.button, "disconnect");
    socket.addEventListener("open", () => {
      this.say("connected");
      if (this.waiting) this.sendLine(socket, this.waiting);
      this.waiting = "";
    });
    socket.addEventListener("message", (event) => this.take(event.data));
    socket.addEventListener("close", (event) => this.closed(event));
  }

  disconnect() {
    this.say("closing");
    this.socket?.close(1000);
  }

  /** @param {CloseEvent} event */
  closed(event) {
    const why = event.reason || CODES[event.code] || "no reason given";
    this.socket = null;
    this.tag = "";
    this.say(event.code === 1000 && !event.reason ? "not connected" : `closed: ${event.code} ${why}`);
    this.lines.note(`closed: ${event.code} ${why}`);
    setText(this.button, "connect");
    this.offer(this.port, this.selfEcho);
  }

  /** A line that is not UTF-8 comes as a binary message. @param {string | ArrayBuffer} data */
  take(data) {
    this.lines.add(typeof data === "string" ? data : new TextDecoder().decode(data));
  }

  /** Send the line in the field. Enter in an unconnected pane connects first, because a typed line is meant to be sent. */
  send() {
    const line = this.input.value;
    if (!this.socket) {
      this.waiting = line;
      this.connect();
    } else if (this.socket.readyState !== WebSocket.OPEN) {
      return;
    } else if (this.socket.bufferedAmount > UNSENT_MOST_BYTES) {
      this.lines.note("the hub takes no more at the moment; this line was not sent");
      return;
    } else {
      this.sendLine(this.socket, line);
    }
    this.input.value = "";
  }

  /** Send a line, and show it where the hub would not send it back. @param {WebSocket} socket @param {string} line */
  sendLine(socket, line) {
    socket.send(line);
    if (!this.selfEcho) this.lines.addOwn(line);
  }

  /** @param {string} text */
  say(text) {
    setText(this.state, text);
    this.state.title = text;
  }
}

/** 16 characters that no other page has. */
function newTag() {
  const letters = "0123456789abcdefghijklmnopqrstuvwxyz";
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => letters[byte % 36]).join("");
}
