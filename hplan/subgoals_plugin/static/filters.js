/** Which plans are shown (by level and outcome), and which are found by their text. */

import { plansOf } from "./data.js";
import { html, svg } from "./dom.js";
import { glyph, kind, meaning, OUTCOMES, sentence, spoken } from "./words.js";

const texts = new WeakMap();

export class Filters {
  /** @param actions {changed(), next(by), leave()} */
  constructor(actions) {
    this.actions = actions;
    this.hidden = { level: new Set(), outcome: new Set() };
    this.search = html("input", {
      type: "search", placeholder: "Search  ( / )", "aria-label": "Search the tree",
      title: "Words of a plan, as: expired level:0 cause:clock. Enter goes to the next one found.",
    });
    this.search.addEventListener("input", () => actions.changed());
    this.search.addEventListener("keydown", (event) => this.onKey(event));
    this.count = html("output", { class: "found-count" });
    this.chips = html("div", { class: "chips", role: "group", "aria-label": "Shown plans" });
    this.chips.addEventListener("click", (event) => this.onClick(event));
    this.searching = html("div", { class: "searching" }, this.search, this.count);
  }

  onKey(event) {
    if (event.key === "Enter") this.actions.next(event.shiftKey ? -1 : 1);
    if (event.key !== "Escape") return;
    this.search.value = "";
    this.actions.changed();
    this.actions.leave();
  }

  onClick(event) {
    const chip = event.target.closest("[data-field]");
    if (!chip) return;
    const { field, value } = chip.dataset;
    const hidden = this.hidden[field];
    if (!hidden.delete(value)) hidden.add(value);
    this.write();
    this.actions.changed();
  }

  setTree(tree) {
    this.tree = tree;
    const outcomes = new Map();
    const levels = new Map();
    for (const { attributes } of plansOf(tree)) {
      levels.set(attributes.level, (levels.get(attributes.level) ?? 0) + 1);
      outcomes.set(attributes.outcome, (outcomes.get(attributes.outcome) ?? 0) + 1);
    }
    const rank = (word) => (OUTCOMES.indexOf(word) + OUTCOMES.length) % OUTCOMES.length;
    const words = [...outcomes.keys()].sort((a, b) => rank(a) - rank(b));
    this.chips.replaceChildren(
      ...tree.levels.map((level) => chip("level", level, `Level ${level}`, levels.get(level))),
      ...words.map((word) => chip("outcome", word, spoken(word), outcomes.get(word))),
    );
    this.write();
  }

  write() {
    for (const element of this.chips.children) {
      const { field, value } = element.dataset;
      element.setAttribute("aria-pressed", String(!this.hidden[field].has(value)));
    }
  }

  /** Whether a plan passes the chips; the goal always does. */
  matches(node) {
    const { level, outcome } = node.attributes;
    if (node.id === 0) return true;
    return !this.hidden.level.has(String(level)) && !this.hidden.outcome.has(outcome);
  }

  /** The numbers of the nodes that hold every word of the search; null without one. */
  found() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    this.count.textContent = "";
    if (words.length === 0 || !this.tree) return null;
    const found = new Set();
    for (const node of this.tree.nodes.values()) {
      const text = textOf(node);
      if (words.every((word) => text.includes(word))) found.add(node.id);
    }
    this.count.textContent = `${found.size} found`;
    return found;
  }

  get state() {
    const listed = (field) => [...this.hidden[field]].sort().join(",");
    return { q: this.search.value, levels: listed("level"), outcomes: listed("outcome") };
  }

  set state({ q = "", levels = "", outcomes = "" }) {
    this.search.value = q;
    this.hidden.level = new Set(levels.split(",").filter(Boolean));
    this.hidden.outcome = new Set(outcomes.split(",").filter(Boolean));
    if (this.tree) this.write();
  }
}

function chip(field, value, text, count) {
  const element = html("button", {
    type: "button", class: "chip", "data-field": field, "data-value": value,
    title: `show or hide: ${field} ${spoken(value)} ${meaning(value) && `(${meaning(value)})`}`,
  });
  if (field === "outcome") {
    const shape = svg("svg", { viewBox: "-7 -7 14 14", class: `drawing icon kind-${kind(value)}` });
    shape.append(glyph(value, 0, 0));
    element.append(shape);
  }
  element.append(text, html("span", {}, String(count)));
  return element;
}

function textOf(node) {
  if (!texts.has(node)) {
    const pairs = Object.entries(node.attributes)
      .filter(([, value]) => !Array.isArray(value))
      .map(([name, value]) => `${name}:${value}`);
    texts.set(node, `#${node.id} ${sentence(node)} ${pairs.join(" ")}`.toLowerCase());
  }
  return texts.get(node);
}
