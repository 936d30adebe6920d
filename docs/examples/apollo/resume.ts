import { ApolloLink } from "@apollo/client";
import { filter } from "rxjs";

/** What every subscription selects of its events. */
type Event = { __typename: string; cursor: string; sequence: number };

/** Lets a subscription go on after a lost connection: every event once, in order. It takes the variable `after`. */
export const resume = new ApolloLink((operation, forward) => {
  let seen = 0;
  // A copy, for the cache keeps what it is told under the variables that it knows: one entry, not one for each cursor.
  const variables = (operation.variables = { ...operation.variables });
  return forward(operation).pipe(
    filter(({ data }) => {
      const event = Object.values(data ?? {})[0] as Event | undefined;
      if (!event?.cursor) return true;
      // A delta is live only: it has the cursor and the sequence of the stored event before it.
      if (event.sequence <= seen && event.__typename !== "AgentMessageDelta") return false;
      seen = event.sequence;
      // What reconnects below sends this same object again, and so asks for what came later.
      variables.after = event.cursor;
      return true;
    }),
  );
});
