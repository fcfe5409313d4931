/** How levels, causes, outcomes and numbers are said and drawn: by word and shape, then colour. */

import { plansOf } from "./data.js";
import { svg } from "./dom.js";

/** Outlines within -6..6; a word that is both a cause and an outcome has one shape. */
const SHAPES = {
  start: "M-6-5.5H2L6.5 0L2 5.5H-6Z",
  clock: "M0-6.3A6.3 6.3 0 1 1 0 6.3A6.3 6.3 0 1 1 0-6.3Z",
  done: "M-5.5-5.5H5.5V5.5H-5.5Z",
  target_changed: "M0-7.5L7.5 0L0 7.5L-7.5 0Z",
  surprise: "M0-7L7 6H-7Z",
  infeasible: "M-3.5-6.3H3.5L7.2 0L3.5 6.3H-3.5L-7.2 0Z",
  expired: "M-5-6H5L-5 6H5Z",
  reached: "M-5.5-5.5H5.5V1L0 6.5L-5.5 1Z",
  success: "M0-6.5L1.9-2.2L6.5-1.8L3-1.2L3 1.2L4.2 6L0 3.6L-4.2 6L-3 1.2L-6.5-1.8L-1.9-2.2Z",
  out_of_steps: "M-6-3L-3-6L0-3L3-6L6-3L3 0L6 3L3 6L0 3L-3 6L-6 3L-3 0Z",
  refused: "M-6.3-2H6.3V2H-6.3Z",
  unsafe: "M-7-6H7L0 7Z",
};
const UNKNOWN = "M0-3A3 3 0 1 1 0 3A3 3 0 1 1 0-3Z";
/** Letters S, C, D, T, ! and I as strokes: a browser lays out a thousand of them in no time. */
const LETTERS = {
  start: "M1.2-2.2C.6-3.6-2.6-3.5-2.6-1.6C-2.6.3 1.4-.4 1.4 1.7C1.4 3.6-2.2 3.6-2.8 2",
  clock: "M2.3-2.1A3.1 3.1 0 1 0 2.3 2.1",
  done: "M-1.9-3V3H-.6C3.3 3 3.3-3-.6-3Z",
  target_changed: "M-2.5-2.6H2.5M0-2.6V3.3",
  surprise: "M0-3V1.4M0 3.2V4.2",
  infeasible: "M0-3V3M-1.6-3H1.6M-1.6 3H1.6",
};
const NO_LETTER = "M-1.5-1.5L1.5 1.5M1.5-1.5L-1.5 1.5";
const KINDS = {
  success: "good",
  reached: "good",
  done: "even",
  expired: "even",
  target_changed: "even",
  surprise: "bad",
  infeasible: "bad",
  out_of_steps: "bad",
  refused: "bad",
  unsafe: "bad",
};
const MEANINGS = {
  start: "first plan of its level",
  clock: "made on schedule",
  done: "the plan was carried out",
  target_changed: "the level above set another target",
  surprise: "the world was not as predicted",
  infeasible: "the level below could not approach its subgoal",
  expired: "its time was over",
  reached: "the target was met",
  success: "the episode ended at the goal",
  out_of_steps: "the episode ended short of the goal",
  refused: "no plan kept clear of what is forbidden, so the agent stopped",
  unsafe: "something happened that never should, and ended the episode",
};
export const CAUSES = ["start", "clock", "done", "target_changed", "surprise", "infeasible"];
export const OUTCOMES = [
  "success", "reached", "done", "expired", "target_changed", "surprise", "infeasible",
  "out_of_steps", "refused", "unsafe",
];

export const meaning = (word) => MEANINGS[word] ?? "";
export const kind = (outcome) => KINDS[outcome] ?? "even";

/** An underscore is for programs. */
export const spoken = (word) => String(word).replaceAll("_", " ");

/** The shape of a word, at a place. */
export function glyph(word, x, y, scale = 1, className = "outcome") {
  const d = Object.hasOwn(SHAPES, word) ? SHAPES[word] : UNKNOWN;
  return svg("path", { class: className, d, transform: `translate(${x} ${y}) scale(${scale})` });
}

/** The shape of a cause with its letter inside. */
export function causeMark(cause, x, y) {
  const d = Object.hasOwn(LETTERS, cause) ? LETTERS[cause] : NO_LETTER;
  const mark = svg("g", { class: "cause", transform: `translate(${x} ${y})` });
  mark.append(glyph(cause, 0, 0, 1, "shape"), svg("path", { class: "letter", d }));
  return mark;
}

/** Three digits, two below 1; a dash for what is not known. */
export function number(value) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  if (Number.isInteger(value)) return String(value);
  if (Math.abs(value) >= 1000) return value.toFixed(0);
  return String(Number(value.toPrecision(Math.abs(value) < 1 ? 2 : 3)));
}

/** How the episode ended, in the words of its last plans. */
export function goalOutcome(goal) {
  if (goal.success === null || goal.success === undefined) return "";
  if (goal.success) return "success";
  return ["unsafe", "refused"].find((word) => goal[word] === true) ?? "out_of_steps";
}

/** The energy at the start and at the end: what a card has room for. */
export const energySpan = (plan) => `${number(plan.energy_before)} → ${number(plan.energy_ended)}`;

/** A node in one sentence: what a screen reader and a tooltip say. */
export function sentence(node) {
  const a = node.attributes;
  if (node.id === 0) {
    const outcome = goalOutcome(a);
    return `Goal${outcome ? `: ${spoken(outcome)}` : ""}, ${number(a.env_steps)} env steps`;
  }
  return (
    `Plan ${node.id}, level ${a.level}, env steps ${a.made} to ${a.ended}, ` +
    `cause: ${spoken(a.cause)}, outcome: ${spoken(a.outcome)}, ` +
    `energy ${energySpan(a)}${a.energy_unit ? ` ${a.energy_unit}` : ""}`
  );
}

/** An episode in a line. */
export function summary(tree) {
  const { goal } = tree;
  const plans = plansOf(tree);
  const outcome = goalOutcome(goal);
  const replans = CAUSES.filter((cause) => cause !== "start")
    .map((cause) => [plans.filter(({ attributes }) => attributes.cause === cause).length, cause])
    .filter(([count]) => count > 0)
    .map(([count, cause]) => `${count} ${spoken(cause)}`);
  const parts = [
    outcome && `${spoken(outcome)} after ${number(goal.env_steps)} env steps`,
    goal.stuck === true && "the agent reported that it was stuck",
    typeof goal.optimal_steps === "number" && `shortest path ${goal.optimal_steps}`,
    `${plans.length} ${plans.length === 1 ? "plan" : "plans"}`,
    replans.length > 0 && `replanned because: ${replans.join(", ")}`,
  ];
  return parts.filter(Boolean).join("  ·  ");
}
