/** The page of credits: leads to the payment provider and back, and waits for what was paid to arrive. */

import { call } from "./api.js";
import { localize } from "./moments.js";
import { refresh } from "./refresh.js";
import { creditSum } from "./wording.js";

const LEFT_FOR = "atelier-checkout";
const PORTAL = "portal";
const LOOKS_MS = [0, 500, 1000, 1500, 2000, 3000, 4000, 6000];
const AFTER_MS = [0, 1500, 4000, 8000];

const notice = document.getElementById("notice");
const problem = document.getElementById("problem");
const keys = new Map();

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-buy], [data-portal]");
  if (button) lead(button);
});
// also when the browser brings the page back as it was left
addEventListener("pageshow", () => {
  ready();
  const left = sessionStorage.getItem(LEFT_FOR);
  sessionStorage.removeItem(LEFT_FOR);
  if (left === PORTAL) catchUp();
  else if (left) watch(left);
});
localize(document);

/** Buttons come to life here, and again where a fresh part of the page has replaced them. */
function ready() {
  for (const button of document.querySelectorAll("[data-buy], [data-portal]")) {
    button.disabled = false;
    delete button.dataset.busy;
  }
}
new MutationObserver(() => document.querySelector("[data-busy]") ?? ready()).observe(document.querySelector("main"), {
  childList: true,
  subtree: true,
});

async function lead(button) {
  complain("");
  button.disabled = true;
  button.dataset.busy = "";
  try {
    const { buy, name } = button.dataset;
    const target = buy ? await checkOut(buy, name) : await openPortal();
    location.assign(target);
  } catch (error) {
    complain(error.message);
    ready();
  }
}

async function checkOut(kind, name) {
  const wish = `${kind}/${name}`;
  if (!keys.has(wish)) keys.set(wish, newKey());
  try {
    const headers = { "Idempotency-Key": keys.get(wish) };
    const checkout = await call("/v1/checkout-sessions", { method: "POST", body: { [kind]: name }, headers });
    keys.delete(wish);
    sessionStorage.setItem(LEFT_FOR, checkout.id);
    return checkout.url;
  } catch (error) {
    // without an answer, or with one that says try again, the same key finds the session that was made after all
    if (error.status && error.status < 500) keys.delete(wish);
    throw error;
  }
}

async function openPortal() {
  const { url } = await call("/v1/portal-sessions", { method: "POST", body: {} });
  sessionStorage.setItem(LEFT_FOR, PORTAL);
  return url;
}

/** Looks after a checkout until the provider has told how it ended, which takes a moment after the payer is back. */
async function watch(checkoutId) {
  for (const pause of LOOKS_MS) {
    await sleep(pause);
    const checkout = await call(`/v1/checkout-sessions/${checkoutId}`).catch(() => undefined);
    switch (checkout?.state) {
      case "paid":
        tell(checkout.kind === "pack" ? `Thank you. ${creditSum(checkout.amount)} are yours.` : "Thank you. Your plan has begun.", true);
        return catchUp();
      case "processing":
        return tell("Thank you. Your bank takes some days; the credits arrive when it has paid.");
      case "failed":
        return complain("The payment failed, and nothing was charged. Try another way to pay.");
      case "expired":
        return complain("The payment page has expired, and nothing was charged.");
      default:
        tell("Looking for your payment…");
    }
  }
  notice.hidden = true;
}

/** Shows what the provider tells in the next seconds. */
async function catchUp() {
  for (const pause of AFTER_MS) {
    await sleep(pause);
    await refresh();
  }
}

function tell(message, good = false) {
  notice.textContent = message;
  notice.toggleAttribute("data-good", good);
  notice.hidden = false;
}

function complain(message) {
  notice.hidden = true;
  problem.textContent = message;
  problem.hidden = !message;
}

const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Random also where the page is served without TLS and `crypto.randomUUID` is missing. */
const newKey = () =>
  Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
