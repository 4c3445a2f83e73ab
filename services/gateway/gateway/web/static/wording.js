/** How amounts, sizes and failures read; the sentences come from the server, so they are written once. */

const NUMBER = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });
const spoken = JSON.parse(document.getElementById("wording")?.textContent ?? '{"failures":{}}');

export const credits = (millicredits) => NUMBER.format(millicredits / 1000);

export const creditSum = (millicredits) => `${credits(millicredits)} ${millicredits === 1000 ? "credit" : "credits"}`;

export const count = (number, noun) => `${NUMBER.format(number)} ${noun}${number === 1 ? "" : "s"}`;

export const dimensions = (size) => size.replace("x", " × ");

export const shortage = ({ needed, available }) =>
  `This takes ${creditSum(needed)}, and ${credits(available)} ${available === 1000 ? "is" : "are"} available.`;

export function failureSentence(failure, detail) {
  return spoken.failures[failure] ?? detail ?? "It ended without a picture. Nothing was charged.";
}
