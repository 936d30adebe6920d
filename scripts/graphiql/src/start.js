// What the page begins with: the operation, to be read and typed into at once. Then all that GraphiQL is made of: what
// surrounds the editor, the editor, its font. By itself GraphiQL asks for each when it has the one before; here all are asked
// for at once.
import "./style.css";
import "./font.js";

import { show } from "./early.js";

show();
// The reading of megabytes would hold up the first paint: it begins after that.
requestAnimationFrame(() => setTimeout(load));

function load() {
  import("./main.jsx");
  import("./editor.js");
}
