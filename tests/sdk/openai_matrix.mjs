// The official OpenAI client for Node, Chat Completions and Responses, against every upstream.
//
// Run by tests/sdk.rs; see matrix.mjs.

import assert from 'node:assert/strict';
import OpenAI, {
  APIError,
  AuthenticationError,
  BadRequestError,
  InternalServerError,
  NotFoundError,
  RateLimitError,
} from 'openai';
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
const input = 'Say hello.';
const image = `data:image/png;base64,${PNG}`;
const weather = { name: 'weather', description: 'The weather now', parameters: WEATHER };

const client = (upstream, apiKey = upstream.key) =>
  new OpenAI({ baseURL: `${upstream.url}/v1`, apiKey, maxRetries: 0 });

const chat = (upstream, more = {}) =>
  client(upstream).chat.completions.create({ model: upstream.name, messages, ...more });

const respond = (upstream, more = {}) =>
  client(upstream).responses.create({ model: upstream.name, input, ...more });

const chatText = async (upstream, more) => (await chat(upstream, more)).choices[0].message.content;

const tasks = {
  async chatWhole(upstream) {
    const { choices, usage } = await chat(upstream);
    assert.equal(choices[0].message.content, upstream.words);
    assert.equal(choices[0].finish_reason, 'stop');
    assert.equal(usage.completion_tokens, upstream.tokens);
    assert.equal(usage.total_tokens, usage.prompt_tokens + upstream.tokens);
  },

  async chatStream(upstream) {
    const more = { stream: true, stream_options: { include_usage: true } };
    const chunks = await read(await chat(upstream, more));
    const choices = chunks.flatMap((chunk) => chunk.choices);
    assert.equal(choices.map((choice) => choice.delta.content ?? '').join(''), upstream.words);
    assert.deepEqual(choices.map((choice) => choice.finish_reason).filter(Boolean), ['stop']);
    assert.equal(chunks.at(-1).usage.completion_tokens, upstream.tokens);
  },

  async chatTool(upstream) {
    const tools = [{ type: 'function', function: weather }];
    const { message, finish_reason } = (await chat(upstream, { tools })).choices[0];
    assert.equal(finish_reason, 'tool_calls');
    const [call, ...others] = message.tool_calls;
    assert.deepEqual(others, []);
    assert.equal(call.function.name, 'weather');
    assert.deepEqual(JSON.parse(call.function.arguments), upstream.arguments);
    const result = { role: 'tool', tool_call_id: call.id, content: 'sunny today' };
    const history = { tools, messages: [...messages, message, result] };
    assert.equal((await chat(upstream, history)).choices[0].message.content, upstream.words);
    assert.match(await sent(upstream, () => chatText(upstream, history)), /sunny today/);
    const body = { model: upstream.name, messages, tools };
    const runner = client(upstream).chat.completions.stream(body);
    const streamed = (await runner.finalChatCompletion()).choices[0];
    assert.deepEqual(JSON.parse(streamed.message.tool_calls[0].function.arguments), upstream.arguments);
    assert.equal(streamed.finish_reason, 'tool_calls');
  },

  async chatImage(upstream) {
    const content = [
      { type: 'text', text: 'What is this?' },
      { type: 'image_url', image_url: { url: image } },
    ];
    const more = { messages: [{ role: 'user', content }] };
    assert.ok((await sent(upstream, () => chatText(upstream, more))).includes(PNG));
  },

  async chatStructured(upstream) {
    await scripted(upstream);
    const json_schema = { name: 'person', strict: true, schema: PERSON };
    const response_format = { type: 'json_schema', json_schema };
    const body = { model: upstream.name, messages, response_format };
    const answer = await client(upstream).chat.completions.parse(body);
    assert.deepEqual(JSON.parse(answer.choices[0].message.content), upstream.person);
  },

  async responsesWhole(upstream) {
    const { status, output_text, usage } = await respond(upstream);
    assert.deepEqual([status, output_text], ['completed', upstream.words]);
    assert.equal(usage.output_tokens, upstream.tokens);
    assert.equal(usage.total_tokens, usage.input_tokens + upstream.tokens);
  },

  async responsesStream(upstream) {
    const events = await read(await respond(upstream, { stream: true }));
    assert.equal(events[0].type, 'response.created');
    const deltas = events.filter(({ type }) => type === 'response.output_text.delta');
    assert.equal(deltas.map(({ delta }) => delta).join(''), upstream.words);
    const last = events.at(-1);
    assert.equal(last.type, 'response.completed');
    assert.equal(last.response.usage.output_tokens, upstream.tokens);
    const final = await client(upstream).responses.stream({ model: upstream.name, input }).finalResponse();
    assert.equal(final.output_text, upstream.words);
  },

  async responsesTool(upstream) {
    const tools = [{ type: 'function', strict: true, ...weather }];
    const asked = [{ role: 'user', content: 'Weather?' }];
    const { output } = await respond(upstream, { input: asked, tools });
    const [call] = output.filter(({ type }) => type === 'function_call');
    assert.equal(call.name, 'weather');
    assert.deepEqual(JSON.parse(call.arguments), upstream.arguments);
    const result = { type: 'function_call_output', call_id: call.call_id, output: 'sunny today' };
    const history = { input: [...asked, ...output, result], tools };
    assert.equal((await respond(upstream, history)).output_text, upstream.words);
    const body = await sent(upstream, async () => (await respond(upstream, history)).output_text);
    assert.match(body, /sunny today/);
  },

  async responsesImage(upstream) {
    const content = [
      { type: 'input_text', text: 'What is this?' },
      { type: 'input_image', image_url: image, detail: 'auto' },
    ];
    const more = { input: [{ role: 'user', content }] };
    const body = await sent(upstream, async () => (await respond(upstream, more)).output_text);
    assert.ok(body.includes(PNG));
  },

  async responsesStructured(upstream) {
    await scripted(upstream);
    const format = { type: 'json_schema', name: 'person', strict: true, schema: PERSON };
    const answer = await respond(upstream, { text: { format } });
    assert.deepEqual(JSON.parse(answer.output_text), upstream.person);
  },

  async embeddings(upstream) {
    const input = ['the first', 'the second', 'the first'];
    const body = { model: upstream.name, input, dimensions: 64 };
    // The client asks for Base64 unless told otherwise, which llmock does not give.
    if (upstream.thirdParty) body.encoding_format = 'float';
    const embed = () => client(upstream).embeddings.create(body);
    if (!upstream.embeds) {
      assert.ok([400, 404].includes((await raised(APIError, embed)).status));
      return;
    }
    const { data } = await embed();
    assert.deepEqual(data.map(({ index }) => index), [0, 1, 2]);
    assert.equal(data[0].embedding.length, upstream.dimensions);
    assert.deepEqual(data[0].embedding, data[2].embedding);
    assert.notDeepEqual(data[0].embedding, data[1].embedding);
  },
};

await run(tasks, {
  async cut(upstream) {
    const { choices } = await chat(upstream, { max_completion_tokens: CUT_TOKENS });
    const { message, finish_reason } = choices[0];
    assert.deepEqual([message.content, finish_reason], [CUT, 'length']);
    const { status, output_text } = await respond(upstream, { max_output_tokens: CUT_TOKENS });
    assert.deepEqual([status, output_text], ['incomplete', CUT]);
  },

  async responsesThought(upstream) {
    const { output } = await respond(upstream, { reasoning: { effort: 'low', summary: 'auto' } });
    const summaries = output.flatMap((item) => item.summary ?? []).map(({ text }) => text);
    assert.deepEqual(summaries, upstream.tellsThoughts ? [THOUGHT] : []);
  },

  async errors(upstream) {
    if (!upstream.direct) {
      const stranger = client(upstream, 'sk-wrong');
      const refused = await raised(AuthenticationError, () => stranger.models.list());
      assert.equal(refused.code, 'invalid_api_key');
      for (const call of [chat, respond]) {
        const unknown = await raised(NotFoundError, () => call(upstream, { model: 'gpt-9' }));
        assert.deepEqual([unknown.code, unknown.param], ['model_not_found', 'model']);
      }
    }
    for (const [settings, kind] of [
      ['status=400', BadRequestError],
      ['status=429', RateLimitError],
      ['status=500', InternalServerError],
    ]) {
      for (const call of [chat, respond]) {
        const error = await behaving(settings, () => raised(kind, () => call(upstream)));
        assert.equal(error.message.includes('A simulated failure'), tells(upstream, settings));
      }
    }
    const broken = async () => read(await chat(upstream, { stream: true }));
    await behaving('error-at=4', () => raised(APIError, broken));
  },

  async models(upstream) {
    const ids = (await read(client(upstream).models.list())).map(({ id }) => id);
    assert.ok(upstream.direct || ids.includes(upstream.name), `${ids}`);
  },
});
