import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';
import { follower, listen } from './schema.mjs';

// No GraphQL: what is sent was made once for all subscribers.
const follow = follower((event) => JSON.stringify({ data: { proposalEvents: event } }));

async function relay(socket, { id, payload }) {
  for await (const text of follow(payload.variables.proposalId)) {
    // As graphql-ws does, wait until the message is on its way.
    await new Promise((resolve, reject) => {
      socket.send(`{"id":"${id}","type":"next","payload":${text}}`, (error) => (error ? reject(error) : resolve()));
    });
  }
}

const server = createServer();
const sockets = new WebSocketServer({ server, path: '/graphql', perMessageDeflate: false });
sockets.on('connection', (socket) => {
  socket.on('message', (data) => {
    const message = JSON.parse(data);
    if (message.type === 'connection_init') socket.send('{"type":"connection_ack"}');
    else relay(socket, message).catch(() => socket.terminate());
  });
});
listen(server);
