// What the first tab shows: the operation of the address, else the one of the last visit, else the first step.
import first from "./journey/1-sign-in.graphql?raw";
import { linked } from "./link.js";

export const link = linked(location.hash);
const stored = JSON.parse(localStorage.getItem("orchestrator:graphiql:tabState"));
const tab = link ?? stored?.tabs[stored.activeTabIndex];

/** Its operation. */
export const query = tab ? (tab.query ?? "") : first;
/** Its variables; undefined for those of the first step. */
export const variables = tab ? (tab.variables ?? "") : undefined;
