/** What the world looked like at an env step, what the levels then aimed at, and the numbers. */

import { activeAt } from "./data.js";
import { html } from "./dom.js";
import { goalOutcome, kind, number, spoken } from "./words.js";

const BASE64 = /^[A-Za-z0-9+/=]+$/;
/** What the attributes mean, in the order in which they are shown; others come after them. */
const MEANS = {
  parent: "the plan of a level above that it served",
  level: "0 at the bottom",
  cause: "why it was made",
  made: "env step at which it was made",
  outcome: "how it ended",
  ended: "env step at which it ended",
  energy_before: "energy towards its target where it was made",
  energy_promised: "energy towards its target where its prediction ends",
  energy_ended: "energy towards its target where it ended",
  energies: "energy towards its target at each env step from made to ended",
  horizon: "steps of the level that it looks ahead",
  steps_promised: "env steps that it lasts by its own prediction",
  predictor_evaluations: "predictor rows that its search took",
  support: "how far outside the data: percentile of its farthest macro-action's distance to a real one",
  subgoal: "picture of the real observation nearest to the first subgoal that it set",
  subgoal_distance: "of that observation's latent to the subgoal; a move is one step of the level",
  target: "picture of the real observation nearest to its target; of the goal if that is its target",
  target_distance: "as subgoal_distance, at the level that set the target",
  stuck: "it failed, and the agent itself reported that it was stuck",
  refused: "the agent ended it, having no plan free of what is forbidden",
  unsafe: "it ended where something happened that never should",
  pair: "equal in two trees whose episodes had the same start and goal",
  observations: "picture at every env step",
};

/**
 * The pictures at an env step: the observation, what the selected plan pursues, the current subgoal
 * of each level from the top, the goal. What the selected plan set, or at the bottom what it
 * pursues, is emphasised.
 */
export function drawScene(container, tree, selected, moment) {
  if (tree.pictures.length === 0) {
    return container.replaceChildren(html("p", {}, "No pictures were kept with this tree."));
  }
  const { observations = [], goal } = tree.goal;
  const chosen = tree.nodes.get(selected);
  const active = activeAt(tree, moment);
  for (const node of chosen.id === 0 ? [] : [chosen.parent, chosen]) {
    if (node.id !== 0) active.set(node.attributes.level, node);
  }
  const seen = { index: observations[moment], notes: [], role: "seen" };
  const figures = [figure(tree, `Observation at env step ${moment}`, seen, false)];
  if (chosen.id !== 0) {
    const isBottom = chosen.attributes.level === 0;
    figures.push(figure(tree, `Plan ${chosen.id} pursues`, pursued(tree, chosen), isBottom));
  }
  for (const level of tree.levels) {
    const node = active.get(level);
    if (!node || level === 0) continue;
    const title = `Level ${level}'s subgoal, plan ${node.id}`;
    figures.push(figure(tree, title, currentSubgoal(tree, node, moment), node === chosen));
  }
  const end = { index: goal, notes: ["its real observation"], role: "goal" };
  figures.push(figure(tree, "Goal", end, chosen.id === 0));
  container.replaceChildren(...figures);
}

/** What a plan pursues: the goal, or what the plan above had set when this one was made. */
function pursued(tree, { attributes: { target, target_distance: distance }, parent }) {
  if (parent.id === 0) {
    return { index: tree.goal.goal, notes: ["the goal, its real observation"], role: "goal" };
  }
  return typeof target === "number" ? subgoal(target, distance) : firstSubgoal(parent);
}

/** What a plan has set at an env step: the target of the plan that then serves it. */
function currentSubgoal(tree, node, moment) {
  const serves = ({ attributes: { made, ended } }) => made <= moment && moment <= ended;
  const below = node.children.findLast(serves);
  return below ? pursued(tree, below) : firstSubgoal(node);
}

function firstSubgoal({ id, attributes }) {
  const which = `plan ${id}'s first subgoal`;
  return subgoal(attributes.subgoal, attributes.subgoal_distance, [which]);
}

/** The nearest real observation to a subgoal, by the index of its picture. */
function subgoal(index, distance, notes = []) {
  const isMeasured = typeof distance === "number";
  const measured = isMeasured ? `distance ${number(distance)} moves` : "distance not measured";
  const isKnown = typeof index === "number";
  const said = isKnown ? `nearest real observation, ${measured}` : "no observation looked up";
  return { index, notes: [...notes, said], role: "subgoal" };
}

/** A picture by its index, with a title and notes under it; `role` is its class. */
function figure(tree, title, { index, notes, role }, isAim) {
  const source = pictureUrl(tree.pictures[index]);
  const picture = source
    ? html("img", { src: source, alt: [title, ...notes].join(": ") })
    : html("div", { class: "no-picture" }, "no picture");
  const lines = notes.map((note) => html("span", {}, note));
  const caption = html("figcaption", {}, html("b", {}, title), ...lines);
  return html("figure", { class: `${role}${isAim ? " aim" : ""}` }, picture, caption);
}

/** Only base64 goes into a URL. */
export function pictureUrl(text) {
  return typeof text === "string" && BASE64.test(text) ? `data:image/png;base64,${text}` : null;
}

/** All attributes of a node as a definition list. */
export function drawDetails(container, tree, selected) {
  const node = tree.nodes.get(selected);
  if (!node) return container.replaceChildren();
  const title = node.id === 0 ? "Goal" : `Plan ${node.id}`;
  const list = html("dl");
  const outcome = node.id === 0 ? goalOutcome(node.attributes) : node.attributes.outcome;
  const above = node.parent ? { parent: node.parent.id === 0 ? "0, the goal" : node.parent.id } : {};
  const all = { ...above, ...node.attributes };
  const known = Object.keys(MEANS).filter((name) => Object.hasOwn(all, name));
  for (const name of new Set([...known, ...Object.keys(all)])) {
    const means = Object.hasOwn(MEANS, name) ? MEANS[name] : null;
    list.append(
      html("dt", { title: means }, name),
      html("dd", { "data-attribute": name, title: means }, shown(all[name])),
    );
  }
  container.replaceChildren(
    html("h2", {}, title, html("span", { class: `kind-${kind(outcome)}` }, spoken(outcome))),
    list,
  );
}

function shown(value) {
  if (value === null) return "–";
  if (Array.isArray(value)) return value.length > 0 ? value.map(number).join("  ") : "none";
  return typeof value === "string" ? value : String(value);
}
