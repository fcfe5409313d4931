/** What is selected: a node, an env step, or a stretch of them; and that as part of a link. */

import { plansOf, subtree } from "./data.js";

const whole = (text) => (/^\d{1,15}$/.test(text ?? "") ? Number(text) : null);

export class Selection {
  /**
   * node: number of the selected node, 0 if it is the goal.
   * moment: env step of the cursor.
   * from, to: a brushed stretch of env steps, or null.
   * marked: numbers of the nodes under the brush; of a selected plan, all below it.
   */
  constructor(tree, moment = 0) {
    this.tree = tree;
    this.node = 0;
    this.moment = Math.min(moment, tree.steps);
    this.clearBrush();
  }

  clearBrush() {
    Object.assign(this, { from: null, to: null, marked: new Set() });
  }

  /** @param moment env step of the cursor; else where the plan was made */
  choose(node, moment = null) {
    this.clearBrush();
    this.node = node.id;
    this.moment = moment ?? node.attributes.made ?? this.moment;
    if (node.id !== 0) this.marked = new Set(subtree(node).map(({ id }) => id));
  }

  moveTo(moment) {
    this.clearBrush();
    this.choose(this.tree.nodes.get(this.node), moment);
  }

  /** All plans that were active in a stretch of env steps. */
  brushSteps(from, to) {
    const overlaps = ({ attributes: plan }) => plan.made <= to && plan.ended >= from;
    this.mark(plansOf(this.tree).filter(overlaps), from, to);
  }

  /** Plans by their number, and the stretch of env steps that they took. */
  brushNodes(ids) {
    const plans = plansOf(this.tree).filter(({ id }) => ids.has(id));
    if (plans.length === 0) return;
    const from = Math.min(...plans.map(({ attributes }) => attributes.made));
    const to = Math.max(...plans.map(({ attributes }) => attributes.ended));
    this.mark(plans, from, to);
  }

  mark(plans, from, to) {
    const marked = new Set(plans.map(({ id }) => id));
    Object.assign(this, { node: 0, moment: from, from, to, marked });
  }

  /** The stretch to shade: the brushed one, or that of the selected plan. */
  get stretch() {
    const { made = null, ended = null } = this.tree.nodes.get(this.node).attributes;
    return this.from === null ? [made, ended] : [this.from, this.to];
  }

  get state() {
    const span = this.from === null ? "" : `${this.from}-${this.to}`;
    return { node: this.node, at: this.moment, span };
  }

  set state({ node, at, span }) {
    const chosen = this.tree.nodes.get(whole(node)) ?? this.tree.root;
    const moment = whole(at);
    this.choose(chosen, moment === null ? null : Math.min(moment, this.tree.steps));
    const [from = null, to = null] = (span ?? "").split("-").map(whole);
    if (from !== null && to !== null) this.brushSteps(from, to);
  }
}
