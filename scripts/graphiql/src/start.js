// What the page is made of: what surrounds the editor, the editor, its font. By itself GraphiQL asks for each when it has
// the one before; here all are asked for at once.
import "./style.css";
import "./font.js";

import("./main.jsx");
import("./editor.js");
