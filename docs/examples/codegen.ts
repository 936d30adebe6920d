import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: "../../schema.graphql", // of your server: http://127.0.0.1:8080/schema.graphql
  documents: ["documents.ts"],
  generates: {
    "gql/": {
      preset: "client",
      presetConfig: { fragmentMasking: false },
      config: {
        enumsAsTypes: true,
        scalars: { DateTime: "string", EventCursor: "string", JSON: "unknown" },
        strictScalars: true,
        useTypeImports: true,
      },
    },
  },
};
export default config;
