// Keeps the overview fresh: the server says that something is new, the page itself says what. Without it, the page
// loads itself again every few seconds.
const title = document.title;

function keep(old, fresh) {
  // A ticket that stands as it stood stays as it is: somebody may be typing in it.
  for (const now of fresh.querySelectorAll(".ticket")) {
    const before = document.getElementById(now.id);
    if (before && before.dataset.mark === now.dataset.mark) now.replaceWith(before);
  }
  old.replaceChildren(...fresh.childNodes);
}

async function refresh() {
  const answer = await fetch("/", { headers: { Accept: "text/html" } });
  if (answer.redirected) return location.reload();
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  const focused = document.activeElement;
  for (const old of document.querySelectorAll("[data-live]")) {
    const now = fresh.getElementById(old.id);
    if (!now || old.innerHTML === now.innerHTML) continue;
    if (old.id === "tickets") keep(old, now);
    else old.replaceChildren(...now.childNodes);
  }
  if (focused && focused.isConnected) focused.focus();
  const waiting = document.querySelectorAll(".ticket").length;
  document.title = waiting ? `(${waiting}) ${title}` : title;
  started();
}

function started() {
  for (const left of document.querySelectorAll("[data-left-s]:not([data-ends])")) {
    left.dataset.ends = performance.now() + 1000 * Number(left.dataset.leftS);
  }
}

setInterval(() => {
  for (const left of document.querySelectorAll("[data-ends]")) {
    left.textContent = `${Math.max(0, Math.round((left.dataset.ends - performance.now()) / 1000))} s`;
  }
}, 500);

started();
let mark = document.getElementById("state").dataset.mark;
const lost = document.getElementById("lost");
const changes = new EventSource("/overview/changes");
changes.addEventListener("mark", (event) => {
  if (mark !== event.data) refresh().catch(() => {});
  mark = event.data;
});
changes.addEventListener("open", () => {
  lost.hidden = true;
});
changes.addEventListener("error", () => {
  lost.hidden = false;
  // The browser tries again by itself, but not once it was refused: then the session is over, or the web is.
  if (changes.readyState === EventSource.CLOSED) setInterval(() => reload().catch(() => {}), 5000);
});

async function reload() {
  const answer = await fetch("/");
  if (answer.ok) location.reload();
}
