// Responses and conversations through the official SDK: whole, streamed, remembered, in the background.

import assert from "node:assert/strict";
import { test } from "node:test";
import { client, model } from "./client.js";

test("a response is made, kept, gone on from and deleted", async () => {
  const first = await client.responses.create({ model, input: "Say hello.", temperature: 0, max_output_tokens: 16 });
  assert.ok(first.output_text);
  const second = await client.responses.create({
    model, input: "Again.", previous_response_id: first.id, temperature: 0, max_output_tokens: 16,
  });
  assert.equal(second.previous_response_id, first.id);
  assert.ok(second.usage.input_tokens_details.cached_tokens > 0);
  await client.responses.delete(first.id);
  await assert.rejects(client.responses.retrieve(first.id), { status: 404 });
});

test("the streaming helper accumulates what is kept", async () => {
  const stream = client.responses.stream({ model, input: "Tell me about rain.", temperature: 0, max_output_tokens: 24 });
  let text = "";
  stream.on("response.output_text.delta", (event) => (text += event.delta));
  const response = await stream.finalResponse();
  assert.equal(response.output[0].content[0].text, text);
  const kept = await client.responses.retrieve(response.id);
  assert.equal(kept.output[0].content[0].text, text);
});

test("a conversation remembers, also in chat", async () => {
  const conversation = await client.conversations.create({ metadata: { a: "b" } });
  await client.responses.create({
    model, input: "My name is Ada.", conversation: conversation.id, temperature: 0, max_output_tokens: 16,
  });
  await client.chat.completions.create({
    model, messages: [{ role: "user", content: "What is my name?" }], conversation: conversation.id,
    temperature: 0, max_tokens: 16,
  });
  const roles = [];
  for await (const item of client.conversations.items.list(conversation.id, { order: "asc" })) roles.push(item.role);
  assert.deepEqual(roles, ["user", "assistant", "user", "assistant"]);
  await client.conversations.delete(conversation.id);
});

test("a background response is waited for and told again", async () => {
  let response = await client.responses.create({
    model, input: "Count.", background: true, temperature: 0, max_output_tokens: 16,
  });
  while (["queued", "in_progress"].includes(response.status)) {
    await new Promise((resolve) => setTimeout(resolve, 20));
    response = await client.responses.retrieve(response.id);
  }
  const numbers = [];
  const events = await client.responses.retrieve(response.id, { stream: true, starting_after: 2 });
  for await (const event of events) numbers.push(event.sequence_number);
  assert.equal(numbers[0], 3);
});
