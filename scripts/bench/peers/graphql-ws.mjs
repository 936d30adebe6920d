import { createServer } from 'node:http';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';
import { listen, rootValue, schema } from './schema.mjs';

const server = createServer();
useServer({ schema, roots: { subscription: rootValue } }, new WebSocketServer({ server, path: '/graphql', perMessageDeflate: false }));
listen(server);
