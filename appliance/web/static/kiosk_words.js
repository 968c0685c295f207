// The words of the screen, in every language, and the one that is spoken now.

const all = await (await fetch("/kiosk/words")).json();
let spoken = document.documentElement.lang;

/** Which language is spoken now. */
export function language() {
  return spoken;
}

/** The words under a key; the key itself where there are none, so that a fault is seen. */
export function word(key) {
  return all[spoken][key] ?? key;
}

/** The words for so many, in the form that the language has for that number. */
export function counted(key, count) {
  const form = new Intl.PluralRules(spoken).select(count) === "one" ? "one" : "other";
  return word(`${key}_${form}`).replace("{count}", String(count));
}

/** Speak another language from now on. */
export async function speak(other) {
  spoken = other in all ? other : spoken;
  document.documentElement.lang = spoken;
  for (const element of document.querySelectorAll("[data-word]")) element.textContent = word(element.dataset.word);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", word(element.dataset.label));
  for (const element of document.querySelectorAll("[data-alt]")) element.alt = word(element.dataset.alt);
  for (const element of document.querySelectorAll("#view [data-language]")) {
    if (element.dataset.language === spoken) element.setAttribute("aria-current", "true");
    else element.removeAttribute("aria-current");
  }
}

/** Speak the door's own language again. */
export function reset() {
  return speak(document.body.dataset.language);
}
