/** Follows a job's server-sent events over fetch, and comes back where it was when the line breaks. */

const PAUSE_MS = 1000;
const LONGEST_PAUSE_MS = 15000;

/** Calls `onEvent` and `onProgress` until nothing more can come; ends early when `signal` aborts. */
export async function follow(jobId, { onEvent, onProgress = () => {}, isOver, after = 0, signal }) {
  let last = after;
  let pause = PAUSE_MS;
  while (!signal?.aborted) {
    try {
      const headers = { Accept: "text/event-stream", "Last-Event-ID": String(last) };
      const answer = await fetch(`/v1/jobs/${jobId}/events`, { headers, signal });
      if (answer.status === 401 || answer.status === 404) return;
      if (answer.ok) {
        for await (const message of messages(answer.body)) {
          pause = PAUSE_MS;
          if (message.event === "progress") onProgress(JSON.parse(message.data));
          else if (message.data) {
            last = Number(message.id ?? last);
            onEvent(JSON.parse(message.data));
          }
        }
        if (isOver()) return;
      }
    } catch (error) {
      if (error.name === "AbortError") return;
    }
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
}

async function* messages(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const blocks = (rest + value).split(/\r?\n\r?\n/);
      rest = blocks.pop();
      for (const block of blocks) yield parse(block);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}

function parse(block) {
  const message = { data: "" };
  for (const line of block.split(/\r?\n/)) {
    const [, field, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (field === "data") message.data += (message.data && "\n") + value;
    else if (field) message[field] = value;
  }
  return message;
}

/** `atelier.billing.credits-held.v1` -> `credits-held`. */
export const eventName = (type) => type.split(".")[2] ?? type;
