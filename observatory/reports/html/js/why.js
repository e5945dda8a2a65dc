// Why: the explanation of what is in the light, with its evidence; or of all that needs one.

import { bytes, eventWords, segmentHead, segmentNumbers, told } from "./model.js";
import { follow } from "./selection.js";
import { confidence } from "./tables.js";
import { clear, duration, el, grouped, moment, say, visible } from "./text.js";

const MOST_REASONS = 80;
const MOST_TIES = 12;
const KINDS = { "#": "segment", c: "call", k: "kernel" };

export class Why {
  constructor(frame, model, selection) {
    this.frame = frame;
    this.selection = selection;
    this.detail = el("section", {
      class: "detail",
      "aria-live": "polite",
      "aria-label": say("why-selected"),
      hidden: true,
    });
    this.reasons = el("section", { class: "reasons", "aria-label": say("why") });
    clear(frame, this.detail, this.reasons);
    this.use(model);
    follow(this.reasons, selection);
    selection.subscribe(() => this.show());
  }

  use(model) {
    this.model = model;
    this.showReasons();
    this.show();
  }

  show() {
    const key = this.selection.active;
    const known = key !== null && this.model.get(key);
    this.detail.hidden = !known;
    this.frame.classList.toggle("has-detail", Boolean(known));
    this.detail.classList.toggle("pinned", Boolean(known) && key === this.selection.pinned);
    if (!known || (this.shown === key && this.shownOf === this.model)) return;
    this.shown = key;
    this.shownOf = this.model;
    const parts = {
      call: () => this.call(known),
      segment: () => this.segment(known),
      kernel: () => this.event(known),
    }[this.model.kind(key)]();
    const close = el(
      "button",
      {
        type: "button",
        class: "close",
        "aria-label": say("close"),
        onclick: () => this.selection.pin(null),
      },
      "×",
    );
    clear(this.detail, close, parts);
  }

  // --- A call ---

  call(call) {
    const { explanation } = call;
    const where = [
      say("by", { process: this.model.processName(call.pid) }),
      call.site && say("at", { site: call.site }),
    ];
    return [
      el(
        "h3",
        { class: call.errno ? "failed" : null },
        el("span", { class: "number" }, `c${call.id} `),
        el("code", {}, visible(call.text)),
      ),
      el("p", { class: "where" }, where.filter(Boolean).join(" ")),
      el("p", { class: "badges" }, confidence(explanation.confidence)),
      el("p", { class: "explanation" }, this.linked(explanation.text)),
      this.evidence(explanation),
      facts([
        ["entered", moment(call.entered_ns)],
        ["took", this.model.tookText(call)],
        ["connection", call.connection && this.connectionLink(call.connection)],
        ["local", visible(call.local ?? "")],
        ["peer", visible(call.peer ?? "")],
        ["thread", call.tid !== call.pid && String(call.tid)],
      ]),
      this.ties(`call-${call.id}`),
      this.testimony(`call-${call.id}`, call.kernel),
      asked(call.asked),
    ];
  }

  evidence({ evidence, reference }) {
    const keys = [
      ...evidence.segments.map((id) => `segment-${id}`),
      ...evidence.calls.map((id) => `call-${id}`),
      ...evidence.kernel.map((id) => `kernel-${id}`),
    ];
    return [
      keys.length
        ? el(
            "p",
            { class: "evidence" },
            el("span", { class: "title" }, say("evidence")),
            " ",
            this.chips(keys, true),
          )
        : null,
      reference
        ? el(
            "p",
            { class: "reference" },
            el("span", { class: "title" }, say("reference")),
            " ",
            referenced(reference),
          )
        : null,
    ];
  }

  // --- A segment ---

  segment(segment) {
    const { cause } = segment;
    return [
      el(
        "h3",
        {},
        el("span", { class: "number" }, `#${segment.id} `),
        el("code", {}, visible(`${segmentHead(segment)} ${segmentNumbers(segment)}`)),
      ),
      el("p", { class: "where" }, visible(segment.src), " → ", visible(segment.dst)),
      el(
        "p",
        { class: "badges" },
        confidence(cause.confidence),
        this.model.lost.has(segment.id)
          ? el(
              "span",
              { class: "badge lost" },
              `✗ ${say(segment.sightings?.length ? "lost-there" : "lost")}`,
            )
          : null,
        segment.retransmission
          ? el("span", { class: "badge again" }, `↻ ${say("retransmission")}`)
          : null,
      ),
      el(
        "p",
        { class: "explanation" },
        say(`cause-${cause.kind}`),
        cause.reason ? [": ", this.linked(cause.reason)] : null,
      ),
      this.ties(`segment-${segment.id}`),
      this.testimony(`segment-${segment.id}`, segment.kernel),
      facts([
        ["fate", visible(segment.fate ?? "")],
        ["kernel-reason", visible(segment.kernel_reason ?? "")],
        ["time", moment(segment.time_ns)],
        ["interface", visible(segment.interface ?? "")],
        ["length", bytes(segment.length)],
        ["window", segment.window !== null && this.window(segment)],
        [
          "sequence",
          segment.seq !== null &&
            `${segment.seq}${segment.relative_seq === null ? "" : ` (${segment.relative_seq})`}`,
        ],
        [
          "acknowledges",
          segment.flags.includes("A") &&
            `${segment.ack}${segment.relative_ack === null ? "" : ` (${segment.relative_ack})`}`,
        ],
        ["connection", segment.connection && this.connectionLink(segment.connection)],
        ["from-process", segment.src_pid && this.model.processName(segment.src_pid)],
        ["to-process", segment.dst_pid && this.model.processName(segment.dst_pid)],
      ]),
      sightings(segment),
    ];
  }

  // What the kernel's events say of the conclusion.
  testimony(key, testimony) {
    const events = this.model.kernelOf(key).map((id) => `kernel-${id}`);
    if (!testimony && !events.length) return null;
    return el(
      "p",
      { class: `testimony ${testimony?.verdict ?? ""}` },
      el(
        "span",
        { class: "title" },
        say(testimony ? `verdict-${testimony.verdict}` : "kernel-says"),
      ),
      testimony?.said ? [" ", visible(testimony.said)] : null,
      " ",
      this.chips(events, true),
    );
  }

  window(segment) {
    const scaled = this.model.window(segment);
    return scaled === null || scaled === segment.window
      ? grouped(segment.window)
      : say("scaled-window", { window: grouped(segment.window), bytes: grouped(scaled) });
  }

  // --- The kernel's word ---

  event(event) {
    return [
      el("h3", {}, el("span", { class: "number" }, `k${event.id} `), visible(eventWords(event))),
      el(
        "p",
        { class: "where" },
        visible(event.event),
        event.pid ? [" · ", say("in", { process: this.model.processName(event.pid) })] : null,
      ),
      event.src || event.dst
        ? el("p", { class: "where" }, visible(event.src ?? "?"), " → ", visible(event.dst ?? "?"))
        : null,
      facts([
        ["time", moment(event.time_ns)],
        ...Object.entries(event.detail).map(([name, value]) => [null, told(name, value), name]),
      ]),
      this.ties(`kernel-${event.id}`),
    ];
  }

  // --- Parts ---

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

  // --- All that needs an explanation ---

  showReasons() {
    const reasons = this.kinds();
    const items = reasons.slice(0, MOST_REASONS).map((one) => this.reason(one));
    const more = reasons
      .slice(MOST_REASONS)
      .flatMap(({ ids, likewise }) => [...ids, ...likewise]).length;
    const doubtful = this.model.document.segments.filter((one) => one.cause.kind === "unknown");
    clear(
      this.reasons,
      el("h2", {}, say("why")),
      this.model.document.calls.length === 0
        ? el("p", { class: "quiet" }, say("no-calls"))
        : items.length === 0
          ? el("p", { class: "quiet" }, say("all-plain"))
          : null,
      el("ol", { class: "cards" }, items),
      more > 0 ? el("p", { class: "quiet" }, say("more-reasons", { count: grouped(more) })) : null,
      doubtful.length
        ? [
            el(
              "h3",
              { class: "alarm" },
              say("unknown-causes", { count: grouped(doubtful.length) }),
            ),
            el(
              "p",
              {},
              this.chips(
                doubtful.map((one) => `segment-${one.id}`),
                true,
              ),
            ),
          ]
        : null,
      el("p", { class: "quiet hint" }, say("hint")),
    );
  }

  // Explanations that differ in ids and numbers alone: the first in full, the others' calls.
  kinds() {
    const kinds = new Map();
    const found = [];
    for (const ids of this.model.drawing.reasons) {
      const { rule, confidence: level } = this.model.get(`call-${ids[0]}`).explanation;
      const kind = kinds.get(`${rule} ${level}`);
      if (kind && level !== "unexplained") kind.likewise.push(...ids);
      else {
        const one = { ids, likewise: [] };
        kinds.set(`${rule} ${level}`, one);
        found.push(one);
      }
    }
    return found;
  }

  reason({ ids, likewise }) {
    const call = this.model.get(`call-${ids[0]}`);
    const { explanation } = call;
    const others = ids.slice(1);
    const calls = (key, numbers) =>
      numbers.length
        ? el(
            "p",
            { class: "quiet" },
            say(key),
            " ",
            this.chips(
              numbers.map((id) => `call-${id}`),
              true,
            ),
          )
        : null;
    return el(
      "li",
      { class: `card ${explanation.confidence}${call.errno ? " failed" : ""}` },
      el(
        "a",
        { class: "card-head", href: `#call-${call.id}` },
        el("span", { class: "number" }, `c${call.id} `),
        el("code", {}, visible(call.text)),
      ),
      el(
        "p",
        { class: "where" },
        say("by", { process: this.model.processName(call.pid) }),
        explanation.confidence === "certain" ? null : [" · ", confidence(explanation.confidence)],
      ),
      el("p", {}, this.linked(explanation.text)),
      explanation.reference
        ? el("p", { class: "evidence" }, referenced(explanation.reference))
        : null,
      calls("also", others),
      calls("likewise", likewise),
    );
  }
}

function group(groups, { key, role }, side) {
  const name = `${side} ${role}`;
  if (!groups.has(name)) groups.set(name, { role, side, keys: [] });
  groups.get(name).keys.push(key);
}

// [message key or null, value, name]
function facts(rows) {
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
function asked(values) {
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

function sightings(segment) {
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
function referenced(reference) {
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
