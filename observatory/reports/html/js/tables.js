// Tables of which only the rows in view are in the document.

import { eventWords, segmentHead, segmentTie, told } from "./model.js";
import { follow } from "./selection.js";
import { clear, el, grouped, keepOnly, moment, say, visible } from "./text.js";

const ROW = 28;
const AROUND = 24; // rows drawn above and below of what is in view
const PRINTED_ROWS = 1500;

export class Table {
  // `columns` are [name, width in px, cell of a thing]; `kind` is what the rows are.
  constructor(frame, { kind, columns, styles }, model, selection) {
    Object.assign(this, { frame, kind, columns, styles, model, selection });
    this.above = el("tr", { class: "space", "aria-hidden": "true" });
    this.below = el("tr", { class: "space", "aria-hidden": "true" });
    this.body = el("tbody");
    const heads = columns.map(([name, width]) => {
      const head = el("th", { scope: "col", class: `col-${name}` }, say(`column-${name}`));
      if (width) head.style.width = `${width}px`;
      return head;
    });
    this.table = el(
      "table",
      { role: "grid", "aria-label": say(`${kind}s`) },
      el("thead", {}, el("tr", {}, heads)),
      this.body,
    );
    clear(frame, this.table);
    this.things = [];
    follow(this.body, selection);
    frame.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(frame);
    selection.subscribe((change) => this.chosen(change));
  }

  show(things) {
    this.things = things;
    this.places = new Map(things.map((thing, index) => [`${this.kind}-${thing.id}`, index]));
    this.table.setAttribute("aria-rowcount", things.length + 1);
    this.first = this.last = -1;
    this.draw();
  }

  draw() {
    const { frame, things } = this;
    const first = this.whole ? 0 : Math.max(0, Math.floor(frame.scrollTop / ROW) - AROUND);
    const last = this.whole
      ? Math.min(things.length, PRINTED_ROWS)
      : Math.min(things.length, Math.ceil((frame.scrollTop + frame.clientHeight) / ROW) + AROUND);
    if (first === this.first && last === this.last) return;
    this.first = first;
    this.last = last;
    this.above.style.height = `${first * ROW}px`;
    this.below.style.height = `${Math.max(0, this.whole ? 0 : things.length - last) * ROW}px`;
    const kept = new Map(
      [...this.body.querySelectorAll("[data-key]")].map((row) => [row.dataset.key, row]),
    );
    const rows = things.slice(first, last).map((thing, index) => {
      const key = `${this.kind}-${thing.id}`;
      const row = kept.get(key) ?? this.row(thing, key);
      row.setAttribute("aria-rowindex", first + index + 2);
      return row;
    });
    keepOnly(this.body, [this.above, ...rows, this.below]);
    this.light();
  }

  row(thing, key) {
    const cells = this.columns.map(([name, , cell]) => {
      const content = cell(thing, this.model);
      return el(
        "td",
        { class: `col-${name}`, title: typeof content === "string" ? content : null },
        content,
      );
    });
    return el(
      "tr",
      { "data-key": key, tabindex: -1, class: this.styles(thing, this.model) },
      cells,
    );
  }

  light() {
    const { active, pinned } = this.selection;
    const related = active === null ? new Set() : this.model.related(active);
    for (const row of this.body.querySelectorAll("[data-key]")) {
      const { key } = row.dataset;
      row.classList.toggle("lit", related.has(key));
      row.classList.toggle("active", key === active);
      row.classList.toggle("pinned", key === pinned);
      row.setAttribute("aria-selected", key === pinned);
      row.setAttribute("tabindex", -1);
    }
    const entry = this.element(pinned) ?? this.body.querySelector("[data-key]");
    entry?.setAttribute("tabindex", 0);
  }

  element(key) {
    return key === null ? null : this.body.querySelector(`[data-key="${key}"]`);
  }

  chosen({ moved }) {
    if (moved) this.reveal(this.selection.pinned);
    this.light();
  }

  // Into view within its frame; the page stays where it is.
  reveal(key) {
    const index = this.places?.get(key);
    if (index === undefined) return;
    const { frame } = this;
    const y = index * ROW;
    const head = this.table.tHead.offsetHeight;
    if (y < frame.scrollTop || y + ROW + head > frame.scrollTop + frame.clientHeight) {
      frame.scrollTop = y - (frame.clientHeight - head) / 2;
      this.draw();
    }
    if (this.body.contains(document.activeElement))
      this.element(key)?.focus({ preventScroll: true });
  }

  print(on) {
    this.whole = on;
    this.first = this.last = -1;
    this.draw();
    return on ? Math.max(0, this.things.length - PRINTED_ROWS) : 0;
  }
}

const CONFIDENCE_SIGNS = { certain: "●", likely: "◐", unexplained: "○" };

export function confidence(level) {
  return el(
    "span",
    { class: `confidence ${level}` },
    el("span", { "aria-hidden": "true" }, `${CONFIDENCE_SIGNS[level]} `),
    say(level),
  );
}

const links = (prefix, kind, ids) =>
  ids.flatMap((id, index) => [
    index ? " " : "",
    el("a", { href: `#${kind}-${id}` }, `${prefix}${id}`),
  ]);

const few = (prefix, kind, ids) =>
  ids.length > 3
    ? [links(prefix, kind, ids.slice(0, 2)), ` … ${ids.length}`]
    : links(prefix, kind, ids);

// As strace shows calls.
export const CALLS = {
  kind: "call",
  columns: [
    ["id", 62, (call) => `c${call.id}`],
    ["time", 108, (call) => moment(call.entered_ns)],
    ["process", 140, (call, model) => model.processName(call.pid)],
    ["call", 0, (call) => visible(call.text)],
    ["took", 88, (call, model) => model.tookText(call)],
    ["sent", 92, (call) => few("#", "segment", [...call.sent, ...call.retransmitted])],
    ["completed-by", 108, (call) => few("#", "segment", call.completed_by)],
    ["explained", 124, (call) => confidence(call.explanation.confidence)],
  ],
  styles: (call) => [call.errno && "failed", call.explanation.confidence].filter(Boolean).join(" "),
};

// As Wireshark lists packets.
export const SEGMENTS = {
  kind: "segment",
  columns: [
    ["id", 62, (segment) => `#${segment.id}`],
    ["time", 108, (segment) => moment(segment.time_ns)],
    ["source", 168, (segment) => visible(segment.src)],
    ["destination", 168, (segment) => visible(segment.dst)],
    ["protocol", 78, (segment) => visible(segment.protocol)],
    ["length", 72, (segment) => grouped(segment.length)],
    ["info", 0, (segment) => visible(info(segment))],
    ["cause", 170, (segment) => visible(segmentTie(segment))],
  ],
  styles: (segment, model) =>
    [
      `cause-${segment.cause.kind}`,
      segment.flags.includes("R") && "reset",
      segment.retransmission && "again",
      model.lost.has(segment.id) && "lost",
    ]
      .filter(Boolean)
      .join(" "),
};

// [SYN, ACK] Seq=0 Ack=1 Win=65535 Len=0
export function info(segment) {
  if (segment.protocol !== "TCP") return segmentHead(segment);
  const parts = [
    `[${segmentHead(segment).replaceAll(" ", ", ")}]`,
    `Seq=${segment.relative_seq ?? segment.seq}`,
  ];
  if (segment.flags.includes("A")) parts.push(`Ack=${segment.relative_ack ?? segment.ack}`);
  parts.push(`Win=${segment.window}`, `Len=${segment.length}`);
  return parts.join(" ");
}

// What the kernel said.
export const KERNEL = {
  kind: "kernel",
  columns: [
    ["id", 62, (event) => `k${event.id}`],
    ["time", 108, (event) => moment(event.time_ns)],
    ["process", 140, (event, model) => (event.pid ? model.processName(event.pid) : "")],
    ["event", 210, (event) => visible(event.event)],
    ["said", 260, (event) => visible(eventWords(event))],
    ["source", 158, (event) => visible(event.src ?? "")],
    ["destination", 158, (event) => visible(event.dst ?? "")],
    ["detail", 0, (event) => detailText(event.detail)],
  ],
  styles: () => "",
};

export const detailText = (detail) =>
  Object.entries(detail)
    .map(([name, value]) => `${visible(name)}=${told(name, value)}`)
    .join(" ");
