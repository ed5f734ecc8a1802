// A whole CSV file, in requests that the service takes, and the same file with the answers.

import { ApiError, PLAIN_WORDS, call } from "./api.js";
import { CsvError, extendRecord, firstRowNames, parseCsv } from "./csv.js";
import { $, element } from "./dom.js";
import { decode, encode } from "./encoding.js";
import { recordOf } from "./fields.js";

const MAX_FILE_BYTES = 100 * 1024 * 1024;
const CHUNK_ROWS = 100;
const CHUNK_CHARACTERS = 200_000;
const ATTEMPTS = 6;
const count = new Intl.NumberFormat("en");

let job = null;
let model = () => undefined;
let askForKey = () => {};

/** Make the part for files work, with the chosen model and the way to ask for a key. */
export function startBatch(page) {
  ({ model, askForKey } = page);
  $("file").addEventListener("change", ({ target }) => {
    openFile(target.files[0]);
    // The same file may be chosen again after it was changed.
    target.value = "";
  });
  $("batch").addEventListener("submit", runBatch);
  $("batch-stop").addEventListener("click", stopBatch);
  for (const id of ["model", "column", "first-row"]) $(id).addEventListener("change", resetBatch);
  for (const type of ["dragover", "dragleave", "drop"]) {
    document.addEventListener(type, (event) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      $("drop").classList.toggle("over", type === "dragover");
      if (type === "drop") openFile(event.dataTransfer.files[0]);
    });
  }
}

async function openFile(file) {
  stopBatch();
  job = null;
  $("batch").hidden = true;
  $("file-error").textContent = "";
  if (!file) return;
  try {
    if (file.size > MAX_FILE_BYTES) throw new CsvError("This file has more than 100 MB. Split it first.");
    const { text, encoding } = decode(await file.arrayBuffer(), file.name);
    const csv = parseCsv(text);
    if (!csv.records.length) throw new CsvError("This file is empty.");
    job = { name: file.name, csv, encoding };
    showFile();
  } catch (error) {
    if (error instanceof CsvError) $("file-error").textContent = error.message;
    else if (error instanceof DOMException) $("file-error").textContent = "This file cannot be read.";
    else throw error;
  }
}

function showFile() {
  const { name, csv } = job;
  const names = csv.records[0].cells;
  const text = names.findIndex((cell) => cell.trim().toLowerCase() === "text");
  $("column").replaceChildren(
    ...names.map((cell, index) => element("option", { value: index }, cell.trim().slice(0, 60) || `column ${index + 1}`)),
  );
  $("column").value = Math.max(text, 0);
  askForFirstRow(firstRowNames(csv, Object.keys(model()?.fields ?? { text: null })));
  $("batch-summary").textContent = name;
  $("batch").hidden = false;
  resetBatch();
  $("batch-go").focus();
}

const firstRow = () => $("first-row").querySelector("input:checked")?.value;

/** Say what the first row seems to be: true for names, false for a row; ask if it is null. */
function askForFirstRow(names) {
  for (const input of $("first-row").querySelectorAll("input")) {
    input.checked = names !== null && (input.value === "names") === names;
  }
  const said = job.csv.records[0].cells.join(", ").slice(0, 60);
  $("first-row-said").textContent = names === null ? `The first row, “${said}”,` : "The first row";
}

/** Forget what was classified: another file, column, model or meaning of the first row. */
function resetBatch() {
  if (!job) return;
  stopBatch();
  job.stop = null;
  const { records } = job.csv;
  const first = firstRow() === "names" ? 1 : 0;
  const fields = first ? records[0].cells : records[0].cells.map((_, index) => `column_${index + 1}`);
  const rows = [];
  for (let index = first; index < records.length; index += 1) {
    if (records[index].raw) rows.push(index);
  }
  Object.assign(job, { first, fields, rows, position: 0, answers: new Map(), failed: 0, chunk: CHUNK_ROWS });
  URL.revokeObjectURL($("download").href);
  for (const id of ["batch-count", "batch-status", "batch-error"]) $(id).textContent = "";
  $("batch-done").hidden = true;
  busyBatch(false);
}

function showProgress() {
  const total = job.rows.length;
  const left = total - job.position;
  $("progress").value = total ? job.position / total : 0;
  $("batch-count").textContent = job.position ? `${count.format(job.position)} of ${count.format(total)} rows` : "";
  $("batch-go").textContent = job.position ? `Continue with ${count.format(left)} rows` : `Classify ${count.format(total)} ${total === 1 ? "row" : "rows"}`;
  $("batch-go").disabled = left === 0 || !firstRow();
  if (!firstRow()) $("batch-go").textContent = "Classify: say first what the first row is";
}

/** What the service gets of one row: the text, or a record of fields. */
function rowInput(index) {
  const { cells } = job.csv.records[index];
  if (model()?.kind !== "tabular") return cells[Number($("column").value)] ?? "";
  return recordOf(model().fields, job.fields, cells);
}

/** The next rows that fit into one request; rows without a text are answered at once. */
function nextChunk() {
  const chunk = { rows: [], inputs: [], end: job.position };
  let characters = 0;
  while (chunk.end < job.rows.length && chunk.rows.length < job.chunk) {
    const row = job.rows[chunk.end];
    const input = rowInput(row);
    characters += typeof input === "string" ? input.length : JSON.stringify(input).length;
    if (chunk.rows.length && characters > CHUNK_CHARACTERS) break;
    chunk.end += 1;
    if (job.answers.has(row)) continue;
    if (typeof input === "string" && !input.trim()) refuse(row, "There is no text in this row.");
    else {
      chunk.rows.push(row);
      chunk.inputs.push(input);
    }
  }
  return chunk;
}

function refuse(row, error) {
  job.answers.set(row, { error });
  job.failed += 1;
}

/** What the service says about an input, in words for somebody who looks at rows. */
const aboutRow = (message) => message.replace(/^inputs\[\d+\]\./, "").replace(/^inputs(\[\d+\])?/, "This row");

const pause = (seconds, signal) =>
  new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, seconds * 1000);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });

/** Classify the next rows; a row that the service refuses is marked, and the others go on. */
async function classifyChunk(signal) {
  for (let attempt = 1; ; ) {
    const { rows, inputs, end } = nextChunk();
    try {
      if (inputs.length) {
        const { predictions, errors } = await call("classify", { model: model().model, inputs }, signal);
        signal.throwIfAborted();
        rows.forEach((row, index) => {
          if (predictions[index]) job.answers.set(row, predictions[index]);
        });
        for (const { position, message } of errors ?? []) refuse(rows[position], aboutRow(message));
      }
      job.position = end;
      return;
    } catch (error) {
      const index = /^inputs\[(\d+)\]/.exec(error.field ?? "")?.[1];
      const tooMuch = error.status === 413 || (error.status === 422 && error.field === "inputs");
      const busy = [0, 429, 503, 504].includes(error.status);
      if (error.errors?.length) {
        for (const { position, message } of error.errors) refuse(rows[position], aboutRow(message));
      } else if (index !== undefined || (tooMuch && inputs.length === 1)) {
        refuse(rows[index ?? 0], aboutRow(error.message));
      } else if (tooMuch) {
        job.chunk = Math.ceil(inputs.length / 2);
      } else if (busy && attempt < ATTEMPTS) {
        $("batch-status").textContent = `${error.message} The page tries again by itself.`;
        await pause(error.retryAfter ?? 2 ** (attempt - 1), signal);
        attempt += 1;
      } else throw error;
    }
  }
}

async function runBatch(event) {
  event?.preventDefault();
  if (!job || job.stop) return;
  if (!model()) {
    $("batch-error").textContent = PLAIN_WORDS[503];
    return;
  }
  const stop = (job.stop = new AbortController());
  $("batch-error").textContent = "";
  $("batch-status").textContent = "Classifying";
  busyBatch(true);
  try {
    while (job.position < job.rows.length) {
      await classifyChunk(stop.signal);
      $("batch-status").textContent = "Classifying";
      showProgress();
    }
    finishBatch();
  } catch (error) {
    if (job?.stop !== stop) return;
    if (error.status === 401) askForKey(runBatch);
    else if (error instanceof ApiError) $("batch-error").textContent = error.message;
    else if (error.name !== "AbortError") throw error;
    $("batch-status").textContent = job.position ? `Stopped after ${count.format(job.position)} rows.` : "Stopped.";
  } finally {
    if (job?.stop === stop) {
      job.stop = null;
      busyBatch(false);
    }
  }
}

function busyBatch(busy) {
  const focused = [$("batch-go"), $("batch-stop")].includes(document.activeElement);
  $("progress").hidden = !busy;
  $("batch-stop").hidden = !busy;
  $("batch-go").hidden = busy || !$("batch-done").hidden;
  for (const id of ["column", "first-row"]) $(id).disabled = busy;
  showProgress();
  if (focused) (busy ? $("batch-stop") : $("batch-go")).focus();
}

function stopBatch() {
  job?.stop?.abort();
}

/** The file as it was, with the answers in columns behind the last one. */
function resultFile() {
  const { csv } = job;
  const predictions = [...job.answers.values()].filter(({ label }) => label !== undefined);
  const classes = predictions.length ? Object.keys(predictions[0].probabilities) : model().classes;
  const taken = new Set(job.first ? csv.records[0].cells : []);
  const free = (name) => {
    let unused = name;
    for (let number = 2; taken.has(unused); number += 1) unused = `${name}_${number}`;
    taken.add(unused);
    return unused;
  };
  const names = ["predicted_label", ...classes.map((name) => `probability_${name}`), "model_version"];
  if (job.failed) names.push("error");
  const lines = csv.records.map((record, index) => {
    if (index < job.first) return extendRecord(csv, record, names.map(free));
    if (!record.raw) return "";
    const { label = "", probabilities = {}, version = "", error = "" } = job.answers.get(index);
    const shares = classes.map((name) => probabilities[name]?.toFixed(6) ?? "");
    return extendRecord(csv, record, [label ?? "", ...shares, version, ...(job.failed ? [error] : [])]);
  });
  return csv.mark + lines.join(csv.newline) + csv.newline;
}

function finishBatch() {
  const totals = new Map();
  for (const { label = "refused, see the column error" } of job.answers.values()) {
    const said = label ?? "without a label";
    totals.set(said, (totals.get(said) ?? 0) + 1);
  }
  const summary = [...totals].sort((a, b) => b[1] - a[1]).map(([label, rows]) => `${count.format(rows)} ${label}`);
  const name = job.name.replace(/(\.[^.]*)?$/, (ending) => `-classified${ending || ".csv"}`);
  const link = $("download");
  link.href = URL.createObjectURL(new Blob([encode(resultFile(), job.encoding)], { type: "text/csv" }));
  link.download = name;
  link.textContent = `Download ${name}`;
  $("batch-status").textContent = `Done: ${summary.join(", ")}.`;
  $("batch-done").hidden = false;
  link.focus();
}
