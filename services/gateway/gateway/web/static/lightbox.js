/** One picture large, with its words; arrows turn to the next, Escape closes. */

import { inputOf, known } from "./jobs.js";
import { exactly } from "./moments.js";

const dialog = document.getElementById("lightbox");
const picture = document.getElementById("lightbox-picture");
const title = document.getElementById("lightbox-title");
const facts = document.getElementById("lightbox-facts");
const original = document.getElementById("lightbox-original");
const timeline = document.getElementById("lightbox-timeline");
const again = document.getElementById("lightbox-again");

let assets = [];
let index = 0;

/** `onAgain` is called with the input of the job behind a picture. */
export function start(onAgain) {
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  for (const turner of dialog.querySelectorAll("[data-turn]")) {
    turner.addEventListener("click", () => show(index + Number(turner.dataset.turn)));
  }
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") show(index - 1);
    if (event.key === "ArrowRight") show(index + 1);
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.classList.contains("lightbox__picture")) dialog.close();
  });
  dialog.addEventListener("close", () => picture.removeAttribute("src"));
  again.addEventListener("click", async () => {
    const input = await inputOf(assets[index].job_id);
    dialog.close();
    onAgain(input);
  });
}

export function open(list, at) {
  assets = list;
  dialog.showModal();
  show(at);
}

async function show(at) {
  if (at < 0 || at >= assets.length) return;
  index = at;
  const asset = assets[at];
  picture.src = `/v1/assets/${asset.id}/content`;
  picture.width = asset.width;
  picture.height = asset.height;
  original.href = picture.src;
  timeline.hidden = again.hidden = !asset.job_id;
  if (asset.job_id) timeline.href = `/jobs/${asset.job_id}`;
  facts.textContent = describe(asset);
  dialog.querySelector('[data-turn="-1"]').disabled = at === 0;
  dialog.querySelector('[data-turn="1"]').disabled = at === assets.length - 1;
  name(asset, asset.job_id ? known(asset.job_id)?.prompt : undefined);
  if (asset.job_id && !known(asset.job_id)) {
    const input = await inputOf(asset.job_id).catch(() => undefined);
    if (assets[index] === asset) name(asset, input?.prompt);
  }
}

function name(asset, prompt) {
  title.textContent = prompt ?? (asset.job_id ? "Picture" : "Uploaded picture");
  picture.alt = title.textContent;
}

function describe(asset) {
  const made = asset.fallback ? "free gradient, the model was away" : undefined;
  return [`${asset.width} × ${asset.height}`, made, asset.created_at && exactly(new Date(asset.created_at))]
    .filter(Boolean)
    .join(" · ");
}
