// Words and numbers as the page shows them, and the elements that hold them.

// What a reader could not see, or would see in the wrong order, is written as an escape, as
// observatory/codec/printable.py writes it.
const HIDDEN = /[\p{C}\p{Zl}\p{Zp}\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/gu;
const SHORT_ESCAPES = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

export function visible(text) {
  return String(text).replace(HIDDEN, (char) => {
    const code = char.codePointAt(0);
    const hex = code.toString(16);
    if (SHORT_ESCAPES[char]) return SHORT_ESCAPES[char];
    if (code <= 0xff) return `\\x${hex.padStart(2, "0")}`;
    return code <= 0xffff ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
  });
}

// How many characters' room a text takes: those of East Asian scripts take two.
const WIDE = /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]/g;

export const cells = (text) => text.length + (text.match(WIDE)?.length ?? 0);

// --- Messages ---

let table = {};

export function useMessages(texts) {
  table = texts;
}

// The text of a key, with {names} replaced; values are shown safely.
export function say(key, values = {}) {
  const text = table[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) =>
    name in values ? visible(values[name]) : whole,
  );
}

// --- Numbers ---

const GROUPED = new Intl.NumberFormat("en-US");

export const grouped = (number) => GROUPED.format(number);

const UNITS = [
  [1e9, "s"],
  [1e6, "ms"],
  [1e3, "µs"],
];

// Nanoseconds in the unit that suits them: 62 µs, 1.95 ms, 3.07 s.
export function duration(ns, digits = 3) {
  const size = Math.abs(ns);
  for (const [unit, name] of UNITS) {
    if (size >= unit) return `${significant(ns / unit, digits)} ${name}`;
  }
  return `${ns} ns`;
}

function significant(value, digits) {
  const whole = Math.trunc(Math.abs(value)).toString().length;
  const text = value.toFixed(Math.max(0, digits - whole));
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

// A moment of the run: enough digits to tell it from its neighbours.
export function moment(ns) {
  if (Math.abs(ns) < 1e6) return `${grouped(Math.round(ns / 1e3))} µs`;
  if (Math.abs(ns) < 1e9) return `${(ns / 1e6).toFixed(3)} ms`;
  return `${(ns / 1e9).toFixed(6)} s`;
}

// 1,500, 250us, 1.5ms, 2s as nanoseconds (milliseconds without a unit); null if it is no time.
export function parseTime(text) {
  const match = /^\s*([\d.,]+)\s*(ns|µs|μs|us|ms|s)?\s*$/.exec(text);
  if (!match) return null;
  const value = Number(match[1].replaceAll(",", ""));
  const unit = { ns: 1, us: 1e3, µs: 1e3, μs: 1e3, ms: 1e6, s: 1e9 }[match[2] ?? "ms"];
  return Number.isFinite(value) ? value * unit : null;
}

const FLAG_NAMES = {
  S: "SYN",
  F: "FIN",
  R: "RST",
  P: "PSH",
  A: "ACK",
  U: "URG",
  E: "ECE",
  C: "CWR",
};

export const flagNames = (flags) => [...flags].map((flag) => FLAG_NAMES[flag] ?? flag);

// --- Elements: attributes and text only, never markup ---

const SVG = "http://www.w3.org/2000/svg";

export const el = (tag, attributes, ...children) =>
  fill(document.createElement(tag), attributes, children);

export const svg = (tag, attributes, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(Infinity)) {
    if (child !== null && child !== undefined && child !== false) element.append(child);
  }
  return element;
}

export function clear(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child));
}

// Makes `elements` the children of `parent`; what is there already stays untouched between the new,
// and keeps the focus.
export function keepOnly(parent, elements) {
  const wanted = new Set(elements);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const element of elements) {
    if (element === next) next = next.nextElementSibling;
    else parent.insertBefore(element, next);
  }
}
