// The official Anthropic client for Node against every upstream.
//
// Run by tests/sdk.rs; see matrix.mjs.

import assert from 'node:assert/strict';
import Anthropic, {
  APIError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError,
} from '@anthropic-ai/sdk';
import {
  CUT,
  CUT_TOKENS,
  PERSON,
  PNG,
  THOUGHT,
  WEATHER,
  behaving,
  raised,
  read,
  run,
  scripted,
  sent,
  tells,
} from './matrix.mjs';

const messages = [{ role: 'user', content: 'Say hello.' }];
const tools = [{ name: 'weather', description: 'The weather now', input_schema: WEATHER }];

const client = (upstream, apiKey = upstream.key) =>
  new Anthropic({ baseURL: upstream.url, apiKey, maxRetries: 0 });

const asking = (upstream, more = {}) => ({
  model: upstream.name,
  max_tokens: 4096,
  messages,
  ...more,
});

const ask = (upstream, more) => client(upstream).messages.create(asking(upstream, more));

const text = async (upstream, more) => (await ask(upstream, more)).content[0].text;

const tasks = {
  async whole(upstream) {
    const answer = await ask(upstream, { system: 'Be brief.' });
    assert.deepEqual(answer.content.map(({ text }) => text), [upstream.words]);
    assert.equal(answer.stop_reason, 'end_turn');
    assert.equal(answer.usage.output_tokens, upstream.tokens);
    assert.ok(answer.usage.input_tokens > 0);
  },

  async stream(upstream) {
    const final = await client(upstream).messages.stream(asking(upstream)).finalMessage();
    assert.deepEqual(final.content.map(({ text }) => text), [upstream.words]);
    assert.equal(final.stop_reason, 'end_turn');
    assert.equal(final.usage.output_tokens, upstream.tokens);
    const events = await read(await ask(upstream, { stream: true }));
    assert.deepEqual([events[0].type, events.at(-1).type], ['message_start', 'message_stop']);
  },

  async tool(upstream) {
    const { content, stop_reason } = await ask(upstream, { tools });
    assert.equal(stop_reason, 'tool_use');
    const [call] = content.filter(({ type }) => type === 'tool_use');
    assert.deepEqual([call.name, call.input], ['weather', upstream.arguments]);
    const result = { type: 'tool_result', tool_use_id: call.id, content: 'sunny today' };
    const turns = [{ role: 'assistant', content }, { role: 'user', content: [result] }];
    const history = { tools, messages: [...messages, ...turns] };
    assert.equal((await ask(upstream, history)).content[0].text, upstream.words);
    assert.match(await sent(upstream, () => text(upstream, history)), /sunny today/);
    const body = asking(upstream, { tools, tool_choice: { type: 'tool', name: 'weather' } });
    const final = await client(upstream).messages.stream(body).finalMessage();
    assert.deepEqual(final.content.map(({ input }) => input), [upstream.arguments]);
    assert.equal(final.stop_reason, 'tool_use');
  },

  async image(upstream) {
    const source = { type: 'base64', media_type: 'image/png', data: PNG };
    const content = [{ type: 'text', text: 'What is this?' }, { type: 'image', source }];
    const more = { messages: [{ role: 'user', content }] };
    assert.ok((await sent(upstream, () => text(upstream, more))).includes(PNG));
  },

  async structured(upstream) {
    await scripted(upstream);
    const output_config = { format: { type: 'json_schema', schema: PERSON } };
    const answer = await ask(upstream, { output_config });
    assert.deepEqual(JSON.parse(answer.content[0].text), upstream.person);
  },
};

await run(tasks, {
  async cut(upstream) {
    const { content, stop_reason } = await ask(upstream, { max_tokens: CUT_TOKENS });
    assert.deepEqual([content[0].text, stop_reason], [CUT, 'max_tokens']);
  },

  async thought(upstream) {
    const thinking = { type: 'enabled', budget_tokens: 1024 };
    const { content } = await ask(upstream, { thinking });
    const thoughts = (blocks) => blocks.map((block) => block.thinking).filter(Boolean);
    const expected = upstream.tellsThoughts ? [THOUGHT] : [];
    assert.deepEqual(thoughts(content), expected);
    const body = asking(upstream, { thinking });
    const final = await client(upstream).messages.stream(body).finalMessage();
    assert.deepEqual(thoughts(final.content), expected);
  },

  async countTokens(upstream) {
    const body = { model: upstream.name, messages };
    assert.ok((await client(upstream).messages.countTokens(body)).input_tokens > 0);
  },

  async errors(upstream) {
    if (!upstream.direct) {
      const stranger = client(upstream, 'sk-wrong');
      const refused = await raised(AuthenticationError, () => stranger.models.list());
      assert.equal(refused.error.error.type, 'authentication_error');
      await raised(NotFoundError, () => ask(upstream, { model: 'claude-9' }));
    }
    for (const [settings, kind, type] of [
      ['status=400', BadRequestError, 'invalid_request_error'],
      ['status=429', RateLimitError, 'rate_limit_error'],
      ['status=500', InternalServerError, 'api_error'],
    ]) {
      const error = await behaving(settings, () => raised(kind, () => ask(upstream)));
      assert.equal(error.error.error.type, type);
      assert.equal(error.message.includes('A simulated failure'), tells(upstream, settings));
    }
    const broken = async () => read(await ask(upstream, { stream: true }));
    await behaving('error-at=4', () => raised(APIError, broken));
  },

  async models(upstream) {
    const ids = (await read(client(upstream).models.list())).map(({ id }) => id);
    assert.ok(upstream.direct || ids.includes(upstream.name), `${ids}`);
  },
});
