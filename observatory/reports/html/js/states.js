// The states of both ends of a connection, as paths over RFC 9293's diagram (Figure 5).

import { clear, el, say, svg, visible } from "./text.js";

const WIDTH = 760;
const HEIGHT = 590;
const BOX = { width: 122, height: 32 };
// Where Figure 5 has them. CLOSED stands at the top and, for the end of a life, at the bottom.
const PLACES = {
  CLOSED: [380, 28],
  LISTEN: [380, 112],
  "SYN-RECEIVED": [130, 190],
  "SYN-SENT": [630, 190],
  ESTABLISHED: [380, 250],
  "FIN-WAIT-1": [190, 345],
  "CLOSE-WAIT": [570, 345],
  "FIN-WAIT-2": [100, 450],
  CLOSING: [320, 450],
  "LAST-ACK": [570, 450],
  "TIME-WAIT": [260, 555],
  END: [570, 555],
};
const EARLY = new Set(["LISTEN", "SYN-SENT", "SYN-RECEIVED", "CLOSED"]);
const ENDS = ["client", "server"];
// Resets and timeouts lead from nearly everywhere to CLOSED: drawn all, they hide the rest.
const SELDOM = /RST|timeout/;

export class States {
  constructor(frame, model) {
    this.frame = frame;
    this.model = model;
  }

  show(connection) {
    clear(
      this.frame,
      this.picture(connection),
      el(
        "div",
        { class: "paths" },
        ENDS.map((end) => this.path(end, connection)),
        (connection.peculiarities ?? []).map((words) =>
          el("p", { class: "quiet" }, visible(words)),
        ),
      ),
    );
  }

  path(end, connection) {
    const states = connection.states[end];
    const kernel = connection.kernel_states?.[end] ?? [];
    return el(
      "p",
      { class: `path ${end}` },
      el("b", {}, end === "client" ? "━━ " : "╍╍ ", say(end), " "),
      el("span", { class: "endpoint" }, visible(connection[end])),
      el("br"),
      states.map((state, index) => [
        index ? " → " : "",
        el("span", { class: "state" }, visible(state)),
      ]),
      kernel.length
        ? el(
            "span",
            { class: "kernel-states" },
            say("kernel-states"),
            " ",
            visible(kernel.join(" → ")),
          )
        : null,
    );
  }

  picture(connection) {
    const arcs = this.arcs();
    const steps = ENDS.map((end) => stepsOf(connection.states[end]));
    steps.flat().forEach(({ from, to }) => {
      const name = `${from} ${to}`;
      if (!arcs.has(name)) arcs.set(name, { from, to, events: [] });
    });
    const walked = new Set(steps.flat().map(({ from, to }) => `${from} ${to}`));
    const visited = new Map(ENDS.map((end) => [end, new Set(nodesOf(connection.states[end]))]));
    const label = say("states-label", {
      client: connection.states.client.join(" → "),
      server: connection.states.server.join(" → "),
    });
    return svg(
      "svg",
      { class: "states", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label },
      [...arcs.values()].map((arc) => drawArc(arc, walked.has(`${arc.from} ${arc.to}`))),
      ENDS.flatMap((end, side) => steps[side].map((step, index) => drawStep(step, end, index + 1))),
      Object.keys(PLACES).map((state) =>
        drawState(
          state,
          ENDS.filter((end) => visited.get(end).has(state)),
        ),
      ),
    );
  }

  // The diagram's arcs by "from to", with the events that lead along them.
  arcs() {
    const arcs = new Map();
    for (const [from, event, next] of this.model.drawing.arcs) {
      if (SELDOM.test(event)) continue;
      const to = place(from, next);
      const name = `${from} ${to}`;
      if (!arcs.has(name)) arcs.set(name, { from, to, events: [] });
      arcs.get(name).events.push(event);
    }
    return arcs;
  }
}

const place = (from, to) => (to === "CLOSED" && !EARLY.has(from) ? "END" : to);

function nodesOf(states) {
  return states.map((state, index) => (index === 0 ? state : place(states[index - 1], state)));
}

function stepsOf(states) {
  const nodes = nodesOf(states);
  return nodes
    .slice(1)
    .map((to, index) => ({ from: nodes[index] === "END" ? "CLOSED" : nodes[index], to }))
    .filter(({ from, to }) => PLACES[from] && PLACES[to]);
}

function drawState(state, ends) {
  const [x, y] = PLACES[state];
  const { width, height } = BOX;
  return svg(
    "g",
    { class: `state-box ${ends.join(" ")}` },
    svg("rect", { x: x - width / 2, y: y - height / 2, width, height, rx: 8 }),
    svg("text", { x, y: y + 4.5, "text-anchor": "middle" }, state === "END" ? "CLOSED" : state),
  );
}

function drawArc({ from, to, events }, walked) {
  const line = arcLine(from, to, 7);
  return svg(
    "g",
    { class: "arc" },
    svg("path", { d: line.d }),
    arrowHead(line),
    svg("title", {}, `${from} → ${to === "END" ? "CLOSED" : to}: ${events.join(", ")}`),
    words(line, events, walked ? 17 : 8),
  );
}

function words({ middle, normal }, events, away) {
  if (!events.length) return null;
  const [x, y] = [middle[0] + normal[0] * away, middle[1] + normal[1] * away];
  const anchor = Math.abs(normal[0]) < 0.35 ? "middle" : normal[0] > 0 ? "start" : "end";
  return svg("text", { class: "arc-words", x, y: y + 3, "text-anchor": anchor }, events[0]);
}

function drawStep({ from, to }, end, number) {
  const line = arcLine(from, to, 7 + (end === "server" ? 5 : 0));
  const [x, y] = end === "client" ? line.at(0.4) : line.at(0.62);
  return svg(
    "g",
    { class: `step ${end}` },
    svg("path", { d: line.d }),
    arrowHead(line),
    end === "client"
      ? svg("circle", { cx: x, cy: y, r: 9 })
      : svg("rect", { x: x - 8.5, y: y - 8.5, width: 17, height: 17, rx: 3 }),
    svg("text", { x, y: y + 3.6, "text-anchor": "middle" }, String(number)),
  );
}

// From the edge of one box to the edge of another, to the right of its direction by `aside` px, so
// that there and back are two lines.
function arcLine(from, to, aside) {
  const [a, b] = [PLACES[from], PLACES[to]];
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const size = Math.hypot(dx, dy) || 1;
  const normal = [-dy / size, dx / size];
  const move = ([x, y]) => [x + normal[0] * aside, y + normal[1] * aside];
  const start = edge(move(a), [dx, dy], a);
  const end = edge(move(b), [-dx, -dy], b);
  // Far ways go around what lies between.
  const bend = bends(from, to);
  const control = [(start[0] + end[0]) / 2 + bend[0], (start[1] + end[1]) / 2 + bend[1]];
  const at = (t) =>
    [0, 1].map((i) => (1 - t) ** 2 * start[i] + 2 * t * (1 - t) * control[i] + t * t * end[i]);
  return {
    d: `M${start.map(round)}Q${control.map(round)} ${end.map(round)}`,
    start,
    end,
    control,
    normal,
    middle: at(0.5),
    at,
  };
}

const BENDS = {
  "CLOSED SYN-SENT": [90, -30],
  "SYN-SENT CLOSED": [30, -8],
  "ESTABLISHED END": [-40, 0],
  "FIN-WAIT-1 END": [40, 40],
  "FIN-WAIT-2 END": [0, 10],
  "SYN-RECEIVED CLOSE-WAIT": [0, 60],
  "SYN-RECEIVED FIN-WAIT-1": [-40, 10],
  "CLOSE-WAIT END": [150, 0],
  "FIN-WAIT-2 TIME-WAIT": [-20, 20],
};
const bends = (from, to) => BENDS[`${from} ${to}`] ?? [0, 0];

// Where a line that leaves `inside` in a direction crosses the border of the box around `center`.
function edge(inside, [dx, dy], center) {
  const limit = (position, middle, half, step) =>
    step === 0 ? Infinity : ((step > 0 ? middle + half : middle - half) - position) / step;
  const t = Math.min(
    limit(inside[0], center[0], BOX.width / 2 + 2, dx),
    limit(inside[1], center[1], BOX.height / 2 + 2, dy),
  );
  return [inside[0] + dx * t, inside[1] + dy * t];
}

function arrowHead({ end, control }) {
  const size = Math.hypot(end[0] - control[0], end[1] - control[1]) || 1;
  const [ux, uy] = [(end[0] - control[0]) / size, (end[1] - control[1]) / size];
  const back = [end[0] - ux * 8, end[1] - uy * 8];
  const points = [end, [back[0] - uy * 4, back[1] + ux * 4], [back[0] + uy * 4, back[1] - ux * 4]];
  return svg("polygon", { points: points.map((point) => point.map(round)).join(" ") });
}

const round = (value) => Math.round(value * 10) / 10;
