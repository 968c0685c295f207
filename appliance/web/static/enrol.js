// Enrolment with a script: photos are made small enough and looked at as they are chosen, nothing typed is lost when
// something is refused, and the door's guidance is shown as it goes. Without it the form works as any form.
const SIDE_PX = 1600;
const form = document.getElementById("newcomer");
const input = form.querySelector("input[type=file]");  // another field is called photos, too
const looks = form.querySelector(".looks");
const mirror = form.querySelector(".mirror");
const problem = document.getElementById("problem");

async function smaller(file) {
  const picture = await createImageBitmap(file);
  const scale = Math.min(1, SIDE_PX / Math.max(picture.width, picture.height));
  const canvas = new OffscreenCanvas(Math.round(picture.width * scale), Math.round(picture.height * scale));
  canvas.getContext("2d").drawImage(picture, 0, 0, canvas.width, canvas.height);
  const made = await canvas.convertToBlob({ type: "image/jpeg", quality: 0.92 });
  return new File([made], "photo.jpg", { type: "image/jpeg" });
}

function shown(file) {
  const [item, picture, said] = ["li", "img", "span"].map((name) => document.createElement(name));
  picture.src = URL.createObjectURL(file);
  picture.alt = "";
  said.textContent = "Looking";
  item.append(picture, said);
  looks.append(item);
  return said;
}

async function look(file, said) {
  const sent = new FormData();
  sent.append("csrf", form.elements.csrf.value);
  sent.append("photos", file);
  const answer = await fetch("/enrol/look", { method: "POST", body: sent });
  const told = answer.ok ? await answer.json() : { tone: "warn", said: "Could not be looked at now" };
  said.textContent = told.said;
  said.className = told.tone;
}

input.addEventListener("change", async () => {
  looks.replaceChildren();
  const chosen = new DataTransfer();
  for (const file of input.files) {
    // What cannot be opened here is sent as it is: the door says what is wrong with it.
    chosen.items.add(await smaller(file).catch(() => file));
  }
  input.files = chosen.files;
  for (const file of input.files) await look(file, shown(file)).catch(() => {});
});

function refused(line) {
  const said = document.createElement("p");
  said.className = "bad";
  said.setAttribute("role", "alert");
  said.textContent = line;
  problem.replaceChildren(said);
  problem.scrollIntoView({ block: "center" });
}

async function sendPhotos() {
  const answer = await fetch(form.action, { method: "POST", body: new FormData(form) });
  if (answer.redirected) return location.assign(answer.url);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const told = page.querySelector("#problem p, main p");
  refused((told ? told.textContent : "This could not be done").replace(" Photos must be chosen again.", "").trim());
}

async function beginAtDoor(action) {
  const sent = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (typeof value === "string") sent.append(name, value);
  const answer = await fetch(action, { method: "POST", body: sent, headers: { Accept: "application/x-ndjson" } });
  if (!(answer.headers.get("content-type") || "").includes("ndjson")) {
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const told = page.querySelector("#problem p, main p");
    return refused(told ? told.textContent : "This could not be done");
  }
  const [picture, caption] = [mirror.querySelector("img"), mirror.querySelector("figcaption")];
  picture.src = "/preview";
  mirror.hidden = false;
  let rest = "";
  const lines = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await lines.read();
    if (done) break;
    const parts = (rest + value).split("\n");
    rest = parts.pop();
    for (const told of parts.map((part) => JSON.parse(part))) {
      if (told.problem) refused(told.problem);
      else caption.textContent = `${told.said}. ${told.views} ${told.views === 1 ? "view" : "views"} taken`;
      if (told.to) location.assign(told.to);
    }
  }
  picture.removeAttribute("src");
  mirror.hidden = true;
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const pressed = event.submitter;
  const door = pressed && pressed.hasAttribute("formaction");
  problem.replaceChildren();
  for (const button of form.querySelectorAll("button")) button.disabled = true;
  try {
    await (door ? beginAtDoor(pressed.formAction) : sendPhotos());
  } catch {
    refused("The connection was lost; look among the people before you try again.");
  } finally {
    for (const button of form.querySelectorAll("button")) button.disabled = false;
  }
});
