// Classifies, explains, gives feedback and meets an error, with types made from the description.
import createClient from "openapi-fetch";
import type { paths } from "./api.ts";

declare const process: { argv: string[] };
const [, , baseUrl, text, wrong] = process.argv;
const client = createClient<paths>({ baseUrl });

const classified = await client.POST("/classify", { body: { inputs: [text], explain: true } });
const prediction = classified.data?.predictions[0];
if (!prediction) throw new Error(JSON.stringify(classified.error));
const contributions = prediction.explanation ?? [];
const score = contributions.reduce(
  (sum, each) => sum + each.contribution,
  (prediction.baseline ?? NaN) + (prediction.others ?? NaN),
);

const { data: receipt } = await client.POST("/feedback", {
  body: { prediction_id: prediction.prediction_id, label: wrong },
});

const refused = await client.POST("/classify", { body: { inputs: [] } });
const error = refused.error && "error" in refused.error ? refused.error.error : undefined;

console.log(
  JSON.stringify({
    label: prediction.label,
    score,
    accepted: receipt?.accepted,
    status: refused.response.status,
    code: error?.code,
  }),
);
