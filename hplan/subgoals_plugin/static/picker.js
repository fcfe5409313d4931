/** Chooses a tree: run, method, bin, episode, and the optimiser update on a slider. */

import { html } from "./dom.js";

const FIELDS = [
  ["run", "Run", (entry) => entry.run],
  ["method", "Method", (entry) => (entry.suite ? `${entry.suite} / ${entry.method}` : entry.method)],
  ["bin", "Bin", (entry) => entry.bin],
  ["episode", "Episode", (entry) => entry.episode],
];

export class Picker {
  /** @param pick (entry, step) => void: what to show from now on */
  constructor(pick) {
    this.pick = pick;
    this.entries = [];
    this.entry = null;
    this.selects = FIELDS.map(([name, label], i) => {
      const select = html("select", { name, title: label });
      select.addEventListener("change", () => this.choose(i));
      return { select, label: html("label", {}, html("span", {}, label), select) };
    });
    this.slider = html("input", { type: "range", min: 0, step: 1, "aria-label": "Update" });
    this.slider.addEventListener("input", () => this.slide());
    this.output = html("output");
    this.element = html(
      "div",
      { class: "picker" },
      ...this.selects.map(({ label }) => label),
      html("label", { class: "updates" }, html("span", {}, "Update"), this.slider, this.output),
    );
  }

  /** New list of trees; what is chosen stays so if it is still there. */
  setEntries(entries) {
    this.entries = entries;
    if (!this.entry) return;
    const same = this.find(this.entry.run, this.entry.tag);
    if (same) this.set(same, this.step);
  }

  find(run, tag) {
    return this.entries.find((entry) => entry.run === run && entry.tag === tag) ?? null;
  }

  /** Shows a choice, without reporting it. */
  set(entry, step) {
    this.entry = entry;
    this.step = nearestStep(entry, step);
    let among = this.entries;
    FIELDS.forEach(([, , value], i) => {
      fill(this.selects[i].select, distinct(among, value), value(entry));
      among = among.filter((other) => value(other) === value(entry));
    });
    this.slider.max = entry.steps.length - 1;
    this.slider.value = entry.steps.indexOf(this.step);
    this.slider.disabled = entry.steps.length < 2;
    this.write();
  }

  write() {
    const at = this.entry.steps.indexOf(this.step);
    this.output.textContent = `${this.step} (${at + 1} of ${this.entry.steps.length})`;
    this.slider.setAttribute("aria-valuetext", `update ${this.output.textContent}`);
  }

  /** A field has changed: those after it keep their value where that exists. */
  choose(changed) {
    let among = this.entries;
    FIELDS.forEach(([, , value], i) => {
      const { select } = this.selects[i];
      const kept = among.filter((entry) => value(entry) === select.value);
      // The fields up to the changed one offer only what exists.
      among = kept.length > 0 || i <= changed ? kept : likeFirst(among, value);
    });
    this.set(among[0], this.step);
    this.pick(this.entry, this.step);
  }

  slide() {
    this.step = this.entry.steps[Number(this.slider.value)];
    this.write();
    this.pick(this.entry, this.step);
  }
}

/** The step itself if it was logged; else the last one. */
function nearestStep(entry, step) {
  return entry.steps.includes(step) ? step : entry.steps.at(-1);
}

function distinct(entries, value) {
  return [...new Set(entries.map(value))];
}

function likeFirst(entries, value) {
  return entries.filter((entry) => value(entry) === value(entries[0]));
}

function fill(select, values, chosen) {
  const same = select.options.length === values.length
    && values.every((value, i) => select.options[i].value === value);
  if (!same) select.replaceChildren(...values.map((value) => html("option", { value }, value)));
  select.value = chosen;
  select.title = chosen;
}

/**
 * What to put beside a tree: the same start and goal by another method, by another run, or else
 * another update, or any other tree.
 */
export function counterpart(entries, entry) {
  const sameGoal = (other) =>
    other.suite === entry.suite && other.bin === entry.bin && other.episode === entry.episode;
  const others = entries.filter((other) => other !== entry);
  return (
    others.find((other) => sameGoal(other) && other.run === entry.run) ??
    others.find(sameGoal) ??
    (entry.steps.length > 1 ? entry : others[0] ?? entry)
  );
}
