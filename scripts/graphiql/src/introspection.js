// The schema, asked for before there is an editor to complete from it.
import { getIntrospectionQuery } from "graphql/utilities/getIntrospectionQuery.mjs";

import { config } from "./config.js";
import { post } from "./post.js";

/** What GraphiQL is told to ask the schema for; its own query is made of the same. */
export const INTROSPECTION = { inputValueDeprecation: true, schemaDescription: true };

const operationName = "IntrospectionQuery";
const query = getIntrospectionQuery(INTROSPECTION);
let early = null;

/** Ask for the schema. */
export function introspect() {
  early = post(config.endpoint, config.headers ?? {}, { query, operationName });
}

/** Give the answer to GraphiQL's first question, if it is the one that was asked; later ones want a new answer. */
export function introspected(asked) {
  const answer = asked === query ? early : null;
  early = null;
  return answer;
}
