// The journey that the README prints, with types like those of the examples. `conftest.py` writes it to journey.graphql.
import type { CodegenConfig } from "@graphql-codegen/cli";

import examples from "../../docs/examples/codegen";

const config: CodegenConfig = {
  ...examples,
  schema: "../../schema.graphql",
  documents: ["readme/journey.graphql"],
  generates: { "readme/gql/": examples.generates["gql/"]! },
};
export default config;
