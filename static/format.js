/* Numbers, sizes and times as people read them, and clients' text made harmless. */

const THIN = "\u202f";
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/**
 * 12345 as 12 345 (ISO 80000-1: no reader takes a space for a decimal sign).
 * @param {number} value
 */
export function number(value) {
  return String(Math.round(value)).replace(/\B(?=(\d{3})+$)/g, THIN);
}

/**
 * 1 byte, 12 345 bytes.
 * @param {number} value
 * @param {string} what of which there is one
 */
export function count(value, what) {
  return `${number(value)} ${what}${value === 1 ? "" : "s"}`;
}

/**
 * A rate or a count in few characters: 0.4, 12, 12 345, 1.23 M.
 * @param {number} value
 */
export function brief(value) {
  if (value >= 1e9) return `${(value / 1e9).toFixed(2)}${THIN}G`;
  if (value >= 1e6) return `${(value / 1e6).toFixed(2)}${THIN}M`;
  return value > 0 && value < 10 && !Number.isInteger(value) ? value.toFixed(1) : number(value);
}

/**
 * Bytes in the unit that leaves at most four digits: 999 B, 1.2 KiB, 340 MiB.
 * @param {number} value
 */
export function bytes(value) {
  let unit = 0;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit && value < 10 ? value.toFixed(1) : Math.round(value)}${THIN}${UNITS[unit]}`;
}

/**
 * Seconds in the two largest units that say something: 5 s, 3 min 20 s, 2 h 5 min, 4 d 1 h.
 * @param {number} seconds
 */
export function duration(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole}${THIN}s`;
  if (whole < 3600) return two(whole, 60, "min", 1, "s");
  return whole < 86400 ? two(whole, 3600, "h", 60, "min") : two(whole, 86400, "d", 3600, "h");
}

/** @param {number} whole @param {number} length @param {string} unit @param {number} part @param {string} smaller */
function two(whole, length, unit, part, smaller) {
  const rest = Math.floor((whole % length) / part);
  return `${Math.floor(whole / length)}${THIN}${unit}${rest ? ` ${rest}${THIN}${smaller}` : ""}`;
}

/**
 * Milliseconds: 0.04 ms, 4.2 ms, 120 ms, 1.2 s.
 * @param {number} value
 */
export function milliseconds(value) {
  if (value >= 1000) return `${(value / 1000).toFixed(1)}${THIN}s`;
  return `${value < 0.095 ? value.toFixed(2) : value < 10 ? value.toFixed(1) : Math.round(value)}${THIN}ms`;
}

/**
 * A share of one as per cent, with a digit behind the point while it is small.
 * @param {number} share
 */
export function percent(share) {
  return `${(share * 100).toFixed(share < 0.0995 ? 1 : 0)}${THIN}%`;
}

/**
 * A moment as local time of day.
 * @param {number} wallSeconds seconds since 1970
 */
export function clock(wallSeconds) {
  return new Date(wallSeconds * 1000).toTimeString().slice(0, 8);
}

/** ASCII that anybody sees, and the tab: nearly all text. */
const ASCII = /^[\t -~]*$/;
/** A letter or mark of a script that has joiners, fillers and separators of its own. */
const WORD = String.raw`(?!\p{Script=Latin}|\p{Script=Greek}|\p{Script=Cyrillic})[\p{L}\p{M}]`;
/** What draws nothing by itself and still belongs to ordinary text, each only where it does something. */
const NEEDED = [
  String.raw`\u{1f3f4}[\u{e0030}-\u{e0039}\u{e0061}-\u{e007a}]{3,6}\u{e007f}`, // The flags of parts of countries.
  String.raw`(?<=[\p{L}\p{M}\p{N}\p{P}\p{S}])(?<!\p{VS})\p{VS}`, // A variation selector behind its base.
  String.raw`(?<=[\p{ExtPict}\p{EMod}\ufe0f])\u200d(?=\p{ExtPict})`, // Emoji of several parts.
  String.raw`(?<=${WORD})[\u034f\u180e\u200b-\u200d\u2060\u{1bca0}-\u{1bca3}](?=${WORD})`, // Inside a word of a script.
  String.raw`(?<=${WORD})[\u200c\u200d]`, // The shape of its last letter.
  String.raw`(?<=\p{L})[\u00ad\u200c](?=\p{L})`, // Where a word may be divided, or two letters must not join.
  String.raw`(?<=[^\s\p{DI}]\p{VS}?)[\u061c\u200e\u200f]`, // The direction of a sign, behind it.
  String.raw`\u115f(?=[\u1160-\u11a7])|(?<=[\u1100-\u115f])\u1160`, // An old Hangul syllable without one of its parts.
].join("|");
/** Controls, line ends, what has no picture by its nature, and notes between lines: all that misleads. */
const UNSEEN = String.raw`(?!\t)[\p{Cc}\p{Cs}\p{Co}\p{Zl}\p{Zp}\p{DI}\p{NChar}\ufff9-\ufffc\u{1d159}]`;
const NEEDED_OR_UNSEEN = new RegExp(`(${NEEDED})|${UNSEEN}`, "gu");

/**
 * Clients' text with what cannot be seen shown by its name, `^[` or `<U+202E>`. Relay modes pass content verbatim,
 * so escape sequences and direction overrides may come this far; as text they do nothing but mislead the reader.
 * @param {string} text
 */
export function plain(text) {
  if (ASCII.test(text)) return text;
  return text.replace(NEEDED_OR_UNSEEN, (found, needed) => needed ?? nameOf(/** @type {number} */ (found.codePointAt(0))));
}

/** A character as `^M` where a keyboard has it so, else as `<U+009B>`. @param {number} code */
function nameOf(code) {
  if (code < 0x20 || code === 0x7f) return `^${String.fromCharCode(code ^ 0x40)}`;
  return `<U+${code.toString(16).toUpperCase().padStart(4, "0")}>`;
}
