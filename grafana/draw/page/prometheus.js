// Asks Prometheus as Grafana does, and makes Grafana's data frames of the answers.
import { FieldType, createDataFrame, rangeUtil } from "@grafana/data";

async function get(path, parameters) {
  const answer = await fetch(`/api/v1/${path}?${new URLSearchParams(parameters)}`);
  const body = await answer.json();
  if (body.status !== "success") throw new Error(`${body.error} in ${parameters.query ?? path}`);
  return body.data;
}

/** Every variable of a board with all of its values chosen: name → what stands in its place. */
export async function chooseAll(board, range) {
  const chosen = { __range: `${Math.round((range.to - range.from) / 1000)}s` };
  for (const variable of board.templating.list) {
    const [, selector, label] = /^label_values\((.*), (\w+)\)$/.exec(
      substitute(variable.query.query, chosen),
    );
    const values = await get(`label/${label}/values`, {
      "match[]": selector,
      start: range.from / 1000,
      end: range.to / 1000,
    });
    chosen[variable.name] =
      `(${values.map((value) => value.replace(/[.*+?^${}()|[\]\\]/g, "\\\\$&")).join("|")})`;
  }
  return chosen;
}

/** Longest names first: `$__interval` is the beginning of `$__interval_ms`. */
function substitute(text, values) {
  const names = Object.keys(values).sort((one, other) => other.length - one.length);
  return names.reduce(
    (done, name) => done.replaceAll(`\${${name}}`, values[name]).replaceAll(`$${name}`, values[name]),
    text,
  );
}

/** The step for so many pixels, and the window of a rate that never misses a scrape. */
function timing(range, pixels, scrape) {
  const span = { from: { valueOf: () => range.from }, to: { valueOf: () => range.to } };
  const { intervalMs } = rangeUtil.calculateInterval(span, pixels, `${scrape}s`);
  const rate = Math.max(intervalMs / 1000 + scrape, 4 * scrape);
  return {
    step: intervalMs / 1000,
    values: { __rate_interval: `${rate}s`, __interval: `${intervalMs / 1000}s`, __interval_ms: intervalMs },
  };
}

/** The frames of all queries of a panel. */
export async function framesOf(panel, { range, chosen, scrape, pixels }) {
  const { step, values } = timing(range, pixels, scrape);
  const answers = panel.targets.map(async (target) => {
    const query = substitute(target.expr, { ...chosen, ...values });
    const end = range.to / 1000;
    const { result } = target.instant
      ? await get("query", { query, time: end })
      : await get("query_range", { query, start: Math.ceil(range.from / 1000 / step) * step, end, step });
    if (target.format === "table") return result.length ? [tableOf(target, result)] : [];
    if (target.format === "heatmap") return result.length ? [heatmapOf(target, result, step)] : [];
    return result.map((series) => seriesOf(target, series, step));
  });
  return (await Promise.all(answers)).flat();
}

/** The times at which an annotation holds: the first of each run of neighbours. */
export async function timesOf(annotation, { range, chosen, scrape, pixels }) {
  const { step, values } = timing(range, pixels, scrape);
  const query = substitute(annotation.expr, { ...chosen, ...values });
  const { result } = await get("query_range", {
    query,
    start: range.from / 1000,
    end: range.to / 1000,
    step,
  });
  const times = result.flatMap((series) => series.values.map(([time]) => time));
  return times.filter((time) => !times.includes(time - step)).map((time) => time * 1000);
}

const numberOf = (text) => (text === "NaN" ? null : Number(text));

function nameOf(target, labels) {
  if (target.legendFormat !== "__auto")
    return target.legendFormat.replace(/{{(\w+)}}/g, (_, label) => labels[label] ?? "").trim();
  const pairs = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return pairs.length ? `{${pairs.join(", ")}}` : target.expr;
}

function seriesOf(target, { metric, values, value }, step) {
  const points = values ?? [value];
  return createDataFrame({
    refId: target.refId,
    fields: [
      {
        name: "Time",
        type: FieldType.time,
        values: points.map(([time]) => time * 1000),
        config: { interval: step * 1000 },
      },
      {
        name: "Value",
        type: FieldType.number,
        values: points.map(([, text]) => numberOf(text)),
        labels: metric,
        config: { displayNameFromDS: nameOf(target, metric) },
      },
    ],
  });
}

function tableOf(target, result) {
  const labels = [...new Set(result.flatMap((series) => Object.keys(series.metric)))];
  return createDataFrame({
    refId: target.refId,
    fields: [
      { name: "Time", type: FieldType.time, values: result.map(({ value }) => value[0] * 1000), config: {} },
      ...labels.map((label) => ({
        name: label,
        type: FieldType.string,
        values: result.map(({ metric }) => metric[label] ?? ""),
        config: {},
      })),
      {
        name: "Value",
        type: FieldType.number,
        values: result.map(({ value }) => numberOf(value[1])),
        config: {},
      },
    ],
  });
}

/** Buckets of a histogram are cumulative: each becomes what lies between it and the one below. */
function heatmapOf(target, result, step) {
  const bound = ({ metric }) => (metric.le === "+Inf" ? Infinity : Number(metric.le));
  const rows = [...result].sort((one, other) => bound(one) - bound(other));
  const times = [...new Set(rows.flatMap(({ values }) => values.map(([time]) => time)))].sort(
    (one, other) => one - other,
  );
  const held = rows.map(({ values }) => new Map(values.map(([time, text]) => [time, numberOf(text)])));
  const fields = rows.map((row, place) => ({
    name: row.metric.le,
    type: FieldType.number,
    values: times.map((time) =>
      Math.max(0, (held[place].get(time) ?? 0) - (held[place - 1]?.get(time) ?? 0)),
    ),
    config: {},
  }));
  const time = {
    name: "Time",
    type: FieldType.time,
    values: times.map((at) => at * 1000),
    config: { interval: step * 1000 },
  };
  return createDataFrame({ refId: target.refId, fields: [time, ...fields] });
}
