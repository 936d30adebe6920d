// The same part of the schema, and the same events, as in source.py and servers.py.
import { buildSchema } from 'graphql';

export const schema = buildSchema(`
  scalar EventCursor
  scalar DateTime
  interface ProposalEvent { cursor: EventCursor! sequence: Int! occurredAt: DateTime! }
  type AgentMessageCompleted implements ProposalEvent {
    cursor: EventCursor! sequence: Int! occurredAt: DateTime!
    messageId: ID! agent: String role: MessageRole! text: String!
  }
  type ToolCallFinished implements ProposalEvent {
    cursor: EventCursor! sequence: Int! occurredAt: DateTime!
    toolCallId: ID! agent: String name: String! status: ToolCallStatus! output: String
  }
  enum MessageRole { ASSISTANT SYSTEM TOOL USER }
  enum ToolCallStatus { SUCCEEDED FAILED }
  type Query { nothing: Int }
  type Subscription { proposalEvents(proposalId: ID!): ProposalEvent! }
`);

const MOMENT = '2026-01-01T00:00:00+00:00';
const TEXT = 'word '.repeat(800);
const OUTPUT = 'x'.repeat(60);
const BATCH = 32;
const WINDOW = 1024;

const PACE_MS = 50;
const SLOTS = 100;

function makeEvent(subject, sequence, name) {
  const key = Buffer.alloc(24);
  key.write(subject.replaceAll('-', ''), 'hex');
  key.writeBigUInt64BE(BigInt(sequence), 16);
  const cursor = key.toString('base64').replaceAll('+', '-').replaceAll('/', '_');
  if (sequence % 10 === 0) {
    return { __typename: 'AgentMessageCompleted', cursor, sequence, occurredAt: MOMENT, messageId: name ?? `message-${sequence}`, agent: 'writer', role: 'ASSISTANT', text: TEXT };
  }
  return { __typename: 'ToolCallFinished', cursor, sequence, occurredAt: MOMENT, toolCallId: name ?? `call-${sequence}`, agent: null, name: 'search', status: 'SUCCEEDED', output: OUTPUT };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));
const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

let subscribers = 0;
let start;
const started = new Promise((resolve) => { start = resolve; });

// One log that never ends. Each event is made once; nobody gets far ahead of the slowest subscriber.
class Topic {
  first = 1;
  positions = new Map();

  constructor(subject, make) {
    this.subject = subject;
    this.make = make;
    this.made = [make(makeEvent(subject, 1))];
  }

  async *follow() {
    const me = {};
    let position = this.first;
    this.positions.set(me, position);
    try {
      for (;;) {
        while (position < this.first + this.made.length) {
          yield this.made[position - this.first];
          position += 1;
        }
        this.positions.set(me, position);
        await started;
        await turn();
        const slowest = Math.min(...this.positions.values());
        if (position - slowest < WINDOW) this.advance(slowest);
      }
    } finally {
      this.positions.delete(me);
    }
  }

  advance(slowest) {
    this.made.splice(0, slowest - this.first);
    this.first = Math.max(this.first, slowest);
    const following = this.first + this.made.length;
    for (let i = 0; i < BATCH; i += 1) this.made.push(this.make(makeEvent(this.subject, following + i)));
  }
}

// A log that has one subscriber, and its events at an even rate, each named after the moment at which it was sent.
async function* paced(subject, make) {
  let sequence = 1;
  yield make(makeEvent(subject, sequence));
  await started;
  let due = performance.now() + ((Number(subject.slice(-6)) % SLOTS) / SLOTS) * PACE_MS;
  for (;;) {
    due += PACE_MS;
    await sleep(Math.max(0, due - performance.now()));
    sequence += 1;
    yield make(makeEvent(subject, sequence, String(process.hrtime.bigint())));
  }
}

// Follows a log, whose id tells what it is: see source.py. What `make` makes of an event is the same for all subscribers.
export function follower(make) {
  const topics = new Map();
  return (subject) => {
    subscribers += 1;
    if (subscribers >= Number(subject.slice(0, 7))) start();
    if (subject[7] === '1') return paced(subject, make);
    if (!topics.has(subject)) topics.set(subject, new Topic(subject, make));
    return topics.get(subject).follow();
  };
}

const follow = follower((event) => ({ proposalEvents: event }));

export const rootValue = { proposalEvents: ({ proposalId }) => follow(proposalId) };

export function listen(server) {
  server.listen({ host: '127.0.0.1', port: 0, backlog: 2048 }, () => console.log(server.address().port));
}
