// The operation, to be read, changed and run while the editor is still being loaded. Nothing of it is lost: the editor
// takes over the text, the cursor and the order to run, in one go.
import { query } from "./shown.js";

const page = document.getElementById("early");
const text = page.querySelector("textarea");
const button = page.querySelector("button");
let isOrdered = false;
let isComposing = false;

/** Show the operation. */
export function show() {
  const theme = localStorage.getItem("orchestrator:graphiql:theme");
  if (theme) document.body.classList.add(`graphiql-${theme}`);
  text.value = query;
  text.setSelectionRange(0, 0);
  text.readOnly = false;
  button.disabled = false;
  button.addEventListener("click", order);
  text.addEventListener("keydown", (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && order());
  text.addEventListener("compositionstart", () => (isComposing = true));
  text.addEventListener("compositionend", () => (isComposing = false));
}

function order() {
  isOrdered = true;
  button.disabled = true;
  page.querySelector(".loading").textContent = "Runs as soon as GraphiQL is loaded …";
}

/** Hand everything over to the editor; `run` is what its button does. */
export function handOver(editor, run) {
  if (!page.isConnected) return;
  // Letters that an input method is still composing belong to no text yet.
  if (isComposing) return text.addEventListener("compositionend", () => setTimeout(handOver, 0, editor, run), { once: true });
  const model = editor.getModel();
  if (text.value !== model.getValue()) model.setValue(text.value);
  const [from, to] = [text.selectionStart, text.selectionEnd].map((offset) => model.getPositionAt(offset));
  const isBackward = text.selectionDirection === "backward";
  const [start, end] = isBackward ? [to, from] : [from, to];
  editor.setSelection({
    selectionStartLineNumber: start.lineNumber,
    selectionStartColumn: start.column,
    positionLineNumber: end.lineNumber,
    positionColumn: end.column,
  });
  editor.setScrollTop(text.scrollTop);
  document.getElementById("graphiql").inert = false;
  const isFocused = document.activeElement === text;
  page.remove();
  if (isFocused) editor.focus();
  if (isOrdered) run();
}
