// Anthropic's Messages API through its official SDK for Node.
import assert from "node:assert/strict";
import { test } from "node:test";
import Anthropic from "@anthropic-ai/sdk";
import { ask, key, model, patience, settled } from "./client.js";

const baseURL = process.env.SLUICE_ROOT;
const connect = (options) => new Anthropic({ baseURL, maxRetries: 0, timeout: patience, ...options });
const claude = connect({ apiKey: key });
const tools = [{
  name: "get_weather",
  strict: true,
  input_schema: {
    type: "object", properties: { city: { enum: ["Paris", "Oslo"] } }, required: ["city"], additionalProperties: false,
  },
}];

test("a stream says the same as the whole answer", async () => {
  const request = { model, max_tokens: 24, temperature: 0, messages: ask("Tell me about the sea.") };
  const whole = await settled(() => claude.messages.create(request));
  const kinds = [];
  let text = "";
  for await (const event of await claude.messages.create({ ...request, stream: true })) {
    kinds.push(event.type);
    if (event.type === "content_block_delta") text += event.delta.text;
  }
  assert.equal(text, whole.content[0].text);
  assert.equal(kinds[0], "message_start");
  assert.equal(kinds.at(-1), "message_stop");
  assert.ok(whole._request_id);
});

test("the helper accumulates text, events and the final message", async () => {
  let heard = "";
  const stream = claude.messages.stream({ model, max_tokens: 16, messages: ask("Say hello.") });
  stream.on("text", (piece) => { heard += piece; });
  const final = await stream.finalMessage();
  assert.equal(heard, await stream.finalText());
  assert.equal(final.content[0].text, heard);
  assert.ok(final.usage.output_tokens > 0);
});

test("what is counted is what is charged", async () => {
  const request = { model, system: "You are brief.", tools, messages: ask("What is the weather in Oslo?") };
  const { input_tokens: counted } = await claude.messages.countTokens(request);
  const { usage } = await claude.messages.create({ ...request, max_tokens: 2 });
  assert.equal(counted, usage.input_tokens + usage.cache_read_input_tokens);
});

test("tools there and back", async () => {
  const messages = ask("What is the weather in Oslo?");
  const choice = { type: "tool", name: "get_weather", disable_parallel_tool_use: true };
  const stream = claude.messages.stream({ model, max_tokens: 200, tools, tool_choice: choice, messages });
  const first = await stream.finalMessage();
  assert.equal(first.stop_reason, "tool_use");
  const call = first.content.find((block) => block.type === "tool_use");
  assert.ok(["Paris", "Oslo"].includes(call.input.city));
  messages.push({ role: "assistant", content: first.content });
  messages.push({ role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "snow" }] });
  const second = await claude.messages.create({ model, max_tokens: 8, tools, tool_choice: { type: "none" }, messages });
  assert.equal(second.role, "assistant");
});

test("failures arrive as the SDK's own error classes", async () => {
  const request = { model, max_tokens: 1, messages: ask("Hi") };
  await assert.rejects(connect({ apiKey: "sk-wrong" }).messages.create(request), (error) =>
    error instanceof Anthropic.AuthenticationError && error.type === "authentication_error" && Boolean(error.requestID));
  await assert.rejects(claude.messages.create({ ...request, model: "claude-opus-4" }), Anthropic.NotFoundError);
  for (const stream of [false, true]) {
    await assert.rejects(claude.messages.create({ ...request, top_p: 9, stream }), (error) =>
      error instanceof Anthropic.BadRequestError && error.type === "invalid_request_error" && error.message.includes("top_p"));
  }
});

test("x-api-key carries the key too", async () => {
  const client = connect({ apiKey: "unused", defaultHeaders: { authorization: null, "x-api-key": key } });
  const message = await client.messages.create({ model, max_tokens: 1, messages: ask("Hi") });
  assert.equal(message.type, "message");
});
