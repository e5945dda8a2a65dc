// The ladder: what of it is in view is in the document, and nothing else.

import { EDGE, placeBars, placeLanes, placeRepeats, placeRows, ROW } from "./layout.js";
import { keyOf, Rows } from "./rows.js";
import { follow } from "./selection.js";
import * as shapes from "./shapes.js";
import { clear, duration, el, keepOnly, moment, say, svg, visible } from "./text.js";

const DRAWN_WHOLE = 2600; // px; what is higher scrolls within its own frame
const BEYOND = 900; // px drawn above and below of what is in view
const PRINTED_ROWS = 1500;

export class Ladder {
  constructor(frame, model, selection) {
    this.frame = frame;
    this.selection = selection;
    this.heads = el("div", { class: "lane-heads" });
    this.drawing = svg("svg", { class: "drawing", role: "group", "aria-label": say("ladder") });
    this.canvas = el("div", { class: "canvas" }, this.heads, this.drawing);
    // What can be pointed at lies below what is read: words stay whole over other lanes' bars.
    const names = ["hits", "lanes", "repeats", "bars", "rows", "gaps"];
    this.layers = Object.fromEntries(names.map((name) => [name, svg("g", { class: name })]));
    this.drawing.append(...Object.values(this.layers));
    clear(frame, this.canvas);
    this.options = { scale: false, zoom: 1 };
    this.whole = false;
    this.use(model);
    follow(this.canvas, selection);
    frame.addEventListener("scroll", () => this.scrolled(), { passive: true });
    new ResizeObserver(() => this.resized()).observe(frame);
    selection.subscribe((change) => this.chosen(change));
  }

  use(model) {
    this.model = model;
    this.rows = model.drawing.rows;
  }

  // `used` are the numbers of the lanes that are there at all, also where no row of them fits.
  show(rows, used) {
    this.rows = rows;
    this.used = used;
    this.arrange();
  }

  set(options) {
    Object.assign(this.options, options);
    this.arrange();
    if (this.selection.pinned) this.reveal(this.selection.pinned);
  }

  resized() {
    if (this.frame.clientWidth !== this.room && !this.whole) this.arrange();
  }

  // --- Where everything is ---

  arrange(room = this.frame.clientWidth) {
    if (!room) return;
    this.room = room;
    this.cell ??= measureCell(this.drawing);
    const { drawing } = this.model;
    this.gutter =
      Math.max(...this.rows.slice(-1).map((row) => moment(row[1]).length), 7) * this.cell;
    this.lanes = placeLanes(this.used, room - 2, this.gutter);
    this.places = placeRows(this.rows, { ...this.options, pause: drawing.pause_ns });
    this.bars = placeBars(this.places, this.model, this.options.scale);
    this.repeats = placeRepeats(this.places, this.model);
    const depths = new Map(); // how far threads' bars reach to the right of each lane
    for (const bar of this.bars) {
      depths.set(bar.lane, Math.max(bar.depth, depths.get(bar.lane) ?? 0));
    }
    const { used, lanes, places, gutter, cell } = this;
    this.drawer = new Rows(this.model, {
      used,
      lanes,
      places,
      depths,
      gutter,
      cell,
      scale: this.options.scale,
    });
    this.indexes = new Map();
    this.rows.forEach(([kind, , id], index) => {
      const key = keyOf(kind, id);
      if (key && !this.indexes.has(key)) this.indexes.set(key, index);
    });
    const { width } = this.lanes;
    const { height } = this.places;
    // Who scrolls sideways within the frame keeps the lanes' names in it too.
    const wide = width > room;
    const tall = height > DRAWN_WHOLE || (wide && height > window.innerHeight);
    this.frame.classList.toggle("scrolls", !this.whole && (tall || wide));
    this.frame.classList.toggle("tall", !this.whole && tall);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height + this.headHeight()}px`;
    // The drawing is as high as the whole run, and holds what is in view: so scrolling moves nothing.
    this.drawing.setAttribute("width", width);
    this.drawing.setAttribute("height", height);
    this.drawing.style.top = `${this.headHeight()}px`;
    this.drawn = new Map(); // a row's index to its two shapes
    this.drawHeads();
    this.draw();
  }

  headHeight() {
    return 46;
  }

  drawHeads() {
    clear(
      this.heads,
      el("span", { class: "lane-head time-head" }, say("time")),
      this.used.map((number, index) => {
        const lane = this.model.drawing.lanes[number];
        const [, name, pid] = /^(.*)\[(\d+)\]$/s.exec(lane.label) ?? [null, lane.label, ""];
        const room = Math.max(110, Math.min(this.lanes.between || 300, 300) - 10);
        const head = el(
          "span",
          {
            class: `lane-head${lane.pid === null && !lane.router ? " endpoint" : ""}`,
            title: visible(lane.label),
          },
          el("b", {}, visible(name)),
          el(
            "small",
            {},
            pid
              ? `pid ${pid}`
              : lane.router
                ? name === say("router")
                  ? ""
                  : say("router")
                : say("no-process"),
            lane.host && !lane.router ? ` · ${say("on-host", { host: lane.host })}` : "",
          ),
        );
        const x = this.lanes.xs[number];
        head.style.maxWidth = `${room}px`;
        const last = index === this.used.length - 1 && index > 0;
        if (index === 0) head.style.left = `${x - 12}px`;
        else if (last) head.style.right = `${this.lanes.width - x - 12}px`;
        else Object.assign(head.style, { left: `${x}px`, transform: "translateX(-50%)" });
        head.dataset.align = index === 0 ? "left" : last ? "right" : "middle";
        return head;
      }),
    );
  }

  // --- Drawing what is in view ---

  scrolled() {
    const top = this.frame.scrollTop;
    const bottom = top + this.frame.clientHeight;
    if (top >= this.from && bottom <= this.until) return;
    cancelAnimationFrame(this.waiting);
    this.waiting = requestAnimationFrame(() => this.draw());
  }

  draw() {
    const { places } = this;
    const inner = this.frame.classList.contains("tall");
    const top = inner ? this.frame.scrollTop - BEYOND : 0;
    const bottom = inner ? this.frame.scrollTop + this.frame.clientHeight + BEYOND : places.height;
    this.from = inner ? Math.max(0, top) : 0;
    this.until = inner ? Math.min(bottom, places.height + this.headHeight()) : Infinity;
    const end = Math.min(bottom, places.height);
    const start = Math.max(0, Math.min(top, places.height));
    const inView = (one) => one.top <= end && one.bottom >= start;
    const tied = (one) =>
      inView(one) &&
      (one.bottom - one.top <= shapes.FAR || one.top >= start - ROW || one.bottom <= end + ROW);
    const first = places.firstAt(start - ROW);
    const last = places.firstAt(end + ROW);
    this.drawRows(first, last);
    clear(this.layers.lanes, this.drawLanes(start, end));
    clear(
      this.layers.repeats,
      this.repeats.filter(tied).map((one) => this.drawRepeat(one)),
    );
    clear(
      this.layers.bars,
      this.bars.filter(inView).map((bar) => this.drawBar(bar, start - ROW, end + ROW)),
    );
    clear(
      this.layers.gaps,
      places.gaps
        .filter((gap) => gap.y >= start - ROW && gap.y <= end + ROW)
        .map((gap) => this.drawGap(gap)),
    );
    this.light();
  }

  // Rows that were in view before are left as they are: drawing them anew would take most of the time.
  drawRows(first, last) {
    for (const index of this.drawn.keys()) {
      if (index >= first && index < last) continue;
      this.drawn.delete(index);
      this.drawer.forget(index);
    }
    let timed = -Infinity;
    for (let index = first; index < last; index += 1) {
      const y = this.places.ys[index];
      const showsTime = y - timed >= 13;
      if (showsTime) timed = y;
      if (this.drawn.has(index)) continue;
      this.drawn.set(index, this.drawer.draw(index, showsTime));
    }
    const shown = [...this.drawn].sort(([a], [b]) => a - b).map(([, shapes]) => shapes);
    keepOnly(
      this.layers.hits,
      shown.map(([hit]) => hit),
    );
    keepOnly(
      this.layers.rows,
      shown.map(([, row]) => row),
    );
  }

  drawLanes(start, end) {
    return this.used.flatMap((number) => {
      const lane = this.model.drawing.lanes[number];
      const born = lane.born === null ? 0 : this.places.yOf(lane.born);
      const ended = lane.ended === null ? end : this.places.yOf(lane.ended) + 10;
      if (born > end) return [];
      return shapes.lane(
        this.lanes.xs[number],
        lane.router,
        Math.max(born, start),
        Math.max(Math.min(ended, end), start),
        end,
      );
    });
  }

  drawGap(gap) {
    const xs = this.used.map((number) => this.lanes.xs[number]);
    const middle = xs.length > 1 ? (xs[0] + xs[1]) / 2 : xs[0] + 120;
    return shapes.gap(xs, gap.y, say("gap", { length: duration(gap.ns) }), middle);
  }

  drawBar(bar, start, end) {
    const part = { ...bar, top: Math.max(bar.top, start), bottom: Math.min(bar.bottom, end) };
    const shape = shapes.bar(this.lanes.xs[bar.lane], part);
    shape.dataset.key = bar.key;
    return shape;
  }

  drawRepeat(one) {
    const shape = shapes.repeat(this.lanes.xs[one.lane], one);
    shape.dataset.ties = `${one.key} ${one.of}`;
    return shape;
  }

  // --- Light: what is pointed at, and what belongs to it ---

  light() {
    const { active, pinned } = this.selection;
    const related = active === null ? new Set() : this.model.related(active);
    this.drawing.classList.toggle("focused", active !== null);
    for (const shape of this.drawing.querySelectorAll("[data-key]")) {
      const { key } = shape.dataset;
      shape.classList.toggle("lit", related.has(key));
      shape.classList.toggle("active", key === active);
      shape.classList.toggle("pinned", key === pinned);
      if (shape.hasAttribute("role")) {
        shape.setAttribute("aria-pressed", key === pinned);
        shape.setAttribute("tabindex", -1);
      }
    }
    for (const tie of this.drawing.querySelectorAll("[data-ties]")) {
      tie.classList.toggle(
        "lit",
        tie.dataset.ties.split(" ").some((key) => key === active),
      );
    }
    const entry = this.element(pinned) ?? this.drawing.querySelector("[role=button]");
    entry?.setAttribute("tabindex", 0);
  }

  chosen({ moved, reveal }) {
    this.light();
    if (moved && reveal) this.reveal(this.selection.pinned);
  }

  element(key) {
    return key === null ? null : this.drawing.querySelector(`[role=button][data-key="${key}"]`);
  }

  // Brings a thing into view and, where the keyboard is in the ladder, to the keyboard.
  reveal(key) {
    const index = this.indexes.get(key);
    if (index === undefined) return;
    const y = this.places.ys[index] + this.headHeight();
    const { frame } = this;
    if (frame.classList.contains("tall")) {
      const [top, height] = [frame.scrollTop, frame.clientHeight];
      if (y < top + this.headHeight() + ROW || y > top + height - 2 * ROW) {
        frame.scrollTop = y - height / 2;
        this.draw();
      }
    }
    const [left, right] = this.extent(this.rows[index]);
    if (left < frame.scrollLeft + this.gutter || right > frame.scrollLeft + frame.clientWidth) {
      frame.scrollLeft = Math.min(left - this.gutter, (left + right - frame.clientWidth) / 2);
    }
    const focused = this.drawing.contains(document.activeElement);
    const element = this.element(key);
    if (focused) element?.focus({ preventScroll: true });
    // The panel that tells why grows as the thing is chosen: what it covers is known after that.
    requestAnimationFrame(() => this.uncover(key));
  }

  // From where to where a row goes, from left to right.
  extent([kind, , , lane, target]) {
    const ends = kind === "segment" ? [lane, target] : [lane ?? this.used[0]];
    const xs = ends.map((end) => this.lanes.xs[end]);
    return [Math.min(...xs) - EDGE, Math.max(...xs) + EDGE];
  }

  // Scrolls the page, so that neither the bar above nor the panel below covers a thing.
  uncover(key) {
    const box = this.element(key)?.getBoundingClientRect();
    if (!box) return;
    const top =
      (document.querySelector(".toolbar")?.getBoundingClientRect().bottom ?? 0) + this.headHeight();
    const panel = document.querySelector(".detail:not([hidden])");
    const covers = panel && getComputedStyle(panel).position === "fixed";
    const bottom = covers ? panel.getBoundingClientRect().top : window.innerHeight;
    if (box.top > top && box.bottom < bottom - ROW) return;
    window.scrollBy({ top: box.top - (top + bottom) / 2, behavior: "instant" });
  }

  // --- Printing: all of it, as wide as the paper ---

  print(on, width) {
    this.whole = on;
    const rows = this.kept ?? this.rows;
    this.kept = on ? rows : null;
    this.rows = on ? rows.slice(0, PRINTED_ROWS) : rows;
    this.arrange(on ? width : this.frame.clientWidth);
    return on ? Math.max(0, rows.length - PRINTED_ROWS) : 0;
  }
}

function measureCell(drawing) {
  const probe = shapes.text(0, 0, "halo", "start", "0".repeat(50));
  drawing.append(probe);
  const width = probe.getComputedTextLength() / 50;
  probe.remove();
  return width || 7.3;
}
