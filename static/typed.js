/* What was typed or pasted into the chat pane: as lines, and whether the hub would take them. */

import { count, number } from "./format.js";

const UTF8 = new TextEncoder();

/** A field of this kind knows no line end but LF. @param {string} text */
export function linesOf(text) {
  const lines = text.split("\n");
  return lines.length > 1 && lines.at(-1) === "" ? lines.slice(0, -1) : lines;
}

/** By how much the first line of too many bytes is too long, or "". @param {string[]} lines @param {number} most 0: any */
export function tooLong(lines, most) {
  const sizes = most ? lines.map((line) => UTF8.encode(line).length) : [];
  const place = sizes.findIndex((size) => size > most);
  if (place < 0) return "";
  const which = lines.length > 1 ? `line ${number(place + 1)}` : "the line";
  return `${which} is ${count(sizes[place] - most, "byte")} too long, ${number(most)} are allowed (--max-line)`;
}
