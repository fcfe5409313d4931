/** The tab "Subgoals": one tree, or two side by side. TensorBoard calls `render`. */

import { fetchTrees } from "./data.js";
import { button, html, svg, Tooltip } from "./dom.js";
import * as host from "./host.js";
import { Pane } from "./pane.js";
import { counterpart } from "./picker.js";
import { causeMark, CAUSES, glyph, kind, meaning, OUTCOMES, spoken } from "./words.js";

const SECOND = "b."; // before the second pane's keys in a link
const EMPTY =
  "No subgoal trees in this log directory yet. An evaluation logs them:  make eval RUN=<run>  " +
  "(runs lie in runs/). Then reload TensorBoard's data with the arrow at the top right.";

export async function render() {
  await Promise.all(["style.css", "views.css", "drawing.css"].map(loadStyle));
  host.followTheme();
  document.documentElement.lang = "en";
  await new Tab().start();
}

function loadStyle(name) {
  const link = html("link", { rel: "stylesheet", href: new URL(name, import.meta.url).href });
  return new Promise((resolve) => {
    link.addEventListener("load", resolve);
    link.addEventListener("error", resolve); // unstyled is better than nothing
    document.head.append(link);
  });
}

class Tab {
  constructor() {
    this.entries = [];
    this.tooltip = new Tooltip();
    this.panes = [this.newPane("A")];
    this.message = html("p", { class: "message", role: "alert", hidden: true });
    this.pair = html("output", { class: "pair" });
    this.address = html("input", { class: "address", readonly: true, hidden: true,
      "aria-label": "Link to what is shown" });
    this.compareButton = button("Compare", "a second tree beside this one", () => this.compare());
    this.bar = html(
      "header",
      { class: "toolbar" },
      this.pair,
      this.address,
      this.compareButton,
      button("Copy link", "an address that brings all of this back", () => this.copyLink()),
      themeSelect(),
    );
    this.main = html("main", { class: "panes", hidden: true }, this.panes[0].element);
    document.body.append(this.bar, this.message, this.main, legend());
    document.addEventListener("keydown", (event) => this.onKey(event));
  }

  newPane(name) {
    return new Pane(name, this.tooltip, () => this.changed());
  }

  async start() {
    await this.reload(host.readState());
    host.onStateChanged((state) => this.restore(state));
    host.onDataReloaded(() => this.reload(null));
  }

  /** Asks for the list of trees; without a state to restore, what is shown stays. */
  async reload(state) {
    try {
      this.entries = await fetchTrees();
    } catch (error) {
      return this.say(`The list of trees cannot be read: ${error.message}`);
    }
    const empty = this.entries.length === 0;
    this.say(empty ? EMPTY : "");
    this.main.hidden = empty;
    document.body.classList.toggle("nothing", empty);
    if (empty) return;
    for (const pane of this.panes) pane.picker.setEntries(this.entries);
    if (state || !this.panes[0].picker.entry) await this.restore(state ?? host.readState());
  }

  say(text) {
    this.message.textContent = text;
    this.message.hidden = text === "";
  }

  /** Shows what a link says; without one, the first tree. */
  async restore(state) {
    if (this.entries.length === 0) return;
    const second = {};
    for (const [key, value] of Object.entries(state)) {
      if (key.startsWith(SECOND)) second[key.slice(SECOND.length)] = value;
    }
    this.setSecond("run" in second);
    const states = [state, second];
    await Promise.all(this.panes.map((pane, i) => this.openAs(pane, states[i])));
  }

  async openAs(pane, state) {
    pane.picker.setEntries(this.entries);
    const entry = pane.picker.find(state.run, state.tag);
    await pane.open(entry ?? this.entries[0], Number(state.step), entry ? state : null);
    if (entry || !("run" in state)) return;
    pane.say("The linked tree is not in this log directory; another one is shown.");
  }

  setSecond(wanted) {
    if (wanted === this.panes.length > 1) return;
    if (wanted) this.panes.push(this.newPane("B"));
    else this.panes.pop();
    this.main.replaceChildren(...this.panes.map((pane) => pane.element));
    document.body.classList.toggle("two", wanted);
    this.compareButton.setAttribute("aria-pressed", String(wanted));
  }

  async compare() {
    const { entry } = this.panes[0].picker;
    if (!entry) return;
    this.setSecond(this.panes.length < 2);
    if (this.panes.length < 2) return this.changed();
    const other = counterpart(this.entries, entry);
    this.panes[1].picker.setEntries(this.entries);
    const step = other === entry ? entry.steps[0] : this.panes[0].picker.step;
    await this.panes[1].open(other, step);
  }

  /** Something is shown differently: the address and the word on the pair follow. */
  changed() {
    if (!this.panes[0].picker.entry) return;
    const state = { ...this.panes[0].state };
    for (const [key, value] of Object.entries(this.panes[1]?.state ?? {})) {
      state[SECOND + key] = value;
    }
    host.writeState(state);
    this.address.hidden = true;
    this.pair.textContent = this.panes.length > 1 ? pairWords(this.panes) : "";
  }

  async copyLink() {
    this.changed();
    this.address.value = host.link();
    this.address.hidden = false;
    this.address.focus();
    this.address.select();
    try {
      await navigator.clipboard.writeText(this.address.value);
    } catch {
      // No clipboard for this page: the address is there, selected, to be copied by hand.
    }
  }

  onKey(event) {
    const typing = event.target.matches("input, select, textarea");
    if (event.key === "/" && !typing) {
      event.preventDefault();
      const pane = this.panes.find(({ element }) => element.contains(event.target));
      (pane ?? this.panes[0]).filters.search.focus();
    }
  }
}

function pairWords(panes) {
  const [a, b] = panes.map((pane) => pane.tree?.goal.pair);
  if (!a || !b) return "start and goal not known";
  return a === b ? "same start and goal" : "different start or goal";
}

function themeSelect() {
  const select = html("select", { "aria-label": "Theme", title: "Theme" });
  select.append(...host.THEMES.map((name) => html("option", { value: name }, `Theme: ${name}`)));
  select.value = host.chosenTheme();
  select.addEventListener("change", () => host.chooseTheme(select.value));
  return select;
}

/** What the shapes and letters say. */
function legend() {
  const item = (word, mark, className) =>
    html(
      "span",
      { class: "key", title: meaning(word) },
      svg("svg", { viewBox: "-8 -8 16 16", class: `drawing icon ${className}` }, mark),
      spoken(word),
    );
  const outcome = (word) => item(word, glyph(word, 0, 0), `kind-${kind(word)}`);
  return html(
    "footer",
    { class: "legend", "aria-label": "Legend" },
    html("b", {}, "Why it was made"),
    ...CAUSES.map((word) => item(word, causeMark(word, 0, 0), "")),
    html("b", {}, "How it ended"),
    ...OUTCOMES.map(outcome),
    "Numbers: env steps, energy start → end",
  );
}
