// The form of a model of records: one input for each field that it takes.

import { ApiError } from "./api.js";
import { $, element } from "./dom.js";

// More boxes than this are not filled in by hand: the others are given together, as JSON.
const BOXES = 24;
const REST = "further-fields";
const HINTS = { date: "2026-11-28T14:30Z", words: "one, two" };

const wrong = (name, why) => new ApiError(`${name} ${why}`, { status: 422, field: `inputs[0].${name}` });
const boxes = () => [...$("fields").querySelectorAll("input, select, textarea")];

function box(name, kind) {
  if (kind === "boolean") {
    const options = [["", ""], ["true", "yes"], ["false", "no"]];
    return element("select", { name }, ...options.map(([value, text]) => element("option", { value }, text)));
  }
  if (kind === "text") return element("textarea", { name, rows: 3 });
  const input = element("input", { name, autocomplete: "off", placeholder: HINTS[kind] ?? "" });
  if (kind === "number") input.inputMode = "decimal";
  return input;
}

function labelled(text, input) {
  const className = input.tagName === "TEXTAREA" ? "field wide" : "field";
  return element("label", { className }, element("span", {}, text), input);
}

/** Ask for these fields, name -> kind; what was typed for the same fields stays. */
export function showFields(fields) {
  const names = Object.keys(fields ?? {});
  const shown = names.slice(0, BOXES);
  const wanted = names.length > BOXES ? [...shown, REST] : shown;
  $("fields").hidden = !names.length;
  if (wanted.join() === boxes().map(({ name }) => name).join()) return;
  $("fields").replaceChildren(...shown.map((name) => labelled(name, box(name, fields[name]))));
  if (names.length > BOXES) {
    const count = (names.length - BOXES).toLocaleString("en-GB");
    const example = `{"${names[BOXES]}": …}`;
    const rest = element("textarea", { name: REST, rows: 6, placeholder: example, spellcheck: false });
    $("fields").append(labelled(`${count} further fields, as JSON`, rest));
  }
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

function readRest(text) {
  try {
    const found = JSON.parse(text);
    if (found && typeof found === "object" && !Array.isArray(found)) return found;
  } catch {
    // What is no JSON gets the same sentence as JSON of another type.
  }
  throw wrong(REST, "must be a JSON object, such as {\"name\": 1}.");
}

/** What was typed, as the service takes it; what is empty is missing, which some fields may not be. */
export function readFields(fields, required) {
  const found = {};
  for (const { name, value } of boxes()) {
    if (!value.trim()) {
      if (required.includes(name)) throw wrong(name, "is empty.");
    } else if (name === REST) Object.assign(found, readRest(value));
    else found[name] = READ[fields[name]]?.(name, value.trim()) ?? value;
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
