// Puts the parts together: the document in, the page out.

import { Filter, filterBar, NOTHING } from "./filters.js";
import { Ladder } from "./ladder.js";
import { Model, parseDocument } from "./model.js";
import { route } from "./router.js";
import { keyOf } from "./rows.js";
import { showCoverage, showRun } from "./run.js";
import { Selection } from "./selection.js";
import { Sequence } from "./sequence.js";
import { States } from "./states.js";
import { CALLS, KERNEL, SEGMENTS, Table } from "./tables.js";
import { clear, el, grouped, say, useMessages, visible } from "./text.js";
import { Why } from "./why.js";

const PAPER = 690; // px of an A4 page between its margins
const THEMES = ["auto", "light", "dark"];

const byId = (id) => document.getElementById(id);
const data = (id) => byId(id).textContent;

class Page {
  constructor(model) {
    this.model = model;
    this.selection = new Selection();
    this.wanted = NOTHING;
    this.ladder = new Ladder(byId("ladder"), model, this.selection);
    this.why = new Why(byId("why"), model, this.selection);
    this.tables = [
      ["calls", CALLS],
      ["segments", SEGMENTS],
      ["kernel", KERNEL],
    ].map(([name, definition]) => ({
      name,
      table: new Table(byId(name), definition, model, this.selection),
    }));
    this.states = new States(byId("states"), model);
    this.sequence = new Sequence(byId("sequence"), model, this.selection);
    filterBar(byId("filters"), model, (wanted) => this.filter(wanted));
    showRun(byId("run"), model);
    showCoverage(byId("coverage"), model);
    this.connections();
    this.legend();
    this.controls();
    this.filter(NOTHING);
    this.selection.subscribe(({ moved }) => moved && this.followConnection());
    route({
      model: () => this.model,
      selection: this.selection,
      order: () => this.order,
      showConnection: (id) => this.showConnection(id, true),
    });
    printing((on) => this.print(on));
  }

  // --- What is shown ---

  filter(wanted) {
    this.wanted = wanted;
    const filter = new Filter(this.model, wanted);
    const events = byId("events").checked;
    const rows = this.model.drawing.rows.filter(
      (row) => filter.row(row) && (events || row[0] !== "kernel"),
    );
    const lanes = this.lanes(wanted);
    this.order = [...new Set(rows.map(([kind, , id]) => keyOf(kind, id)).filter(Boolean))];
    this.ladder.show(
      rows.filter((row) => row[0] === "segment" || row[3] === null || lanes.includes(row[3])),
      lanes,
    );
    for (const { name, table } of this.tables) {
      const all = this.model.document[name];
      const shown = all.filter((one) => filter[name].has(one.id));
      table.show(shown);
      present(`${name}-section`, all.length > 0);
      clear(
        byId(`${name}-count`),
        shown.length === all.length
          ? grouped(all.length)
          : say("some-of", { some: grouped(shown.length), all: grouped(all.length) }),
      );
    }
    const { document: all } = this.model;
    clear(
      byId("shown"),
      filter.active
        ? say("shown", {
            calls: grouped(filter.calls.size),
            allCalls: grouped(all.calls.length),
            segments: grouped(filter.segments.size),
            allSegments: grouped(all.segments.length),
          })
        : "",
    );
    byId("nothing-shown").hidden = rows.length > 0;
    byId("ladder").hidden = rows.length === 0;
  }

  // Of the legend, what occurs.
  legend() {
    const { document: all, lost } = this.model;
    const seen = new Set(all.segments.map((one) => one.cause.kind));
    if (all.calls.length) seen.add("bar");
    if (all.kernel.length) seen.add("kernel");
    if (all.segments.some((one) => one.retransmission)) seen.add("again");
    if (lost.size)
      seen.add(all.segments.some((one) => one.sightings?.length) ? "lost" : "unanswered");
    for (const entry of document.querySelectorAll(".ladder-legend [data-of]"))
      entry.hidden = !seen.has(entry.dataset.of);
  }

  // The lanes that there are: those of processes that use no socket where these are asked for.
  lanes(wanted) {
    const { drawing, aside } = this.model;
    const used = new Set();
    for (const [kind, , id, lane, target] of drawing.rows) {
      if (kind === "segment") used.add(lane).add(target);
      else if (kind !== "end" && kind !== "kernel" && (wanted.aside || !aside.has(id)))
        used.add(lane);
    }
    drawing.lanes.forEach((lane, number) => lane.router && used.add(number));
    if (!used.size) drawing.lanes.forEach((_, number) => used.add(number));
    return [...used].sort((a, b) => a - b);
  }

  // --- Connections ---

  connections() {
    const all = this.model.document.connections;
    present("connections-section", all.length > 0);
    clear(byId("connections-count"), grouped(all.length));
    if (!all.length) return;
    const choice = byId("connection-choice");
    choice.replaceChildren(
      ...all.map((one) =>
        el("option", { value: one.id }, visible(`${one.id}: ${one.client} → ${one.server}`)),
      ),
    );
    choice.closest("label").hidden = all.length === 1;
    choice.addEventListener("change", () => this.showConnection(Number(choice.value)));
    this.showConnection(all[0].id);
  }

  showConnection(id, reveal = false) {
    const connection = this.model.connections.get(id);
    if (!connection) return;
    this.shownConnection = id;
    byId("connection-choice").value = id;
    const facts = [
      [say("fact-opened"), this.why.links.linked(connection.opened)],
      [say("fact-closed"), this.why.links.linked(connection.closed)],
      [say("fact-seen"), visible(connection.complete)],
      [say("fact-to-server"), grouped(connection.client_bytes)],
      [say("fact-to-client"), grouped(connection.server_bytes)],
      [say("fact-again"), grouped(connection.retransmissions)],
    ];
    clear(
      byId("connection-facts"),
      facts.map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]),
    );
    this.states.show(connection);
    this.sequence.show(connection);
    if (reveal) byId("connections-section").scrollIntoView({ block: "start" });
  }

  followConnection() {
    const id = this.model.get(this.selection.pinned)?.connection;
    if (id && id !== this.shownConnection) this.showConnection(id);
  }

  // --- Controls beside the filters ---

  controls() {
    const scale = byId("scale");
    const zoom = byId("zoom");
    const update = () => {
      zoom.closest("label").hidden = !scale.checked;
      this.ladder.set({ scale: scale.checked, zoom: 2 ** Number(zoom.value) });
    };
    scale.addEventListener("change", update);
    zoom.addEventListener("input", update);
    const events = byId("events");
    events.closest("label").hidden = this.model.document.kernel.length === 0;
    events.addEventListener("change", () => this.filter(this.wanted));
    byId("plot-scale").addEventListener("change", (event) =>
      this.sequence.set({ scale: event.target.checked }),
    );
    const theme = byId("theme");
    theme.addEventListener("click", () => {
      const next = THEMES[(THEMES.indexOf(theme.dataset.theme) + 1) % THEMES.length];
      theme.dataset.theme = next;
      document.documentElement.dataset.theme = next;
      clear(theme, say(`theme-${next}`));
    });
  }

  print(on) {
    const left = this.ladder.print(on, PAPER);
    for (const { table } of this.tables) table.print(on);
    this.sequence.show(this.model.connections.get(this.shownConnection), on ? PAPER : undefined);
    clear(byId("left-out"), left ? say("printed-first", { count: grouped(left) }) : "");
  }
}

// Shows a section that has something in it, and the link to it.
function present(id, there) {
  byId(id).hidden = !there;
  document.querySelector(`nav a[href="#${id}"]`).hidden = !there;
}

function printing(print) {
  window.addEventListener("beforeprint", () => print(true));
  window.addEventListener("afterprint", () => print(false));
}

function start() {
  useMessages(JSON.parse(data("messages")));
  const drawing = JSON.parse(data("drawing"));
  window.observatory = new Page(
    new Model(parseDocument(data("document"), drawing.start_ns), drawing),
  );
  document.documentElement.dataset.ready = "true";
}

start();
