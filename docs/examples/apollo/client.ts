import { ApolloClient, ApolloLink, HttpLink, InMemoryCache } from "@apollo/client";
import { SetContextLink } from "@apollo/client/link/context";
import { RetryLink } from "@apollo/client/link/retry";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { relayStylePagination } from "@apollo/client/utilities";
import { OperationTypeNode } from "graphql";
import { createClient } from "graphql-ws";

import possibleTypes from "../../../possible-types.json";
import { resume } from "./resume";

type Token = () => string | undefined | Promise<string | undefined>;
type Options = { url: string; token: Token };

/** Makes a client whose subscriptions run over a WebSocket and survive whatever happens to it. */
export function orchestrator({ url, token }: Options) {
  const socket = createClient({
    url: url.replace("http", "ws"),
    connectionParams: async () => ({ Authorization: `Bearer ${await token()}` }), // asked anew for each connection
    shouldRetry: () => true,
    retryAttempts: Infinity,
    retryWait: (attempt) => new Promise((resolve) => setTimeout(resolve, patience(attempt))),
  });
  return connected({ url, token }, new GraphQLWsLink(socket));
}

/** Makes a client that needs no WebSocket: its subscriptions are multipart responses over HTTP. */
export function orchestratorOverHttp({ url, token }: Options) {
  const again = new RetryLink({ delay: patience, attempts: { max: Infinity } });
  return connected({ url, token }, ApolloLink.from([again, authorized(token), new HttpLink({ uri: url })]));
}

function connected({ url, token }: Options, subscriptions: ApolloLink) {
  return new ApolloClient({
    link: ApolloLink.split(
      ({ operationType }) => operationType === OperationTypeNode.SUBSCRIPTION,
      resume.concat(subscriptions),
      authorized(token).concat(new HttpLink({ uri: url })),
    ),
    cache: new InMemoryCache({
      possibleTypes,
      typePolicies: { Query: { fields: { workflows: relayStylePagination(["filter", "orderBy"]) } } },
    }),
  });
}

function authorized(token: Token) {
  return new SetContextLink(async ({ headers }) => {
    const value = await token();
    return value ? { headers: { ...headers, authorization: `Bearer ${value}` } } : {};
  });
}

/** Milliseconds before an attempt: up to five seconds, and never all clients at once. */
function patience(attempt: number) {
  return Math.min(250 * 2 ** attempt, 5000) * (0.5 + Math.random() / 2);
}
