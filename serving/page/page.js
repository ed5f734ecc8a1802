// The page of the classification service: models, one text, the API key and what waits for the service.

import { showAnswer } from "./answer.js";
import { ApiError, PLAIN_WORDS, call, saveKey, savedKey } from "./api.js";
import { startBatch } from "./batch.js";
import { $, element } from "./dom.js";
import { fieldOf, fillIn, readFields, showFields, startFields, typicalRecord } from "./fields.js";

const RETRY_SECONDS = 5;
// Longer examples are cut where they are offered.
const SHOWN = 40;

let models = [];
let request = null;
let retry = null;
let afterKey = null;

const model = () => models.find(({ model }) => model === $("model").value);

/** Say what is wrong where it can be mended, or wait and do the same again by itself. */
function fail(error, again, place) {
  if (error.name === "AbortError") return;
  if (!(error instanceof ApiError)) throw error;
  if (error.status === 401) askForKey(again);
  else if (error.status === 503 || error.status === 0) retryLater(error, again);
  else if (error.status === 404 && error.field === "model") {
    $("model-error").textContent = error.message;
    loadModels();
  } else {
    place.textContent = error.message.replace(/^inputs\[0\]\./, "").replace(/^inputs\[0\]/, "The text");
    if (place !== $("text-error")) return;
    const input = isTabular() ? fieldOf(error) : $("text");
    input.setAttribute("aria-invalid", true);
    input.focus();
  }
}

const isTabular = () => model()?.kind === "tabular";

function retryLater(error, again) {
  endRetry();
  const end = Date.now() + 1000 * (error.retryAfter ?? RETRY_SECONDS);
  const tick = () => {
    const left = Math.ceil((end - Date.now()) / 1000);
    $("notice-countdown").textContent = `(${Math.max(left, 0)} s)`;
    if (left <= 0) retryNow();
  };
  retry = { again, timer: setInterval(tick, 1000) };
  $("notice").hidden = false;
  $("notice-text").textContent = `${error.message} The page tries again by itself.`;
  tick();
}

function endRetry() {
  clearInterval(retry?.timer);
  retry = null;
  $("notice").hidden = true;
}

function retryNow() {
  const again = retry?.again;
  clearInterval(retry?.timer);
  retry = null;
  again?.();
}

function askForKey(again) {
  const wrong = again && savedKey();
  afterKey = again;
  $("key-form").hidden = false;
  $("key-error").textContent = wrong ? "The service does not know this key." : "";
  $("key").focus();
}

function useKey(event) {
  event.preventDefault();
  const key = $("key").value.trim();
  if (/[^\x21-\x7e]/.test(key)) {
    $("key-error").textContent = "A key has no spaces, accents or other special letters.";
    return;
  }
  saveKey(key);
  $("key").value = "";
  $("key-form").hidden = true;
  // With a key the service says more of what a model knows.
  loadModels();
  (isTabular() ? fieldOf() : $("text")).focus();
  afterKey?.();
}

function describe({ model, versions }) {
  const now = versions.find(({ alias }) => alias === "production");
  if (!now) return `${model}: no version in Production`;
  const parts = [`${model}, version ${now.version}`];
  const since = new Date(now.since ?? NaN);
  if (!Number.isNaN(since.getTime())) {
    const date = since.toLocaleDateString("en-GB", { day: "numeric", month: "long", year: "numeric" });
    parts.push(`in Production since ${date}`);
  }
  const accuracy = now.metrics?.accuracy;
  if (Number.isFinite(accuracy)) parts.push(`accuracy ${(accuracy * 100).toFixed(1)} %`);
  return parts.join(" · ");
}

async function loadModels() {
  try {
    const answer = await call("models");
    if (!answer.models.length) throw new ApiError(PLAIN_WORDS[503], { status: 503 });
    showModels(answer.models);
    endRetry();
  } catch (error) {
    if (!models.length) $("about").textContent = "";
    fail(error, loadModels, $("model-error"));
  }
}

function showModels(served) {
  const chosen = $("model").value;
  models = served;
  $("model").replaceChildren(...models.map(({ model }) => element("option", {}, model)));
  if (models.some(({ model }) => model === chosen)) $("model").value = chosen;
  $("model-field").hidden = models.length < 2;
  showModel();
}

function showModel() {
  const tabular = isTabular();
  $("about").textContent = describe(model());
  $("one-heading").textContent = tabular ? "One row" : "One text";
  for (const id of ["text-label", "text", "text-help", "column-field"]) $(id).hidden = tabular;
  showFields(model());
  showExamples();
}

/** Offer what the problem's file has to try; of records else one of what the model knows. */
function showExamples() {
  const { examples = [] } = model();
  const typical = typicalRecord(model());
  const offered = examples.length || !Object.keys(typical).length ? examples : [typical];
  const buttons = offered.map((input, at) => {
    const said = typeof input === "string" ? input : input === typical ? "a typical record" : `record ${at + 1}`;
    const shown = said.length > SHOWN ? `${said.slice(0, SHOWN)}…` : said;
    const use = () => {
      if (typeof input === "string") $("text").value = input;
      else fillIn(input);
      classify();
    };
    return element("button", { type: "button", className: "link", dir: "auto", onclick: use }, shown);
  });
  $("examples").hidden = !buttons.length;
  $("examples").replaceChildren(element("span", { className: "quiet" }, "Try an example:"), ...buttons);
}

function readInput() {
  if (isTabular()) return readFields(model().fields, model().required);
  const text = $("text").value;
  if (!text.trim()) throw new ApiError("Type or paste something first.", { status: 422 });
  return text;
}

async function classify(event) {
  event?.preventDefault();
  request?.abort();
  const current = (request = new AbortController());
  for (const id of ["text-error", "model-error"]) $(id).textContent = "";
  for (const input of $("classify").querySelectorAll("[aria-invalid]")) input.setAttribute("aria-invalid", false);
  $("go").setAttribute("aria-busy", "true");
  try {
    const input = readInput();
    const body = { model: model()?.model, inputs: [input], explain: true };
    const { model: name, predictions } = await call("classify", body, current.signal);
    endRetry();
    $("answer-old").hidden = true;
    showAnswer({ ...predictions[0], model: name, input }, askForKey);
    const known = models.find(({ model }) => model === name);
    if (!known?.versions.some(({ version }) => version === predictions[0].version)) loadModels();
  } catch (error) {
    // What was said of another text must not stand beside this one.
    if (error.name !== "AbortError") {
      $("answer").replaceChildren();
      $("answer-old").hidden = true;
    }
    fail(error, classify, $("text-error"));
  }
  if (request !== current) return;
  $("go").removeAttribute("aria-busy");
}

$("classify").addEventListener("submit", classify);
$("text").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing) classify(event);
});
$("classify").addEventListener("input", () => {
  // Another text has no answer yet; the one that stands there says so.
  $("answer-old").hidden = !$("answer").querySelector(".verdict");
});
$("model").addEventListener("change", () => {
  $("model-error").textContent = "";
  showModel();
});
$("key-form").addEventListener("submit", useKey);
$("key-open").addEventListener("click", () => askForKey(null));
$("notice-now").addEventListener("click", retryNow);
window.addEventListener("online", retryNow);

startFields();
startBatch({ model, askForKey });
loadModels();
