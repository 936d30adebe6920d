import { resolve } from "node:path";

import { defineConfig } from "vite";

export default defineConfig({
  base: "/graphiql/",
  // Everywhere in place of monaco-graphql's own choice, which it imports as "./monaco-editor".
  resolve: { alias: [{ find: /^(monaco-graphql\/esm|\.)\/monaco-editor(\.js)?$/, replacement: resolve("src/editor.js") }] },
  build: {
    outDir: "../../graphql_api/transport/graphiql",
    emptyOutDir: true,
    target: "es2022",
    // The policy of the page has `font-src 'self'`, which a data: URL is not.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 4000,
    rolldownOptions: {
      // "use client" of React's libraries means nothing without a server that renders.
      onwarn: (warning, warn) => warning.code === "MODULE_LEVEL_DIRECTIVE" || warn(warning),
    },
  },
  worker: { format: "es" },
});
