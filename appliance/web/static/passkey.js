// Passkeys: signs in with one on the sign-in page, and makes one on the page of one's own account.
// Without a script both pages work with a password.

const line = document.getElementById("passkey-line");

function tell(text) {
  line.textContent = text;
  line.hidden = !text;
}

async function post(path, body) {
  const answer = await fetch(path, { method: "POST", body, headers: typeof body === "string" ? { "Content-Type": "application/json" } : {} });
  const said = await answer.json();
  if (!answer.ok) throw new Error(said.error ?? "This did not work. Load the page again.");
  return said;
}

async function signIn() {
  const options = await post("/login/passkey/options", "{}");
  const shown = await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
  location.assign((await post("/login/passkey", JSON.stringify(shown.toJSON()))).to);
}

async function add(form) {
  const options = await post("/me/passkeys/options", new URLSearchParams(new FormData(form)));
  const made = await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) });
  const body = new URLSearchParams({ csrf: form.csrf.value, label: form.label.value, answer: JSON.stringify(made.toJSON()) });
  location.assign((await post("/me/passkeys", body)).to);
}

function offer(element, event, act) {
  if (!element || !window.PublicKeyCredential?.parseRequestOptionsFromJSON) return;
  element.hidden = false;
  element.addEventListener(event, async (happened) => {
    happened.preventDefault();
    tell("");
    try {
      await act(element);
    } catch (fault) {
      tell(fault.name === "NotAllowedError" ? "No passkey was used." : fault.message);
    }
  });
}

offer(document.getElementById("passkey-sign-in"), "click", signIn);
offer(document.getElementById("passkey-add"), "submit", add);
