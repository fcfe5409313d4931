/** Making elements. Text from outside becomes text nodes and attribute values, never markup. */

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element; attributes that are null or false are left out, strings become text. */
export function html(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same for SVG. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children);
  return element;
}

/** A button with a text, and what it does. */
export function button(text, title, action, attributes = {}) {
  const element = html("button", { type: "button", title, ...attributes }, text);
  element.addEventListener("click", action);
  return element;
}

/** The node number of the nearest drawn plan around an event's target, or null. */
export function nodeAt(event) {
  const drawn = event.target.closest?.("[data-node]");
  return drawn ? Number(drawn.dataset.node) : null;
}

/** One line of text beside the pointer, for marks too small to carry it themselves. */
export class Tooltip {
  constructor() {
    this.element = html("div", { class: "tooltip", role: "presentation", hidden: true });
    document.body.append(this.element);
  }

  show(event, text) {
    this.element.textContent = text;
    this.element.hidden = false;
    const { width, height } = this.element.getBoundingClientRect();
    const left = Math.min(event.clientX + 12, window.innerWidth - width - 4);
    const below = event.clientY + 16;
    const top = below + height > window.innerHeight ? event.clientY - height - 8 : below;
    this.element.style.left = `${Math.max(4, left)}px`;
    this.element.style.top = `${top}px`;
  }

  hide() {
    this.element.hidden = true;
  }
}

/**
 * Dragging from a point of an element, with the left button.
 *
 * @param element that is pressed
 * @param begin (event) => {move(event), end(event, moved)} or null to leave the press alone
 */
export function onDrag(element, begin) {
  element.addEventListener("pointerdown", (down) => {
    if (down.button !== 0) return;
    const drag = begin(down);
    if (!drag) return;
    let moved = false;
    const move = (event) => {
      moved ||= Math.hypot(event.clientX - down.clientX, event.clientY - down.clientY) > 4;
      if (moved) drag.move(event);
    };
    const end = (event) => {
      window.removeEventListener("pointermove", move);
      window.removeEventListener("pointerup", end);
      window.removeEventListener("pointercancel", end);
      drag.end(event, moved);
    };
    window.addEventListener("pointermove", move);
    window.addEventListener("pointerup", end);
    window.addEventListener("pointercancel", end);
  });
}
