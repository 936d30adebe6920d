// The first tabs: one for each step from signing in to a deployed version, in the order of their file names.
const documents = import.meta.glob("./journey/*.graphql", { query: "?raw", import: "default", eager: true });
const variables = import.meta.glob("./journey/*.json", { query: "?raw", import: "default", eager: true });

export const journey = Object.entries(documents)
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .map(([path, query]) => ({ query, variables: variables[path.replace(".graphql", ".json")].trimEnd() }));
