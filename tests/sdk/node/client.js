// Clients for the gateway that tests/sdk/run started.
import OpenAI from "openai";

export const url = process.env.SLUICE_URL;
export const key = process.env.SLUICE_KEY;
export const patience = 1000 * Number(process.env.SLUICE_TEST_PATIENCE ?? 180);

/** Never retries, so that every failure is seen. */
export const client = new OpenAI({ baseURL: url, apiKey: key, maxRetries: 0, timeout: patience });

export const model = (await client.models.list()).data[0].id;

export const ask = (text) => [{ role: "user", content: text }];

/**
 * An answer to a prompt that was asked before: a cold and a cached one round differently, so answers that are compared
 * must all begin from the cached one.
 */
export const settled = async (create) => {
  await create();
  return create();
};

// `<|im_end|>` and `<|endoftext|>` of the default model: without them an answer goes on to its limit.
export const endless = { 0: -100, 2: -100 };
