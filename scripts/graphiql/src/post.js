// One request, and always a result.

/** Say in the form of a result why there is none. */
export function failure(message) {
  return { errors: [{ message }] };
}

/** Send an operation; say in the form of a result what went wrong. */
export async function post(url, given, payload) {
  const headers = {
    "content-type": "application/json",
    accept: "application/graphql-response+json, application/json",
    ...given,
  };
  let response;
  let text;
  try {
    response = await fetch(url, { method: "POST", headers, body: JSON.stringify(payload) });
    text = await response.text();
  } catch (cause) {
    return failure(`The server did not answer: ${cause.message}.`);
  }
  try {
    return JSON.parse(text);
  } catch {
    return failure(`The server answered ${response.status} without JSON: ${text.slice(0, 500)}`);
  }
}
