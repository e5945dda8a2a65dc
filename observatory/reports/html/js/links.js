// Links to calls, segments and kernel events, and the small tables beside them.

import { told } from "./model.js";
import { duration, el, grouped, moment, say, visible } from "./text.js";

const MOST_TIES = 12;
const KINDS = { "#": "segment", c: "call", k: "kernel" };

export class Links {
  constructor(model) {
    this.model = model;
  }

  // What caused a thing and what it caused, by how.
  ties(key) {
    const groups = new Map();
    const { model } = this;
    for (const tie of model.causes(key)) group(groups, tie, "cause");
    for (const tie of model.effects(key)) group(groups, tie, "effect");
    if (!groups.size) return null;
    return el(
      "dl",
      { class: "ties" },
      [...groups.values()].map(({ role, side, keys }) => [
        el(
          "dt",
          {},
          el("span", { "aria-hidden": "true" }, side === "cause" ? "← " : "→ "),
          say(`role-${role}`),
        ),
        el("dd", {}, this.chips(keys)),
      ]),
    );
  }

  chips(keys, brief = false) {
    const shown = keys.slice(0, brief ? 60 : MOST_TIES);
    const chips = shown.flatMap((key) => [this.chip(key, brief), " "]);
    return keys.length > shown.length
      ? [
          ...chips,
          el(
            "span",
            { class: "more" },
            say("more", { count: grouped(keys.length - shown.length) }),
          ),
        ]
      : chips;
  }

  chip(key, brief = false) {
    if (!this.model.get(key)) return el("span", { class: "chip" }, this.model.short(key));
    const text = brief ? this.model.short(key) : this.model.label(key);
    return el(
      "a",
      {
        class: `chip ${this.model.kind(key)}`,
        href: `#${key}`,
        title: brief ? this.model.label(key) : null,
      },
      text,
    );
  }

  connectionLink(id) {
    return el("a", { href: `#connection-${id}` }, String(id));
  }

  // A text with the ids in it as links: "SYN #1 was answered", "sent by c9".
  linked(text) {
    return text.split(/((?<![\w#])(?:#\d+|[ck]\d+)\b)/).map((part, index) => {
      const key = index % 2 ? `${KINDS[part[0]]}-${part.slice(1)}` : null;
      return key && this.model.get(key) ? el("a", { href: `#${key}` }, part) : visible(part);
    });
  }
}

function group(groups, { key, role }, side) {
  const name = `${side} ${role}`;
  if (!groups.has(name)) groups.set(name, { role, side, keys: [] });
  groups.get(name).keys.push(key);
}

// [message key or null, value, name]
export function facts(rows) {
  const shown = rows.filter(
    ([, value]) => value !== null && value !== undefined && value !== false && value !== "",
  );
  return el(
    "dl",
    { class: "facts" },
    shown.map(([key, value, name]) => [
      el("dt", {}, key ? say(`fact-${key}`) : visible(name)),
      el("dd", {}, typeof value === "string" ? visible(value) : value),
    ]),
  );
}

// What the kernel said of the socket before the call and after it.
export function asked(values) {
  const { before = {}, after = {} } = values ?? {};
  const names = [...new Set([...Object.keys(before), ...Object.keys(after)])];
  if (!names.length) return null;
  const shown = (name, values) => (name in values ? told(name, values[name]) : "");
  return el(
    "table",
    { class: "asked" },
    el("caption", {}, say("asked")),
    el(
      "thead",
      {},
      el(
        "tr",
        {},
        el("th", { scope: "col" }, ""),
        el("th", { scope: "col" }, say("before")),
        el("th", { scope: "col" }, say("after")),
      ),
    ),
    el(
      "tbody",
      {},
      names.map((name) =>
        el(
          "tr",
          { class: shown(name, before) === shown(name, after) ? "same" : "other" },
          el("th", { scope: "row" }, visible(name)),
          el("td", {}, shown(name, before)),
          el("td", {}, shown(name, after)),
        ),
      ),
    ),
  );
}

export function sightings(segment) {
  const seen = segment.sightings ?? [];
  if (seen.length < 2) return null;
  const first = seen[0].time_ns;
  return el(
    "div",
    { class: "sightings" },
    el("h4", {}, say("sightings")),
    el(
      "ol",
      {},
      seen.map((one) =>
        el(
          "li",
          {},
          el("code", {}, visible(one.interface ?? "?")),
          ` ${visible(one.direction ?? "")} `,
          one === seen[0] ? moment(one.time_ns) : `+${duration(one.time_ns - first)}`,
        ),
      ),
    ),
  );
}

// RFC 9293 3.10.7.1 as a link to that section; a link loads nothing until it is followed.
export function referenced(reference) {
  return reference.split(/(RFC \d+(?: \d+(?:\.\d+)*)?)/).map((part) => {
    const match = /^RFC (\d+)(?: (\d+(?:\.\d+)*))?$/.exec(part);
    if (!match) return visible(part);
    const section = match[2] ? `#section-${match[2]}` : "";
    return el(
      "a",
      {
        href: `https://www.rfc-editor.org/rfc/rfc${match[1]}${section}`,
        rel: "noreferrer",
        target: "_blank",
      },
      part,
    );
  });
}
