// Keeps the state of the door and what it did lately fresh, from the page itself; without it, reload the page.
const PARTS = ["live", "lately"];
const EVERY_MS = 2000;
const QUIET_MS = 15 * 60 * 1000; // a page that nobody touches for so long must not keep its session alive

let touchedMs = Date.now();
for (const kind of ["pointerdown", "pointermove", "keydown"]) {
  addEventListener(kind, () => { touchedMs = Date.now(); }, { passive: true });
}

async function refresh() {
  if (document.hidden || Date.now() - touchedMs > QUIET_MS || document.querySelector("#live :focus")) return;
  const answer = await fetch("/door", { headers: { Accept: "text/html" } });
  if (!answer.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const id of PARTS) {
    const [old, now] = [document.getElementById(id), fresh.getElementById(id)];
    if (old && now && old.innerHTML !== now.innerHTML) old.replaceWith(now);
  }
}

setInterval(() => refresh().catch(() => {}), EVERY_MS);
