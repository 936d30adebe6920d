import { createClient } from "graphql-ws";
import { Environment, Network, Observable, RecordSource, Store } from "relay-runtime";
import type { FetchFunction, GraphQLResponse, SubscribeFunction } from "relay-runtime";

type Options = { url: string; token: () => string | undefined | Promise<string | undefined> };

/** Makes an environment whose subscriptions run over a WebSocket and survive whatever happens to it. */
export function orchestrator({ url, token }: Options) {
  const socket = createClient({
    url: url.replace("http", "ws"),
    connectionParams: async () => ({ Authorization: `Bearer ${await token()}` }), // asked anew for each connection
    shouldRetry: () => true,
    retryAttempts: Infinity,
    retryWait: (attempt) => new Promise((resolve) => setTimeout(resolve, patience(attempt))),
  });

  const send: FetchFunction = async ({ text: query }, variables) => {
    const value = await token();
    const authorization: Record<string, string> = value ? { authorization: `Bearer ${value}` } : {};
    const headers = { "content-type": "application/json", ...authorization };
    const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify({ query, variables }) });
    return answer.json();
  };

  const subscribe: SubscribeFunction = ({ text }, given) =>
    Observable.create<GraphQLResponse>((sink) => {
      const variables = { ...given };
      return socket.subscribe<Record<string, { cursor?: string }>>(
        { query: text!, variables },
        {
          next(answer) {
            // This same object is sent again after a lost connection, and so asks for what came later.
            variables.after = Object.values(answer.data ?? {})[0]?.cursor ?? variables.after;
            sink.next(answer as GraphQLResponse);
          },
          error: (cause) => sink.error(cause as Error),
          complete: () => sink.complete(),
        },
      );
    });

  return new Environment({ network: Network.create(send, subscribe), store: new Store(new RecordSource()) });
}

/** Milliseconds before an attempt: up to five seconds, and never all clients at once. */
function patience(attempt: number) {
  return Math.min(250 * 2 ** attempt, 5000) * (0.5 + Math.random() / 2);
}
