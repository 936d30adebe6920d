import "./workers.js";

import { explorerPlugin } from "@graphiql/plugin-explorer";
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { createLocalStorage } from "@graphiql/toolkit";
import { GraphiQL, HISTORY_PLUGIN } from "graphiql";
import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

import { Carried, TOKEN } from "./carry.js";
import { config } from "./config.js";
import { handOver } from "./early.js";
import { createFetcher } from "./fetcher.js";
import { font } from "./font.js";
import { INTROSPECTION, introspect } from "./introspection.js";
import { journey } from "./journey.js";
import { linked } from "./link.js";
import { link, query, variables } from "./shown.js";

// The server works on the schema while the page is drawn and the editor read.
introspect();

// Other GraphiQLs on this host keep their tabs under "graphiql:".
const storage = createLocalStorage({ namespace: "orchestrator" });
const headers = JSON.stringify(config.headers ?? { Authorization: `Bearer ${TOKEN}` }, null, 2);
const carried = new Carried(sessionStorage);
const plugins = [HISTORY_PLUGIN, explorerPlugin()];

// From here on the tabs are kept in the browser: a reload must not bring the link's once more.
if (link) history.replaceState(null, "", location.pathname);
addEventListener("hashchange", () => linked(location.hash) && location.reload());

/** Write the token into the headers editor of the tab that is shown, where it still waits for one. */
function SignedIn({ signIns }) {
  const { editor, tab } = useGraphiQL((state) => ({ editor: state.headerEditor, tab: state.activeTabIndex }));
  useEffect(() => {
    const text = editor?.getValue() ?? "";
    const filled = carried.fill(text);
    if (filled !== text) editor.setValue(filled);
  }, [editor, tab, signIns]);
  return null;
}

/** Wrap long lines: half a window is narrow, and a phone narrower. */
function Wrapped() {
  const editors = useGraphiQL((state) => [state.queryEditor, state.variableEditor, state.headerEditor]);
  useEffect(() => editors.forEach((editor) => editor?.updateOptions({ wordWrap: "on" })), [editors]);
  return null;
}

/** Take over from what the page began with, once there is all that running an operation takes. */
function TakesOver() {
  const editors = useGraphiQL((state) => [
    state.queryEditor,
    state.variableEditor,
    state.headerEditor,
    state.responseEditor,
  ]);
  const { run } = useGraphiQLActions();
  useEffect(() => {
    if (editors.every(Boolean)) handOver(editors[0], run);
  }, [editors, run]);
  return null;
}

function App() {
  const [signIns, setSignIns] = useState(0);
  const [fetcher] = useState(() => {
    const onResult = (data) => {
      if (carried.keep(data)) setSignIns((count) => count + 1);
    };
    return createFetcher({ config, carried, onResult });
  });
  return (
    <GraphiQL
      fetcher={fetcher}
      storage={storage}
      plugins={plugins}
      defaultTabs={link ? [link, ...journey] : journey}
      // By itself GraphiQL leaves out the first tab's variables, and opens a tab twice that was changed just before a reload.
      initialQuery={query}
      initialVariables={variables ?? journey[0].variables}
      defaultHeaders={headers}
      shouldPersistHeaders={false}
      defaultQuery=""
      {...INTROSPECTION}
    >
      <GraphiQL.Logo>
        <span className="product">IDE Orchestrator</span>
      </GraphiQL.Logo>
      <SignedIn signIns={signIns} />
      <Wrapped />
      <TakesOver />
    </GraphiQL>
  );
}

if (config.title) document.title = config.title;
font.then(() => createRoot(document.getElementById("graphiql")).render(<App />));
