/** What the server has: the list of trees, and one tree at a time. */

const HERE = new URL("../", import.meta.url);

/** @returns entries {run, tag, suite, method, bin, episode, steps}, sorted. */
export async function fetchTrees() {
  const text = await fetchText("trees", {});
  const { trees } = JSON.parse(text);
  if (!Array.isArray(trees)) throw new Error("the server's list of trees cannot be read");
  return trees.filter((entry) => entry.steps.length > 0);
}

/** @returns {text, tree, arrived}: the JSON as it came, read, and when it was there. */
export async function fetchTree(run, tag, step, signal) {
  const text = await fetchText("tree", { run, tag, step }, signal);
  const arrived = performance.now();
  return { text, tree: readTree(JSON.parse(text)), arrived };
}

/** The body of an answer; an error's message is the server's own line. */
async function fetchText(route, query, signal) {
  const url = new URL(route, HERE);
  for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
  let response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("TensorBoard does not answer; is it still running?", { cause: error });
  }
  const text = await response.text();
  if (!response.ok) throw new Error(lineOf(text) ?? `the server answers ${response.status}`);
  return text;
}

function lineOf(text) {
  try {
    const { error } = JSON.parse(text);
    return typeof error === "string" ? error : null;
  } catch {
    return null;
  }
}

/**
 * A tree from node-link JSON that the server has checked.
 *
 * @returns {pictures, nodes, root, goal, levels, steps}: nodes by number, each {id, attributes,
 *   parent, children, depth}, children by the time they were made; levels from the top down; steps
 *   is the env steps of the episode.
 */
export function readTree(data) {
  const nodes = new Map();
  for (const { id, ...attributes } of data.nodes) {
    nodes.set(id, { id, attributes, parent: null, children: [], depth: 0 });
  }
  for (const { source, target } of data.edges) {
    nodes.get(target).parent = nodes.get(source);
    nodes.get(source).children.push(nodes.get(target));
  }
  const root = nodes.get(0);
  const waiting = [root];
  while (waiting.length > 0) {
    const node = waiting.pop();
    node.children.sort((a, b) => a.attributes.made - b.attributes.made || a.id - b.id);
    for (const child of node.children) child.depth = node.depth + 1;
    waiting.push(...node.children);
  }
  const plans = [...nodes.values()].filter((node) => node !== root);
  const levels = [...new Set(plans.map((node) => node.attributes.level))].sort((a, b) => b - a);
  const ended = plans.reduce((last, node) => Math.max(last, node.attributes.ended), 0);
  const goal = root.attributes;
  const pictures = data.graph.pictures ?? [];
  return { pictures, nodes, root, goal, levels, steps: Math.max(1, goal.env_steps ?? 0, ended) };
}

/** The plans of a tree, without the goal. */
export function plansOf(tree) {
  return [...tree.nodes.values()].filter((node) => node !== tree.root);
}

/** A node and all below it. */
export function subtree(node) {
  const found = [];
  const waiting = [node];
  while (waiting.length > 0) {
    const next = waiting.pop();
    found.push(next);
    waiting.push(...next.children);
  }
  return found;
}

/** The plan of each level that is active at an env step; the later one at a border. */
export function activeAt(tree, step) {
  const active = new Map();
  for (const node of plansOf(tree)) {
    const { level, made, ended } = node.attributes;
    if (made > step || step > ended) continue;
    const before = active.get(level);
    if (!before || before.attributes.made <= made) active.set(level, node);
  }
  return active;
}
