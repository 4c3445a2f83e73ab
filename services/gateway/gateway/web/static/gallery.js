/** The wall: the account's pictures, newest first, a page at a time. What is on the easel hangs here once put away. */

import { call } from "./api.js";
import { known, learnRecent } from "./jobs.js";
import { open } from "./lightbox.js";

const PAGE = 24;
const hang = document.getElementById("gallery");
const head = document.getElementById("wall-head");
const empty = document.getElementById("gallery-empty");
const more = document.getElementById("gallery-more");
const problem = document.getElementById("gallery-problem");
const template = document.getElementById("picture-template");

const assets = [];
let cursor;

/** `isElsewhere` says whether a job's pictures are on the easel. */
export async function start(isElsewhere) {
  more.addEventListener("click", () => load(isElsewhere));
  await Promise.all([load(isElsewhere), learnRecent().then(caption, () => {})]);
}

/** Hangs the pictures of a job before all others. */
export async function add(jobId) {
  const page = await call(`/v1/assets?job_id=${jobId}`);
  const fresh = page.data.filter((asset) => !assets.some((other) => other.id === asset.id));
  assets.unshift(...fresh);
  hang.prepend(...fresh.map(element));
  settle();
}

async function load(isElsewhere) {
  more.disabled = true;
  problem.hidden = true;
  try {
    const page = await call(`/v1/assets?limit=${PAGE}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    const fresh = page.data.filter((asset) => !isElsewhere(asset.job_id));
    cursor = page.next_cursor;
    assets.push(...fresh);
    hang.append(...fresh.map(element));
  } catch (error) {
    problem.textContent = error.message;
    problem.hidden = false;
  }
  more.disabled = false;
  settle();
}

/** Shows what fits the number of pictures. */
export function settle() {
  hang.removeAttribute("aria-busy");
  head.hidden = assets.length === 0;
  empty.hidden = assets.length > 0 || !problem.hidden || !document.getElementById("easel").hidden;
  more.hidden = !cursor && problem.hidden;
  more.textContent = problem.hidden ? "Show more" : "Try again";
}

function element(asset) {
  const link = template.content.firstElementChild.cloneNode(true);
  const image = link.querySelector("img");
  link.href = `/v1/assets/${asset.id}/content`;
  link.dataset.job = asset.job_id ?? "";
  link.style.setProperty("--ratio", asset.width / asset.height);
  image.addEventListener("load", () => (image.dataset.loaded = ""));
  image.src = `/v1/assets/${asset.id}/content?variant=thumbnail`;
  link.addEventListener("click", (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey) return;
    event.preventDefault();
    open(assets, assets.indexOf(asset));
  });
  describe(link);
  return link;
}

function describe(link) {
  const prompt = known(link.dataset.job)?.prompt;
  link.querySelector("img").alt = prompt ?? (link.dataset.job ? "Picture" : "Uploaded picture");
  link.querySelector(".picture__words").textContent = prompt ? shorten(prompt) : "";
}

const caption = () => [...hang.children].forEach(describe);

const shorten = (words) => (words.length > 120 ? `${words.slice(0, 117).trimEnd()}…` : words);
