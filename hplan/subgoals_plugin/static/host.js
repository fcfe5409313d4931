/**
 * The page around the tab. TensorBoard shows it in a frame of its own page, of the same origin: the
 * state is kept in that page's address, where TensorBoard gives every plugin the keys `p.<name>.*`.
 * On its own (data/plugin_entry.html?name=subgoals) the tab keeps it in its own address.
 */

const PREFIX = "p.subgoals.";
const TAB = "subgoals";
const THEME_KEY = "subgoals.theme";
export const THEMES = ["auto", "light", "dark"];

function outerPage() {
  try {
    if (window.parent.location.origin === window.location.origin) return window.parent;
  } catch {
    // A frame of a foreign page: its address is none of ours.
  }
  return window;
}

const page = outerPage();
let written = null; // our part of the address, as it was last written

/** The parts of the address after the hash: TensorBoard's own, and ours by key. */
function parts() {
  const others = [];
  const state = {};
  for (const part of page.location.hash.replace(/^#/, "").split("&")) {
    if (!part) continue;
    if (!part.startsWith(PREFIX)) {
      others.push(part);
      continue;
    }
    const [key, value = ""] = part.slice(PREFIX.length).split("=");
    try {
      state[key] = decodeURIComponent(value);
    } catch {
      // A mangled link: that part is as if it were not there.
    }
  }
  return { others, state };
}

export const readState = () => parts().state;

/** Our part of the address, in whatever order TensorBoard has put it. */
const fingerprint = () => JSON.stringify(Object.entries(readState()).sort());

/** Keeps a state {key: text} in the address, in place of the last one. */
export function writeState(state) {
  const { others } = parts();
  if (page !== window) {
    if (others.length === 0) others.push(TAB);
    if (others[0] !== TAB) return; // another tab is in front
  }
  const own = Object.entries(state)
    .filter(([, value]) => value !== "" && value !== null && value !== undefined)
    .map(([key, value]) => `${PREFIX}${key}=${encodeURIComponent(value)}`);
  // Not the hash alone: that would be taken from the page's base, which is another folder.
  const { pathname, search } = page.location;
  const address = `${pathname}${search}#${[...others, ...own].join("&")}`;
  page.history.replaceState(page.history.state, "", address);
  written = fingerprint();
}

/** The address that brings back what is shown. */
export const link = () => page.location.href;

/** Calls back when the address says something else than written: a link opened in this window. */
export function onStateChanged(callback) {
  page.addEventListener("hashchange", () => {
    const state = readState();
    if ("run" in state && fingerprint() !== written) callback(state);
  });
}

/** Calls back when TensorBoard has read its log directory again. */
export function onDataReloaded(callback) {
  if (page === window) return;
  const { port1, port2 } = new MessageChannel();
  port1.onmessage = (event) => {
    const { type, id, isReply } = JSON.parse(event.data);
    if (isReply) return;
    if (type === "experimental.DataReloaded") callback();
    port1.postMessage(JSON.stringify({ type, id, payload: null, error: null, isReply: true }));
  };
  page.postMessage("experimental.bootstrap", page.location.origin, [port2]);
}

export function chosenTheme() {
  try {
    const theme = window.localStorage.getItem(THEME_KEY);
    return THEMES.includes(theme) ? theme : "auto";
  } catch {
    return "auto"; // storage is switched off
  }
}

export function chooseTheme(theme) {
  try {
    window.localStorage.setItem(THEME_KEY, theme);
  } catch {
    // Storage is switched off: the choice lasts as long as the page.
  }
  applyTheme(theme);
}

/** "auto" is as TensorBoard's page is now; on its own, as the browser asks. */
function applyTheme(theme) {
  const dark = page === window
    ? window.matchMedia("(prefers-color-scheme: dark)").matches
    : page.document.body.classList.contains("dark-mode");
  document.documentElement.dataset.theme = theme === "auto" ? (dark ? "dark" : "light") : theme;
}

/** Applies the theme now and whenever TensorBoard or the browser changes theirs. */
export function followTheme() {
  const apply = () => applyTheme(chosenTheme());
  apply();
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  if (page === window) return;
  const watch = new MutationObserver(apply);
  watch.observe(page.document.body, { attributes: true, attributeFilter: ["class"] });
}
