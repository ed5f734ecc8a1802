// The form of a model of records: one input for each field that it takes.

import { ApiError } from "./api.js";
import { $, element } from "./dom.js";

// More boxes than this nobody looks through: the others are searched for by their names.
const BOXES = 24;
const HINTS = { date: "2026-11-28T14:30Z", words: "one, two" };

const wrong = (name, why) => new ApiError(`${name} ${why}`, { status: 422, field: `inputs[0].${name}` });
const boxes = () => [...$("fields").querySelectorAll("input, select, textarea")];

const rounded = (number) => Number(number.toPrecision(3)).toLocaleString("en-GB", { useGrouping: false });

/** What a number mostly is, of a model that knows it. */
function usual({ low, high, typical } = {}) {
  if (Number.isFinite(low) && Number.isFinite(high)) return `${rounded(low)} to ${rounded(high)}`;
  return Number.isFinite(typical) ? `such as ${rounded(typical)}` : "";
}

function box(name, kind, values) {
  if (kind === "boolean") {
    const options = [["", ""], ["true", "yes"], ["false", "no"]];
    return [element("select", { name }, ...options.map(([value, text]) => element("option", { value }, text)))];
  }
  if (kind === "text") return [element("textarea", { name, rows: 3, dir: "auto" })];
  const placeholder = HINTS[kind] ?? usual(values);
  const input = element("input", { name, autocomplete: "off", placeholder, dir: "auto" });
  if (kind === "number") input.inputMode = "decimal";
  const categories = values?.categories ?? [];
  if (!categories.length) return [input];
  const id = `values-of-${name}`;
  input.setAttribute("list", id);
  return [input, element("datalist", { id }, ...categories.map((value) => element("option", { value })))];
}

function labelled(text, [input, ...others]) {
  const className = input.tagName === "TEXTAREA" ? "field wide" : "field";
  return element("label", { className }, element("span", {}, text), input, ...others);
}

let model = {};
const labelledBox = (name) => labelled(name, box(name, model.fields[name], model.values?.[name]));

/** Ask for the fields of a model; what was typed for the same fields stays. */
export function showFields(chosen) {
  const said = ({ fields, values }) => JSON.stringify([fields, values]);
  const isSame = said(model) === said(chosen);
  const typed = boxes().filter(({ name, value }) => value && name in (chosen.fields ?? {}));
  model = chosen;
  const names = Object.keys(model.fields ?? {});
  $("fields").hidden = !names.length;
  $("more-fields").hidden = names.length <= BOXES;
  if (isSame) return;
  $("fields").replaceChildren(...names.slice(0, BOXES).map(labelledBox));
  offerOthers();
  for (const { name, value } of typed) addField(name).value = value;
}

/** Let the fields without a box be found by their names. */
function offerOthers() {
  const shown = boxes().map(({ name }) => name);
  const others = Object.keys(model.fields ?? {}).filter((name) => !shown.includes(name));
  $("more-label").textContent = `Another field, of ${others.length.toLocaleString("en-GB")}`;
  $("more-names").replaceChildren(...others.map((value) => element("option", { value })));
  $("more-fields").hidden = !others.length;
}

/** Show the box of a field that was found; return it, or undefined if there is no such field. */
function addField(name) {
  const shown = boxes().find((each) => each.name === name);
  if (shown || !(name in (model.fields ?? {}))) return shown;
  $("fields").append(labelledBox(name));
  offerOthers();
  return boxes().at(-1);
}

/** Fill in a record, and nothing else. */
export function fillIn(record) {
  for (const each of boxes()) each.value = "";
  for (const [name, value] of Object.entries(record)) {
    const place = addField(name);
    if (place) place.value = Array.isArray(value) ? value.join(", ") : String(value ?? "");
  }
}

/** A record of what the model knows best: the median of numbers, a category of each kind. */
export function typicalRecord({ fields, values }) {
  const pairs = Object.keys(fields ?? {}).slice(0, BOXES).map((name) => {
    const { typical, categories } = values?.[name] ?? {};
    return [name, Number.isFinite(typical) ? Number(rounded(typical)) : categories?.[0]];
  });
  return Object.fromEntries(pairs.filter(([, value]) => value !== undefined));
}

/** Make the search for further fields work. */
export function startFields() {
  $("more").addEventListener("change", ({ target }) => {
    const place = addField(target.value.trim());
    if (!place) return;
    target.value = "";
    place.focus();
  });
}

const READ = {
  number(name, value) {
    const number = Number(value.replace(",", "."));
    if (!Number.isFinite(number)) throw wrong(name, "is not a number.");
    return number;
  },
  boolean: (name, value) => value === "true",
  words: (name, value) => words(value),
};

function words(text) {
  const separator = ["|", ";", ","].find((each) => text.includes(each));
  return separator ? text.split(separator).map((word) => word.trim()) : [text.trim()];
}

/** What was typed, as the service takes it; what is empty is missing, which some fields may not be. */
export function readFields(fields, required) {
  const found = {};
  for (const { name, value } of boxes()) {
    if (!value.trim()) {
      if (required.includes(name)) throw wrong(name, "is empty.");
    } else found[name] = READ[fields[name]]?.(name, value.trim()) ?? value;
  }
  if (!Object.keys(found).length) throw new ApiError("Fill in a field first.", { status: 422 });
  return found;
}

/** The input that an error is about, or else the first. */
export function fieldOf(error) {
  return boxes().find(({ name }) => error?.field === `inputs[0].${name}`) ?? boxes()[0];
}

/** What the service gets of the cells of a row: the fields it knows, each as its kind. */
export function recordOf(fields, names, cells) {
  const kinds = {
    number: (cell) => (Number.isFinite(Number(cell)) ? Number(cell) : cell),
    words,
  };
  const pairs = names.map((name, place) => [name.trim(), cells[place] ?? ""]);
  const filled = pairs.filter(([name, cell]) => name in fields && cell.trim() !== "");
  return Object.fromEntries(filled.map(([name, cell]) => [name, kinds[fields[name]]?.(cell) ?? cell]));
}
