/** The form: counter, live price, and a submission that can be repeated without paying twice. */

import { call } from "./api.js";
import { count, creditSum } from "./wording.js";

const form = document.getElementById("composer");
const prompt = document.getElementById("prompt");
const counter = document.getElementById("counter");
const price = document.getElementById("price");
const button = document.getElementById("make");
const problem = document.getElementById("composer-problem");
const prices = JSON.parse(form.dataset.prices);
const longest = Number(form.dataset.longest);

let key;

/** Calls `onAccepted` with each new job. */
export function start(onAccepted) {
  form.addEventListener("input", () => {
    key = undefined;
    show();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    await submit(onAccepted);
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) form.requestSubmit();
  });
  show();
  button.disabled = false;
  if (matchMedia("(hover: hover)").matches) prompt.focus({ preventScroll: true });
}

/** Puts the words and choices of an earlier job into the form. */
export function fill(input) {
  key = undefined;
  prompt.value = input.prompt ?? prompt.value;
  for (const name of ["size", "quality", "n"]) {
    const choice = form.querySelector(`[name="${name}"][value="${input[name]}"]`);
    if (choice) choice.checked = true;
  }
  if (input.fallback) form.elements.fallback.checked = input.fallback !== "none";
  show();
  prompt.focus();
  form.scrollIntoView({ block: "center" });
}

/** Counter and price; also after the purse has changed. */
export function show() {
  const { size, quality, n } = request().input;
  const total = prices[size][quality] * n;
  const available = Number(document.querySelector(".purse")?.dataset.available ?? Infinity);
  const length = [...prompt.value.trim()].length;
  counter.textContent = `${length.toLocaleString("en")} / ${longest.toLocaleString("en")}`;
  counter.toggleAttribute("data-over", length > longest);
  price.textContent = creditSum(total);
  price.toggleAttribute("data-short", total > available);
}

function request() {
  const fields = new FormData(form);
  return {
    kind: "image",
    input: {
      prompt: prompt.value.trim(),
      size: fields.get("size"),
      quality: fields.get("quality"),
      n: Number(fields.get("n")),
      fallback: fields.has("fallback") ? "gradient" : "none",
    },
  };
}

async function submit(onAccepted) {
  const body = request();
  const length = [...body.input.prompt].length;
  if (length === 0) return complain("Say what the picture should show.");
  if (length > longest) return complain(`The description is ${count(length - longest, "character")} too long.`);
  complain("");
  key ??= newKey();
  button.disabled = true;
  button.dataset.busy = "";
  try {
    const job = await call("/v1/jobs", { method: "POST", body, headers: { "Idempotency-Key": key } });
    key = undefined;
    onAccepted(job);
  } catch (error) {
    // without an answer the same key is sent again, so a job that was accepted after all is found, not made twice
    if (error.status) key = undefined;
    complain(error.message);
  } finally {
    button.disabled = false;
    delete button.dataset.busy;
  }
}

function complain(message) {
  problem.textContent = message;
  problem.hidden = !message;
}

/** Random also where the page is served without TLS and `crypto.randomUUID` is missing. */
const newKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
