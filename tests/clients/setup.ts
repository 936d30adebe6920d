// What the tests begin with: browsers have a WebSocket, and Node 20 has none.
import { strict as assert } from "node:assert";

import { WebSocket } from "ws";

Object.assign(globalThis, { WebSocket });

export const url = process.env.ORCHESTRATOR_URL!;
export const demo = { email: "demo@example.com", password: "demo-password" };
export const prompt = "Add a reviewer agent that checks every answer for tone";

type Event = { __typename: string; sequence: number };

/** Checks that a list of events has each stored one, once, in order, to the terminal one. */
export function assertWhole(events: Event[]) {
  const stored = events.filter((event) => event.__typename !== "AgentMessageDelta");
  assert.deepEqual(
    stored.map((event) => event.sequence),
    stored.map((_, index) => index + 1),
  );
  assert.equal(stored.at(-1)?.__typename, "ProposalCompleted");
  assert.ok(stored.length > 20);
}
