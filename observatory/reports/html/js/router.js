// The address carries the selection, and the keyboard walks from cause to effect.

const THING = /^#(call|segment|kernel)-(\d+)$/;
const CONNECTION = /^#connection-(\d+)$/;

// `order` gives the keys that are shown, from first to last; `showConnection` shows one by its id.
export function route({ model, selection, order, showConnection }) {
  const trail = []; // where the walk came from, to walk back the same way
  let walking = false;

  // Goes where an address's fragment says.
  const go = (hash) => {
    const connection = CONNECTION.exec(hash);
    if (connection) showConnection(Number(connection[1]));
    else if (THING.test(hash) && model().get(hash.slice(1))) selection.pin(hash.slice(1));
    else if (!hash) selection.pin(null);
    else reveal(hash.slice(1));
  };
  window.addEventListener("hashchange", () => go(location.hash));

  // In a page inside another one (a notebook's frame) links to a fragment would lead away, and there
  // is no address to change: they are followed here.
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    const hash = link.getAttribute("href");
    address("pushState", hash);
    go(hash);
  });

  selection.subscribe(() => {
    if (!walking) trail.length = 0;
    const hash = selection.pinned === null ? "" : `#${selection.pinned}`;
    if (selection.pinned === null && !THING.test(location.hash)) return;
    if (location.hash !== hash) address("replaceState", hash);
  });

  const walk = (key) => {
    if (!key) return;
    walking = true;
    selection.pin(key);
    walking = false;
  };

  const steps = {
    ArrowRight: (key) => {
      const ahead = model()
        .effects(key)
        .map((tie) => tie.key)
        .filter((next) => !trail.includes(next));
      if (!ahead.length) return;
      trail.push(key);
      walk(ahead[0]);
    },
    ArrowLeft: (key) => {
      if (trail.length) walk(trail.pop());
      else walk(model().causes(key)[0]?.key);
    },
    ArrowDown: (key) => walk(neighbour(order(), key, 1)),
    ArrowUp: (key) => walk(neighbour(order(), key, -1)),
    Escape: () => selection.pin(null),
  };

  document.addEventListener("keydown", (event) => {
    if (
      event.altKey ||
      event.ctrlKey ||
      event.metaKey ||
      event.target.closest("input, select, textarea")
    )
      return;
    const step = steps[event.key];
    if (!step) return;
    const key = selection.pinned ?? event.target.closest?.("[data-key]")?.dataset.key ?? null;
    if (key === null) {
      // Down enters the ladder from where the keyboard is in it; elsewhere keys scroll the page.
      return;
    }
    event.preventDefault();
    step(key);
  });

  go(location.hash);
}

function neighbour(keys, key, way) {
  const at = keys.indexOf(key);
  return at === -1 ? keys[0] : keys[at + way];
}

function address(how, hash) {
  try {
    history[how](null, "", hash || location.pathname + location.search);
  } catch {
    // A page inside another one may not have an address of its own.
  }
}

function reveal(id) {
  const section = document.getElementById(id);
  section?.scrollIntoView({ block: "start" });
  section?.focus({ preventScroll: true });
}
