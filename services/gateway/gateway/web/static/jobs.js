/** What each job asked for, so that a picture can be shown with its words. */

import { call } from "./api.js";

const MOST = 100;
const inputs = new Map();

export const learn = (jobId, input) => inputs.set(jobId, input);

export const known = (jobId) => inputs.get(jobId);

/** Learns the latest jobs in one request; older ones are asked for when somebody looks. */
export async function learnRecent() {
  const page = await call(`/v1/jobs?limit=${MOST}`);
  for (const job of page.data) learn(job.id, job.input);
}

export async function inputOf(jobId) {
  if (!inputs.has(jobId)) learn(jobId, (await call(`/v1/jobs/${jobId}`)).input);
  return inputs.get(jobId);
}
