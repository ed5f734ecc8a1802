// Check custom resources against the schemas of their definitions: `node check.mjs FILE...`.
//
// The packages of kubernetes-models know values (formats, enumerations, what is required) at run time,
// and which fields there are as types: the compiler refuses a field that does not exist.
import { readFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { parseAllDocuments } from "yaml";

const PACKAGES = {
  "argoproj.io": "@kubernetes-models/argo-cd",
  "external-secrets.io": "@kubernetes-models/external-secrets",
  "monitoring.coreos.com": "@kubernetes-models/prometheus-operator",
};
const here = dirname(fileURLToPath(import.meta.url));

function customResources(file) {
  return parseAllDocuments(readFileSync(file, "utf8"))
    .map((document) => document.toJS())
    .filter((resource) => resource && PACKAGES[group(resource)])
    .map((resource) => ({ file, resource, name: `${file}: ${resource.kind} ${resource.metadata?.name}` }));
}

function group(resource) {
  return String(resource.apiVersion).split("/")[0];
}

function moduleOf(resource) {
  return `${PACKAGES[group(resource)]}/${resource.apiVersion}`;
}

async function wrongValues({ name, resource }) {
  const model = (await import(moduleOf(resource)))[resource.kind];
  if (!model) return [`${name}: ${resource.apiVersion} has no kind ${resource.kind}`];
  try {
    new model(resource).validate();
    return [];
  } catch (error) {
    return [`${name}: ${error.message}`];
  }
}

function wrongFields(found) {
  const folder = mkdtempSync(join(here, "check-"));
  try {
    const source = join(folder, "resources.ts");
    const lines = found.map(({ resource }, index) =>
      `import type { I${resource.kind} as T${index} } from ${JSON.stringify(moduleOf(resource))}; ` +
      `export const r${index}: T${index} = ${JSON.stringify(resource)};`);
    writeFileSync(source, lines.join("\n"));
    const program = ts.createProgram([source], {
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      noEmit: true,
      skipLibCheck: true,
      strict: true,
      types: [],
    });
    return ts.getPreEmitDiagnostics(program).map((diagnostic) => {
      const line = diagnostic.file ? diagnostic.file.getLineAndCharacterOfPosition(diagnostic.start).line : 0;
      return `${found[line]?.name}: ${ts.flattenDiagnosticMessageText(diagnostic.messageText, " ")}`;
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const found = process.argv.slice(2).flatMap(customResources);
const wrong = [...(await Promise.all(found.map(wrongValues))).flat(), ...wrongFields(found)];
wrong.forEach((sentence) => console.error(sentence));
console.log(`${found.length} custom resources checked, ${wrong.length} wrong.`);
process.exit(wrong.length || !found.length ? 1 : 0);
