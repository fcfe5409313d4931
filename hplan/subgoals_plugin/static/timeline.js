/** The timeline: a lane for each level over the env steps, with a cursor and a brush. */

import { activeAt } from "./data.js";
import { html, nodeAt, onDrag, svg } from "./dom.js";
import { AXIS, drawAxis, drawLane, energyLabel, LANE, lanesOf, sparkline } from "./lanes.js";
import { sentence } from "./words.js";

export const GUTTER = 130; // pixels left of the plot, for the names of the lanes
const PAD = 10;
const ZOOM = { least: 1, most: 40 };

export class TimelineView {
  /** @param actions {select(id, step), moment(step), brush(from, to), hover(id, event),
   *    scaled(), scrolled(left)} */
  constructor(actions) {
    this.actions = actions;
    this.zoom = 1;
    this.lanes = [];
    this.span = svg("rect", { class: "span", visibility: "hidden" });
    this.lanesGroup = svg("g");
    this.chosenSpark = svg("path", { class: "spark chosen" });
    this.cursor = svg("path", { class: "cursor" });
    this.cursorText = svg("text", { class: "cursor-text", y: 13 });
    this.svg = svg(
      "svg", { class: "drawing" },
      this.span, this.lanesGroup, this.chosenSpark, this.cursor, this.cursorText,
    );
    this.scroll = html(
      "div",
      {
        class: "timeline-scroll", role: "slider", tabindex: "0", "aria-label": "Env step",
        "aria-valuemin": "0",
      },
      this.svg,
    );
    this.gutter = html("div", { class: "gutter" });
    this.gutter.style.width = `${GUTTER}px`;
    this.element = html("div", { class: "timeline" }, this.gutter, this.scroll);
    this.scale = (step) => {
      const part = Math.min(step, this.tree.steps) / this.tree.steps;
      return PAD + part * (this.width - 2 * PAD);
    };
    this.listen();
  }

  listen() {
    onDrag(this.svg, (down) => {
      const first = this.stepAt(down);
      return {
        move: (event) => {
          const steps = [first, this.stepAt(event)].sort((a, b) => a - b);
          this.actions.brush(...steps);
        },
        end: (event, moved) => {
          if (moved) return;
          const id = nodeAt(down);
          if (id === null) this.actions.moment(first);
          else this.actions.select(id, first);
        },
      };
    });
    this.svg.addEventListener("pointerover", (event) => this.actions.hover(nodeAt(event), event));
    this.svg.addEventListener("pointerleave", (event) => this.actions.hover(null, event));
    this.scroll.addEventListener("scroll", () => this.actions.scrolled(this.scroll.scrollLeft));
    this.scroll.addEventListener("keydown", (event) => this.onKey(event));
    this.scroll.addEventListener(
      "wheel",
      (event) => {
        if (!event.ctrlKey && !event.metaKey) return;
        event.preventDefault();
        this.zoomBy(Math.exp(-event.deltaY / 300), event);
      },
      { passive: false },
    );
  }

  /** @param matches (node) => bool; the others are drawn faintly */
  draw(tree, matches) {
    if (tree !== this.tree) this.lanes = lanesOf(tree);
    this.tree = tree;
    this.matches = matches;
    this.width = Math.max(100, this.scroll.clientWidth) * this.zoom;
    this.height = AXIS + this.lanes.length * LANE;
    this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
    this.svg.setAttribute("width", this.width);
    this.svg.setAttribute("height", this.height);
    this.lanesGroup.replaceChildren(
      drawAxis(tree.steps, tree.goal.optimal_steps, this.scale, this.height),
      ...this.lanes.map((lane) => drawLane(lane, this.scale, matches)),
    );
    this.bars = new Map();
    for (const bar of this.lanesGroup.querySelectorAll(".bar")) {
      this.bars.set(Number(bar.dataset.node), bar);
    }
    this.gutter.replaceChildren(...this.lanes.map((lane) => this.laneName(lane)));
    this.scroll.setAttribute("aria-valuemax", String(tree.steps));
  }

  laneName(lane) {
    const name = html(
      "div",
      { class: "lane-name" },
      html("b", {}, `Level ${lane.level}`),
      html("span", {}, `${lane.plans.length} ${lane.plans.length === 1 ? "plan" : "plans"}`),
      html("span", { title: [...lane.most.keys()].join(", ") }, energyLabel(lane)),
    );
    name.style.top = `${lane.top + 8}px`;
    return name;
  }

  /** The selected plan, the env step of the cursor, and the stretch that is shaded. */
  setSelected(id, moment, [from, to], marked) {
    for (const bar of this.lanesGroup.querySelectorAll(".selected")) {
      bar.classList.remove("selected");
    }
    const node = this.tree.nodes.get(id);
    this.bars.get(id)?.classList.add("selected");
    const lane = this.lanes.find(({ level }) => id && level === node?.attributes.level);
    this.chosenSpark.setAttribute("d", lane ? sparkline(node, lane, this.scale) : "");
    Object.assign(this, { selected: id, moment });
    const x = this.scale(moment);
    this.cursor.setAttribute("d", `M${x} 0V${this.height}`);
    this.cursorText.textContent = `env step ${moment}`;
    const right = x > this.width - 90;
    this.cursorText.setAttribute("x", right ? x - 4 : x + 4);
    this.cursorText.setAttribute("text-anchor", right ? "end" : "start");
    this.span.setAttribute("visibility", from === null ? "hidden" : "visible");
    this.span.setAttribute("x", this.scale(from ?? 0));
    this.span.setAttribute("width", Math.max(1, this.scale(to ?? 0) - this.scale(from ?? 0)));
    this.span.setAttribute("height", this.height);
    for (const [other, bar] of this.bars) bar.classList.toggle("marked", marked.has(other));
    this.say();
  }

  say() {
    const active = [...activeAt(this.tree, this.moment).values()];
    active.sort((a, b) => b.attributes.level - a.attributes.level);
    this.scroll.setAttribute("aria-valuenow", String(this.moment));
    const text = [`env step ${this.moment}`, ...active.map(sentence)].join("; ");
    this.scroll.setAttribute("aria-valuetext", text);
  }

  setHover(id) {
    this.hovered?.classList.remove("hover");
    this.hovered = id === null ? null : this.bars.get(id);
    this.hovered?.classList.add("hover");
  }

  /** Scrolls as little as needed to see an env step. */
  reveal(step) {
    const x = this.scale(step);
    const { scrollLeft, clientWidth } = this.scroll;
    if (x < scrollLeft + PAD) this.scroll.scrollLeft = x - clientWidth / 4;
    else if (x > scrollLeft + clientWidth - PAD) this.scroll.scrollLeft = x - (clientWidth * 3) / 4;
  }

  /** Stretches the env steps by a factor, about the pointer or the cursor; 0 shows all of them. */
  zoomBy(factor, event = null) {
    const { left, width } = this.scroll.getBoundingClientRect();
    const at = event ? event.clientX - left : this.scale(this.moment) - this.scroll.scrollLeft;
    const x = Math.min(width, Math.max(0, at));
    const part = (this.scroll.scrollLeft + x) / this.width;
    this.zoom = Math.min(ZOOM.most, Math.max(ZOOM.least, this.zoom * factor));
    this.actions.scaled();
    this.scroll.scrollLeft = part * this.width - x;
  }

  stepAt(event) {
    const x = event.clientX - this.svg.getBoundingClientRect().left;
    const plot = this.scale(this.tree.steps) - this.scale(0);
    const step = Math.floor(((x - PAD) * this.tree.steps) / plot + 0.5);
    return Math.min(this.tree.steps, Math.max(0, step));
  }

  onKey(event) {
    if (!this.tree || event.ctrlKey || event.metaKey || event.altKey) return;
    const by = event.shiftKey ? 10 : 1;
    const go = (step) => this.actions.moment(Math.min(this.tree.steps, Math.max(0, step)));
    const steps = {
      ArrowRight: () => go(this.moment + by),
      ArrowLeft: () => go(this.moment - by),
      Home: () => go(0),
      End: () => go(this.tree.steps),
      ArrowUp: () => this.stepAcross(-1),
      ArrowDown: () => this.stepAcross(1),
    };
    if (!Object.hasOwn(steps, event.key)) return;
    event.preventDefault();
    steps[event.key]();
  }

  /** To the plan of the next lane that is active at the cursor. */
  stepAcross(by) {
    const active = activeAt(this.tree, this.moment);
    const levels = this.tree.levels.filter((level) => active.has(level));
    const here = levels.indexOf(this.tree.nodes.get(this.selected)?.attributes.level);
    const level = here < 0 ? levels[0] : levels[here + by];
    if (active.has(level)) this.actions.select(active.get(level).id, this.moment);
  }
}
