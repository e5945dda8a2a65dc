// All that needs an explanation: what the panel shows while nothing is chosen.

import { Links, referenced } from "./links.js";
import { confidence } from "./tables.js";
import { clear, el, grouped, say, visible } from "./text.js";

const MOST_REASONS = 80;

export class Reasons {
  constructor(frame, model) {
    this.frame = frame;
    this.model = model;
    this.links = new Links(model);
  }

  show() {
    const reasons = this.kinds();
    const items = reasons.slice(0, MOST_REASONS).map((one) => this.reason(one));
    const more = reasons
      .slice(MOST_REASONS)
      .flatMap(({ ids, likewise }) => [...ids, ...likewise]).length;
    const doubtful = this.model.document.segments.filter((one) => one.cause.kind === "unknown");
    clear(
      this.frame,
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
              this.links.chips(
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
            this.links.chips(
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
      el("p", {}, this.links.linked(explanation.text)),
      explanation.reference
        ? el("p", { class: "evidence" }, referenced(explanation.reference))
        : null,
      calls("also", others),
      calls("likewise", likewise),
    );
  }
}
