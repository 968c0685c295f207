// The screen at the door: shows what the door pushes, and sends what visitors do. Everything that it says stands in
// the words; the door itself sends a name only after a grant, and only where that is wanted.

import { padOf } from "./kiosk_pad.js";
import { play } from "./kiosk_sound.js";
import { language, reset, speak, word } from "./kiosk_words.js";

const HOLD_MS = 600; // a hint stays for so long: nobody can read one that changes with every frame
const SILENT_MS = 5000; // the door says something every second
const AGAIN_MS = 2000;
const DONE_MS = 6000;
const NEXT_VISITOR_MS = 30000; // after so long without anybody, the next one finds the screen as it was meant

const body = document.body;
const at = (id) => document.getElementById(id);
const film = at("film");
const away = { state: "away", hint: null, said: "", progress: 0, face: null, name: "", unhurried: false };

let shown = away;
let newest = away; // which is not shown yet while a hint is held
let holding = 0;
let heldUntil = 0;
let doneTimer = 0;
let touched = performance.now();

function titleOf(state) {
  if (state.name) return word("welcome_by_name").replace("{name}", () => state.name);
  if (state.hint && state.hint !== state.state && state.state !== "refused") return word(`hint.${state.hint}`);
  return word(`state.${state.state}.title`);
}

function textOf(state) {
  if (state.state === "refused" && state.hint) return word(`hint.${state.hint}`);
  return word(`state.${state.state}.text`);
}

function put(element, text) {
  if (element.textContent !== text) element.textContent = text; // or a screen reader says it again
}

function draw() {
  body.dataset.state = shown.state;
  put(at("title"), titleOf(shown));
  put(at("text"), textOf(shown));
  put(at("said"), shown.said);
  at("sign").setAttribute("href", `/static/kiosk.svg?v=${body.dataset.version}#${shown.state}`);
  at("leave").hidden = shown.state !== "evacuation";
  body.classList.toggle("seen", shown.face !== null);
  const done = shown.state === "welcome" ? 1 : shown.state === "reading" ? shown.progress : 0;
  at("ring")?.setAttribute("stroke-dasharray", `${100 * done} 101`);
  at("ring")?.classList.toggle("begun", done > 0);
  for (const button of document.querySelectorAll("#bell button, #time button")) button.disabled = shown.state === "away";
}

function show(state) {
  const now = performance.now();
  const same = state.state === shown.state;
  newest = state;
  if (same && state.hint !== shown.hint && now < heldUntil) {
    holding ||= setTimeout(() => { holding = 0; show(newest); }, heldUntil - now);
    return;
  }
  if (!same || state.hint !== shown.hint) heldUntil = now + HOLD_MS;
  const before = shown.state;
  shown = state;
  draw();
  if (!same) turned(before, state.state);
}

function turned(before, state) {
  if (before === "away") look();
  if (state === "away") film?.removeAttribute("src");
  if ("sound" in body.dataset) play(state);
  if (state === "factor") pad.open();
  else if (before === "factor") pad.close();
  if (state === "evacuation" || state === "lockdown") for (const open of document.querySelectorAll(":popover-open")) open.hidePopover();
}

// The mirror: a stream of pictures in one image, asked for anew after it has broken off.
function look() {
  if (!film) return;
  delete film.dataset.failed;
  film.src = `${film.dataset.src}?n=${Date.now()}`;
}

film?.addEventListener("error", () => {
  film.dataset.failed = "";
  setTimeout(() => { if (shown.state !== "away") look(); }, AGAIN_MS);
});

// What the door pushes. A browser gives up where the web itself is away, so it is asked anew.
let source = null;
let heard = 0;

function listen() {
  source?.close();
  source = new EventSource("/kiosk/events");
  heard = performance.now();
  source.addEventListener("beat", () => { heard = performance.now(); });
  source.onmessage = (message) => {
    heard = performance.now();
    show(JSON.parse(message.data));
  };
  source.onerror = () => show(away);
}

setInterval(() => {
  if (source.readyState === EventSource.CLOSED || performance.now() - heard > SILENT_MS) {
    show(away);
    listen();
  }
  if (shown.state !== "idle" && shown.state !== "away") touched = performance.now();
  if (performance.now() - touched > NEXT_VISITOR_MS) begin_anew();
}, AGAIN_MS);

// What visitors do.
async function send(path, fields = {}) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { Accept: "application/json", "X-CSRF-Token": document.querySelector('meta[name="csrf"]').content },
    body: new URLSearchParams(fields),
    signal: AbortSignal.timeout(8000),
  });
  if (!answer.ok) throw new Error(String(answer.status));
  return (await answer.json()).said;
}

function say(key) {
  put(at("done"), word(key));
  clearTimeout(doneTimer);
  doneTimer = setTimeout(() => put(at("done"), ""), DONE_MS);
}

for (const kind of ["bell", "time"]) {
  at(kind)?.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      say(`${kind}.${await send(event.target.action)}`);
    } catch {
      say("bell.failed");
    }
  });
}

const pad = padOf(at("pad"), (pin) => send("/kiosk/pin", { pin }));

for (const choice of document.querySelectorAll("#view [data-language]")) {
  choice.addEventListener("click", async (event) => {
    event.preventDefault();
    await speak(choice.dataset.language);
    draw();
    at("view").hidePopover();
  });
}

for (const choice of document.querySelectorAll("#view [data-view]")) {
  choice.addEventListener("click", () => {
    const on = document.documentElement.classList.toggle(choice.dataset.view);
    choice.setAttribute("aria-pressed", String(on));
  });
}

function begin_anew() {
  touched = performance.now();
  for (const open of document.querySelectorAll(":popover-open")) open.hidePopover();
  for (const choice of document.querySelectorAll("#view [data-view]")) {
    document.documentElement.classList.remove(choice.dataset.view);
    choice.setAttribute("aria-pressed", "false");
  }
  if (language() !== body.dataset.language) reset().then(draw);
}

for (const kind of ["pointerdown", "keydown"]) addEventListener(kind, () => { touched = performance.now(); });
addEventListener("contextmenu", (event) => event.preventDefault());

await speak(document.documentElement.lang);
draw();
listen();
