// The rows of a ladder as shapes: each a place to point at, and what is to be read there.

import { ROW } from "./layout.js";
import { eventWords } from "./model.js";
import * as shapes from "./shapes.js";
import { cells, duration, moment, svg, visible } from "./text.js";

const SLOW = 2e6; // ns; what was under way longer took it on the path

export class Rows {
  // `at` says where things are: the lanes that are `used`, their x in `lanes`, the rows' `places`,
  // how far threads' bars reach in `depths`, the `gutter` for the times, a character's width in
  // `cell`, and whether time is to `scale`.
  constructor(model, at) {
    Object.assign(this, { model }, at);
    this.words = new Map(); // a row's index to where its words stand
  }

  // The two shapes of a row: what is pointed at, and what is read.
  draw(index, showsTime) {
    const [row, y] = [this.places.rows[index], this.places.ys[index]];
    this.current = index;
    return [this.hit(row, y), this.row(row, y, showsTime)];
  }

  forget(index) {
    this.words.delete(index);
  }

  hit([kind, , id], y) {
    const hit = svg("rect", {
      class: "hit",
      x: 0,
      y: y - (kind === "kernel" ? 10 : ROW / 2),
      width: this.lanes.width,
      height: kind === "kernel" ? 20 : ROW,
    });
    const key = keyOf(kind, id);
    if (key) hit.dataset.key = key;
    return hit;
  }

  row(row, y, showsTime) {
    const [kind, time, id] = row;
    const key = keyOf(kind, id);
    const described = kind !== "returned" && key !== null;
    const parts = [
      showsTime ? shapes.text(this.gutter, y + 4, "time", "end", moment(time)) : null,
      ...({
        segment: () => this.segment(row, y),
        kernel: () => this.event(row, y),
        end: () => this.end(row, y),
      }[kind]?.() ?? this.call(row, y)),
    ];
    const group = svg(
      "g",
      {
        class: this.styles(row),
        role: described ? "button" : null,
        tabindex: described ? -1 : null,
        "aria-label": described ? this.model.describe(key) : null,
        "aria-hidden": described ? null : "true",
      },
      parts,
    );
    if (key) group.dataset.key = key;
    return group;
  }

  styles([kind, , id]) {
    const styles = ["row", kind];
    if (kind === "segment") {
      const segment = this.model.get(`segment-${id}`);
      styles.push(`cause-${segment.cause.kind}`);
      if (segment.retransmission) styles.push("again");
      if (segment.flags.includes("R")) styles.push("reset");
      if (segment.icmp) styles.push("icmp");
      if (this.model.lost.has(id)) styles.push("lost");
      if (segment.cause.confidence !== "certain") styles.push(segment.cause.confidence);
    } else if (kind !== "kernel" && kind !== "end") {
      const call = this.model.get(`call-${id}`);
      styles.push("call");
      if (call.errno) styles.push("failed");
      styles.push(call.explanation.confidence);
    }
    return styles.join(" ");
  }

  segment([, time, id, source, target, from, to, took, hops], y) {
    const segment = this.model.get(`segment-${id}`);
    // A loop leaves its lane beside the bars of threads.
    const aside = source === target ? 7 * (this.depths.get(source) ?? 0) : 0;
    const [x1, x2] = [this.lanes.xs[source] + aside, this.lanes.xs[target] + aside];
    const room = Math.floor((Math.abs(x2 - x1) - 24) / this.cell);
    const free = (words) => this.between(x1, x2, y - 3, cells(words) * this.cell);
    const slow = took >= SLOW;
    const fall = this.scale && took ? this.places.yOf(time + took) - y : slow ? 7 : 0;
    const how = {
      lost: this.model.lost.has(id),
      room,
      free,
      fall,
      from,
      to,
      hops: hops.map(([lane]) => this.lanes.xs[lane]),
      took: slow ? `~${duration(took, 2)}` : "",
    };
    return shapes.arrow(x1, x2, y, how, segment);
  }

  // The middle of the place for a label between two lanes: beside the lanes on the way where it
  // fits, over them where not; null where other words stand there.
  between(x1, x2, y, size) {
    if (x1 === x2) return this.take(y, x1 + 36, x1 + 36 + size) ? x1 + 36 : null;
    const passed = this.lanes.xs.filter(
      (x) => x !== undefined && x > Math.min(x1, x2) && x < Math.max(x1, x2),
    );
    const stops = [x1, ...(x1 < x2 ? passed : passed.reverse()), x2];
    const roomy = stops.slice(1).findIndex((x, index) => Math.abs(x - stops[index]) > size + 24);
    const middle = roomy === -1 ? (x1 + x2) / 2 : (stops[roomy] + stops[roomy + 1]) / 2;
    return this.take(y, middle - size / 2, middle + size / 2) ? middle : null;
  }

  // Whether no words stand where these would; then they do.
  take(y, left, right) {
    for (const [index, one] of this.words) {
      if (
        index !== this.current &&
        Math.abs(one.y - y) < 12 &&
        one.left < right &&
        one.right > left
      )
        return false;
    }
    this.words.set(this.current, { y, left, right });
    return true;
  }

  // A call's words stand on the side of its bar where they fit.
  call([kind, , id, lane, words], y) {
    const call = this.model.get(`call-${id}`);
    return this.beside(
      lane,
      y,
      `c${id}`,
      words,
      kind === "returned" || kind === "whole" ? call.errno : null,
    );
  }

  beside(lane, y, number, words, errno) {
    const x = this.lanes.xs[lane];
    const room = (space) => Math.floor((space - 16) / this.cell) - number.length - 1;
    const [right, left] = [room(this.lanes.width - x), room(x - this.gutter - 14)];
    const shown = visible(words);
    const size = cells(shown);
    const goesRight = right >= size || (left < size && right >= Math.min(left, 40));
    const clipped = clip(shown, goesRight ? right : left);
    const reach = (number.length + 1 + cells(clipped)) * this.cell + 12;
    const aside = 12 + 7 * (this.depths.get(lane) ?? 0);
    if (!this.take(y, goesRight ? x : x - reach, goesRight ? x + reach + aside : x)) return [];
    const spans = [shapes.span("number", number), " ", ...emphasized(clipped, errno)];
    return [
      shapes.text(
        goesRight ? x + aside : x - 12,
        y + 4,
        "halo words",
        goesRight ? "start" : "end",
        ...spans,
      ),
    ];
  }

  event([, , id, lane], y) {
    const event = this.model.get(`kernel-${id}`);
    const where = lane ?? this.used[0];
    return [
      shapes.mark(this.lanes.xs[where], y),
      ...this.beside(where, y, `k${id}`, eventWords(event), null),
    ];
  }

  end([, , , lane, words], y) {
    return this.beside(lane, y, "", words, null);
  }
}

export function keyOf(kind, id) {
  if (kind === "segment" || kind === "kernel") return `${kind}-${id}`;
  return kind === "end" ? null : `call-${id}`;
}

function clip(words, size) {
  let end = words.length;
  while (end > 1 && cells(words.slice(0, end)) > size - (end < words.length)) end -= 1;
  return end < words.length ? `${words.slice(0, end)}…` : words;
}

function emphasized(words, errno) {
  const at = errno ? words.lastIndexOf(errno) : -1;
  if (at < 0) return [words];
  return [words.slice(0, at), shapes.span("errno", errno), words.slice(at + errno.length)];
}
