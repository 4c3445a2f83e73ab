/** Calls to the public API by the session cookie, and its problems as sentences for people. */

import { count, shortage } from "./wording.js";

export class Problem extends Error {
  constructor(message, { status = 0, code = "unreachable" } = {}) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/** The answer's JSON. Throws a Problem whose message can be shown. */
export async function call(path, { method = "GET", body, headers = {}, signal } = {}) {
  let answer;
  try {
    answer = await fetch(path, {
      method,
      signal,
      headers: { Accept: "application/json", ...(body && { "Content-Type": "application/json" }), ...headers },
      body: body && JSON.stringify(body),
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The studio cannot be reached. Check your connection and try again; nothing is charged twice.");
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer.json();
}

async function problemOf(answer) {
  const told = await answer.json().catch(() => ({}));
  return new Problem(sentence(answer, told), { status: answer.status, code: told.code });
}

function sentence(answer, told) {
  const seconds = Number(answer.headers.get("Retry-After"));
  const again = seconds > 0 ? `Try again in ${count(seconds, "second")}.` : "Try again shortly.";
  switch (answer.status) {
    case 401:
      return "Your session has ended. Reload the page to sign in again.";
    case 402:
      if (told.code === "balance_negative") return "Your balance is below zero, after a refund or a dispute. Buy credits to go on.";
      return `${shortage(told)} Ask for fewer pictures, or a smaller size.`;
    case 429:
      return `Too many requests just now. ${again}`;
    case 502:
    case 503:
    case 504:
      return `A part of the studio is away for a moment; nothing was lost or charged. ${again}`;
    default:
      return told.detail ?? `That did not work (${answer.status}).`;
  }
}
