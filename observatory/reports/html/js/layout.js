// Where the ladder's lanes, rows and bars are, in px. No drawing.

export const ROW = 27;
const MARK_ROW = 20; // a kernel event's
const GAP = 40; // what a pause takes
const TOP = 12;
export const EDGE = 22;
const NARROWEST = 104;
const WIDEST = 1000;
const TYPICAL_STEP = 20; // px between two typical moments where time is to scale
const LONGEST_STEP = 240; // and what is longer is shown as a gap

// The x of each lane that is used, by its number, and the whole width: the room there is, or more
// where that is too little.
export function placeLanes(used, room, gutter) {
  const first = gutter + EDGE;
  const free = room - first - EDGE;
  const between =
    used.length < 2 ? 0 : Math.min(WIDEST, Math.max(NARROWEST, free / (used.length - 1)));
  const xs = [];
  used.forEach((number, index) => {
    xs[number] = first + between * index;
  });
  return {
    xs,
    between,
    width: Math.max(room, first + between * Math.max(0, used.length - 1) + EDGE),
  };
}

// The y of every row, the gaps between them, and the height of all.
export class Places {
  constructor(rows, ys, gaps, height) {
    this.rows = rows;
    this.ys = ys;
    this.gaps = gaps;
    this.height = height;
  }

  // The first row that is at y or below it.
  firstAt(y) {
    return lowest(this.rows.length, (index) => this.ys[index] >= y);
  }

  // The y of a moment: between the rows that it lies between.
  yOf(time) {
    const { rows, ys } = this;
    const next = lowest(rows.length, (index) => rows[index][1] >= time);
    if (next === 0) return ys[0] ?? TOP;
    if (next === rows.length) return this.height - TOP;
    const [before, after] = [rows[next - 1][1], rows[next][1]];
    const share = after === before ? 1 : (time - before) / (after - before);
    return ys[next - 1] + share * (ys[next] - ys[next - 1]);
  }
}

function lowest(end, fits) {
  let low = 0;
  let high = end;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (fits(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

export function placeRows(rows, { scale, zoom, pause }) {
  return scale ? toScale(rows, zoom) : evenly(rows, pause);
}

function evenly(rows, pause) {
  const ys = [];
  const gaps = [];
  let y = TOP + ROW / 2;
  rows.forEach(([kind, time], index) => {
    const idle = index === 0 ? 0 : time - rows[index - 1][1];
    if (idle >= pause) {
      gaps.push({ y: y - ROW / 2 + GAP / 2, ns: idle });
      y += GAP;
    }
    const height = kind === "kernel" ? MARK_ROW : ROW;
    y += (height - ROW) / 2;
    ys.push(y);
    y += (height + ROW) / 2;
  });
  return new Places(rows, ys, gaps, y + TOP);
}

function toScale(rows, zoom) {
  const steps = rows.slice(1).map((row, index) => row[1] - rows[index][1]);
  const typical = steps.filter((step) => step > 0).sort((a, b) => a - b);
  const pxOfNs = (zoom * TYPICAL_STEP) / (typical[typical.length >> 1] ?? 1);
  const ys = [];
  const gaps = [];
  let y = TOP + ROW / 2;
  rows.forEach((_, index) => {
    const idle = index === 0 ? 0 : steps[index - 1];
    const step = idle * pxOfNs;
    if (step > LONGEST_STEP) {
      gaps.push({ y: y + (GAP + ROW) / 2, ns: idle });
      y += GAP + ROW;
    } else {
      y += step;
    }
    ys.push(y);
  });
  return new Places(rows, ys, gaps, y + ROW + TOP);
}

// Calls as bars from entry to return, side by side where threads of a process overlap.
export function placeBars(places, model, scale) {
  const bars = [];
  const open = new Map();
  places.rows.forEach((row, index) => {
    const [kind, , id, lane] = row;
    const y = places.ys[index];
    if (kind === "entered" || kind === "whole") {
      const call = model.get(`call-${id}`);
      const bar = { key: `call-${id}`, call, lane, top: y - 7, bottom: y + 7, index };
      if (scale && call.returned_ns !== null)
        bar.bottom = Math.max(bar.bottom, places.yOf(call.returned_ns));
      if (kind === "entered") open.set(id, bar);
      bars.push(bar);
    } else if (kind === "returned" && open.has(id)) {
      open.get(id).bottom = y + 7;
      open.delete(id);
    }
  });
  for (const bar of open.values()) {
    // It never returned, or its return is not shown.
    const until = bar.call.returned_ns ?? model.processes.get(bar.call.pid)?.ended_ns ?? Infinity;
    bar.bottom = Math.max(
      bar.bottom,
      Number.isFinite(until) ? places.yOf(until) : places.height - TOP,
    );
    bar.endless = bar.call.returned_ns === null;
  }
  sideBySide(bars);
  return bars;
}

function sideBySide(bars) {
  const running = new Map(); // by lane, the bottoms of the bars in each column
  for (const bar of bars) {
    const columns = running.get(bar.lane) ?? running.set(bar.lane, []).get(bar.lane);
    const free = columns.findIndex((bottom) => bottom <= bar.top + 2);
    bar.depth = Math.min(free === -1 ? columns.length : free, 4);
    columns[free === -1 ? columns.length : free] = bar.bottom;
  }
}

// Each repetition with the row of the copy before it and of itself.
export function placeRepeats(places, model) {
  const at = new Map();
  const repeats = [];
  places.rows.forEach(([kind, , id, source, target], index) => {
    if (kind !== "segment") return;
    at.set(id, index);
    const segment = model.get(`segment-${id}`);
    const first = segment.retransmission ? at.get(segment.cause.segment) : undefined;
    if (first === undefined) return;
    repeats.push({
      key: `segment-${id}`,
      of: `segment-${segment.cause.segment}`,
      lane: source,
      side: target >= source ? -1 : 1,
      top: places.ys[first],
      bottom: places.ys[index],
    });
  });
  return repeats;
}
