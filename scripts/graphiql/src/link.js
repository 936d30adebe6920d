// An operation in the page's own address, so that it can be linked to: /graphql#query=…&variables=…
// What stands after the # stays in the browser; after a ? the server would run it.

/** Read the tab that an address asks for; null when it asks for none. */
export function linked(hash) {
  const given = new URLSearchParams(hash.replace(/^#/, ""));
  const query = given.get("query");
  return query ? { query, variables: given.get("variables") ?? "" } : null;
}
