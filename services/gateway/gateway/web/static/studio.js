/** The studio: joins the form, the easel, the wall and the regions that the server renders. */

import "./refresh.js";
import * as composer from "./composer.js";
import * as easel from "./easel.js";
import * as gallery from "./gallery.js";
import * as lightbox from "./lightbox.js";
import { localize } from "./moments.js";
import { refresh } from "./refresh.js";

const UNFINISHED = ["queued", "running"];

async function update() {
  await refresh();
  composer.show();
}

easel.start({
  onChange: update,
  onAgain: composer.fill,
  onPutAway: (jobId, hasPictures) => (hasPictures ? gallery.add(jobId).catch(gallery.settle) : gallery.settle()),
});
lightbox.start(composer.fill);
composer.start((job) => {
  easel.place(job);
  gallery.settle();
  update().then(easel.lookAt);
});

for (const idea of document.querySelectorAll("[data-idea]")) {
  idea.addEventListener("click", () => composer.fill({ prompt: idea.dataset.idea }));
}

// jobs that were running when the page was left go on, oldest first so that the newest ends on top
const unfinished = [...document.querySelectorAll(".recent [data-job]")].filter((link) => UNFINISHED.includes(link.dataset.status));
for (const { dataset } of unfinished.reverse()) {
  const input = JSON.parse(dataset.input);
  if (input.prompt && input.size) easel.place({ id: dataset.job, input, credits: { price: Number(dataset.price) } });
}

localize(document);
gallery.start(easel.holds);
