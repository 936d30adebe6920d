// Carries ids from one step of the journey to the next: a placeholder in the variables or headers stands for what an
// earlier step answered, and is filled in when the operation is sent.

/** Each placeholder, and where the answer that it stands for has its value. */
export const PLACEHOLDERS = {
  "<access token from step 1>": (data) => data.login?.session?.accessToken,
  "<workflow id from step 2>": (data) => data.createWorkflow?.workflow?.id,
  "<proposal id from step 3>": (data) => (data.refineWorkflow ?? data.retryProposal)?.proposal?.id,
  "<digest from step 5>": (data) => data.proposal?.mergePreview?.digest,
};
export const TOKEN = "<access token from step 1>";
const DIGEST = "<digest from step 5>";
const PROPOSAL = "<proposal id from step 3>";

/** What earlier steps answered. A reload keeps the ids, not the token: a tab is no place to keep a secret. */
export class Carried {
  #store;
  #values;

  constructor(store) {
    this.#store = store;
    this.#values = JSON.parse(store.getItem("orchestrator:carried") ?? "{}");
  }

  /** Keep what the result of an operation answers to placeholders; say whether a token came with it. */
  keep(data) {
    const found = Object.entries(PLACEHOLDERS)
      .map(([placeholder, read]) => [placeholder, read(data ?? {})])
      .filter(([, value]) => value != null);
    const values = { ...this.#values, ...Object.fromEntries(found) };
    // The digest is of one proposal's merge: it must not approve the next one.
    if (values[PROPOSAL] !== this.#values[PROPOSAL]) delete values[DIGEST];
    this.#values = values;
    this.#store.setItem("orchestrator:carried", JSON.stringify({ ...values, [TOKEN]: undefined }));
    return found.some(([placeholder]) => placeholder === TOKEN);
  }

  /** Fill the placeholders in a text. */
  fill(text) {
    return Object.entries(this.#values).reduce((filled, [name, value]) => filled.replaceAll(name, value), text);
  }

  /** Fill the placeholders in every text of a JSON value. */
  fillAll(value) {
    if (typeof value === "string") return this.fill(value);
    if (Array.isArray(value)) return value.map((item) => this.fillAll(item));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, this.fillAll(item)]));
  }
}

/** Name the placeholders that are still in a JSON value. */
export function missing(value) {
  const text = JSON.stringify(value ?? null);
  return Object.keys(PLACEHOLDERS).filter((placeholder) => text.includes(placeholder));
}
