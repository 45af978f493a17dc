// What the clients for Node have in common: where to call, what the simulated model says, and how
// checks are run against each upstream.
//
// TOLLGATE_URL and TOLLGATE_KEY say where the gateway is and as whom to call; TOLLGATE_MOCK is the
// simulated model server behind it, and TOLLGATE_UPSTREAMS names the aliases: each begins with the
// dialect that its upstream speaks. Before them the model server is called directly: what the client does
// not take from there is no fault of the gateway's.

import assert from 'node:assert/strict';

const { TOLLGATE_URL, TOLLGATE_KEY, TOLLGATE_MOCK, TOLLGATE_UPSTREAMS } = process.env;

// What the simulated model says, and how long that is.
export const WORDS = 'The toll is paid, the gate is open, and the road goes on.The toll is paid';
export const TOKENS = 20;
export const CUT = 'The toll is paid,';
export const CUT_TOKENS = 5;
export const THOUGHT = 'Has the toll been paid?';

// A PNG of one dot.
export const PNG =
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==';

export const WEATHER = {
  type: 'object',
  properties: { city: { type: 'string' } },
  required: ['city'],
  additionalProperties: false,
};
export const ARGUMENTS = { city: 'text' };

export const PERSON = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
  additionalProperties: false,
};
export const SOMEONE = { name: 'text', age: 1 };

function upstreams() {
  const names = TOLLGATE_UPSTREAMS.split(',').filter(Boolean);
  // Chat Completions has no place for thoughts.
  const behind = (name) => ({
    name,
    dialect: name.split('-')[0],
    url: TOLLGATE_URL,
    key: TOLLGATE_KEY,
    direct: false,
    tellsThoughts: name !== 'openai',
  });
  const direct = { name: 'direct', dialect: 'direct', url: TOLLGATE_MOCK, key: 'none', direct: true, tellsThoughts: true };
  return [direct, ...names.map(behind)];
}

/** Whether the model server's own words about a failure arrive: of what the client cannot mend the
 * gateway tells in words of its own. */
export const tells = (upstream, settings) => upstream.direct || settings === 'status=400';

/** Changes what the model server does during a call: `status=400`, `echo`, … */
export async function behaving(settings, call) {
  const tell = (body) => fetch(`${TOLLGATE_MOCK}/mock/behaviour`, { method: 'POST', body });
  await tell(settings);
  try {
    return await call();
  } finally {
    await tell('');
  }
}

/** The body that reached the model server, from the echo that it answered with. */
export const echoed = (text) => JSON.parse(text).body;

export async function read(stream) {
  const events = [];
  for await (const event of stream) events.push(event);
  return events;
}

/** The error that a call raises, which is of this kind. */
export async function raised(kind, call) {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof kind, `${error} is no ${kind.name}`);
    return error;
  }
  assert.fail(`${kind.name} was not raised`);
}

/** Runs each check against each upstream, all of them, and fails at the end. */
export async function run(checks) {
  const failed = [];
  for (const upstream of upstreams()) {
    for (const [check, call] of Object.entries(checks)) {
      const name = `${check} with ${upstream.name}`;
      try {
        await call(upstream);
        console.log(`passed: ${name}`);
      } catch (error) {
        failed.push(name);
        console.log(`FAILED: ${name}\n${error.stack}`);
      }
    }
  }
  if (failed.length > 0) {
    console.log(`${failed.length} checks failed: ${failed.join(', ')}`);
    process.exit(1);
  }
  console.log('every check passed');
}
