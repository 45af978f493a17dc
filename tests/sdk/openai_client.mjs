// The official OpenAI client for Node, used as an application uses it, against a gateway.
//
// TOLLGATE_URL and TOLLGATE_KEY say where and as whom; the alias `demo` must be served. Run by
// tests/sdk.rs. An assertion that fails ends the run.

import assert from 'node:assert/strict';
import OpenAI, { AuthenticationError, BadRequestError, NotFoundError } from 'openai';

const client = new OpenAI({
  baseURL: `${process.env.TOLLGATE_URL}/v1`,
  apiKey: process.env.TOLLGATE_KEY,
  maxRetries: 0,
});
const model = 'demo';
const messages = [{ role: 'user', content: 'Say hello.' }];

async function read(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

async function raised(kind, call) {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof kind, `${error} is no ${kind.name}`);
    return error;
  }
  assert.fail(`${kind.name} was not raised`);
}

const checks = {
  async chat() {
    const answer = await client.chat.completions.create({ model, messages });
    assert.equal(answer.choices[0].message.role, 'assistant');
    assert.ok(answer.choices[0].message.content);
    assert.equal(answer.choices[0].finish_reason, 'stop');
    assert.equal(answer._request_id.length, 32);
  },

  async stream() {
    const chunks = await read(await client.chat.completions.create({ model, messages, stream: true }));
    assert.ok(chunks.map((chunk) => chunk.choices[0].delta.content ?? '').join(''));
    assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
  },

  async streamWithUsage() {
    const stream_options = { include_usage: true };
    const request = { model, messages, stream: true, stream_options };
    const chunks = await read(await client.chat.completions.create(request));
    assert.deepEqual(chunks.at(-1).choices, []);
    assert.ok(chunks.at(-1).usage.total_tokens > 0);
  },

  async streamGivenUp() {
    const stream = await client.chat.completions.create({ model, messages, stream: true });
    for await (const chunk of stream) {
      assert.ok(chunk.choices);
      break;
    }
    assert.ok((await client.chat.completions.create({ model, messages })).choices);
  },

  async embeddings() {
    const answer = await client.embeddings.create({ model, input: ['one', 'two'] });
    assert.deepEqual(answer.data.map((item) => item.index), [0, 1]);
    assert.equal(typeof answer.data[0].embedding[0], 'number');
  },

  async transcription() {
    const file = new File([Buffer.alloc(100_000, 'RIFF')], 'a.wav', { type: 'audio/wav' });
    assert.ok((await client.audio.transcriptions.create({ model, file })).text);
  },

  async models() {
    assert.deepEqual((await read(await client.models.list())).map((one) => one.id), ['demo']);
    assert.equal((await client.models.retrieve('demo')).id, 'demo');
  },

  async errors() {
    const stranger = client.withOptions({ apiKey: 'sk-wrong' });
    const refused = await raised(AuthenticationError, () => stranger.models.list());
    assert.equal(refused.code, 'invalid_api_key');
    assert.ok(refused.requestID);
    const ask = (body) => () => client.chat.completions.create(body);
    const unknown = await raised(NotFoundError, ask({ model: 'gpt-9', messages }));
    assert.deepEqual([unknown.code, unknown.param], ['model_not_found', 'model']);
    const missing = await raised(BadRequestError, ask({ messages }));
    assert.equal(missing.code, 'missing_model');
  },
};

for (const [name, check] of Object.entries(checks)) {
  await check();
  console.log(`passed: ${name}`);
}
console.log('every check passed');
