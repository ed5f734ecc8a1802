// The one door to the service.

const KEY = "perennial-api-key";

export const savedKey = () => sessionStorage.getItem(KEY);

/** Keep a key until the tab is closed; an empty one forgets it. */
export function saveKey(key) {
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

export const PLAIN_WORDS = {
  404: "This model is not served any more. Choose another one.",
  413: "This is more than the service takes at once.",
  429: "The service has too much to do just now. Try again in a moment.",
  503: "No model is in Production yet.",
};

/** What went wrong, in words for people; status 0 is a network that is gone. */
export class ApiError extends Error {
  constructor(message, { status = 0, field = "", errors = [], retryAfter = null } = {}) {
    super(message);
    Object.assign(this, { status, field: field ?? "", errors, retryAfter });
  }
}

/** Send a request and return its JSON answer; every other outcome is an ApiError. */
export async function call(path, body, signal) {
  const headers = { Accept: "application/json" };
  const key = savedKey();
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, signal, body: body && JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The service cannot be reached.");
  }
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  const { message, field } = answer?.error ?? {};
  const { status } = response;
  const words = (status < 500 && status !== 429) || status === 503 ? message : undefined;
  throw new ApiError(
    words ?? PLAIN_WORDS[status] ?? `The service could not answer (status ${status}). Try again.`,
    { status, field, errors: answer?.errors, retryAfter: Number(response.headers.get("Retry-After")) || null },
  );
}
