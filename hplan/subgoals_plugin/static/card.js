/** A node of the tree as a card: as many of its words as there is room for. */

import { svg } from "./dom.js";
import { causeMark, energySpan, glyph, goalOutcome, kind, number, sentence, spoken } from "./words.js";

const MARKED = 14; // pixels from which a card has room for its shapes
const TEXT = 26; // where its words begin
const HANDLE = 40; // room of the handle that opens and closes it
const [BOLD, PLAIN] = [8, 7]; // pixels of a letter

/** The drawn card of a node, at the origin. */
export function card(node, { width, height }, idPrefix) {
  const outcome = node.id === 0 ? goalOutcome(node.attributes) : node.attributes.outcome;
  const group = svg("g", {
    class: `node kind-${kind(outcome)}`,
    "data-node": node.id,
    id: `${idPrefix}-${node.id}`,
    role: "treeitem",
    "aria-level": node.depth + 1,
    "aria-selected": "false",
    "aria-label": sentence(node),
  });
  const stripe = Math.min(4, width / 3);
  group.append(
    svg("rect", { class: "card", width, height, rx: stripe }),
    svg("rect", { class: "stripe", width: stripe, height, rx: stripe / 2 }),
  );
  if (width < MARKED) return group;
  if (node.id === 0) describeGoal(group, node, outcome, width, height);
  else describePlan(group, node, width, height);
  return group;
}

function describePlan(group, node, width, height) {
  const { cause, outcome, level, made, ended } = node.attributes;
  const [first, second] = [height / 2 - 7, height / 2 + 8];
  const x = Math.min(14, width / 2 + 1);
  group.append(causeMark(cause, x, first), glyph(outcome, x, second, 0.85));
  const names = [`L${level}  #${node.id}  ${made}–${ended}`, `#${node.id}`];
  write(group, node, names, [spoken(outcome), energySpan(node.attributes)], width, height);
}

function describeGoal(group, node, outcome, width, height) {
  if (outcome) group.append(glyph(outcome, 14, height / 2 + 8, 0.85));
  const { task, env_steps: steps } = node.attributes;
  const lines = [spoken(outcome), `${number(steps)} env steps`];
  write(group, node, [`Goal  ${task ?? ""}`, "Goal"], lines, width, height);
}

/** The longest name, then the other words and the handle, as far as they fit. */
function write(group, node, names, [word, aside], width, height) {
  const name = names.find((text) => TEXT + text.length * BOLD <= width);
  if (!name) return;
  const second = height / 2 + 12;
  group.append(label("name", TEXT, height / 2 - 3, name));
  const spare = width - TEXT - word.length * PLAIN;
  if (spare >= 0) group.append(label("word", TEXT, second, word));
  if (spare >= aside.length * 6) group.append(label("energy", width - 6, second, aside));
  if (node.children.length === 0) return;
  if (TEXT + name.length * BOLD + HANDLE <= width) group.append(handle(node, width));
}

/** The handle that opens and closes a node; `setOpen` writes what it shows. */
function handle(node, width) {
  const group = svg("g", { class: "toggle", "data-toggle": node.id });
  group.append(
    svg("rect", { class: "handle", x: width - 38, y: 2, width: 36, height: 16, rx: 3 }),
    label("count", width - 6, 14, ""),
  );
  return group;
}

/** Writes whether a card's children are shown, and how many they are. */
export function setOpen(group, node, open) {
  if (node.children.length === 0) return;
  group.setAttribute("aria-expanded", String(open));
  const count = group.querySelector(".count");
  if (count) count.textContent = `${node.children.length} ${open ? "▾" : "▸"}`;
}

function label(kindOfText, x, y, text) {
  const element = svg("text", { class: kindOfText, x, y });
  element.textContent = text;
  return element;
}
