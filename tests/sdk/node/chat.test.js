// Chat, completions and embeddings through the official SDK for Node.
import assert from "node:assert/strict";
import { test } from "node:test";
import { ask, client, endless, model, settled } from "./client.js";

test("a whole answer", async () => {
  const answer = await client.chat.completions.create({
    model, messages: ask("What is the capital of France?"), temperature: 0, max_tokens: 16,
  });
  assert.ok(answer.choices[0].message.content);
  assert.equal(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens);
  assert.ok(answer._request_id);
});

test("a stream says the same as the whole answer", async () => {
  const request = { model, messages: ask("Tell me about the sea."), temperature: 0, max_tokens: 24 };
  const whole = await settled(() => client.chat.completions.create(request));
  let text = "";
  let usage = null;
  const stream = await client.chat.completions.create({
    ...request, stream: true, stream_options: { include_usage: true },
  });
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta?.content ?? "";
    usage = chunk.usage ?? usage;
  }
  assert.equal(text, whole.choices[0].message.content);
  assert.equal(usage.completion_tokens, whole.usage.completion_tokens);
});

test("the streaming helper accumulates", async () => {
  const runner = client.chat.completions.stream({ model, messages: ask("Say hello."), max_tokens: 12, temperature: 0 });
  const pieces = [];
  runner.on("content", (delta) => pieces.push(delta));
  const final = await runner.finalChatCompletion();
  assert.equal(pieces.join(""), final.choices[0].message.content);
});

test("aborting a stream frees the model", async () => {
  const stream = await client.chat.completions.create({
    model, messages: ask("Count for ever."), stream: true, max_tokens: 1500, logit_bias: endless,
  });
  for await (const chunk of stream) {
    if (chunk.choices[0]?.delta?.content) {
      stream.controller.abort();
      break;
    }
  }
  const next = await client.chat.completions.create({ model, messages: ask("Hi"), max_tokens: 1 });
  assert.equal(next.choices.length, 1);
});

test("logprobs, several answers, a seed", async () => {
  const request = {
    model, messages: ask("Tell me a joke."), n: 2, seed: 3, max_tokens: 8,
    logprobs: true, top_logprobs: 2, logit_bias: endless,
  };
  const answer = await client.chat.completions.create(request);
  assert.deepEqual(answer.choices.map((choice) => choice.index), [0, 1]);
  for (const choice of answer.choices) {
    assert.equal(choice.logprobs.content.length, 8);
  }
});

test("models and completions", async () => {
  const ids = [];
  for await (const each of client.models.list()) ids.push(each.id);
  assert.ok(ids.includes(model));
  assert.equal((await client.models.retrieve(model)).id, model);
  const request = { model, prompt: "The capital of France is", temperature: 0, max_tokens: 8 };
  const whole = await settled(() => client.completions.create(request));
  assert.match(whole.choices[0].text, /Paris/);
  let text = "";
  for await (const chunk of await client.completions.create({ ...request, stream: true })) {
    text += chunk.choices[0]?.text ?? "";
  }
  assert.equal(text, whole.choices[0].text);
});

test("embeddings by default as base64, and as floats", async () => {
  // Without an encoding_format the SDK asks for base64 and decodes it.
  const packed = await client.embeddings.create({ model, input: ["a cat", "a dog"] });
  const floats = await client.embeddings.create({ model, input: ["a cat", "a dog"], encoding_format: "float" });
  for (const [place, { embedding }] of packed.data.entries()) {
    const other = floats.data[place].embedding;
    assert.equal(embedding.length, other.length);
    assert.ok(embedding.every((value, index) => Math.abs(value - other[index]) < 1e-3));
  }
});
