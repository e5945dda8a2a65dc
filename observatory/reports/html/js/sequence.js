// The time-sequence graph of one direction, as tcptrace draws it: the bytes sent, how far they are
// acknowledged, and how far the other end has room (its window, from the last acknowledgement on).

import { clear, duration, el, grouped, moment, say, svg } from "./text.js";

const HEIGHT = 260;
const MARGIN = { left: 64, right: 16, top: 22, bottom: 34 };
const FEW = 240; // so many segments have each an arrowhead

export class Sequence {
  constructor(frame, model, selection) {
    Object.assign(this, { frame, model, selection });
    this.options = { scale: true };
    this.plots = [];
    new ResizeObserver(
      () => this.frame.clientWidth !== this.room && this.show(this.connection),
    ).observe(frame);
    selection.subscribe(() => this.light());
  }

  show(connection, room = this.frame.clientWidth) {
    this.connection = connection;
    if (!connection || !room) return;
    this.room = room;
    const segments = connection.segments
      .map((id) => this.model.get(`segment-${id}`))
      .filter((one) => one?.protocol === "TCP" && one.relative_seq !== null);
    this.plots = ["client", "server"]
      .map((end) => this.plot(end, connection, segments))
      .filter(Boolean);
    clear(
      this.frame,
      this.plots.length
        ? [this.plots.map((plot) => plot.figure), legend()]
        : el("p", { class: "quiet" }, say("no-sequence")),
    );
    this.light();
  }

  plot(end, connection, segments) {
    const other = end === "client" ? "server" : "client";
    const sent = segments.filter(
      (one) => one.src === connection[end] && (one.length || /[SFR]/.test(one.flags)),
    );
    const answers = segments.filter(
      (one) =>
        one.dst === connection[end] &&
        one.src !== one.dst &&
        one.relative_ack !== null &&
        !one.flags.includes("R"),
    );
    if (!sent.length) return null;
    const room = (one) => this.model.window(one);
    const most = (values, least) => values.reduce((high, value) => Math.max(high, value), least);
    const acknowledged = most(
      answers.map((one) => one.relative_ack),
      0,
    );
    const high = most(sent.map(last), 4);
    const beyond = most(
      answers.map((one) => one.relative_ack + (room(one) ?? 0)),
      0,
    );
    const ceiling = Math.min(Math.max(high, acknowledged, beyond), high * 1.6);
    const x = this.timeAxis(segments);
    const y = (value) =>
      MARGIN.top + (HEIGHT - MARGIN.top - MARGIN.bottom) * (1 - value / (ceiling || 1));
    const width = this.room;
    const picture = svg(
      "svg",
      {
        class: "sequence",
        viewBox: `0 0 ${width} ${HEIGHT}`,
        width,
        height: HEIGHT,
        role: "img",
        "aria-label": say("sequence-label", {
          from: say(end),
          to: say(other),
          bytes: grouped(connection[`${end}_bytes`]),
        }),
      },
      axes(x, y, ceiling, width, segments),
      svg("path", {
        class: "window",
        d: stairs(
          answers
            .filter((one) => room(one) !== null)
            .map((one) => [x(one), y(Math.min(one.relative_ack + room(one), ceiling))]),
          width - MARGIN.right,
        ),
      }),
      svg("path", {
        class: "acknowledged",
        d: stairs(
          answers.map((one) => [x(one), y(one.relative_ack)]),
          width - MARGIN.right,
        ),
      }),
      svg("path", {
        class: "bytes",
        d: strokes(
          sent.filter((one) => !one.retransmission),
          x,
          y,
        ),
      }),
      svg("path", {
        class: "bytes again",
        d: strokes(
          sent.filter((one) => one.retransmission),
          x,
          y,
        ),
      }),
      sent.length <= FEW ? sent.map((one) => flagMark(one, x(one), y(last(one)), width)) : null,
      beyond > ceiling
        ? svg(
            "text",
            { class: "tick", x: width - MARGIN.right, y: MARGIN.top - 6, "text-anchor": "end" },
            say("window-beyond", { count: grouped(beyond) }),
          )
        : null,
      svg("g", { class: "cursor" }),
    );
    const all = [...sent, ...answers].sort((a, b) => a.time_ns - b.time_ns);
    const find = (event) => nearest(event, picture, all, x, y, end, connection);
    picture.addEventListener("pointermove", (event) => this.selection.hover(find(event)));
    picture.addEventListener("pointerleave", () => this.selection.hover(null));
    picture.addEventListener("click", (event) => this.selection.pin(find(event), true));
    const figure = el(
      "figure",
      {},
      el(
        "figcaption",
        {},
        el("b", {}, `${say(end)} → ${say(other)}`),
        ` · ${say("bytes-sent", { count: grouped(connection[`${end}_bytes`]) })}`,
      ),
      picture,
    );
    return {
      figure,
      picture,
      all: new Map(all.map((one) => [`segment-${one.id}`, one])),
      x,
      y,
      end,
      connection,
    };
  }

  timeAxis(segments) {
    const span = this.room - MARGIN.left - MARGIN.right;
    if (!this.options.scale) {
      const order = new Map(segments.map((one, index) => [one.id, index]));
      return (one) => MARGIN.left + (span * (order.get(one.id) + 0.5)) / segments.length;
    }
    const first = segments[0].time_ns;
    const whole = segments.at(-1).time_ns - first || 1;
    return (one) => MARGIN.left + (span * (one.time_ns - first)) / whole;
  }

  light() {
    const key = this.selection.active;
    for (const plot of this.plots) {
      const one = key && plot.all.get(key);
      const mark = one
        ? svg("circle", { cx: plot.x(one), cy: plot.y(heightOf(one, plot)), r: 6 })
        : null;
      clear(plot.picture.querySelector(".cursor"), mark);
    }
  }

  set(options) {
    Object.assign(this.options, options);
    this.show(this.connection);
  }
}

const last = (one) => one.relative_seq + one.length + /[SF]/.test(one.flags);

const heightOf = (one, { connection, end }) =>
  one.src === connection[end] ? last(one) : one.relative_ack;

function strokes(segments, x, y) {
  const heads = segments.length <= FEW;
  return segments
    .map((one) => {
      const [at, from, to] = [x(one), y(one.relative_seq), y(last(one))].map(
        (value) => Math.round(value * 10) / 10,
      );
      return heads
        ? `M${at} ${from}V${to}m-3 3l3 -3l3 3`
        : `M${at} ${from}V${Math.min(to, from - 1)}`;
    })
    .join("");
}

function stairs(points, end) {
  if (!points.length) return "";
  const steps = points.slice(1).map(([x, y]) => `H${x.toFixed(1)}V${y.toFixed(1)}`);
  return `M${points[0][0].toFixed(1)} ${points[0][1].toFixed(1)}${steps.join("")}H${end}`;
}

// SYN, FIN, RST and what was sent again are named.
function flagMark(one, x, y, width) {
  const flag = [..."SFR"].find((letter) => one.flags.includes(letter));
  if (!flag && !one.retransmission) return null;
  const name = one.retransmission ? say("again") : say(`flag-${flag}`);
  const left = x > width - MARGIN.right - 40;
  return svg(
    "text",
    {
      class: one.retransmission ? "again" : "flag",
      x: x + (left ? -6 : 6),
      y: y + 4,
      "text-anchor": left ? "end" : "start",
    },
    name,
  );
}

function axes(x, y, ceiling, width, segments) {
  const ticks = niceSteps(ceiling, 4).map((value) => [
    svg("line", {
      class: "grid",
      x1: MARGIN.left,
      x2: width - MARGIN.right,
      y1: y(value),
      y2: y(value),
    }),
    svg(
      "text",
      { class: "tick", x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" },
      grouped(value),
    ),
  ]);
  const [first, final] = [segments[0], segments.at(-1)];
  const base = HEIGHT - MARGIN.bottom;
  return [
    ticks,
    svg("line", { class: "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: base, y2: base }),
    svg("text", { class: "tick", x: MARGIN.left, y: base + 20 }, moment(first.time_ns)),
    svg(
      "text",
      { class: "tick", x: width - MARGIN.right, y: base + 20, "text-anchor": "end" },
      `${moment(final.time_ns)} (${duration(final.time_ns - first.time_ns)})`,
    ),
    svg("text", { class: "tick", x: 0, y: MARGIN.top - 4 }, say("sequence-axis")),
  ];
}

function niceSteps(high, count) {
  const rough = high / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = Math.max(
    1,
    [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough),
  );
  return Array.from({ length: Math.floor(high / step) + 1 }, (_, index) => index * step);
}

function nearest(event, picture, all, x, y, end, connection) {
  const box = picture.getBoundingClientRect();
  const ratio = picture.viewBox.baseVal.width / box.width;
  const [px, py] = [(event.clientX - box.left) * ratio, (event.clientY - box.top) * ratio];
  let best = null;
  let least = 30 ** 2;
  for (const one of all) {
    const dx = x(one) - px;
    if (dx * dx >= least) continue;
    const away = dx * dx + (y(heightOf(one, { connection, end })) - py) ** 2;
    if (away < least) [best, least] = [`segment-${one.id}`, away];
  }
  return best;
}

function legend() {
  const entry = (name) =>
    el(
      "li",
      { class: name },
      svg(
        "svg",
        { width: 26, height: 12, "aria-hidden": "true" },
        name === "bytes" || name === "again"
          ? svg("path", {
              class: name === "again" ? "bytes again" : "bytes",
              d: "M13 11V1m-3 3l3 -3l3 3",
            })
          : svg("path", { class: name, d: "M1 10H13V3H25" }),
      ),
      say(`legend-${name}`),
    );
  return el("ul", { class: "legend" }, ["bytes", "again", "acknowledged", "window"].map(entry));
}
