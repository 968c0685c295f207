// The keys for a PIN. What is typed stands in one field, is shown as dots, and is gone when the pad closes.

import { counted, word } from "./kiosk_words.js";

const IDLE_MS = 20000;
const READ_MS = 1500;

/** The pad in this popover; `send` sends a PIN and promises what became of it. */
export function padOf(pad, send) {
  const form = pad.querySelector("form");
  const field = form.elements.pin;
  const said = pad.querySelector("[role=status]");
  const most = field.maxLength;
  let idle = 0;

  const note = (text) => { said.textContent = text; };

  function awake() {
    clearTimeout(idle);
    idle = setTimeout(() => pad.hidePopover(), IDLE_MS);
  }

  function type(digits) {
    field.value = (field.value + digits).replace(/[^0-9]/g, "").slice(0, most);
    note(field.value ? counted("pin.digits", field.value.length) : ""); // how many, never which
    awake();
  }

  form.addEventListener("click", (event) => {
    const digit = event.target.closest("[data-digit]")?.dataset.digit;
    if (digit !== undefined) type(digit);
  });
  pad.querySelector("#pin-clear").addEventListener("click", () => { field.value = ""; type(""); });
  field.addEventListener("input", () => type(""));
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const pin = field.value;
    field.value = "";
    if (!pin) return;
    try {
      const what = await send(pin);
      note(word(`pin.${what}`));
      if (what === "taken") setTimeout(() => pad.hidePopover(), READ_MS);
    } catch {
      note(word("state.out_of_service.title"));
    }
    awake();
  });
  pad.addEventListener("toggle", (event) => {
    field.value = "";
    note("");
    if (event.newState === "open") { awake(); field.focus(); }
    else clearTimeout(idle);
  });
  return {
    open: () => { if (!pad.matches(":popover-open")) pad.showPopover(); },
    close: () => setTimeout(() => pad.hidePopover(), said.textContent ? READ_MS : 0),
  };
}
