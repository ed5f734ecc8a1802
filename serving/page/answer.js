// The answer: label, probabilities, the words that moved it, and what people say about it.

import { call } from "./api.js";
import { $, element } from "./dom.js";

// More marks than this make every word look important.
const MARKED = 8;
// Longer values of fields are cut where they are listed.
const LONGEST = 60;

// Why feedback was not kept, where the service's own words are for whoever runs it.
const REASONS = {
  404: "The service does not know this prediction, or does not serve its model any more.",
  410: "The service has not kept this prediction, or not until now.",
};

// Why a problem asks for no label.
const WHY_NONE = {
  known: "The model knows too little of it.",
  confidence: "The model is not sure enough.",
};

const likeliest = (probabilities) =>
  Object.keys(probabilities).reduce((best, name) => (probabilities[name] > probabilities[best] ? name : best));

/** Percent with one digit, which says 100 or 0 only when it is. */
function percent(share) {
  const rounded = (share * 100).toFixed(1);
  if (rounded === "100.0" && share < 1) return "over 99.9 %";
  if (rounded === "0.0" && share > 0) return "under 0.1 %";
  return `${rounded} %`;
}

const signed = (number) => (number < 0 ? "−" : "+") + Math.abs(number).toFixed(2);

const same = (some, others) => some.length === others.length && some.every((item, at) => item === others[at]);

/** Cut a text, at code points, into pieces with the features that lie over each of them. */
export function pieces(text, explanation) {
  const points = Array.from(text);
  const over = points.map(() => []);
  for (const item of explanation) {
    for (const [start, end] of item.spans) {
      for (const features of over.slice(start, end)) if (!features.includes(item)) features.push(item);
    }
  }
  const found = [];
  points.forEach((point, at) => {
    const last = found.at(-1);
    if (last && same(last.features, over[at])) last.text += point;
    else found.push({ text: point, features: over[at] });
  });
  return found;
}

function strength(contribution, strongest) {
  const share = Math.abs(contribution) / strongest;
  const level = share > 0.66 ? 3 : share > 0.33 ? 2 : 1;
  return `${contribution < 0 ? "against" : "for"} s${level}`;
}

function highlighted(text, explanation, strongest) {
  const box = element("p", { className: "text", tabIndex: 0, dir: "auto" });
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", "Your text, with the words that moved the decision");
  for (const { text: piece, features } of pieces(text, explanation)) {
    if (!features.length) {
      box.append(piece);
      continue;
    }
    const sum = features.reduce((total, { contribution }) => total + contribution, 0);
    const title = features.map(({ feature, contribution }) => `${feature}: ${signed(contribution)}`).join("\n");
    const mark = element("mark", { className: strength(sum, strongest), title }, piece);
    box.append(mark);
  }
  return box;
}

function featureList(explanation, strongest, label, first = 0) {
  const rows = explanation.map(({ feature, contribution }) => {
    const bar = element("span", { className: `bar ${contribution < 0 ? "against" : "for"}` });
    bar.style.setProperty("--share", Math.abs(contribution) / strongest);
    const where = contribution < 0 ? "away from" : "towards";
    return element(
      "li", {},
      element("span", { className: "feature", dir: "auto" }, feature), bar,
      element("span", { className: "figure" }, signed(contribution)),
      element("span", { className: "hidden" }, ` ${where} ${label}`),
    );
  });
  return element("ol", { className: "features", start: first + 1 }, ...rows);
}

/** A field with its value, of a long one the beginning. */
function named(field, input) {
  const value = valueAt(input, field) ?? "";
  if (value === "") return `${field} (missing)`;
  const shown = Array.isArray(value) ? value.join(", ") : String(value);
  return `${field} = ${shown.length > LONGEST ? `${shown.slice(0, LONGEST)}…` : shown}`;
}

/** What stands at a path: a field of that name, or one in an object. */
function valueAt(input, path) {
  if (path in input) return input[path];
  return path.split(".").reduce((inner, name) => inner?.[name], input);
}

function warningList(warnings) {
  const items = warnings.map(({ message }) => element("li", {}, said(message)));
  const list = element("ul", { className: "warnings quiet" }, ...items);
  list.setAttribute("aria-label", "What the model could not go by");
  return list;
}

function explanationParts({ input, label, explanation }) {
  const isText = typeof input === "string";
  const text = isText ? input : Object.entries(input).map((pair) => pair.join(" = ")).join("\n");
  const items = (explanation ?? []).filter(({ contribution }) => contribution !== 0)
    .map((item) => (isText ? item : { ...item, feature: named(item.feature, input) }));
  if (!items.length) {
    const none = "The model gives no reasons for this answer.";
    return [element("p", { className: "text", dir: "auto" }, text), element("p", { className: "quiet" }, none)];
  }
  const strongest = Math.max(...items.map(({ contribution }) => Math.abs(contribution)));
  const legend = element(
    "p", { className: "legend" },
    element("mark", { className: "for s2" }, `towards ${label}`), " ",
    element("mark", { className: "against s2" }, `away from ${label}`),
  );
  const shown = items.slice(0, MARKED);
  const parts = [legend, featureList(shown, strongest, label)];
  if (isText) parts.unshift(highlighted(text, shown, strongest));
  const rest = featureList(items.slice(MARKED), strongest, label, MARKED);
  if (rest.children.length) {
    const weaker = element("summary", {}, `${rest.children.length} weaker ${rest.children.length === 1 ? "one" : "ones"}`);
    parts.push(element("details", {}, weaker, rest));
  }
  return parts;
}

function probabilityBars({ probabilities, label }) {
  const rows = Object.entries(probabilities)
    .sort(([, a], [, b]) => b - a)
    .map(([name, share]) => {
      const bar = element("span", { className: "bar" });
      bar.style.setProperty("--share", share);
      return element(
        "li", { className: name === label ? "chosen" : "" },
        element("span", { className: "feature", dir: "auto" }, name), bar,
        element("span", { className: "figure" }, percent(share)),
      );
    });
  const list = element("ul", { className: "features" }, ...rows);
  list.setAttribute("aria-label", "Probabilities");
  return list;
}

/** A warning in the words of the page, which has one input only. */
function said(message) {
  const text = message.replace(/^inputs\[0\]\.?/, "").trim();
  return text.startsWith("has ") ? `The text ${text}` : text;
}

/** Show a prediction, and ask whether it is right; a missing key is asked for with `askForKey`. */
export function showAnswer(result, askForKey) {
  const { label, probabilities, version, model, abstained } = result;
  const sure = label === null ? WHY_NONE[abstained] : percent(probabilities[label]);
  const shown = label ?? "No label";
  $("answer").replaceChildren(
    element("p", { className: "verdict" }, element("strong", { dir: "auto" }, shown), ` ${sure}`),
    ...(result.warnings ? [warningList(result.warnings)] : []),
    probabilityBars(result),
    ...explanationParts({ ...result, label: label ?? likeliest(probabilities) }),
    feedbackQuestion(result, askForKey),
    element("p", { className: "quiet" }, `Answered by ${model}, version ${version}`),
  );
  $("announcement").textContent = `${shown}, ${sure}, version ${version}`;
}

function feedbackQuestion(result, askForKey) {
  const others = Object.keys(result.probabilities).filter((name) => name !== result.label);
  const box = element("div", { className: "feedback" });
  const send = (label) => sendFeedback(box, result.prediction_id, label, askForKey);
  const agree = element("button", { type: "button", onclick: () => send(result.label) }, "Agree");
  const disagree = element("button", { type: "button" }, "Disagree");
  disagree.onclick = () => (others.length === 1 ? send(others[0]) : askForLabel(box, others, send));
  const question = element("span", {}, "Is this right?");
  box.append(
    element("div", { className: "row" }, question, agree, disagree),
    element("p", { className: "error" }),
  );
  box.lastChild.setAttribute("role", "alert");
  if (result.label === null) {
    question.textContent = "Do you know its label?";
    agree.remove();
    disagree.textContent = "Choose one";
    disagree.onclick = () => askForLabel(box, others, send);
  }
  return box;
}

function askForLabel(box, others, send) {
  const select = element("select", { id: "right-label" }, ...others.map((name) => element("option", {}, name)));
  const button = element("button", { type: "button", className: "main", onclick: () => send(select.value) }, "Send");
  const label = element("label", { htmlFor: "right-label" }, "Which one is right?");
  box.firstChild.replaceChildren(label, select, button);
  select.focus();
}

async function sendFeedback(box, id, label, askForKey) {
  const buttons = [...box.querySelectorAll("button")];
  for (const button of buttons) button.disabled = true;
  try {
    await call("feedback", { prediction_id: id, label });
    const thanks = element("p", { className: "thanks", tabIndex: -1 }, `Thank you. Noted as ${label}.`);
    box.replaceChildren(thanks);
    thanks.focus();
  } catch (error) {
    for (const button of buttons) button.disabled = false;
    if (error.status === 401) askForKey(() => sendFeedback(box, id, label, askForKey));
    else box.lastChild.textContent = `${REASONS[error.status] ?? error.message} Your answer was not kept.`;
  }
}
