// How operations travel: queries and mutations by POST, subscriptions over graphql-transport-ws.
import { getOperationAST, parse } from "graphql";
import { createClient } from "graphql-ws";

import { missing } from "./carry.js";
import { introspected } from "./introspection.js";
import { failure, post } from "./post.js";

const INTROSPECTION = "IntrospectionQuery";

/**
 * Create the function that GraphiQL sends every operation with.
 *
 * `onResult` is called with the data of every result. Introspection runs before there is a headers editor: it gets the
 * headers of the configuration.
 */
export function createFetcher({ config, carried, onResult }) {
  return async ({ query, variables, operationName }, { headers: edited } = {}) => {
    const schema = operationName === INTROSPECTION ? introspected(query) : null;
    if (schema) return schema;
    const headers = sendable(carried.fillAll((operationName === INTROSPECTION ? config.headers : edited) ?? {}));
    const operation = findOperation(query, operationName);
    const payload = { query, variables: carried.fillAll(variables), operationName: operation?.name?.value };
    const absent = missing(payload.variables);
    if (absent.length) {
      return failure(`Not sent: the variables still say ${absent.join(" and ")}. Run that step first, or paste a value.`);
    }
    if (operation?.operation === "subscription") {
      return subscription({ url: socketUrl(config.subscriptionEndpoint), headers, payload, onResult });
    }
    const result = await post(config.endpoint, headers, payload);
    onResult(result.data);
    return result;
  };
}

/** Drop the headers that still wait for a step: nobody is better than a token that is none. */
function sendable(headers) {
  return Object.fromEntries(Object.entries(headers).filter(([, value]) => missing(value).length === 0));
}

/** Find the operation to run: for a moment after a change of tabs, GraphiQL still names the one of the other tab. */
function findOperation(query, operationName) {
  try {
    const document = parse(query);
    return getOperationAST(document) ?? getOperationAST(document, operationName);
  } catch {
    return null; // The server explains a syntax error better.
  }
}

function socketUrl(path) {
  const url = new URL(path, location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

/** Subscribe on a socket of its own, so that the headers as they are now are its `connection_init`. */
function subscription({ url, headers, payload, onResult }) {
  return {
    subscribe(observer) {
      const received = [];
      const client = createClient({ url, connectionParams: headers, retryAttempts: 5, shouldRetry: () => true });
      const unsubscribe = client.subscribe(payload, {
        next(result) {
          const event = Object.values(result.data ?? {})[0];
          // A lost connection subscribes anew with the same payload: go on from here, rather than from the start.
          if (event?.cursor) payload.variables = { ...payload.variables, after: event.cursor };
          onResult(result.data);
          observer.next({ ...result, ...timeline(received, event) });
        },
        error: (cause) => observer.error(readable(cause)),
        complete: () => observer.complete(),
      });
      return {
        unsubscribe() {
          unsubscribe();
          client.dispose();
        },
      };
    },
  };
}

/** List the events so far below the newest one, which is all that GraphiQL shows. Deltas of one message are one line. */
function timeline(received, event) {
  if (event?.sequence === undefined) return {};
  const line = `${event.sequence} ${event.__typename ?? ""}`.trim();
  if (received.at(-1) !== line) received.push(line);
  return { received };
}

/** What graphql-ws gives up with: the operation's errors, the socket's close event, or an error of its own. */
function readable(cause) {
  if (Array.isArray(cause)) return cause;
  if (cause.code) return { message: `The connection was closed with ${cause.code} ${cause.reason}`.trim() };
  return { message: `The connection failed. ${cause.message ?? ""}`.trim() };
}
