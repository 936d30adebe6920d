// Follows one proposal with each kind of client at once; tells each stored event, and at its end `end`, in a line of its own.
import { requestSubscription } from "relay-runtime";

import * as apollo from "../../docs/examples/apollo/client";
import { Watch } from "../../docs/examples/documents";
import * as relay from "../../docs/examples/relay/client";
import * as urql from "../../docs/examples/urql/client";
import * as readme from "./loop";
import watch, { type WatchSubscription } from "./relay/__generated__/WatchSubscription.graphql";
import { url } from "./setup";

const token = () => process.env.TOKEN;
const proposalId = process.env.PROPOSAL!;

type Event = { __typename: string; sequence: number };

function tell(client: string, event: Event | "end") {
  if (event === "end") console.log(client, "end");
  else if (event.__typename !== "AgentMessageDelta") console.log(client, event.sequence);
}

function followWithApollo(name: string, make: typeof apollo.orchestrator) {
  const client = make({ url, token });
  return new Promise<void>((resolve, reject) =>
    client.subscribe({ query: Watch, variables: { proposalId } }).subscribe({
      next: ({ data, error }) => (error ? reject(error) : tell(name, data!.proposalEvents)),
      error: reject,
      complete: resolve,
    }),
  ).then(() => tell(name, "end"));
}

function followWithRelay() {
  const environment = relay.orchestrator({ url, token });
  return new Promise<void>((onCompleted, onError) =>
    requestSubscription<WatchSubscription>(environment, {
      ...{ subscription: watch, variables: { proposalId }, onCompleted, onError },
      onNext: (data) => tell("relay", data!.proposalEvents),
    }),
  ).then(() => tell("relay", "end"));
}

async function followWithUrql() {
  const client = urql.orchestrator({ url, token });
  for await (const event of urql.follow(client, proposalId)) tell("urql-sse", event);
  tell("urql-sse", "end");
}

async function followAsInTheReadme() {
  const headers = { Authorization: `Bearer ${token()}` };
  await readme.follow(url.replace("http", "ws"), headers, proposalId, (event) => tell("readme", event));
  tell("readme", "end");
}

await Promise.all([
  followAsInTheReadme(),
  followWithApollo("apollo-websocket", apollo.orchestrator),
  followWithApollo("apollo-multipart", apollo.orchestratorOverHttp),
  followWithRelay(),
  followWithUrql(),
]);
process.exit();
