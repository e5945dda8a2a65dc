// The address carries the selection, and the keyboard walks from cause to effect.

const THING = /^#(call|segment|kernel)-(\d+)$/;
const CONNECTION = /^#connection-(\d+)$/;

// `order` gives the keys that are shown, from first to last; `connect` shows a connection.
export function route({ model, selection, order, showConnection }) {
  const trail = []; // where the walk came from, to walk back the same way
  let walking = false;

  const read = () => {
    const connection = CONNECTION.exec(location.hash);
    if (connection) showConnection(Number(connection[1]));
    if (THING.test(location.hash) && model().get(location.hash.slice(1))) selection.pin(location.hash.slice(1));
    else if (!location.hash) selection.pin(null);
  };
  window.addEventListener("hashchange", read);

  selection.subscribe(() => {
    if (!walking) trail.length = 0;
    const hash = selection.pinned === null ? "" : `#${selection.pinned}`;
    if (selection.pinned === null && !THING.test(location.hash)) return;
    if (location.hash === hash) return;
    try {
      history.replaceState(null, "", hash || location.pathname + location.search);
    } catch {
      // A page inside another one (a notebook's frame) has no address of its own.
    }
  });

  const walk = (key) => {
    if (!key) return;
    walking = true;
    selection.pin(key);
    walking = false;
  };

  const steps = {
    ArrowRight: (key) => {
      const ahead = model().effects(key).map((tie) => tie.key).filter((next) => !trail.includes(next));
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
    if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select, textarea")) return;
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

  return read;
}

function neighbour(keys, key, way) {
  const at = keys.indexOf(key);
  return at === -1 ? keys[0] : keys[at + way];
}
