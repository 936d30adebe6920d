// Signs in, creates a workflow, has it refined, and shows what the agent does while it does it.
import { CreateWorkflow, Refine, SignIn, Watch } from "../documents";
import { orchestrator } from "./client";

let token: string | undefined;
const url = process.env.ORCHESTRATOR_URL ?? "http://127.0.0.1:8080/graphql";
const client = orchestrator({ url, token: () => token });

const login = await client.mutate({
  mutation: SignIn,
  variables: { email: "demo@example.com", password: "demo-password" },
});
token = login.data?.login.session?.accessToken;

const created = await client.mutate({
  mutation: CreateWorkflow,
  variables: { name: "Support desk", templateSlug: "multi-agent" },
});
const workflowId = created.data!.createWorkflow.workflow!.id;

const refined = await client.mutate({
  mutation: Refine,
  variables: { workflowId, prompt: "Add a reviewer agent that checks every answer for tone" },
});
const proposalId = refined.data!.refineWorkflow.proposal!.id;

client.subscribe({ query: Watch, variables: { proposalId } }).subscribe({
  next: ({ data }) => console.log(data?.proposalEvents.sequence, data?.proposalEvents.__typename),
  complete: () => process.exit(), // after the terminal event; the socket would stay open for others
});
