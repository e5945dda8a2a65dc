// The ladder's shapes, each an SVG element. Colours and strokes are the stylesheet's.

import { segmentHead, segmentNumbers, segmentTie } from "./model.js";
import { cells, svg, visible } from "./text.js";

const HEAD = 7; // an arrow's
export const FAR = 1200; // px from which on a tie shows its ends alone: long dashed lines draw slowly
const CLEAR = 7; // what it keeps from the middle of a lane

export function text(x, y, style, anchor, ...children) {
  return svg("text", { x, y, class: style, "text-anchor": anchor }, ...children);
}

export const span = (style, words) => svg("tspan", { class: style }, words);

export function lane(x, router, from, until, gone) {
  const shapes = [
    svg("line", { class: router ? "lane router" : "lane", x1: x, x2: x, y1: from, y2: until }),
  ];
  if (gone > until)
    shapes.push(svg("line", { class: "lane gone", x1: x, x2: x, y1: until, y2: gone }));
  return shapes;
}

export function gap(xs, y, words, labelX) {
  const breaks = xs.map((x) =>
    svg("path", { class: "break", d: `M${x} ${y - 12}v5l-5 2 10 4 -10 4 5 2v5` }),
  );
  return svg("g", { class: "gap" }, breaks, text(labelX, y + 4, "gap-words", "middle", words));
}

// An arrow between two lanes at height y. `room` says how many characters a label may have, `free`
// gives the place of a label (null where there is none), `fall` how much lower it arrives, `from` and `to` that it begins or ends half-way, on a link, `hops`
// the x of the routers that saw it.
export function arrow(x1, x2, y, { lost, room, free, fall, from, to, hops, took }, segment) {
  if (x1 === x2 && !to && !from) return loop(x1, y, segment, free);
  const way = x2 > x1 ? 1 : -1;
  const start = from ? (x1 + x2) / 2 : x1 + CLEAR * way;
  const end = to ? (x1 + x2) / 2 : lost ? x2 - 22 * way : x2 - CLEAR * way;
  const low = y + 7;
  const at = (x) => low + (fall * (x - start)) / (end - start || 1);
  const tip = end - (lost ? 0 : HEAD - 1) * way;
  const shapes = [
    svg("path", { class: "line", d: `M${start + 4 * way} ${low}L${tip} ${at(tip)}` }),
  ];
  if (lost)
    shapes.push(
      svg("path", { class: "cross", d: `M${end - 5} ${at(end) - 5}l10 10m0 -10l-10 10` }),
    );
  else
    shapes.push(
      svg("path", {
        class: "head",
        d: `M${end} ${at(end)}l${-HEAD * way} ${-HEAD / 1.7}v${(2 * HEAD) / 1.7}z`,
      }),
    );
  for (const x of hops) shapes.push(svg("circle", { class: "hop", cx: x, cy: at(x), r: 2.6 }));
  shapes.push(
    from
      ? svg("path", { class: "cross", d: `M${start} ${low - 4}v8` })
      : origin(start, low, segment.cause.kind),
  );
  shapes.push(label(y + 2, "middle", segment, { room, free, took }));
  return shapes;
}

function loop(x, y, segment, free) {
  return [
    svg("path", { class: "line", d: `M${x + CLEAR} ${y - 6}c26 0 26 12 6 12` }),
    svg("path", { class: "head", d: `M${x + CLEAR} ${y + 6}l${HEAD} -4v8z` }),
    origin(x + CLEAR, y - 6, segment.cause.kind),
    label(y + 4, "start", segment, { room: 80, free, took: "" }),
  ];
}

// Who made it: a call (a dot), the kernel in reply (a ring), a timer (a clock), the path (a
// lozenge), nobody known (?).
function origin(x, y, kind) {
  if (kind === "call") return svg("circle", { class: "origin call", cx: x, cy: y, r: 3.5 });
  if (kind === "reply") return svg("circle", { class: "origin", cx: x, cy: y, r: 3.5 });
  if (kind === "timer") {
    return svg(
      "g",
      { class: "origin" },
      svg("circle", { cx: x, cy: y, r: 5 }),
      svg("path", { d: `M${x} ${y - 3.4}V${y}h2.6` }),
    );
  }
  if (kind === "path")
    return svg("path", { class: "origin", d: `M${x - 4.5} ${y}l4.5 -4.5l4.5 4.5l-4.5 4.5z` });
  return text(x, y + 4, "origin unknown", "middle", "?");
}

// As much of the label as fits, the most telling first; nothing where others' words stand.
function label(y, anchor, segment, { room, free, took }) {
  const parts = [
    ["number", `#${segment.id}`],
    ["flags", segmentHead(segment)],
    ["numbers", segmentNumbers(segment)],
    ["tie", [took, segmentTie(segment)].filter(Boolean).join(" ")],
  ].map(([style, words]) => [style, visible(words)]);
  const short = [parts[0], ["flags", segment.flags || parts[1][1]], ...parts.slice(2)];
  const words = (choice) =>
    choice
      .map(([, text]) => text)
      .filter(Boolean)
      .join(" ");
  const choices = [
    parts,
    parts.slice(0, 3),
    short.slice(0, 3),
    parts.slice(0, 2),
    short.slice(0, 2),
  ];
  const fits = choices.filter((choice) => cells(words(choice)) <= room);
  let chosen = null;
  let x = null;
  for (const choice of [fits[0] ?? choices.at(-1), choices.at(-1)]) {
    x ??= free(words(choice));
    if (x !== null) chosen ??= choice;
  }
  if (!chosen) return null;
  const spans = chosen
    .filter(([, text]) => text)
    .flatMap(([style, text], index) => [index ? " " : "", span(style, text)]);
  return text(x, y, "halo", anchor, ...spans);
}

export function bar(x, { call, top, bottom, depth, endless }) {
  const styles = ["bar", call.errno && "failed", endless && "endless", call.explanation.confidence];
  const rect = svg("rect", {
    class: styles.filter(Boolean).join(" "),
    x: x - 5 + depth * 7,
    y: top,
    width: 10,
    height: bottom - top,
    rx: 3,
  });
  return rect;
}

// A bracket beside the lane from the first copy to the next; of a far one, its two ends.
export function repeat(x, { top, bottom, side }) {
  const [near, out] = [x + side * 6, x + side * 16];
  const far = bottom - top > FAR;
  const d = far
    ? `M${near} ${top + 7}C${out} ${top + 12} ${out} ${top + 20} ${out} ${top + 44}M${out} ${bottom - 34}C${out} ${bottom - 10} ${out} ${bottom} ${near} ${bottom + 7}`
    : `M${near} ${top + 7}C${out} ${top + 12} ${out} ${bottom} ${near} ${bottom + 7}`;
  return svg("path", { d });
}

export const mark = (x, y) => svg("path", { class: "mark", d: `M${x} ${y - 6}l6 6l-6 6l-6 -6z` });
