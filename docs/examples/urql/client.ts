import { Client, cacheExchange, fetchExchange } from "@urql/core";
import { toAsyncIterable } from "wonka";

import { Watch } from "../documents";

type Options = { url: string; token: () => string | undefined };

const TERMINAL = ["ProposalCompleted", "ProposalFailed", "ProposalCancelled"];

/** Makes a client whose subscriptions are server-sent events, over HTTP like everything else. */
export function orchestrator({ url, token }: Options) {
  return new Client({
    url,
    preferGetMethod: false,
    fetchOptions: () => (token() ? { headers: { authorization: `Bearer ${token()}` } } : {}),
    fetchSubscriptions: true,
    exchanges: [cacheExchange, fetchExchange],
  });
}

/** Follows a proposal to its terminal event: every event once, in order, whatever happens to the connection. */
export async function* follow(client: Client, proposalId: string) {
  let after: string | null = null;
  for (let attempt = 0; ; attempt++) {
    for await (const { data, error } of toAsyncIterable(client.subscription(Watch, { proposalId, after }))) {
      if (error?.graphQLErrors.length) throw error; // an answer: asking again would bring it again
      if (error || !data) break; // the connection: go on from the last cursor
      attempt = 0;
      after = data.proposalEvents.cursor;
      yield data.proposalEvents;
      if (TERMINAL.includes(data.proposalEvents.__typename)) return;
    }
    await new Promise((resolve) => setTimeout(resolve, Math.min(250 * 2 ** attempt, 5000)));
  }
}
