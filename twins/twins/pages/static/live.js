// Shows the page as it is now whenever the server says that it changed.
const topic = document.body.dataset.topic;
const source = new EventSource(`/changes?topic=${encodeURIComponent(topic)}`);

async function refresh() {
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const open = new Set([...document.querySelectorAll("details[open]")].map((element) => element.id));
  document.querySelector("main").replaceWith(fresh.querySelector("main"));
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
}

source.addEventListener("changed", refresh);
source.addEventListener("open", () => document.body.classList.add("live"));
source.addEventListener("error", () => document.body.classList.remove("live"));
