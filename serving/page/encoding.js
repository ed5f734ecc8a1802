// Files as bytes: what is no text is refused by its name, and a text goes back in the encoding in which it came.

import { CsvError } from "./csv.js";

const SAVE_AS_CSV = "Open it in a spreadsheet program, save the sheet as CSV, and choose that file.";
const BYTE_ORDER_MARK = "\uFEFF";
// How files of other kinds begin, and what to say of them.
const OTHERS = [
  [[0x50, 0x4b, 0x03, 0x04], /\.(xls[xmb]|ods|numbers)$/i, "a spreadsheet", SAVE_AS_CSV],
  [[0x50, 0x4b, 0x03, 0x04], /./, "a packed file", "Unpack it first."],
  [[0xd0, 0xcf, 0x11, 0xe0], /./, "a spreadsheet or document of Office", SAVE_AS_CSV],
  [[0x1f, 0x8b], /./, "a packed file", "Unpack it first."],
  [[0x50, 0x41, 0x52, 0x31], /./, "a Parquet file", "Write it as CSV first."],
  [[0x25, 0x50, 0x44, 0x46], /./, "a PDF", ""],
  [[0x89, 0x50, 0x4e, 0x47], /./, "a picture", ""],
  [[0xff, 0xd8, 0xff], /./, "a picture", ""],
  [[0x47, 0x49, 0x46, 0x38], /./, "a picture", ""],
];
const LOOKED_AT = 4096;

/** Refuse a file that is no text. */
function refuseOthers(bytes, name) {
  const found = OTHERS.find(([start, ending]) => start.every((byte, at) => bytes[at] === byte) && ending.test(name));
  if (found) throw new CsvError(`${name} is ${found[2]}, not a CSV file. ${found[3]}`.trim());
}

/** The encoding of a text without a mark, by where its NUL bytes are; null if it has none. */
function byZeros(bytes) {
  const zeros = [0, 0];
  bytes.subarray(0, LOOKED_AT).forEach((byte, at) => (zeros[at % 2] += byte === 0));
  if (!zeros[0] && !zeros[1]) return null;
  return zeros[1] > 8 * zeros[0] ? "utf-16le" : zeros[0] > 8 * zeros[1] ? "utf-16be" : "binary";
}

function encodingOf(bytes) {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return "utf-16le";
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return "utf-16be";
  const wide = byZeros(bytes);
  if (wide) return wide;
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return "utf-8";
  } catch {
    return "windows-1252";
  }
}

/** Read a file: its text, with its mark if it has one, and its encoding. */
export function decode(buffer, name) {
  const bytes = new Uint8Array(buffer);
  refuseOthers(bytes, name);
  const encoding = encodingOf(bytes);
  if (encoding === "binary") throw new CsvError(`${name} is not a text, and so not a CSV file.`);
  return { text: new TextDecoder(encoding, { ignoreBOM: true }).decode(bytes), encoding };
}

function wide(text, isLittle) {
  const view = new DataView(new ArrayBuffer(2 * text.length));
  for (let at = 0; at < text.length; at += 1) view.setUint16(2 * at, text.charCodeAt(at), isLittle);
  return view.buffer;
}

/** A text in Windows-1252; null if that has no sign for something in it. */
function narrow(text) {
  const signs = new TextDecoder("windows-1252").decode(Uint8Array.from({ length: 256 }, (_, byte) => byte));
  const bytes = new Map(Array.from(signs, (sign, byte) => [sign, byte]));
  const found = new Uint8Array(text.length);
  for (let at = 0; at < text.length; at += 1) {
    const byte = bytes.get(text[at]);
    if (byte === undefined) return null;
    found[at] = byte;
  }
  return found;
}

/** Write a text in an encoding; in UTF-8 with its mark if the encoding lacks a sign of it. */
export function encode(text, encoding) {
  if (encoding === "utf-16le" || encoding === "utf-16be") return wide(text, encoding === "utf-16le");
  return (encoding === "windows-1252" && narrow(text)) || withMark(text, encoding);
}

const withMark = (text, encoding) => (encoding === "utf-8" ? text : BYTE_ORDER_MARK + text);
