// Structured outputs and tools through the SDK's own helpers.
import assert from "node:assert/strict";
import { test } from "node:test";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";
import { ask, client, model } from "./client.js";

const Person = z.object({
  name: z.enum(["Ada", "Grace", "Alan"]),
  married: z.boolean(),
  moods: z.array(z.enum(["calm", "cheerful"])).max(4),
});

const weather = {
  name: "get_weather",
  description: "The weather of a city",
  parameters: z.object({ city: z.enum(["Paris", "Oslo"]), unit: z.enum(["celsius", "fahrenheit"]) }),
};

test("parse returns what the schema says", async () => {
  for (const seed of [0, 1, 2]) {
    const completion = await client.chat.completions.parse({
      model, messages: ask("Invent a person."), response_format: zodResponseFormat(Person, "person"),
      seed, max_tokens: 400,
    });
    Person.parse(completion.choices[0].message.parsed);
  }
});

test("tools are parsed", async () => {
  const completion = await client.chat.completions.parse({
    model, messages: ask("What is the weather in Oslo?"), tools: [zodFunction(weather)],
    tool_choice: "required", parallel_tool_calls: false, seed: 1, max_tokens: 300,
  });
  assert.equal(completion.choices[0].finish_reason, "tool_calls");
  for (const call of completion.choices[0].message.tool_calls) {
    weather.parameters.parse(call.function.parsed_arguments);
  }
});

test("runTools calls the function and brings its result back", async () => {
  const called = [];
  const runner = client.chat.completions.runTools({
    model, messages: ask("What is the weather in Oslo?"), stream: true, seed: 1, max_tokens: 200, temperature: 0,
    tool_choice: { type: "function", function: { name: "get_weather" } },
    parallel_tool_calls: false,
    tools: [zodFunction({
      ...weather,
      function: (given) => {
        called.push(given);
        return "3 degrees, snow";
      },
    })],
  });
  await runner.done();
  assert.equal(called.length, 1);
  weather.parameters.parse(called[0]);
});
