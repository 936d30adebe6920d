import assert from "node:assert/strict";
import { test } from "node:test";

import { linked } from "../src/link.js";

test("an operation and its variables are read from the address", () => {
  const query = "query Q($id: ID!) { node(id: $id) { id } } # 100 % & more";
  const hash = `#${new URLSearchParams({ query, variables: '{"id": "a+b"}' })}`;
  assert.deepEqual(linked(hash), { query, variables: '{"id": "a+b"}' });
});

test("variables can be left out", () => {
  assert.deepEqual(linked("#query=%7B%20viewer%20%7B%20id%20%7D%20%7D"), { query: "{ viewer { id } }", variables: "" });
});

test("an address without an operation asks for nothing", () => {
  assert.deepEqual(["", "#", "#top", "#query=", "#variables=%7B%7D"].map(linked), [null, null, null, null, null]);
});
