// Why: the explanation of what is in the light, with its evidence; or of all that needs one.

import { asked, facts, Links, referenced, sightings } from "./links.js";
import { bytes, eventWords, segmentHead, segmentNumbers, told } from "./model.js";
import { Reasons } from "./reasons.js";
import { follow } from "./selection.js";
import { confidence } from "./tables.js";
import { clear, el, grouped, moment, say, visible } from "./text.js";

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
    this.links = new Links(model);
    new Reasons(this.reasons, model).show();
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
      el("p", { class: "explanation" }, this.links.linked(explanation.text)),
      this.evidence(explanation),
      facts([
        ["entered", moment(call.entered_ns)],
        ["took", this.model.tookText(call)],
        ["connection", call.connection && this.links.connectionLink(call.connection)],
        ["local", visible(call.local ?? "")],
        ["peer", visible(call.peer ?? "")],
        ["thread", call.tid !== call.pid && String(call.tid)],
      ]),
      this.links.ties(`call-${call.id}`),
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
            this.links.chips(keys, true),
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
        cause.reason ? [": ", this.links.linked(cause.reason)] : null,
      ),
      this.links.ties(`segment-${segment.id}`),
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
        ["connection", segment.connection && this.links.connectionLink(segment.connection)],
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
      this.links.chips(events, true),
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
      this.links.ties(`kernel-${event.id}`),
    ];
  }
}
