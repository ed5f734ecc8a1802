// The console: facts that stay fresh, a filter, and the dialog in which a person decides.

const KEY = "perennial-console-key";
const NAME = "perennial-console-name";
const REFRESH = 5000;
const WAITING = 500;
const $ = (id) => document.getElementById(id);

/* Fresh facts: the page is asked for again, and what has changed takes the place of the old. */

const PARTS = ["facts", "history"];

/** How the element that has the focus is found again in the new facts. */
function focused() {
  const { activeElement: active } = document;
  if (!active || !PARTS.some((id) => $(id)?.contains(active))) return null;
  if (active.dataset.action) return `[data-action="${active.dataset.action}"][data-version="${active.dataset.version ?? ""}"], [data-action="${active.dataset.action}"]`;
  const href = active.getAttribute("href");
  return href ? `[href="${CSS.escape(href)}"]` : null;
}

async function refresh() {
  let text;
  try {
    const response = await fetch(location.href, { headers: { Accept: "text/html" } });
    text = await response.text();
  } catch {
    $("age")?.setAttribute("data-lost", "");
    return;
  }
  const fresh = new DOMParser().parseFromString(text, "text/html");
  if (Boolean(fresh.getElementById("history")) !== Boolean($("history"))) {
    location.reload();
    return;
  }
  const focus = focused();
  for (const id of PARTS) {
    const [old, found] = [$(id), fresh.getElementById(id)];
    if (old && found && old.outerHTML !== found.outerHTML) old.replaceWith(document.adoptNode(found));
  }
  if (focus && document.activeElement === document.body) document.querySelector(focus)?.focus();
  show();
}

const isWaiting = () => document.querySelector("[data-wait]") !== null;

function refreshLater() {
  setTimeout(async () => {
    if (!document.hidden && !$("decision")?.open) await refresh();
    refreshLater();
  }, isWaiting() ? WAITING : REFRESH);
}

function tell() {
  const age = $("age");
  const time = age?.querySelector("time");
  if (!time) return;
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(age.dataset.at)) / 1000));
  const words = seconds < 120 ? `Facts are ${seconds} s old` : `Facts are ${Math.round(seconds / 60)} min old`;
  time.textContent = age.hasAttribute("data-lost") ? `${words}; the console cannot be reached.` : words;
}

/* The filter. */

function filter() {
  const problems = [...document.querySelectorAll(".board tbody")];
  const row = $("filter-row");
  if (!row) return;
  row.hidden = problems.length <= 8;
  const wanted = $("filter").value.trim().toLowerCase();
  for (const each of problems) each.hidden = !`${each.dataset.name} ${each.dataset.state}`.includes(wanted);
}

function show() {
  tell();
  filter();
  if ($("forget")) $("forget").hidden = !sessionStorage.getItem(KEY);
}

/* Decisions. */

const HEADINGS = {
  approve: (version) => [`Approve version ${version}?`, "It is compared once more with what is Production by now, and promoted if it still passes.", "Approve"],
  refuse: (version) => [`Refuse version ${version}?`, "It is kept, and Production stays as it is.", "Refuse"],
  rollback: () => ["Roll back?", "The version is loaded and tried first. What is left is not promoted again by itself.", "Roll back"],
  retrain: () => ["Retrain now?", "It reads what is new, and ends within seconds if nothing is.", "Retrain"],
  recheck: () => ["Check quarantine again?", "The whole collection is compared with the last snapshot, and every document is judged by the problem's file as it is now.", "Check"],
  drop: () => ["Drop from quarantine?", "The documents are left out, and counted no more, until they change. MongoDB keeps them, and what is dropped can be taken back.", "Drop"],
  "take back": () => ["Take back what was dropped?", "Every document that was dropped is judged again.", "Take back"],
  pause: () => ["Pause retraining?", "No retraining begins by its schedule until somebody resumes it.", "Pause"],
  resume: () => ["Resume retraining?", "The next retraining begins by its schedule.", "Resume"],
};

let decision = null;

function fillVersions(previous) {
  const production = document.querySelector(".versions .current")?.dataset.version;
  const known = [...document.querySelectorAll(".versions li")].map((item) => item.dataset.version);
  const others = known.filter((version) => version !== production);
  if (previous && !others.includes(previous)) others.unshift(previous);
  const options = others.map((version) => {
    const text = version === previous ? `version ${version}, the one before` : `version ${version}`;
    return new Option(text, version, version === previous, version === previous);
  });
  $("version").replaceChildren(...options);
}

/** Offer the reasons why documents are in quarantine, each with their number. */
function fillReasons(reasons) {
  const options = JSON.parse(reasons).map(([key, text]) => new Option(text, key));
  $("reason").replaceChildren(...options);
}

function open(button) {
  const { action, version, reasons } = button.dataset;
  decision = { action, version: version ? Number(version) : null };
  const [heading, about, confirm] = HEADINGS[action](version);
  $("decision-heading").textContent = heading;
  $("decision-about").textContent = about;
  $("confirm").textContent = confirm;
  $("version-field").hidden = action !== "rollback";
  if (action === "rollback") fillVersions(version);
  $("reason-field").hidden = action !== "drop";
  if (action === "drop") fillReasons(reasons);
  $("by").value = sessionStorage.getItem(NAME) ?? "";
  $("why").value = "";
  askForKey(!sessionStorage.getItem(KEY));
  $("decision-error").textContent = "";
  $("decision").showModal();
  ($("by").value ? $("why") : $("by")).focus();
}

function askForKey(needed) {
  $("key-field").hidden = !needed;
  $("key").required = needed;
}

async function send(path, body) {
  const headers = { Accept: "application/json", Authorization: `Bearer ${sessionStorage.getItem(KEY) ?? ""}` };
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  if (response.status === 401) sessionStorage.removeItem(KEY);
  throw Object.assign(new Error(answer.message ?? `The console could not do it (status ${response.status}).`), { status: response.status });
}

async function confirm(event) {
  event.preventDefault();
  const form = $("decision-form");
  if (!$("key-field").hidden) sessionStorage.setItem(KEY, $("key").value);
  sessionStorage.setItem(NAME, $("by").value);
  const version = decision.action === "rollback" ? Number($("version").value) : decision.version;
  const reason = decision.action === "drop" ? $("reason").value : undefined;
  $("confirm").disabled = true;
  try {
    const answer = await send(form.dataset.path, { action: decision.action, version, reason, by: $("by").value, why: $("why").value });
    $("key").value = "";
    $("decision").close();
    await follow(answer);
  } catch (error) {
    $("decision-error").textContent = error.status ? error.message : "The console cannot be reached.";
    if (error.status === 401) {
      askForKey(true);
      $("key").value = "";
      $("key").focus();
    }
  } finally {
    $("confirm").disabled = false;
  }
}

/** Say what has become of a decision until its run is over. */
async function follow({ message, run }) {
  const place = $("outcome");
  place.textContent = message;
  place.focus();
  while (run) {
    await new Promise((resolve) => { setTimeout(resolve, 1000); });
    let now;
    try {
      now = await send(`/console/runs/${run}`);
    } catch (error) {
      if (!error.status || error.status >= 500) continue;
      place.textContent = `${message} ${error.message}`;
      return;
    }
    const said = now.message ? ` ${now.message}` : now.is_failed ? " Its page in Prefect says why." : "";
    if (now.is_over) {
      place.textContent = now.is_failed ? `It failed.${said}` : `Done: the run has ended as ${now.state.toLowerCase()}.`;
      break;
    }
    place.textContent = `${message} The run is ${now.state.toLowerCase()}.`;
  }
  await refresh();
  show();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-action]");
  if (button) open(button);
  if (event.target.id === "cancel") $("decision").close();
  if (event.target.id === "forget") {
    sessionStorage.removeItem(KEY);
    show();
    $("outcome").textContent = "The API key is forgotten.";
  }
});
document.addEventListener("input", (event) => {
  if (event.target.id === "filter") filter();
});
$("decision-form")?.addEventListener("submit", confirm);

show();
setInterval(tell, 1000);
refreshLater();
