// What the clients for Node have in common: where to call, what the simulated model says, and how
// checks are run against each upstream.
//
// TOLLGATE_URL and TOLLGATE_KEY say where the gateway is and as whom to call; TOLLGATE_MOCK is the
// simulated model server behind it, TOLLGATE_LLMOCK a third party's, and TOLLGATE_UPSTREAMS names the
// aliases: each begins with the dialect that its upstream speaks, and one that ends in `-llmock` is served
// by the third party's. Before them the model server is called directly: what the client does not take
// from there is no fault of the gateway's.

import assert from 'node:assert/strict';

const { TOLLGATE_URL, TOLLGATE_KEY, TOLLGATE_MOCK, TOLLGATE_LLMOCK, TOLLGATE_UPSTREAMS } = process.env;

// What the simulated model says, and how long that is.
const WORDS = 'The toll is paid, the gate is open, and the road goes on.The toll is paid';
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
const ARGUMENTS = { city: 'text' };

export const PERSON = {
  type: 'object',
  properties: { name: { type: 'string' }, age: { type: 'integer' } },
  required: ['name', 'age'],
  additionalProperties: false,
};
const SOMEONE = { name: 'text', age: 1 };

// What the model says: words, arguments of calls, JSON by a schema of a person, and how many numbers a
// vector has for which 64 were asked.
const OURS = { words: WORDS, tokens: TOKENS, arguments: ARGUMENTS, person: SOMEONE, dimensions: 64 };
const LLMOCKS = {
  words: 'Mock response from mock.',
  tokens: 6,
  arguments: { city: 'mock-city' },
  person: { name: 'mock-name', age: 1 },
  dimensions: 1536,
};

function upstreams() {
  const behind = (name) => {
    const dialect = name.split('-')[0];
    const thirdParty = name.endsWith('-llmock');
    return {
      name,
      dialect,
      url: TOLLGATE_URL,
      key: TOLLGATE_KEY,
      direct: false,
      thirdParty,
      // Chat Completions has no place for thoughts.
      tellsThoughts: dialect !== 'openai',
      // Claude has no embeddings, nor has llmock's Gemini; on Vertex AI and Bedrock the gateway serves
      // chats alone.
      embeds: !/^(anthropic|bedrock|gemini-vertex|gemini-llmock)/.test(name),
      ...(thirdParty ? LLMOCKS : OURS),
    };
  };
  const where = { url: TOLLGATE_MOCK, key: 'none', direct: true };
  const direct = { ...behind('direct'), ...where };
  return [direct, ...TOLLGATE_UPSTREAMS.split(',').filter(Boolean).map(behind)];
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

/** The body that reaches the model server in a call, which returns the text of its answer. */
export async function sent(upstream, call) {
  if (!upstream.thirdParty) return JSON.parse(await behaving('echo', call)).body;
  await fetch(`${TOLLGATE_LLMOCK}/_llmock/reset`, { method: 'POST' });
  await call();
  const { requests } = await (await fetch(`${TOLLGATE_LLMOCK}/_llmock/requests`)).json();
  assert.equal(requests.length, 1);
  return JSON.stringify(requests[0].body);
}

/** Has the model say what the schema of a person wants, where it does not find the schema by itself:
 * llmock knows that of Anthropic's dialect by an older name. */
export async function scripted(upstream) {
  if (upstream.name !== 'anthropic-llmock') return;
  const reply = { type: 'reply', text: JSON.stringify(upstream.person) };
  const body = JSON.stringify({ behaviors: [reply] });
  await fetch(`${TOLLGATE_LLMOCK}/_llmock/scenario`, { method: 'POST', body });
}

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

/** Runs each task against each upstream, and the other checks where the model server can be told how to
 * behave: all of them, and fails at the end. */
export async function run(tasks, more) {
  const failed = [];
  for (const upstream of upstreams()) {
    const checks = upstream.thirdParty ? tasks : { ...tasks, ...more };
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
