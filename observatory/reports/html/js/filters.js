// Which calls, segments and kernel events are shown.
//
// What a filter asks of calls alone (name, errno) a segment answers with the calls it is tied to,
// and what it asks of segments alone (flags) a call answers with its segments: what belongs
// together is shown together.

import { el, parseTime, say, visible } from "./text.js";

export const NOTHING = {
  search: "",
  pid: "",
  connection: "",
  name: "",
  errno: "",
  flag: "",
  unexplained: false,
  aside: false,
  from: null,
  until: null,
};

export class Filter {
  constructor(model, wanted) {
    this.model = model;
    this.wanted = { ...NOTHING, ...wanted };
    this.words = this.wanted.search.toLowerCase().split(/\s+/).filter(Boolean);
    this.calls = new Set(
      model.document.calls.filter((call) => this.keepsCall(call)).map((call) => call.id),
    );
    this.segments = new Set(
      model.document.segments.filter((one) => this.keepsSegment(one)).map((one) => one.id),
    );
    this.kernel = new Set(
      model.document.kernel.filter((event) => this.keepsKernel(event)).map((event) => event.id),
    );
  }

  get active() {
    return Object.entries(NOTHING).some(
      ([name, value]) => name !== "aside" && this.wanted[name] !== value,
    );
  }

  keeps(key) {
    const id = Number(key.slice(key.indexOf("-") + 1));
    return { call: this.calls, segment: this.segments, kernel: this.kernel }[
      this.model.kind(key)
    ].has(id);
  }

  row(row) {
    const [kind, time, id] = row;
    if (kind === "segment") return this.segments.has(id);
    if (kind === "kernel") return this.kernel.has(id);
    if (kind === "end")
      return !this.active || (this.wanted.pid === String(id) && this.during(time, time));
    return this.calls.has(id);
  }

  during(from, until) {
    const { from: first, until: last } = this.wanted;
    return (first === null || until >= first) && (last === null || from <= last);
  }

  finds(...texts) {
    return this.words.every((word) =>
      texts.some((text) => text && text.toLowerCase().includes(word)),
    );
  }

  keepsCall(call) {
    const { wanted, model } = this;
    if (!wanted.aside && model.aside.has(call.id)) return false;
    return (
      this.answersCall(call) &&
      (!wanted.pid || String(call.pid) === wanted.pid) &&
      (!wanted.connection || String(call.connection) === wanted.connection) &&
      (!wanted.flag || this.segmentsOf(call).some((one) => this.answersSegment(one))) &&
      (!wanted.unexplained || call.explanation.confidence === "unexplained") &&
      this.during(call.entered_ns, call.returned_ns ?? Infinity) &&
      this.finds(
        `c${call.id}`,
        call.text,
        call.explanation.text,
        call.site,
        model.processName(call.pid),
      )
    );
  }

  keepsSegment(segment) {
    const { wanted } = this;
    return (
      this.answersSegment(segment) &&
      (!(wanted.name || wanted.errno) ||
        this.callsOf(segment).some((call) => this.answersCall(call))) &&
      (!wanted.pid || [segment.src_pid, segment.dst_pid].map(String).includes(wanted.pid)) &&
      (!wanted.connection || String(segment.connection) === wanted.connection) &&
      (!wanted.unexplained ||
        segment.cause.kind === "unknown" ||
        segment.cause.confidence === "unexplained") &&
      this.during(segment.time_ns, segment.time_ns) &&
      this.finds(
        `#${segment.id}`,
        segment.src,
        segment.dst,
        segment.flags,
        segment.protocol,
        segment.cause.reason,
      )
    );
  }

  keepsKernel(event) {
    const { wanted } = this;
    if (wanted.connection || wanted.flag || wanted.unexplained || wanted.name || wanted.errno)
      return false;
    return (
      (!wanted.pid || String(event.pid) === wanted.pid) &&
      this.during(event.time_ns, event.time_ns) &&
      this.finds(
        `k${event.id}`,
        event.event,
        event.src,
        event.dst,
        ...Object.values(event.detail).map(String),
      )
    );
  }

  answersCall(call) {
    return (
      (!this.wanted.name || call.name === this.wanted.name) &&
      (!this.wanted.errno || call.errno === this.wanted.errno)
    );
  }

  answersSegment(segment) {
    return !this.wanted.flag || segment.flags.includes(this.wanted.flag);
  }

  segmentsOf(call) {
    return this.found("segment", [...call.sent, ...call.retransmitted, ...call.completed_by]);
  }

  callsOf(segment) {
    return this.found("call", [segment.cause.call, ...segment.carries, ...segment.completes]);
  }

  found(kind, ids) {
    return ids.map((id) => this.model.get(`${kind}-${id}`)).filter(Boolean);
  }
}

// The bar of controls; calls `changed` with what is wanted.
export function filterBar(form, model, changed) {
  const choose = (name, options) => {
    const select = form.elements[name];
    const first = el("option", { value: "" }, say(`any-${name}`));
    select.replaceChildren(
      first,
      ...options.map(([value, text]) => el("option", { value }, visible(text))),
    );
    select.closest("label").hidden = options.length < 1;
  };
  const { calls, segments, connections } = model.document;
  const pids = [...new Set([...model.names.keys(), ...calls.map((call) => call.pid)])];
  const unique = (values) =>
    [...new Set(values.filter(Boolean))].sort().map((value) => [value, value]);
  const flags = [..."SFRPAUEC"].filter((flag) =>
    segments.some((segment) => segment.flags.includes(flag)),
  );
  choose(
    "pid",
    pids.map((pid) => [String(pid), model.processName(pid)]),
  );
  choose(
    "connection",
    connections.map((one) => [String(one.id), `${one.id}: ${one.client} → ${one.server}`]),
  );
  choose("name", unique(calls.map((call) => call.name)));
  choose("errno", unique(calls.map((call) => call.errno)));
  choose(
    "flag",
    flags.map((flag) => [flag, say(`flag-${flag}`)]),
  );
  form.elements.aside.closest("label").hidden = model.aside.size === 0;

  const read = () => {
    const { elements } = form;
    const times = ["from", "until"].map((name) => {
      const text = elements[name].value.trim();
      const time = text === "" ? null : parseTime(text);
      elements[name].setCustomValidity(text !== "" && time === null ? say("no-time") : "");
      elements[name].toggleAttribute("aria-invalid", text !== "" && time === null);
      return time;
    });
    return {
      search: elements.search.value,
      ...Object.fromEntries(
        ["pid", "connection", "name", "errno", "flag"].map((name) => [name, elements[name].value]),
      ),
      unexplained: elements.unexplained.checked,
      aside: elements.aside.checked,
      from: times[0],
      until: times[1],
    };
  };
  let waiting = 0;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => changed(read()), 120);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => changed(read())));
}
