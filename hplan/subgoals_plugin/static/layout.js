/** Where the nodes of a tree stand: in columns by level, or along the env steps. */

export const CARD = { width: 206, height: 38 };
export const BAND = { height: 30, pitch: 54 };
const ROW = 44;
const GAP = 30;
const MARGIN = 8;

/**
 * The nodes to draw, parents first.
 *
 * @param matches (node) => bool: the filter. Ancestors of what it keeps stay, as context.
 * @param closed set of node numbers whose children are hidden
 * @returns [{node, context}], context true where only descendants match
 */
export function visibleNodes(tree, matches, closed) {
  const kept = new Set([tree.root]);
  const own = new Set();
  for (const node of tree.nodes.values()) {
    if (!matches(node)) continue;
    own.add(node);
    for (let above = node; above && !kept.has(above); above = above.parent) kept.add(above);
  }
  const found = [];
  const waiting = [tree.root];
  while (waiting.length > 0) {
    const node = waiting.pop();
    found.push({ node, context: !own.has(node) });
    if (closed.has(node.id)) continue;
    for (let i = node.children.length - 1; i >= 0; i -= 1) {
      if (kept.has(node.children[i])) waiting.push(node.children[i]);
    }
  }
  return found;
}

/**
 * The goal at the left, a column for each level, time downwards. A parent stands in the row of its
 * first child, so that the beginning of the episode is always at the top left.
 *
 * @returns {boxes: Map node -> {x, y, width, height}, width, height, columns: [{x, level}]}
 */
export function columnLayout(tree, visible) {
  const column = new Map(tree.levels.map((level, i) => [level, i + 1]));
  const at = (i) => MARGIN + i * (CARD.width + GAP);
  const boxes = new Map();
  let row = -1;
  let before = null;
  for (const { node } of visible) {
    // Parents come first and share the row of their first child: only a sibling begins a row.
    if (before !== node.parent || node.parent === null) row += 1;
    before = node;
    const x = at(node.id === 0 ? 0 : column.get(node.attributes.level));
    boxes.set(node, { x, y: MARGIN + row * ROW, ...CARD });
  }
  const columns = [{ x: at(0), level: null }];
  for (const level of tree.levels) columns.push({ x: at(column.get(level)), level });
  const width = at(tree.levels.length) + CARD.width + MARGIN;
  return { boxes, width, height: MARGIN * 2 + row * ROW + CARD.height, columns };
}

/**
 * A row for each level, every plan above the env steps at which it was active.
 *
 * @param scale env step -> pixels, that of the timeline
 * @returns as `columnLayout`, with rows: [{y, level}], level null for the goal's
 */
export function timeLayout(tree, visible, scale) {
  const row = new Map(tree.levels.map((level, i) => [level, i + 1]));
  const boxes = new Map();
  for (const { node } of visible) {
    const { made = 0, ended = tree.steps, level } = node.attributes;
    const x = scale(node.id === 0 ? 0 : made);
    const width = Math.max(3, scale(node.id === 0 ? tree.steps : ended) - x - 1);
    const y = MARGIN + (node.id === 0 ? 0 : row.get(level)) * BAND.pitch;
    boxes.set(node, { x, y, width, height: BAND.height });
  }
  const height = MARGIN * 2 + tree.levels.length * BAND.pitch + BAND.height;
  const rows = [null, ...tree.levels].map((level, i) => ({ level, y: MARGIN + i * BAND.pitch }));
  return { boxes, width: scale(tree.steps) + MARGIN, height, columns: [], rows };
}

/** The path from a node to all its drawn children. */
export function branches(node, boxes, along) {
  const from = boxes.get(node);
  let path = "";
  for (const child of node.children) {
    const to = boxes.get(child);
    if (!to) continue;
    if (along) {
      const middle = from.y + from.height + (BAND.pitch - BAND.height) / 2;
      const x = to.x + Math.min(to.width / 2, 8);
      path += `M${x} ${from.y + from.height}V${Math.max(middle, to.y - 12)}V${to.y}`;
    } else {
      const trunk = from.x + from.width + GAP / 2;
      const y = to.y + to.height / 2;
      path += `M${from.x + from.width} ${from.y + from.height / 2}H${trunk}V${y}H${to.x}`;
    }
  }
  return path;
}
