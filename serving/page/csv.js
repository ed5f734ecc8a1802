// CSV files (RFC 4180) are read so that every original cell can be written back as it was.

export class CsvError extends Error {}

const BYTE_ORDER_MARK = "\uFEFF";
const DELIMITERS = [",", ";", "\t"];

function delimiterOf(text) {
  const unquoted = text.slice(0, 10_000).replace(/"(?:[^"]|"")*"/g, "");
  const line = unquoted.split(/[\r\n]/, 1)[0];
  return DELIMITERS.find((delimiter) => line.includes(delimiter)) ?? ",";
}

/**
 * Cut a CSV text into records; each keeps its raw text beside the values of its cells.
 * A quote that is never closed is a CsvError, with the number of its row.
 */
export function parseCsv(text) {
  const mark = text.startsWith(BYTE_ORDER_MARK) ? BYTE_ORDER_MARK : "";
  const delimiter = delimiterOf(text.slice(mark.length));
  const plain = new RegExp(`[^${delimiter}\r\n]*`, "y");
  const records = [];
  let at = mark.length;

  function quoted() {
    let value = "";
    for (let from = at + 1; ; ) {
      const quote = text.indexOf('"', from);
      if (quote < 0) throw new CsvError(`A quotation mark in row ${records.length + 1} is never closed.`);
      value += text.slice(from, quote);
      at = quote + 1;
      if (text[at] !== '"') return value;
      value += '"';
      from = at + 1;
    }
  }

  function cell() {
    const value = text[at] === '"' ? quoted() : "";
    plain.lastIndex = at;
    const rest = plain.exec(text)[0];
    at += rest.length;
    return value + rest;
  }

  while (at < text.length) {
    const start = at;
    const cells = [cell()];
    while (text[at] === delimiter) {
      at += 1;
      cells.push(cell());
    }
    records.push({ raw: text.slice(start, at), cells });
    at += text.startsWith("\r\n", at) ? 2 : 1;
  }
  const newline = /\r\n|\n|\r/.exec(text)?.[0] ?? "\r\n";
  const width = records.reduce((most, { cells }) => Math.max(most, cells.length), 0);
  return { mark, delimiter, newline, width, records };
}

const isNumber = (cell) => cell.trim() !== "" && Number.isFinite(Number(cell.replace(",", ".")));

/**
 * Whether the first record names the columns: true, false, or null where a person must say it.
 * Names that the model knows are names; an empty cell, a number or the same cell twice is none.
 */
export function firstRowNames({ records }, known) {
  const names = records[0].cells.map((cell) => cell.trim());
  if (names.some((name) => known.includes(name) || known.includes(name.toLowerCase()))) return true;
  if (records.length < 2 || new Set(names).size < names.length) return false;
  if (names.some((name) => !name || isNumber(name))) return false;
  const others = records.slice(1, 21).filter(({ raw }) => raw);
  const isOfNumbers = (_, at) => others.length > 0 && others.every(({ cells }) => isNumber(cells[at] ?? ""));
  return names.some(isOfNumbers) ? true : null;
}

/** One added cell, which no spreadsheet takes for a formula. */
function addedCell(value, delimiter) {
  let cell = String(value);
  if (/^[=+\-@\t\r]/.test(cell)) cell = `'${cell}`;
  const special = cell.includes(delimiter) || /["\r\n]/.test(cell);
  return special ? `"${cell.replaceAll('"', '""')}"` : cell;
}

/** Write a record as it was read, with cells added behind the last column of the file. */
export function extendRecord(csv, record, added) {
  const missing = csv.delimiter.repeat(csv.width - record.cells.length);
  const cells = added.map((value) => csv.delimiter + addedCell(value, csv.delimiter));
  return record.raw + missing + cells.join("");
}
