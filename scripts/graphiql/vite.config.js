import { resolve } from "node:path";

import { defineConfig } from "vite";

/** Let the browser fetch along with the page what its first script will ask for. */
const early = {
  name: "early",
  transformIndexHtml: {
    order: "post",
    handler(_html, { bundle, chunk }) {
      const known = new Set([chunk.fileName, ...chunk.imports]);
      const links = [];
      const add = (name) => {
        if (known.has(name)) return;
        known.add(name);
        links.push({ tag: "link", attrs: { rel: "modulepreload", crossorigin: true, href: `/graphiql/${name}` }, injectTo: "head" });
        bundle[name].imports.forEach(add);
      };
      chunk.dynamicImports.forEach(add);
      return links;
    },
  },
};

export default defineConfig({
  base: "/graphiql/",
  plugins: [early],
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
