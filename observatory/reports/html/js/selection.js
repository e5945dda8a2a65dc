// What is pointed at and what is pinned. Whoever shows things subscribes and redraws.

export class Selection {
  constructor() {
    this.hovered = null;
    this.pinned = null;
    this.listeners = [];
  }

  // What is in the light: what is pointed at, or else what is pinned.
  get active() {
    return this.hovered ?? this.pinned;
  }

  subscribe(listener) {
    this.listeners.push(listener);
  }

  hover(key) {
    if (key === this.hovered) return;
    this.hovered = key;
    this.tell({ moved: false });
  }

  // `reveal`: bring it into view, as when it was chosen elsewhere than where it is drawn.
  pin(key, reveal = true) {
    this.hovered = null;
    const changed = key !== this.pinned;
    this.pinned = key;
    this.tell({ moved: changed && key !== null, reveal });
  }

  toggle(key, reveal = false) {
    this.pin(key === this.pinned ? null : key, reveal);
  }

  tell(change) {
    for (const listener of this.listeners) listener(change);
  }
}

// Makes everything with a data-key inside `root` light up when pointed at and pinned when clicked.
export function follow(root, selection) {
  const keyOf = (event) => event.target.closest?.("[data-key]")?.dataset.key ?? null;
  root.addEventListener("pointerover", (event) => {
    if (event.pointerType !== "touch") selection.hover(keyOf(event));
  });
  root.addEventListener("pointerleave", () => selection.hover(null));
  root.addEventListener("click", (event) => {
    const key = keyOf(event);
    if (key === null || event.target.closest("a")) return;
    selection.toggle(key);
  });
  root.addEventListener("keydown", (event) => {
    const key = keyOf(event);
    if (key === null || (event.key !== "Enter" && event.key !== " ") || event.target.closest("a"))
      return;
    event.preventDefault();
    selection.toggle(key);
  });
}
