// The document as the page uses it: things by their key, and what is tied to what.
//
// A key is what the address carries: call-7, segment-3, kernel-2.

import { duration, flagNames, grouped, moment, say, visible } from "./text.js";

const NANOSECONDS = /"([a-z_]+_ns|segment_time)":\s*(\d{16,})/g;

// JSON, in which times are too large for a browser's numbers: they become ns since `start`.
export function parseDocument(text, start) {
  const base = BigInt(start);
  return JSON.parse(
    text.replace(NANOSECONDS, (_, name, digits) => `"${name}":${BigInt(digits) - base}`),
  );
}

export class Model {
  constructor(document, drawing) {
    this.document = document;
    this.drawing = drawing;
    this.run = document.run;
    this.lost = new Set(drawing.lost);
    this.aside = new Set(drawing.aside);
    this.processes = new Map(document.processes.map((one) => [one.pid, one]));
    this.connections = new Map(document.connections.map((one) => [one.id, one]));
    this.things = new Map();
    for (const call of document.calls) this.things.set(`call-${call.id}`, call);
    for (const segment of document.segments) this.things.set(`segment-${segment.id}`, segment);
    for (const event of document.kernel) this.things.set(`kernel-${event.id}`, event);
    this.answers = new Map(); // a segment's id to the segments that name it as their cause
    this.quotes = new Map();
    this.spoken = new Map(); // a segment's id to the kernel events that speak of it
    this.cited = new Map(); // a kernel event's id to the calls whose explanation rests on it
    for (const [id, name] of Object.entries(drawing.icmp))
      this.get(`segment-${id}`).icmp.name = name;
    for (const segment of document.segments) {
      push(this.answers, segment.cause.segment, segment.id);
      push(this.quotes, segment.icmp?.quotes ?? null, segment.id);
    }
    for (const event of document.kernel) push(this.spoken, event.segment ?? null, event.id);
    for (const call of document.calls) {
      for (const id of call.explanation.evidence.kernel) push(this.cited, id, call.id);
    }
    this.names = new Map(
      drawing.lanes.filter((lane) => lane.pid !== null).map((lane) => [lane.pid, lane.label]),
    );
  }

  get(key) {
    return key === null ? undefined : this.things.get(key);
  }

  kind(key) {
    return key.slice(0, key.indexOf("-"));
  }

  time(key) {
    const thing = this.get(key);
    return this.kind(key) === "call" ? thing.entered_ns : thing.time_ns;
  }

  processName(pid) {
    const role = this.processes.get(pid)?.role;
    return visible(this.names.get(pid) ?? (role ? `${role}[${pid}]` : `pid ${pid}`));
  }

  // --- What is tied to what: [{key, role}], the role a message's key ---

  causes(key) {
    const thing = this.get(key);
    if (!thing) return [];
    if (this.kind(key) === "call") return ties("completed-by", "segment", thing.completed_by);
    if (this.kind(key) === "kernel")
      return this.existing(ties("during", "call", thing.during ? [thing.during] : []));
    const { cause } = thing;
    const calls = cause.call === null ? [] : [...new Set([cause.call, ...thing.carries])];
    const role = cause.kind === "call" ? "sent-by" : "goes-back-to";
    return this.existing([
      ...ties(role, "call", calls),
      ...ties(segmentRole(thing), "segment", cause.segment === null ? [] : [cause.segment]),
      ...ties("quotes", "segment", thing.icmp?.quotes ? [thing.icmp.quotes] : []),
    ]);
  }

  effects(key) {
    const thing = this.get(key);
    if (!thing) return [];
    if (this.kind(key) === "call") {
      return this.existing([
        ...ties("sent", "segment", thing.sent),
        ...ties("sent-again", "segment", thing.retransmitted),
      ]);
    }
    if (this.kind(key) === "kernel") {
      return this.existing([
        ...ties("speaks-of", "segment", thing.segment ? [thing.segment] : []),
        ...ties("rests-on-it", "call", this.cited.get(thing.id) ?? []),
      ]);
    }
    const answers = this.answers.get(thing.id) ?? [];
    return this.existing([
      ...answers.map((id) => ({
        key: `segment-${id}`,
        role: effectRole(this.get(`segment-${id}`)),
      })),
      ...ties(
        "quoted-by",
        "segment",
        (this.quotes.get(thing.id) ?? []).filter((id) => !answers.includes(id)),
      ),
      ...ties("completes", "call", thing.completes),
    ]);
  }

  existing(found) {
    return found.filter((tie) => this.things.has(tie.key));
  }

  // All that lights up together with a thing: it, its causes, its effects, the kernel's word on it.
  related(key) {
    const keys = [
      key,
      ...this.causes(key).map((tie) => tie.key),
      ...this.effects(key).map((tie) => tie.key),
    ];
    keys.push(...this.kernelOf(key).map((id) => `kernel-${id}`));
    return new Set(keys);
  }

  // The window in bytes: scaled as both SYNs agreed, null where that is not known.
  window(segment) {
    if (segment.window === null) return null;
    if (segment.flags.includes("S")) return segment.window;
    const connection = this.connections.get(segment.connection);
    const scale =
      connection?.window_scale?.[segment.src === connection.client ? "client" : "server"];
    return scale === undefined || scale === null ? null : segment.window * 2 ** scale;
  }

  // The kernel events that a thing's conclusion rests on, or that speak of it.
  kernelOf(key) {
    const thing = this.get(key);
    if (this.kind(key) === "call")
      return [...new Set([...thing.explanation.evidence.kernel, ...(thing.kernel?.events ?? [])])];
    if (this.kind(key) === "segment")
      return [...new Set([...(this.spoken.get(thing.id) ?? []), ...(thing.kernel?.events ?? [])])];
    return [];
  }

  // --- Words ---

  // c7, #3, k2
  short(key) {
    return (
      { call: "c", segment: "#", kernel: "k" }[this.kind(key)] + key.slice(key.indexOf("-") + 1)
    );
  }

  // #3 SYN ACK, c7 connect, k2 tcp_send_reset
  label(key) {
    const thing = this.get(key);
    const short = this.short(key);
    if (!thing) return short;
    return visible(
      `${short} ${{ call: () => thing.name, segment: () => segmentHead(thing), kernel: () => eventName(thing) }[this.kind(key)]()}`,
    );
  }

  // A sentence for those who hear the page.
  describe(key) {
    const thing = this.get(key);
    const id = this.short(key);
    if (this.kind(key) === "call") {
      return say("describe-call", {
        id,
        text: thing.text,
        process: this.processName(thing.pid),
        time: moment(thing.entered_ns),
      });
    }
    if (this.kind(key) === "kernel")
      return say("describe-kernel", { id, text: thing.event, time: moment(thing.time_ns) });
    const lost = this.lost.has(thing.id) ? say("describe-lost") : "";
    const text = `${segmentHead(thing)} ${segmentNumbers(thing)}`;
    return (
      say("describe-segment", {
        id,
        text,
        source: thing.src,
        target: thing.dst,
        time: moment(thing.time_ns),
      }) + lost
    );
  }

  tookText(call) {
    return call.returned_ns === null
      ? say("never-returned")
      : duration(call.returned_ns - call.entered_ns);
  }
}

function push(map, key, value) {
  if (key === null) return;
  const list = map.get(key);
  if (list) list.push(value);
  else map.set(key, [value]);
}

const ties = (role, kind, ids) => ids.map((id) => ({ key: `${kind}-${id}`, role }));

function segmentRole(segment) {
  if (segment.retransmission) return "repeats";
  return { reply: "answers", timer: "timer-after" }[segment.cause.kind] ?? "goes-back-to";
}

function effectRole(segment) {
  return (
    { repeats: "repeated-by", answers: "answered-by", "timer-after": "timer-sent" }[
      segmentRole(segment)
    ] ?? "led-to"
  );
}

// SYN ACK; UDP; ICMP type 3 code 3
export function segmentHead(segment) {
  if (segment.icmp)
    return `${segment.protocol} ${segment.icmp.name ?? `type ${segment.icmp.type} code ${segment.icmp.code}`}`;
  return segment.protocol === "TCP"
    ? flagNames(segment.flags).join(" ") || say("no-flags")
    : segment.protocol;
}

// seq=0 ack=1 len=5: relative where the ISN is known
export function segmentNumbers(segment) {
  if (segment.protocol !== "TCP") return segment.icmp ? "" : `len=${segment.length}`;
  const parts = [`seq=${segment.relative_seq ?? segment.seq}`];
  if (segment.flags.includes("A")) parts.push(`ack=${segment.relative_ack ?? segment.ack}`);
  if (segment.length) parts.push(`len=${segment.length}`);
  if (segment.window === 0 && !/[SR]/.test(segment.flags)) parts.push("win=0");
  return parts.join(" ");
}

// ← c7 ⇒ c9; re #3; again #3; ← ?
export function segmentTie(segment) {
  const { cause } = segment;
  const doubt = cause.confidence === "certain" ? "" : "?";
  const from = {
    call: () =>
      `← ${(segment.carries.length ? segment.carries : [cause.call]).map((id) => (id === null ? "call" : `c${id}`)).join(" ")}${doubt}`,
    reply: () => (cause.segment === null ? `reply${doubt}` : `re #${cause.segment}${doubt}`),
    path: () => `path${doubt}${cause.segment === null ? "" : ` #${cause.segment}`}`,
    timer: () => `timer${doubt}${cause.segment === null ? "" : ` re #${cause.segment}`}`,
    unknown: () => "← ?",
  }[cause.kind];
  // A SYN-ACK that is asked for once more names the SYN that asks, which is the other end's.
  const answers = cause.kind === "reply" && segment.flags.startsWith("SA");
  const again =
    segment.retransmission &&
    cause.segment !== null &&
    !answers &&
    !["unknown", "path"].includes(cause.kind);
  const parts = [again ? `again #${cause.segment}${doubt}` : from()];
  if (segment.completes.length)
    parts.push(`⇒ ${segment.completes.map((id) => `c${id}`).join(" ")}`);
  return parts.join(" ");
}

// A value that the kernel told, by its name: times as moments of the run.
export function told(name, value) {
  if (typeof value === "number" && /_ns$|^segment_time$/.test(name)) return moment(value);
  return visible(typeof value === "object" ? JSON.stringify(value) : value);
}

export const eventName = (event) => event.event.slice(event.event.indexOf(":") + 1);

// The event in a phrase.
export function eventWords(event) {
  const { detail } = event;
  const what =
    detail.old && detail.new
      ? `${detail.old} → ${detail.new}`
      : (detail.reason ?? detail.error ?? "");
  const said = event.said || `${eventName(event)} ${what}`.trim();
  return detail.what ? `${said}: ${detail.what}` : said;
}

export const bytes = (count) => say(count === 1 ? "one-byte" : "bytes", { count: grouped(count) });
