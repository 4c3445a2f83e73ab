/** Moments in the reader's own time zone: how long ago, or exactly when. */

const RELATIVE = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
const EXACT = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const DAY = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const CLOCK = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const UNITS = [["second", 60], ["minute", 60], ["hour", 24], ["day", 7], ["week", 4.35], ["month", 12], ["year", Infinity]];
const TICK_MS = 20000;

export function ago(moment) {
  let amount = (moment - Date.now()) / 1000;
  if (amount > -10) return "just now";
  for (const [unit, size] of UNITS) {
    if (Math.abs(amount) < size) return RELATIVE.format(Math.round(amount), unit);
    amount /= size;
  }
}

export const exactly = (moment) => EXACT.format(moment);

const WAYS = {
  ago,
  when: exactly,
  day: (moment) => DAY.format(moment),
  clock: (moment) => CLOCK.format(moment),
  exact: (moment) => `${exactly(moment)}, ${moment.getMilliseconds()} ms`,
};

/** Rewrites each `<time data-ago>`, `data-when`, `data-day`, `data-clock` and `data-exact`. */
export function localize(root) {
  for (const [name, say] of Object.entries(WAYS)) {
    for (const element of root.querySelectorAll(`time[data-${name}]`)) {
      const moment = new Date(element.dateTime);
      element.title = exactly(moment);
      element.textContent = say(moment);
    }
  }
}

setInterval(() => localize(document), TICK_MS);
