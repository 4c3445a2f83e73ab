/** The easel: a job while it is made. Frames of wet paint become pictures as its events arrive. */

import { call } from "./api.js";
import { learn } from "./jobs.js";
import { open } from "./lightbox.js";
import { eventName, follow } from "./live.js";
import { count, creditSum, dimensions, failureSentence, shortage } from "./wording.js";

const STEPS = ["accepted", "paid", "making", "kept", "delivered"];
const MOST_STREAMS = 3; // a browser has few connections per host, and pictures need them too
const easel = document.getElementById("easel");
const workTemplate = document.getElementById("work-template");
const frameTemplate = document.getElementById("frame-template");

const works = new Map();
let options;

/** `onChange`: the purse or the list of jobs may differ. `onPutAway`: a job's pictures may hang. `onAgain`: same words. */
export function start(handlers) {
  options = handlers;
}

export const holds = (jobId) => works.has(jobId);

/** Puts a job on the easel; finished ones make room. */
export function place(job) {
  if (works.has(job.id)) return;
  for (const work of works.values()) if (work.over && !work.failed) work.putAway();
  learn(job.id, job.input);
  const work = new Work(job);
  works.set(job.id, work);
  easel.hidden = false;
  easel.prepend(work.element);
  followNext();
}

/** Brings the newest work into view. */
export const lookAt = () => easel.firstElementChild?.scrollIntoView({ block: "center" });

function followNext() {
  const running = [...works.values()].filter((work) => work.following).length;
  const waiting = [...works.values()].filter((work) => !work.following && !work.over);
  for (const work of waiting.slice(0, MOST_STREAMS - running)) work.follow().then(followNext);
}

class Work {
  constructor({ id, input, credits }) {
    this.id = id;
    this.input = input;
    this.over = this.failed = this.following = false;
    this.made = new Set();
    this.kept = new Map();
    this.aborter = new AbortController();
    this.element = workTemplate.content.firstElementChild.cloneNode(true);
    this.part = (name) => this.element.querySelector(`.work__${name}`);
    const n = input.n ?? 1;
    const [width, height] = input.size.split("x").map(Number);
    this.size = { width, height };
    this.part("prompt").textContent = input.prompt;
    this.part("facts").textContent = [
      dimensions(input.size),
      input.quality === "hd" ? "HD" : "Standard",
      n > 1 && count(n, "picture"),
      credits && creditSum(credits.price),
    ].filter(Boolean).join(" · ");
    this.part("timeline").href = `/jobs/${id}`;
    this.frames = Array.from({ length: n }, (_, item) => this.frame(item));
    this.element.dataset.count = n;
    this.part("frames").append(...this.frames);
    this.part("cancel").addEventListener("click", () => this.cancel());
    this.part("again").addEventListener("click", () => options.onAgain(input));
    this.part("away").addEventListener("click", () => this.putAway());
    this.reach("accepted", "Asked for. Setting credits aside.");
  }

  frame(item) {
    const frame = frameTemplate.content.firstElementChild.cloneNode(true);
    frame.style.setProperty("--ratio", this.size.width / this.size.height);
    frame.style.aspectRatio = `${this.size.width} / ${this.size.height}`;
    frame.querySelector("button").addEventListener("click", () => {
      const shown = [...this.kept.entries()].sort(([a], [b]) => a - b);
      open(shown.map(([, asset]) => asset), shown.findIndex(([number]) => number === item));
    });
    return frame;
  }

  async follow() {
    this.following = true;
    await follow(this.id, {
      onEvent: (event) => this.tell(eventName(event.type), event.data),
      onProgress: ({ item }) => this.paint(item),
      isOver: () => this.over,
      signal: this.aborter.signal,
    });
    this.following = false;
  }

  tell(name, data) {
    switch (name) {
      case "credits-held":
        this.frames.forEach((frame) => frame.dataset.state === "waiting" && (frame.dataset.state = "paid"));
        this.reach("paid", `${creditSum(data.amount)} set aside. The model is at work.`);
        options.onChange();
        break;
      case "artifact-produced":
        this.made.add(data.item);
        if (this.made.size === this.frames.length) this.reach("making", "Made. Being checked and stored.");
        break;
      case "asset-stored":
        this.show(data);
        if (this.kept.size === this.frames.length) this.reach("kept", "Kept.");
        break;
      case "asset-rejected":
        this.fail(data.item, failureSentence("storage_rejected"));
        break;
      case "job-succeeded":
      case "job-failed":
      case "job-cancelled":
      case "job-refused":
        this.end(name, data);
        break;
      case "credits-settled":
        this.settle(data);
        break;
    }
  }

  paint(item) {
    const frame = this.frames[item];
    if (frame && ["waiting", "paid"].includes(frame.dataset.state)) frame.dataset.state = "making";
  }

  show({ item, asset_id: id, width, height, source }) {
    const frame = this.frames[item];
    if (!frame || this.kept.has(item)) return;
    this.kept.set(item, { id, width, height, job_id: this.id, fallback: source === "fallback" });
    const image = frame.querySelector("img");
    image.alt = this.frames.length > 1 ? `${this.input.prompt}, ${item + 1} of ${this.frames.length}` : this.input.prompt;
    image.addEventListener("load", () => (frame.dataset.state = "shown"));
    image.src = `/v1/assets/${id}/content`;
    frame.querySelector("button").hidden = false;
  }

  fail(item, sentence) {
    const frame = this.frames[item];
    if (!frame || this.kept.has(item)) return;
    frame.dataset.state = "failed";
    const caption = frame.querySelector("figcaption");
    caption.textContent = sentence;
    caption.hidden = this.frames.length === 1;
  }

  end(name, data) {
    this.over = true;
    this.failed = this.kept.size === 0;
    for (const result of data.items) {
      if (result.outcome !== "delivered") this.fail(result.item, failureSentence(result.failure, result.detail));
    }
    this.part("cancel").hidden = true;
    this.part("away").hidden = false;
    this.part("again").hidden = name === "job-succeeded";
    if (name === "job-succeeded") {
      const missing = this.frames.length - this.kept.size;
      this.reach("delivered", missing ? `${count(missing, "picture")} could not be made and will not be charged.` : "Here it is.");
    } else {
      const short = data.failure === "insufficient_credits" ? shortage(data) : undefined;
      const cancelled = name === "job-cancelled" ? "Cancelled. What was not begun is not charged." : undefined;
      this.stop(short ?? cancelled ?? failureSentence(data.failure, data.detail), { bad: !cancelled });
      if (this.failed) this.frames.forEach((_, item) => this.fail(item, ""));
    }
    options.onChange();
  }

  settle({ captured, released }) {
    if (!this.failed) {
      const back = released ? `, ${creditSum(released)} given back` : "";
      this.part("status").textContent = `${creditSum(captured)} paid${back}.`;
    }
    options.onChange();
  }

  reach(step, sentence) {
    const done = STEPS.indexOf(step);
    this.part("label").querySelectorAll("[data-step]").forEach((element, index) => {
      element.toggleAttribute("data-done", index <= done);
      if (index === done + 1) element.setAttribute("aria-current", "step");
      else element.removeAttribute("aria-current");
    });
    this.part("status").textContent = sentence;
  }

  stop(sentence, { bad }) {
    this.part("label").querySelector("[aria-current]")?.removeAttribute("aria-current");
    this.part("status").toggleAttribute("data-bad", bad);
    this.part("status").textContent = sentence;
  }

  async cancel() {
    const button = this.part("cancel");
    button.disabled = true;
    try {
      await call(`/v1/jobs/${this.id}/cancel`, { method: "POST" });
      button.textContent = "Cancelling";
    } catch (error) {
      button.disabled = false;
      if (error.code !== "job_already_finished") this.part("status").textContent = error.message;
    }
  }

  putAway() {
    works.delete(this.id);
    this.element.remove();
    easel.hidden = works.size === 0;
    options.onPutAway(this.id, this.kept.size > 0);
  }
}
