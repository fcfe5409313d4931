/** What the timeline draws: for each level a lane of marks, bars and sparklines. */

import { plansOf } from "./data.js";
import { svg } from "./dom.js";
import { causeMark, glyph, kind, number } from "./words.js";

export const AXIS = 34;
export const LANE = 66;
const MARKS = 9; // all from the top of a lane, in pixels
const BAR = { top: 18, height: 14 };
const SPARK = { top: 37, height: 22 };
const MARK_ROOM = 14;

/** Per level: its plans, and the largest energy in each unit. */
export function lanesOf(tree) {
  const lanes = tree.levels.map((level, i) => ({
    level,
    top: AXIS + i * LANE,
    plans: [],
    most: new Map(),
  }));
  const byLevel = new Map(lanes.map((lane) => [lane.level, lane]));
  for (const node of plansOf(tree)) {
    const lane = byLevel.get(node.attributes.level);
    lane.plans.push(node);
    const unit = node.attributes.energy_unit;
    const most = energyPoints(node).reduce((best, [, energy]) => Math.max(best, energy), 0);
    lane.most.set(unit, Math.max(lane.most.get(unit) ?? 0, most));
  }
  for (const lane of lanes) lane.plans.sort((a, b) => a.attributes.made - b.attributes.made);
  return lanes;
}

/** The measured energies [env step, energy]; where none were kept, the one of the start and end. */
export function energyPoints({ attributes: plan }) {
  const all = plan.energies
    ? plan.energies.map((energy, i) => [plan.made + i, energy])
    : [[plan.made, plan.energy_before], [plan.ended, plan.energy_ended]];
  return all.filter(([, energy]) => typeof energy === "number");
}

/** What a lane's energies reach, for its label. */
export function energyLabel(lane) {
  const parts = [...lane.most]
    .filter(([, most]) => most > 0)
    .map(([unit, most]) => `${number(most)}${unit === "env steps" ? " steps" : ""}`);
  return parts.length > 0 ? `energy to ${parts.join(", ")}` : "no energies";
}

/** The line of a plan's energies, each unit with its own height; a dash where there is but one. */
export function sparkline(node, lane, scale) {
  const most = lane.most.get(node.attributes.energy_unit) || 1;
  const bottom = lane.top + SPARK.top + SPARK.height;
  const points = energyPoints(node).map(([step, energy]) => {
    const y = bottom - (SPARK.height * Math.max(0, energy)) / most;
    return `${scale(step).toFixed(1)} ${y.toFixed(1)}`;
  });
  if (points.length === 0) return "";
  return `M${points.join("L")}${points.length === 1 ? "h5" : ""}`;
}

/** One lane: marks of causes, bars with the shapes of outcomes, sparklines. */
export function drawLane(lane, scale, matches) {
  const group = svg("g", { class: "lane" });
  const right = scale(Infinity);
  const floor = lane.top + SPARK.top + SPARK.height;
  group.append(
    svg("path", { class: "floor", d: `M${scale(0)} ${floor + 0.5}H${right}` }),
    svg("path", { class: "spark", d: lane.plans.map((n) => sparkline(n, lane, scale)).join("") }),
  );
  for (const node of lane.plans) group.append(bar(node, lane, scale, matches(node)));
  group.append(...marks(lane, scale));
  return group;
}

function bar(node, lane, scale, matched) {
  const { made, ended, outcome } = node.attributes;
  const x = scale(made);
  const width = Math.max(2, scale(ended) - x - 1);
  const group = svg("g", {
    class: `bar kind-${kind(outcome)}${matched ? "" : " context"}`,
    "data-node": node.id,
    transform: `translate(${x} ${lane.top + BAR.top})`,
  });
  group.append(svg("rect", { width, height: BAR.height, rx: Math.min(3, width / 3) }));
  if (width >= 16) group.append(glyph(outcome, width - 8, BAR.height / 2, 0.8));
  return group;
}

/** A mark where each plan was made: with its letter where there is room, failures first. */
function marks(lane, scale) {
  const taken = [];
  const drawn = [];
  let ticks = "";
  const urgent = (node) => (kind(node.attributes.cause) === "bad" ? 0 : 1);
  for (const node of [...lane.plans].sort((a, b) => urgent(a) - urgent(b))) {
    const x = scale(node.attributes.made);
    const y = lane.top + MARKS;
    const bucket = Math.floor(x / MARK_ROOM);
    const near = [taken[bucket - 1], taken[bucket], taken[bucket + 1]];
    if (near.some((other) => other !== undefined && Math.abs(other - x) < MARK_ROOM)) {
      ticks += `M${x} ${y + 1}V${y + 8}`;
      continue;
    }
    taken[bucket] = x;
    const mark = causeMark(node.attributes.cause, x + 6, y);
    mark.dataset.node = node.id;
    drawn.push(mark);
  }
  return [svg("path", { class: "tick", d: ticks }), ...drawn];
}

/** Ticks at round env steps, and where the shortest path would have ended. */
export function drawAxis(steps, optimal, scale, height) {
  const group = svg("g", { class: "axis" });
  const rough = (steps * 90) / Math.max(1, scale(steps) - scale(0));
  const power = 10 ** Math.floor(Math.log10(Math.max(1, rough)));
  const every = [1, 2, 5, 10].map((n) => n * power).find((size) => size >= rough) ?? 10 * power;
  for (let step = 0; step <= steps; step += every) {
    const text = svg("text", { x: scale(step) + 3, y: 28 });
    text.textContent = step === 0 ? "env step 0" : String(step);
    group.append(svg("path", { d: `M${scale(step)} 18V${height}` }), text);
  }
  if (typeof optimal === "number" && optimal <= steps) {
    const left = optimal > steps * 0.8;
    const text = svg("text", {
      class: "optimal", x: scale(optimal) + (left ? -3 : 3), y: 13,
      "text-anchor": left ? "end" : "start",
    });
    text.textContent = `shortest path ${optimal}`;
    const line = svg("path", { class: "optimal", d: `M${scale(optimal)} 4V${height}` });
    group.append(line, text);
  }
  return group;
}
