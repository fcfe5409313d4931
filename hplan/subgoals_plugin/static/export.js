/** Files of what is shown: the drawing as SVG, the tree as JSON. */

import { svg } from "./dom.js";
import { GUTTER } from "./timeline.js";

const MARGIN = 16;
const TITLE = 34;

/** Hands a file to the browser's downloads. */
export function download(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  const anchor = document.createElement("a");
  anchor.href = url;
  anchor.download = name;
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

/** A file's name from any text. */
export function fileName(parts, ending) {
  return `${parts.join("-").replace(/[^A-Za-z0-9.]+/g, "-").slice(0, 120)}.${ending}`;
}

/** The tree over its timeline as one SVG document that needs nothing else. */
export function drawing(title, tree, timeline) {
  const heads = tree.layout.columns.length > 0 ? 20 : 0;
  const indent = tree.along ? GUTTER : 0;
  const top = TITLE + heads + tree.layout.height + MARGIN;
  const width = Math.max(indent + tree.layout.width, GUTTER + timeline.width) + 2 * MARGIN;
  const height = top + timeline.height + MARGIN;
  const whole = svg("svg", {
    xmlns: "http://www.w3.org/2000/svg", class: "drawing", width, height,
    viewBox: `0 0 ${width} ${height}`,
  });
  const style = svg("style");
  style.textContent = styleText();
  whole.append(
    style,
    svg("rect", { class: "paper", width, height }),
    words("title", MARGIN, 22, title),
    part(tree.whole(), MARGIN + indent, TITLE + heads, tree.layout.width, tree.layout.height),
    part(timeline.svg.cloneNode(true), MARGIN + GUTTER, top, timeline.width, timeline.height),
  );
  for (const { x, level } of tree.layout.columns) {
    const name = level === null ? "Goal" : `Level ${level}`;
    whole.append(words("head", MARGIN + x, TITLE + 14, name));
  }
  for (const { y, level } of tree.layout.rows ?? []) {
    const name = level === null ? "Goal" : `Level ${level}`;
    whole.append(words("head", MARGIN, TITLE + y + 18, name));
  }
  for (const lane of timeline.lanes) {
    whole.append(words("head", MARGIN, top + lane.top + 28, `Level ${lane.level}`));
  }
  return new XMLSerializer().serializeToString(whole);
}

function part(copy, x, y, width, height) {
  for (const [name, value] of Object.entries({ x, y, width, height })) {
    copy.setAttribute(name, value);
  }
  copy.removeAttribute("class");
  return copy;
}

function words(kind, x, y, text) {
  const element = svg("text", { class: kind, x, y });
  element.textContent = text;
  return element;
}

/** The rules for drawings, with the colours of the present theme. */
function styleText() {
  const sheet = [...document.styleSheets].find(({ href }) => href?.endsWith("/drawing.css"));
  const rules = [...sheet.cssRules].map(({ cssText }) => cssText).join("\n");
  const now = getComputedStyle(document.documentElement);
  const names = new Set([...rules.matchAll(/var\((--[a-z-]+)\)/g)].map(([, name]) => name));
  const values = [...names]
    .map((name) => [name, now.getPropertyValue(name).trim()])
    .filter(([, value]) => value !== "")
    .map(([name, value]) => `${name}: ${value};`);
  return `.drawing { ${values.join(" ")} }\n${rules}`;
}
