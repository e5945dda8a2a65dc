// How it was captured, what was lost, and what is in force on this machine.

import { clear, el, grouped, say, visible } from "./text.js";

export function showRun(frame, model) {
  const { run, processes, coverage } = model.document;
  clear(
    frame,
    el(
      "div",
      { class: "run-grid" },
      [
        captured(run, model),
        coverageCard(coverage),
        topology(run),
        list("settings", Object.entries(run.settings)),
        counters(run),
        witness(run),
        processTable(processes),
      ].filter(Boolean),
    ),
    differences(model),
    remarks(run),
  );
}

export function showCoverage(frame, model) {
  const { coverage } = model.document;
  const whole =
    coverage.segments === coverage.segments_attributed &&
    coverage.calls === coverage.calls_explained &&
    !coverage.dropped;
  const part = (key, values) => el("span", {}, say(key, values));
  clear(
    frame,
    el("span", { class: whole ? "sign" : "sign alarm", "aria-hidden": "true" }, whole ? "✓" : "!"),
    part("coverage-segments", {
      all: grouped(coverage.segments),
      some: grouped(coverage.segments_attributed),
    }),
    part("coverage-calls", {
      all: grouped(coverage.calls),
      some: grouped(coverage.calls_explained),
    }),
    coverage.uncertain ? part("coverage-uncertain", { count: grouped(coverage.uncertain) }) : null,
    coverage.agreed || coverage.contradicted
      ? part("coverage-kernel", {
          agreed: grouped(coverage.agreed),
          contradicted: grouped(coverage.contradicted),
        })
      : null,
    part("coverage-lost", { count: grouped(coverage.dropped) }),
  );
}

function captured(run, model) {
  const started =
    run.started_ns === null
      ? null
      : new Date(Number(BigInt(model.drawing.start_ns) / 1000000n))
          .toISOString()
          .replace("T", " ")
          .replace("Z", " UTC");
  const interfaces = run.interfaces.map(
    (one) =>
      `${one.name}${one.captured === null ? "" : ` (${say("interface-counts", { captured: grouped(one.captured), dropped: one.dropped === null ? "?" : grouped(one.dropped) })})`}`,
  );
  return list("captured", [
    [say("run-command"), run.command],
    [say("run-started"), started],
    [say("run-kernel"), run.kernel],
    [say("run-interfaces"), interfaces.join(", ")],
    [say("run-method"), run.capture_method],
    [say("run-calls"), run.sources.calls ?? say("none-recorded")],
    [say("run-segments"), run.sources.segments],
    [say("run-events"), run.sources.kernel ?? run.unwatched ?? null],
    [say("run-version"), run.version],
  ]);
}

function coverageCard(coverage) {
  return list("coverage", [
    [
      say("coverage-calls-name"),
      `${grouped(coverage.calls_explained)} / ${grouped(coverage.calls)}`,
    ],
    [
      say("coverage-segments-name"),
      `${grouped(coverage.segments_attributed)} / ${grouped(coverage.segments)}`,
    ],
    [say("coverage-uncertain-name"), grouped(coverage.uncertain)],
    [say("coverage-lost-name"), grouped(coverage.dropped)],
    ...["agreed", "contradicted", "silent"]
      .filter((name) => coverage.agreed || coverage.contradicted || coverage.silent)
      .map((name) => [say(`coverage-${name}`), grouped(coverage[name])]),
  ]);
}

// Where the kernel contradicts what was concluded.
function differences(model) {
  const found = model.document.differences ?? [];
  if (!found.length) return null;
  const keys = (one) =>
    ["segment", "call", "kernel"].flatMap((kind) =>
      one[kind === "kernel" ? kind : `${kind}s`].map((id) => `${kind}-${id}`),
    );
  const links = (one) =>
    keys(one).flatMap((key) => [
      " ",
      el("a", { class: "chip", href: `#${key}` }, model.short(key)),
    ]);
  return el(
    "section",
    { class: "card differences" },
    el("h3", {}, say("differences")),
    el(
      "ul",
      {},
      found.map((one) =>
        el(
          "li",
          {},
          el("b", {}, visible(one.subject)),
          ": ",
          say("ours-and-kernels", { ours: one.ours, kernels: one.kernels }),
          links(one),
        ),
      ),
    ),
  );
}

function list(name, rows) {
  const shown = rows.filter(([, value]) => value !== null && value !== undefined && value !== "");
  if (!shown.length) return null;
  return el(
    "section",
    { class: "card" },
    el("h3", {}, say(`run-card-${name}`)),
    el(
      "dl",
      { class: "facts" },
      shown.map(([key, value]) => [el("dt", {}, visible(key)), el("dd", {}, visible(value))]),
    ),
  );
}

function topology(run) {
  if (!run.topology) return null;
  const { nodes, links, faults } = run.topology;
  const addresses = (node) =>
    node.addresses.map((one) => `${one.interface} ${one.address}`).join(", ");
  return el(
    "section",
    { class: "card" },
    el("h3", {}, say("run-card-topology")),
    el(
      "ul",
      {},
      nodes.map((node) =>
        el(
          "li",
          {},
          el("b", {}, visible(node.name)),
          node.router ? ` (${say("router")})` : "",
          " ",
          visible(addresses(node)),
        ),
      ),
      links.map((link) =>
        el("li", {}, visible(link.ends.join(" — ")), link.relay ? ` · ${visible(link.relay)}` : ""),
      ),
    ),
    faults.length
      ? [
          el("h4", {}, say("faults")),
          el(
            "ol",
            {},
            faults.map((fault) => el("li", {}, visible(fault))),
          ),
        ]
      : null,
  );
}

function counters(run) {
  const rows = (run.counters ?? []).map((one) => [
    one.host ? `${one.host}: ${one.name}` : one.name,
    `${one.exact ? "" : "≤ "}+${grouped(one.after - one.before)}`,
  ]);
  return rows.length ? list("counters", rows) : null;
}

function witness(run) {
  if (!run.witness) return null;
  const { watched, missing, lost, foreign } = run.witness;
  return list("witness", [
    [say("witness-watched"), watched.join(", ")],
    [say("witness-missing"), missing.join("; ")],
    [say("witness-lost"), grouped(lost)],
    [say("witness-foreign"), grouped(foreign)],
  ]);
}

function processTable(processes) {
  if (!processes.length) return null;
  const ended = (one) =>
    one.signal
      ? say("killed-by", { signal: one.signal })
      : one.status === null
        ? ""
        : say("exit-status", { status: one.status });
  return el(
    "section",
    { class: "card wide" },
    el("h3", {}, say("run-card-processes")),
    el(
      "div",
      { class: "scroll-x", tabindex: 0 },
      el(
        "table",
        { class: "plain" },
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            ["pid", "process", "parent", "command", "ended"].map((name) =>
              el("th", { scope: "col" }, say(`column-${name}`)),
            ),
          ),
        ),
        el(
          "tbody",
          {},
          processes.map((one) =>
            el(
              "tr",
              {},
              [one.pid, one.role, one.parent ?? "", one.command, ended(one)].map((value) =>
                el("td", {}, visible(value)),
              ),
            ),
          ),
        ),
      ),
    ),
  );
}

function remarks(run) {
  const notes = run.notes.filter((note) => !run.defects.includes(note));
  const lost = run.interfaces
    .filter((one) => one.dropped)
    .map((one) => say("interface-lost", { name: one.name, count: grouped(one.dropped) }));
  const missing = [...lost, ...run.defects.map(visible)];
  return [
    el("h3", {}, say("missing")),
    missing.length
      ? el(
          "ul",
          { class: "defects" },
          missing.map((text) => el("li", {}, text)),
        )
      : el("p", { class: "quiet" }, say("nothing-missing")),
    notes.length
      ? [
          el("h3", {}, say("notes")),
          el(
            "ul",
            {},
            notes.map((text) => el("li", {}, visible(text))),
          ),
        ]
      : null,
  ].flat();
}
