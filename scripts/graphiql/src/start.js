// What the page is made of: what surrounds the editor, the editor, its font, the schema. By itself GraphiQL asks for each
// when it has the one before; here all are asked for at once.
import "./style.css";
import "./font.js";

import { introspect } from "./introspection.js";

import("./main.jsx");
import("./editor.js");
introspect();
