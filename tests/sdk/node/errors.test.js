// Failures arrive as the SDK's own error classes.
import assert from "node:assert/strict";
import { test } from "node:test";
import OpenAI from "openai";
import { ask, client, model, url } from "./client.js";

test("a wrong key is an AuthenticationError", async () => {
  const stranger = new OpenAI({ baseURL: url, apiKey: "sk-wrong", maxRetries: 0 });
  await assert.rejects(stranger.models.list(), (error) =>
    error instanceof OpenAI.AuthenticationError && error.type === "authentication_error" && Boolean(error.requestID));
});

test("an unknown model is a NotFoundError", async () => {
  await assert.rejects(
    client.chat.completions.create({ model: "gpt-4o", messages: ask("Hi") }),
    (error) => error instanceof OpenAI.NotFoundError && error.code === "model_not_found" && error.param === "model",
  );
});

test("a bad value is a BadRequestError that names its parameter, streamed or not", async () => {
  for (const stream of [false, true]) {
    await assert.rejects(
      client.chat.completions.create({ model, messages: ask("Hi"), temperature: 9, stream }),
      (error) => error instanceof OpenAI.BadRequestError && error.param === "temperature",
    );
  }
});

test("an unknown route is a NotFoundError", async () => {
  await assert.rejects(client.get("/nothing"), (error) =>
    error instanceof OpenAI.NotFoundError && error.type === "not_found_error");
});
