/** Keeps `data-live` regions fresh: fetches this same page again and swaps what differs, so the server alone renders. */

import { localize } from "./moments.js";

const source = new WeakMap();
remember(document);

let running;
let again = false;

/** Calls that come while one runs share one more run. */
export async function refresh() {
  again = true;
  running ??= run().finally(() => (running = undefined));
  return running;
}

async function run() {
  while (again) {
    again = false;
    const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => undefined);
    if (!answer?.ok) return;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    remember(fresh);
    for (const region of fresh.querySelectorAll("[data-live]")) {
      const shown = document.querySelector(`[data-live="${region.dataset.live}"]`);
      if (shown) swap(shown, region);
    }
    localize(document);
  }
}

function remember(root) {
  for (const part of root.querySelectorAll("[data-live], [data-live] > [data-key]")) source.set(part, part.outerHTML);
}

function swap(shown, fresh) {
  if (source.get(shown) === source.get(fresh)) return;
  for (const { name, value } of fresh.attributes) shown.setAttribute(name, value);
  source.set(shown, source.get(fresh));
  const known = new Map([...shown.children].map((child) => [child.dataset.key, child]));
  const children = [...fresh.children].map((child) => {
    const old = child.dataset.key && known.get(child.dataset.key);
    if (old && source.get(old) === source.get(child)) return old;
    if (child.dataset.key && !old) child.dataset.new = "";
    if (old) keepOpen(old, child);
    return child;
  });
  if (children.length === 0) shown.replaceChildren(...fresh.childNodes);
  else if (children.some((child) => child.dataset.key)) reconcile(shown, children);
  else shown.replaceChildren(...fresh.childNodes);
}

/** Moves as little as possible: a child that stays keeps its focus and does not flicker. */
function reconcile(shown, children) {
  const wanted = new Set(children);
  for (const child of [...shown.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, index) => {
    if (shown.children[index] !== child) shown.insertBefore(child, shown.children[index] ?? null);
  });
}

function keepOpen(old, fresh) {
  for (const details of old.querySelectorAll("details[open]")) {
    fresh.querySelector(`details[data-key="${details.dataset.key}"]`)?.setAttribute("open", "");
  }
}
