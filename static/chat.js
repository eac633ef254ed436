/* The chat pane: a client of the hub like any other, on its WebSocket port. Each line is a text message. What was
   typed stays in the field until it is sent, and nothing is sent that was not asked for in this connection. */

import { chatAddress, newTag, UNREACHABLE, whyClosed, whyClosedBriefly, whyNotConnected } from "./chat_address.js";
import { byId, one, setAttribute, setText } from "./dom.js";
import { bytes } from "./format.js";
import { Lines } from "./lines.js";
import { linesOf, tooLong } from "./typed.js";

const UNSENT_MOST_BYTES = 1 << 20;
const NO_PORT = "off: no WebSocket port";
/** So many texts are remembered until something comes back. */
const SENT_MOST = 20;

export class Chat {
  constructor() {
    /** Names this page's own row in the table; new with every connection. */
    this.tag = "";
    /** @type {import("./chat_address.js").Place} */ this.place = { port: 0, publicUrl: "", full: false };
    /** @type {WebSocket | null} */ this.socket = null;
    this.lines = new Lines(byId("chat-log"));
    this.state = byId("chat-state");
    /** @type {HTMLButtonElement} */ this.button = byId("chat-connect");
    /** @type {HTMLTextAreaElement} */ this.input = byId("chat-line");
    /** @type {HTMLButtonElement} */ this.submit = /** @type {any} */ (one("#chat-form button"));
    this.placeholder = this.input.placeholder;
    /** The text for which Enter was pressed before the connection was open. */ this.asked = "";
    /** What was sent and nothing came since. @type {string[]} */ this.sent = [];
    /** Why nothing would arrive now, as the live view has it, or "". */ this.unreachable = "";
    /** Where it connects to. */ this.url = "";
    /** Whether the hub sends a client's own lines back to it. */ this.selfEcho = true;
    /** The most bytes of a line, 0: any number. */ this.lineBytes = 0;
    /** Whether the page's Content-Security-Policy keeps it from there. */ this.forbidden = false;
    /** Whether the connection ever opened. */ this.isOpen = false;
    /** Whether this side closed it. */ this.left = false;
    this.listen();
  }

  listen() {
    document.addEventListener("securitypolicyviolation", (event) => {
      this.forbidden ||= event.blockedURI !== "" && this.url.startsWith(event.blockedURI);
    });
    this.button.addEventListener("click", () => (this.socket ? this.disconnect() : this.connect()));
    byId("chat-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.send();
    });
    // A field of several lines keeps a pasted text as it is; Enter sends it all the same.
    this.input.addEventListener("keydown", (event) => {
      // 229 is a key that an input method took; in Safari the Enter that ends a composition is told by it alone.
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      if (!event.repeat) this.send();
    });
    this.submit.addEventListener("keydown", (event) => {
      if (event.repeat && event.key === "Enter") event.preventDefault();
    });
  }

  /**
   * Take what the hub tells of its port for browsers, 0 where it has none.
   * @param {number} port @param {string} publicUrl @param {import("./types.js").Summary | null} summary
   */
  offer(port, publicUrl, summary) {
    const { clients, max_clients: most = 0, self_echo: selfEcho = true, max_line_bytes: lineBytes = 0 } = summary ?? {};
    this.place = { port, publicUrl, full: most > 0 && clients?.open >= most };
    // A hub that does not say so sends a client's own lines back.
    this.selfEcho = selfEcho;
    this.lineBytes = lineBytes;
    this.enable();
  }

  /** A try to connect says nothing new. @param {import("./live.js").State} state of the live view */
  reach(state) {
    if (state !== "connecting") this.unreachable = UNREACHABLE[state] ?? "";
  }

  enable() {
    const usable = this.place.port > 0 || this.socket !== null;
    for (const control of [this.button, this.input, this.submit]) control.disabled = !usable;
    setAttribute(this.input, "placeholder", usable ? this.placeholder : "this hub has no WebSocket port");
    if (!usable) this.say(NO_PORT);
    else if (!this.socket && this.state.textContent === NO_PORT) this.say("not connected");
  }

  connect() {
    if (!this.place.port) return this.lines.note("not connected: this page has not heard of the hub yet");
    this.tag = newTag();
    const url = chatAddress(this.place, this.tag);
    const whyNot = (known = this.unreachable) =>
      this.left ? "not connected" : whyNotConnected(url, this.place, this.forbidden, known);
    this.forbidden = this.left = this.isOpen = false;
    this.url = url.href;
    this.sent = [];
    let socket;
    try {
      socket = new WebSocket(url);
    } catch (error) {
      return this.ended("not connected", whyNot(String(error)));
    }
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.say("connecting");
    setText(this.button, "disconnect");
    socket.addEventListener("open", () => this.opened());
    socket.addEventListener("message", (event) => this.take(event.data));
    // The only event of a connection that the page's policy forbids. The close of an open one says more.
    socket.addEventListener("error", () => this.isOpen || this.ended("not connected", whyNot()));
    socket.addEventListener("close", (event) => {
      if (this.socket === socket) this.closed(event, this.isOpen ? whyClosed(event) : whyNot());
    });
    return undefined;
  }

  /** Say what was asked for meanwhile, if it still stands in the field. */
  opened() {
    this.isOpen = true;
    this.say("connected");
    if (this.asked && this.asked === this.input.value) this.send();
    this.asked = "";
  }

  disconnect() {
    this.left = true;
    this.say("closing");
    this.socket?.close(1000);
  }

  /** @param {CloseEvent} event @param {string} why */
  closed(event, why) {
    const unsent = /** @type {WebSocket} */ (event.target).bufferedAmount;
    if (unsent) this.lines.note(`the last ${bytes(unsent)} had not left this browser`);
    const quiet = this.left || !this.isOpen || (event.code === 1000 && !event.reason);
    this.ended(quiet ? "not connected" : whyClosedBriefly(event), why);
    if (unsent || !event.wasClean) this.giveBack();
  }

  /** A connection that broke off may have taken the last texts along: nobody knows. */
  giveBack() {
    const text = this.sent.join("\n");
    this.sent = [];
    if (!text) return;
    this.lines.note(`not known to have arrived: ${text}`);
    this.input.value ||= text;
  }

  /** @param {string} briefly @param {string} why */
  ended(briefly, why) {
    this.socket = null;
    this.tag = "";
    this.asked = "";
    this.say(briefly, why);
    this.lines.note(why);
    setText(this.button, "connect");
    this.enable();
  }

  /** A line that is not UTF-8 comes as a binary message. @param {string | ArrayBuffer} data */
  take(data) {
    if (!this.socket?.bufferedAmount) this.sent = [];
    this.lines.add(typeof data === "string" ? data : new TextDecoder().decode(data));
  }

  /** Send what is in the field. Enter in an unconnected pane connects first, because a typed line is meant to be sent. */
  send() {
    const text = this.input.value;
    const lines = linesOf(text);
    const obstacle = tooLong(lines, this.lineBytes) || this.obstacle();
    if (obstacle) this.lines.note(`not sent: ${obstacle}`);
    else if (this.socket?.readyState === WebSocket.OPEN) {
      for (const line of lines) this.sendLine(this.socket, line);
      this.sent = [...this.sent, text].slice(-SENT_MOST);
      this.input.value = "";
    } else {
      if (!this.socket) this.connect();
      this.asked = this.socket ? text : "";
    }
  }

  /** Why the connection takes nothing at the moment, or "". */
  obstacle() {
    if (this.unreachable) return this.unreachable;
    if (!this.socket) return "";
    if (this.socket.readyState > WebSocket.OPEN) return "the connection is closing";
    return this.socket.bufferedAmount > UNSENT_MOST_BYTES ? "the hub takes no more at the moment" : "";
  }

  /** Send a line, and show it where the hub would not send it back. @param {WebSocket} socket @param {string} line */
  sendLine(socket, line) {
    socket.send(line);
    if (!this.selfEcho) this.lines.addOwn(line);
  }

  /** @param {string} text @param {string} [title] the same at length */
  say(text, title = text) {
    setText(this.state, text);
    this.state.title = title;
  }
}
