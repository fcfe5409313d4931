/** What pointer, wheel and keys do to a tree: one listener each for all of its nodes. */

import { nodeAt, onDrag } from "./dom.js";

/** Dragging moves the drawing, with the shift key it selects; a click selects or opens a node. */
export function listen(view) {
  const { svg, scroll, actions } = view;
  let dragged = false;
  onDrag(svg, (down) => {
    dragged = false;
    const drag = down.shiftKey ? beginBrush(view, down) : beginPan(scroll, down);
    return { move: drag.move, end: (event, moved) => drag.end((dragged = moved)) };
  });
  svg.addEventListener("click", (event) => {
    if (dragged) return;
    const toggle = event.target.closest("[data-toggle]");
    if (toggle) actions.toggle(Number(toggle.dataset.toggle));
    else if (nodeAt(event) !== null) actions.select(nodeAt(event));
  });
  svg.addEventListener("dblclick", (event) => {
    const id = nodeAt(event);
    if (id !== null && !event.target.closest("[data-toggle]")) actions.toggle(id);
  });
  svg.addEventListener("pointerover", (event) => actions.hover(nodeAt(event), event));
  svg.addEventListener("pointerleave", (event) => actions.hover(null, event));
  scroll.addEventListener("keydown", (event) => onKey(view, event));
  const onWheel = (event) => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    view.zoomBy(Math.exp(-event.deltaY / 300), event);
  };
  scroll.addEventListener("wheel", onWheel, { passive: false });
}

function beginPan(scroll, down) {
  const { scrollLeft, scrollTop } = scroll;
  return {
    move: (event) => {
      scroll.scrollLeft = scrollLeft - event.clientX + down.clientX;
      scroll.scrollTop = scrollTop - event.clientY + down.clientY;
    },
    end: () => {},
  };
}

function beginBrush(view, down) {
  const place = (event) => {
    const frame = view.svg.getBoundingClientRect();
    const zoom = frame.width / view.layout.width;
    return [(event.clientX - frame.left) / zoom, (event.clientY - frame.top) / zoom];
  };
  const [x, y] = place(down);
  return {
    move: (event) => {
      const [right, bottom] = place(event);
      const area = {
        x: Math.min(x, right), y: Math.min(y, bottom),
        width: Math.abs(right - x), height: Math.abs(bottom - y),
      };
      for (const [name, value] of Object.entries(area)) view.box.setAttribute(name, value);
      view.box.setAttribute("visibility", "visible");
      view.actions.brush(inside(view.layout.boxes, area));
    },
    end: () => view.box.setAttribute("visibility", "hidden"),
  };
}

/** The numbers of the nodes that an area touches. */
function inside(boxes, area) {
  const ids = new Set();
  for (const [node, box] of boxes) {
    const apart =
      box.x > area.x + area.width || area.x > box.x + box.width ||
      box.y > area.y + area.height || area.y > box.y + box.height;
    if (!apart) ids.add(node.id);
  }
  return ids;
}

/** Arrows go to parent, child and sibling, as they lie; Enter opens and closes. */
function onKey(view, event) {
  const { tree, actions } = view;
  const [child, parent, next, previous] = view.along
    ? ["ArrowDown", "ArrowUp", "ArrowRight", "ArrowLeft"]
    : ["ArrowRight", "ArrowLeft", "ArrowDown", "ArrowUp"];
  const node = tree?.nodes.get(view.state.selected) ?? tree?.root;
  if (!node || event.ctrlKey || event.metaKey || event.altKey) return;
  const steps = {
    [child]: () => stepDown(view, node),
    [parent]: () => node.parent && actions.select(node.parent.id),
    [next]: () => stepAside(view, node, 1),
    [previous]: () => stepAside(view, node, -1),
    Enter: () => actions.toggle(node.id),
    Home: () => actions.select(0),
  };
  if (!Object.hasOwn(steps, event.key)) return;
  event.preventDefault();
  steps[event.key]();
}

function stepDown(view, node) {
  if (view.closed.has(node.id)) return view.actions.toggle(node.id);
  const child = node.children.find((below) => view.layout.boxes.has(below));
  if (child) view.actions.select(child.id);
}

/** To the next sibling; after the last one, to its cousin. */
function stepAside(view, node, by) {
  const row = [...view.layout.boxes.keys()].filter((other) => other.depth === node.depth);
  const other = row[row.indexOf(node) + by];
  if (other) view.actions.select(other.id);
}
