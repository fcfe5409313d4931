/** One tree with all its views: picker, filters, tree, timeline, scene, details. */

import { fetchTree, plansOf } from "./data.js";
import { button, html } from "./dom.js";
import { download, drawing, fileName } from "./export.js";
import { Filters } from "./filters.js";
import { visibleNodes } from "./layout.js";
import { Picker } from "./picker.js";
import { drawDetails, drawScene } from "./scene.js";
import { Selection } from "./selection.js";
import { TimelineView } from "./timeline.js";
import { READABLE, TreeView } from "./tree.js";
import { sentence, summary } from "./words.js";

const MOST_KEPT = 12; // trees
const MOST_CLOSED = 300; // node numbers in a link

export class Pane {
  /** @param changed () => void: the state or the tree is another */
  constructor(name, tooltip, changed) {
    this.changed = changed;
    this.kept = new Map();
    this.tree = null;
    this.selection = null;
    this.closed = new Set();
    this.along = false;
    this.tooltip = tooltip;
    this.build(name);
    new ResizeObserver(() => this.onResize()).observe(this.timeline.scroll);
  }

  build(name) {
    this.picker = new Picker((entry, step) => this.open(entry, step));
    this.filters = new Filters({
      changed: () => this.update(),
      next: (by) => this.nextFound(by),
      leave: () => this.treeView.scroll.focus(),
    });
    this.treeView = new TreeView({
      select: (id) => this.select(id),
      toggle: (id) => this.toggle(id),
      hover: (id, event) => this.hover(id, event, this.along || this.treeView.zoom < READABLE),
      brush: (ids) => this.brush((selection) => selection.brushNodes(ids)),
      zoomTime: (factor, event) => this.timeline.zoomBy(factor, event),
      scrolled: (left) => (this.timeline.scroll.scrollLeft = left),
    });
    this.timeline = new TimelineView({
      select: (id, step) => this.select(id, step),
      moment: (step) => this.moveTo(step),
      brush: (from, to) => this.brush((selection) => selection.brushSteps(from, to)),
      hover: (id, event) => this.hover(id, event, true),
      scaled: () => this.redraw(),
      scrolled: (left) => this.along && (this.treeView.scroll.scrollLeft = left),
    });
    this.message = html("p", { class: "message", role: "alert", hidden: true });
    this.summary = html("p", { class: "summary" });
    this.scene = html("div", { class: "scene", role: "group", "aria-label": "Scene" });
    this.details = html("div", { class: "details", role: "group", "aria-label": "Details" });
    const views = html("div", { class: "views" }, this.treeView.element, this.timeline.element);
    const side = html("aside", { class: "side" }, this.scene, this.details);
    this.element = html(
      "section",
      { class: "pane", "aria-label": `Tree ${name}` },
      this.picker.element, this.summary, this.message, this.tools(),
      html("div", { class: "body" }, views, side),
    );
  }

  tools() {
    const view = this.treeView;
    const zoom = (text, title, factor) => button(text, title, () => view.zoomBy(factor));
    this.layoutButton = button("Along time", "nodes above their env steps in the timeline", () => {
      this.along = !this.along;
      this.update();
      view.reveal(this.selection.node);
    });
    const closable = () => plansOf(this.tree).filter(({ children }) => children.length > 0);
    const actions = html(
      "div",
      { class: "actions" },
      button("Expand all", "show all plans", () => this.setClosed([])),
      button("Collapse all", "show only plans under the goal", () => this.setClosed(closable())),
      this.layoutButton,
      zoom("−", "smaller (ctrl and wheel)", 1 / 1.25),
      zoom("+", "larger (ctrl and wheel)", 1.25),
      button("Fit", "all in sight", () => view.fit()),
      button("SVG", "save the drawing", () => this.saveSvg()),
      button("JSON", "save the tree", () => this.save("json", "application/json", this.text)),
    );
    return html("div", { class: "tools" }, this.filters.searching, actions, this.filters.chips);
  }

  /** Fetches and shows a tree; `restored` is a state to come back to. */
  async open(entry, step, restored = null) {
    this.picker.set(entry, step);
    this.waiting?.abort();
    const waiting = (this.waiting = new AbortController());
    this.element.setAttribute("aria-busy", "true");
    try {
      const got = await this.fetch(entry, this.picker.step, waiting.signal);
      if (waiting.signal.aborted) return;
      this.show(got, restored);
    } catch (error) {
      if (waiting.signal.aborted) return;
      this.fail(error.message);
    }
    this.element.setAttribute("aria-busy", "false");
    this.changed();
  }

  async fetch(entry, step, signal) {
    const key = JSON.stringify([entry.run, entry.tag, step]);
    let got = this.kept.get(key);
    if (got) got.arrived = performance.now();
    else got = await fetchTree(entry.run, entry.tag, step, signal);
    this.kept.delete(key);
    this.kept.set(key, got);
    if (this.kept.size > MOST_KEPT) this.kept.delete(this.kept.keys().next().value);
    return got;
  }

  fail(line) {
    this.tree = null;
    this.element.classList.add("failed");
    this.say(`This tree cannot be shown: ${line}`);
    this.summary.textContent = "";
  }

  /** Says something above a tree that is shown. */
  say(line) {
    this.message.hidden = false;
    this.message.textContent = line;
  }

  show({ tree, text, arrived }, restored) {
    this.selection = new Selection(tree, this.selection?.moment);
    Object.assign(this, { tree, text, closed: new Set() });
    this.element.classList.remove("failed");
    this.message.hidden = true;
    if (restored) {
      this.selection.state = restored;
      this.closed = new Set((restored.closed ?? "").split(",").filter(Boolean).map(Number));
      this.along = Boolean(restored.along);
      this.filters.state = restored;
    }
    this.filters.setTree(tree);
    this.summary.textContent = this.summary.title = summary(tree);
    this.redraw();
    this.treeView.begin();
    this.treeView.reveal(this.selection.node);
    measure(arrived, this.treeView);
  }

  /** Draws everything anew, as filters, closed nodes and zoom are now. */
  redraw() {
    if (!this.tree) return;
    const matches = (node) => this.filters.matches(node);
    this.found = this.filters.found();
    this.layoutButton.setAttribute("aria-pressed", String(this.along));
    this.timeline.draw(this.tree, (n) => matches(n) && (this.found?.has(n.id) ?? true));
    this.treeView.draw(this.tree, {
      visible: visibleNodes(this.tree, matches, this.closed),
      closed: this.closed,
      found: this.found,
      along: this.along,
      scale: this.timeline.scale,
    });
    this.showSelection();
  }

  showSelection() {
    const { node, moment, stretch, marked } = this.selection;
    this.treeView.setSelected(node, moment, marked);
    this.timeline.setSelected(node, moment, stretch, marked);
    drawScene(this.scene, this.tree, node, moment);
    drawDetails(this.details, this.tree, node);
  }

  update() {
    this.redraw();
    this.changed();
  }

  /** To the next node that the search has found, in the order of the drawing. */
  nextFound(by) {
    if (!this.found?.size) return;
    const ids = [...this.tree.nodes.keys()].filter((id) => this.found.has(id));
    const at = ids.indexOf(this.selection.node);
    const start = at < 0 && by < 0 ? 0 : at;
    this.select(ids.at((start + by) % ids.length));
  }

  select(id, moment = null) {
    const node = this.tree.nodes.get(id);
    this.selection.choose(node, moment);
    this.openAbove(node);
    this.showSelection();
    this.treeView.reveal(id);
    this.timeline.reveal(this.selection.moment);
    this.changed();
  }

  /** A node that is out of sight under a closed one comes into sight. */
  openAbove(node) {
    let hidden = false;
    for (let above = node.parent; above; above = above.parent) {
      hidden = this.closed.delete(above.id) || hidden;
    }
    if (hidden) this.redraw();
  }

  moveTo(step) {
    this.selection.moveTo(step);
    this.showSelection();
    this.timeline.reveal(step);
    this.changed();
  }

  brush(apply) {
    apply(this.selection);
    this.showSelection();
    this.changed();
  }

  toggle(id) {
    if (this.tree.nodes.get(id).children.length === 0) return;
    if (!this.closed.delete(id)) this.closed.add(id);
    this.update();
  }

  setClosed(nodes) {
    this.closed = new Set(nodes.map(({ id }) => id));
    this.update();
  }

  hover(id, event, explain) {
    this.treeView.setHover(id);
    this.timeline.setHover(id);
    if (id === null || !explain) return this.tooltip.hide();
    this.tooltip.show(event, sentence(this.tree.nodes.get(id)));
  }

  onResize() {
    const { scroll, zoom, width } = this.timeline;
    if (this.tree && scroll.clientWidth > 50 && width !== scroll.clientWidth * zoom) this.redraw();
  }

  saveSvg() {
    const { entry, step } = this.picker;
    const title = `${entry.run}  ${entry.tag}  update ${step}`;
    this.save("svg", "image/svg+xml", drawing(title, this.treeView, this.timeline));
  }

  save(ending, type, text) {
    const { entry, step } = this.picker;
    download(fileName([entry.run, entry.tag, step], ending), type, text);
  }

  /** What a link holds of this pane: {key: text}. */
  get state() {
    const { entry, step } = this.picker;
    if (!entry) return {};
    return {
      run: entry.run, tag: entry.tag, step,
      ...(this.tree ? this.selection.state : {}),
      closed: this.closed.size > MOST_CLOSED ? "" : [...this.closed].join(","),
      along: this.along ? "1" : "",
      ...this.filters.state,
    };
  }
}

/** Milliseconds from the arrival of the data to the first frame after drawing. */
function measure(arrived, view) {
  requestAnimationFrame(() => {
    setTimeout(() => {
      const renderMs = performance.now() - arrived;
      window.__subgoals = { renderMs, nodes: view.visible.length };
    }, 0);
  });
}
