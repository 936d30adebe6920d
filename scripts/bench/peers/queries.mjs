import { createServer } from 'node:http';
import DataLoader from 'dataloader';
import { createSchema, createYoga } from 'graphql-yoga';
import postgres from 'postgres';
import { listen } from './schema.mjs';

// Yoga with DataLoaders, on the tables of the database that PGHOST and its kin name, as the user of this id.
const user = process.argv[2];
const sql = postgres({ max: 20 });

function loader(read) {
  return new DataLoader(async (ids) => {
    const found = new Map((await read(ids)).map((row) => [row.key, row]));
    return ids.map((id) => found.get(id) ?? null);
  });
}

const loaders = () => ({
  owner: loader((ids) => sql`
    SELECT DISTINCT ON (m.workflow_id) m.workflow_id AS key, u.name FROM workflow_members m JOIN users u ON u.id = m.user_id
    WHERE m.workflow_id = ANY(${ids}) AND m.role = 'OWNER' ORDER BY m.workflow_id, m.since, m.user_id`),
  latestVersion: loader((ids) => sql`
    SELECT DISTINCT ON (workflow_id) workflow_id AS key, number FROM versions
    WHERE workflow_id = ANY(${ids}) ORDER BY workflow_id, number DESC`),
  draft: loader((ids) => sql`
    SELECT workflow_id AS key, id FROM drafts WHERE workflow_id = ANY(${ids}) AND closed_at IS NULL`),
  fileCount: loader((ids) => sql`
    SELECT draft_id AS key, count(*)::int AS count FROM draft_files
    WHERE draft_id = ANY(${ids}) AND to_revision IS NULL GROUP BY draft_id`),
});

const schema = createSchema({
  typeDefs: `
    type Owner { name: String! }
    type Version { number: Int! }
    type Draft { fileCount: Int! }
    type Workflow { name: String! owner: Owner! latestVersion: Version draft: Draft }
    type Workflows { nodes: [Workflow!]! }
    type Query { workflows(first: Int!): Workflows! }
  `,
  resolvers: {
    Query: {
      workflows: async (_, { first }) => ({
        nodes: await sql`
          SELECT id, name FROM workflows
          WHERE deleted_at IS NULL AND id IN (SELECT workflow_id FROM workflow_members WHERE user_id = ${user})
          ORDER BY updated_at DESC, id DESC LIMIT ${first}`,
      }),
    },
    Workflow: {
      owner: ({ id }, _, context) => context.owner.load(id),
      latestVersion: ({ id }, _, context) => context.latestVersion.load(id),
      draft: ({ id }, _, context) => context.draft.load(id),
    },
    Draft: { fileCount: async ({ id }, _, context) => (await context.fileCount.load(id))?.count ?? 0 },
  },
});

listen(createServer(createYoga({ schema, logging: false, graphiql: false, context: loaders })));
