/** The story of a job, kept up to date until nothing more can come. */

import { call } from "./api.js";
import { follow } from "./live.js";
import { localize } from "./moments.js";
import { refresh } from "./refresh.js";

const story = document.getElementById("story");
const head = story.querySelector("[data-live=head]");
const jobId = story.dataset.job;
const isLive = () => head.dataset.more === "yes";

story.addEventListener("click", async (event) => {
  if (event.target.id !== "cancel") return;
  event.target.disabled = true;
  try {
    await call(`/v1/jobs/${jobId}/cancel`, { method: "POST" });
  } catch (error) {
    const problem = document.getElementById("job-problem");
    if (problem) Object.assign(problem, { textContent: error.message, hidden: false });
  }
  await refresh();
});

async function showDelivery() {
  const room = document.getElementById("delivery-attempts");
  if (!document.querySelector("[data-live=delivery]")) return;
  const [latest] = (await call(`/v1/deliveries?job_id=${jobId}`)).data;
  if (!latest) return;
  const delivery = await call(`/v1/deliveries/${latest.id}`);
  const signed = document.getElementById("delivery-signed");
  signed.querySelector("code").textContent = delivery.id;
  signed.hidden = false;
  room.hidden = delivery.attempts.length === 0;
  room.querySelector("tbody").replaceChildren(...delivery.attempts.map(row));
}

function row(attempt) {
  const line = document.createElement("tr");
  for (const text of [String(attempt.number), answerOf(attempt), tookOf(attempt)]) {
    line.append(Object.assign(document.createElement("td"), { textContent: text }));
  }
  line.lastElementChild.className = "number";
  return line;
}

const tookOf = ({ duration_ms: took }) => (took === null ? "" : `${took} ms`);

function answerOf({ status_code: status, error_code: error, outcome }) {
  if (status) return `HTTP ${status}`;
  return error?.replaceAll("_", " ") ?? outcome ?? "Under way";
}

const DELIVERY_POLL_MS = 5000; // attempts are no events; only how a delivery ends is one

localize(document);
showDelivery().catch(() => {});
if (isLive()) {
  const after = Math.max(0, ...[...story.querySelectorAll(".chain [id]")].map((moment) => Number(moment.id.split("-")[1])));
  const watch = setInterval(() => showDelivery().catch(() => {}), DELIVERY_POLL_MS);
  await follow(jobId, { onEvent: refresh, isOver: () => !isLive(), after });
  clearInterval(watch);
  await refresh();
  await showDelivery().catch(() => {});
}
