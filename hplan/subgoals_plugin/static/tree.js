/**
 * The tree: cards in one SVG, in a box that scrolls. Of a large tree only the cards in or near the
 * sight are in the page; its whole extent scrolls all the same.
 */

import { card, setOpen } from "./card.js";
import { html, svg } from "./dom.js";
import { branches, columnLayout, timeLayout } from "./layout.js";
import { GUTTER } from "./timeline.js";
import { listen } from "./tree_input.js";

const ZOOM = { least: 0.1, most: 2 };
export const READABLE = 0.85; // zoom
const ALL_DRAWN = 200; // nodes: up to so many, all are in the page
const NEAR = 600; // pixels around the sight
let views = 0;

export class TreeView {
  /**
   * @param actions {select(id), toggle(id), hover(id or null, event), brush(set of ids),
   *   zoomTime(factor, event), scrolled(left)}
   */
  constructor(actions) {
    views += 1;
    this.prefix = `subgoals-tree-${views}`;
    this.actions = actions;
    this.zoom = 1;
    this.cards = new Map();
    this.state = { selected: 0, above: new Set(), marked: new Set(), hovered: null };
    this.cursor = svg("path", { class: "cursor" });
    this.branches = svg("path", { class: "branches" });
    this.lineage = svg("path", { class: "lineage" });
    this.box = svg("rect", { class: "brush", visibility: "hidden" });
    this.plot = svg("g");
    this.svg = svg(
      "svg", { class: "drawing", role: "none" },
      this.cursor, this.branches, this.lineage, this.plot, this.box,
    );
    this.header = html("div", { class: "columns", "aria-hidden": "true" });
    this.scroll = html(
      "div",
      { class: "tree-scroll", role: "tree", tabindex: "0", "aria-label": "Subgoal tree" },
      this.header,
      this.svg,
    );
    this.gutter = html("div", { class: "gutter", "aria-hidden": "true" });
    this.gutter.style.width = `${GUTTER}px`;
    this.element = html("div", { class: "tree" }, this.gutter, this.scroll);
    listen(this);
    this.scroll.addEventListener("scroll", () => this.onScroll());
  }

  /** @param view {visible, closed, found: set or null, along, scale} */
  draw(tree, { visible, closed, found, along, scale }) {
    if (tree !== this.tree || along || this.along) this.cards.clear();
    Object.assign(this, { tree, along, closed, found, scale, visible });
    this.layout = along ? timeLayout(tree, visible, scale) : columnLayout(tree, visible);
    const path = visible.map(({ node }) => branches(node, this.layout.boxes, along));
    this.branches.setAttribute("d", path.join(""));
    this.element.classList.toggle("along", along);
    this.resize();
  }

  /** The stretch of the drawing that is in sight or near it, in its own units. */
  sight() {
    const { scrollLeft, scrollTop, clientWidth, clientHeight } = this.scroll;
    const zoom = this.along ? 1 : this.zoom;
    return {
      left: (scrollLeft - NEAR) / zoom,
      right: (scrollLeft + clientWidth + NEAR) / zoom,
      top: (scrollTop - NEAR) / zoom,
      bottom: (scrollTop + clientHeight + NEAR) / zoom,
    };
  }

  /** Puts the cards that are in sight into the page. */
  paint() {
    const { boxes } = this.layout;
    const sight = this.sight();
    this.painted = { left: this.scroll.scrollLeft, top: this.scroll.scrollTop };
    const shown = document.createDocumentFragment();
    for (const item of this.visible) {
      const box = boxes.get(item.node);
      const near =
        box.x < sight.right && box.x + box.width > sight.left &&
        box.y < sight.bottom && box.y + box.height > sight.top;
      const always = this.visible.length <= ALL_DRAWN || item.node.id === this.state.selected;
      if (near || always) shown.append(this.dressed(item, this.cards));
    }
    this.plot.replaceChildren(shown);
    this.scroll.removeAttribute("aria-activedescendant");
    const chosen = this.drawn(this.state.selected);
    if (chosen) this.scroll.setAttribute("aria-activedescendant", chosen.id);
  }

  onScroll() {
    if (this.along) this.actions.scrolled(this.scroll.scrollLeft);
    if (!this.visible || this.visible.length <= ALL_DRAWN) return;
    const { scrollLeft, scrollTop } = this.scroll;
    const far = Math.hypot(scrollLeft - this.painted.left, scrollTop - this.painted.top);
    if (far > NEAR / 2) this.paint();
  }

  /** The card of a node as it is to look now; those made are kept. */
  dressed({ node, context }, kept) {
    const box = this.layout.boxes.get(node);
    const group = kept.get(node.id) ?? card(node, box, this.prefix);
    kept.set(node.id, group);
    const { selected, above, marked, hovered } = this.state;
    group.setAttribute("transform", `translate(${box.x} ${box.y})`);
    group.setAttribute("aria-selected", String(node.id === selected));
    const missed = this.found !== null && !this.found.has(node.id);
    const classes = {
      context: context || missed, found: this.found?.has(node.id) ?? false,
      selected: node.id === selected, above: above.has(node.id), marked: marked.has(node.id),
      hover: node.id === hovered,
    };
    for (const [name, on] of Object.entries(classes)) group.classList.toggle(name, on);
    setOpen(group, node, !this.closed.has(node.id));
    return group;
  }

  resize() {
    const zoom = this.along ? 1 : this.zoom;
    const { width, height, columns } = this.layout;
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("width", width * zoom);
    this.svg.setAttribute("height", height * zoom);
    const named = (level, side, pixels) => {
      const name = html("span", {}, level === null ? "Goal" : `Level ${level}`);
      name.style[side] = `${pixels}px`;
      return name;
    };
    this.header.replaceChildren(...columns.map(({ x, level }) => named(level, "left", x * zoom)));
    this.header.style.width = `${width * zoom}px`;
    const rows = this.layout.rows ?? [];
    this.gutter.replaceChildren(...rows.map(({ y, level }) => named(level, "top", y + 6)));
    this.paint();
  }

  /** The selected node with the way up to the goal, and the env step of the cursor. */
  setSelected(id, moment, marked) {
    const above = new Set();
    let path = "";
    for (let node = this.tree.nodes.get(id); node?.parent; node = node.parent) {
      above.add(node.parent.id);
      path += branches({ ...node.parent, children: [node] }, this.boxesOf(node), this.along);
    }
    this.lineage.setAttribute("d", path);
    const x = this.along ? this.scale(moment) : 0;
    this.cursor.setAttribute("d", this.along ? `M${x} 0V${this.layout.height}` : "");
    Object.assign(this.state, { selected: id, above, marked });
    this.paint();
  }

  /** Boxes for one branch alone: of a node that is drawn, and of its parent. */
  boxesOf(node) {
    const { boxes } = this.layout;
    const own = new Map([[node, boxes.get(node)]]);
    return { get: (key) => own.get(key) ?? (own.has(key) ? undefined : boxes.get(node.parent)) };
  }

  setHover(id) {
    this.drawn(this.state.hovered)?.classList.remove("hover");
    this.state.hovered = id;
    this.drawn(id)?.classList.add("hover");
  }

  drawn(id) {
    const group = this.cards.get(id);
    return group?.isConnected ? group : null;
  }

  /** Scrolls as little as needed to see a node. */
  reveal(id) {
    const box = this.layout.boxes.get(this.tree.nodes.get(id));
    if (!box) return;
    if (this.along) return this.drawn(id)?.scrollIntoView({ block: "nearest", inline: "nearest" });
    const { scroll, zoom } = this;
    const height = scroll.clientHeight - this.header.offsetHeight;
    const [x, width] = [box.x * zoom, box.width * zoom];
    scroll.scrollTop = revealed(scroll.scrollTop, height, box.y * zoom, box.height * zoom);
    scroll.scrollLeft = revealed(scroll.scrollLeft, scroll.clientWidth, x, width);
  }

  /** Makes it larger by a factor, a point of the screen staying where it is. */
  zoomBy(factor, event = null) {
    if (this.along) return this.actions.zoomTime(factor, event);
    const before = this.zoom;
    this.zoom = Math.min(ZOOM.most, Math.max(ZOOM.least, before * factor));
    const frame = this.scroll.getBoundingClientRect();
    const x = event ? event.clientX - frame.left : frame.width / 2;
    const y = event ? event.clientY - frame.top : frame.height / 2;
    const grown = this.zoom / before;
    const left = (this.scroll.scrollLeft + x) * grown - x;
    const top = (this.scroll.scrollTop + y) * grown - y;
    this.resize();
    this.scroll.scrollTo(left, top);
  }

  /** All of it in sight. */
  fit() {
    if (this.along) return this.actions.zoomTime(0, null);
    const { width, height } = this.layout;
    const { clientWidth, clientHeight } = this.scroll;
    const room = clientHeight - this.header.offsetHeight;
    this.zoomTo(Math.min(1, clientWidth / width, room / height));
  }

  /** Its beginning, large enough to read, and all levels if there is room. */
  begin() {
    if (!this.along) this.zoomTo(Math.min(1, this.scroll.clientWidth / this.layout.width), READABLE);
  }

  zoomTo(zoom, least = ZOOM.least) {
    this.zoom = Math.max(least, zoom);
    this.scroll.scrollTo(0, 0);
    this.resize();
  }

  /** A copy of the drawing with all cards, in sight or not. */
  whole() {
    const copy = this.svg.cloneNode(true);
    const kept = new Map();
    const cards = this.visible.map((item) => this.dressed(item, kept));
    copy.children[[...this.svg.children].indexOf(this.plot)].replaceChildren(...cards);
    return copy;
  }
}

/** Where to scroll so that a stretch is in sight. */
function revealed(position, size, from, length) {
  const [start, end] = [from - 8, from + length + 8];
  return start < position ? start : Math.max(position, Math.min(start, end - size));
}
