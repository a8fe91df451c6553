// Gives frames what the board's JSON says of them: defaults, overrides, thresholds, how values are written.
import {
  FieldType,
  cacheFieldDisplayNames,
  fieldMatchers,
  getDisplayProcessor,
  getMinMaxAndDelta,
  standardTransformers,
  standardTransformersRegistry,
  transformDataFrame,
  validateFieldConfig,
} from "@grafana/data";
import { firstValueFrom } from "rxjs";

// One of them is listed under two names.
const transformers = [...new Set(Object.values(standardTransformers))];
standardTransformersRegistry.setInit(() =>
  transformers.map((transformation) => ({ ...transformation, transformation: async () => transformation })),
);

/** Renames, hides and orders columns. */
export const transformed = (panel, frames) =>
  panel.transformations ? firstValueFrom(transformDataFrame(panel.transformations, frames)) : frames;

/** Merges what the panel says into every field that holds numbers. */
export function dressed(panel, frames, theme) {
  const { defaults, overrides } = panel.fieldConfig;
  cacheFieldDisplayNames(frames);
  const rules = overrides.map(({ matcher, properties }) => ({
    matches: fieldMatchers.get(matcher.id).get(matcher.options),
    properties,
  }));
  let place = 0;
  for (const frame of frames) {
    for (const field of frame.fields) {
      if (field.type === FieldType.number) {
        field.config = { ...structuredClone(defaults), ...field.config };
        field.state = { ...field.state, seriesIndex: place++, range: getMinMaxAndDelta(field) };
      }
      for (const { matches, properties } of rules) {
        if (matches(field, frame, frames)) for (const { id, value } of properties) field.config[id] = value;
      }
      validateFieldConfig(field.config);
      field.display = getDisplayProcessor({ field, theme, timeZone: "utc" });
    }
  }
  return frames;
}

/** Whether there is anything to see. */
export const isEmpty = (frames) =>
  !frames.some((frame) =>
    frame.fields.some(
      (field) => field.type === FieldType.number && field.values.some((value) => Number.isFinite(value)),
    ),
  );
