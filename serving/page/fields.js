// The form of a model of records: one input for each field that it takes.

import { ApiError } from "./api.js";
import { $, element } from "./dom.js";

const wrong = (name, why) => new ApiError(`${name} ${why}`, { status: 422, field: `inputs[0].${name}` });

/** Ask for these fields, name -> kind; what was typed for the same fields stays. */
export function showFields(fields) {
  const before = [...$("fields").querySelectorAll("input")].map(({ name }) => name);
  const names = Object.keys(fields ?? {});
  $("fields").hidden = !names.length;
  if (names.join() === before.join()) return;
  $("fields").replaceChildren(...names.map((name) => {
    const input = element("input", { name, autocomplete: "off" });
    if (fields[name] === "number") input.inputMode = "decimal";
    if (fields[name] === "boolean") input.type = "checkbox";
    return element("label", { className: "field" }, element("span", {}, name), input);
  }));
}

/** What was typed, as the service takes it. */
export function readFields(fields) {
  const read = ({ name, value, checked }) => {
    if (fields[name] === "boolean") return checked;
    if (!value.trim()) throw wrong(name, "is empty.");
    if (fields[name] !== "number") return value;
    const number = Number(value.trim().replace(",", "."));
    if (!Number.isFinite(number)) throw wrong(name, "is not a number.");
    return number;
  };
  return Object.fromEntries([...$("fields").querySelectorAll("input")].map((input) => [input.name, read(input)]));
}

/** The input that an error is about, or else the first. */
export function fieldOf(error) {
  const inputs = [...$("fields").querySelectorAll("input")];
  return inputs.find(({ name }) => error?.field === `inputs[0].${name}`) ?? inputs[0];
}

/** What the service gets of the cells of a row: the fields it knows, each as its kind. */
export function recordOf(fields, names, cells) {
  const kinds = {
    number: (cell) => (cell.trim() !== "" && Number.isFinite(Number(cell)) ? Number(cell) : cell),
    boolean: (cell) => ({ true: true, false: false, 1: true, 0: false })[cell.trim().toLowerCase()] ?? cell,
    category: (cell) => cell,
  };
  const pairs = names.map((name, place) => [name.trim(), cells[place] ?? ""]);
  return Object.fromEntries(pairs.filter(([name]) => name in fields).map(([name, cell]) => [name, kinds[fields[name]](cell)]));
}
