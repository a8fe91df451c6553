// Heat maps and states in time: Grafana keeps these two for itself, so they are drawn here, on its own plot and axes.
import {
  FieldType,
  formattedValueToString,
  getDisplayProcessor,
  getFieldDisplayName,
  getValueFormat,
} from "@grafana/data";
import {
  AxisPlacement,
  UPlotChart,
  UPlotConfigBuilder,
  VizLayout,
  VizLegend,
  measureText,
} from "@grafana/ui";
import * as scales from "d3-scale-chromatic";
import { useMemo } from "react";

/** A plot with time below and named rows at the left; `paint(ctx, x, row)` draws the cells. */
function Rows({ names, between, range, theme, width, height, paint, legend }) {
  const config = useMemo(() => {
    const builder = new UPlotConfigBuilder("utc");
    builder.addScale({
      scaleKey: "x",
      isTime: true,
      orientation: 0,
      direction: 1,
      range: () => [range.from.valueOf(), range.to.valueOf()],
    });
    builder.addScale({ scaleKey: "y", orientation: 1, direction: 1, range: () => [0, names.length] });
    builder.addAxis({
      scaleKey: "x",
      isTime: true,
      placement: AxisPlacement.Bottom,
      timeZone: "utc",
      theme,
      grid: { show: false },
    });
    builder.addAxis({
      scaleKey: "y",
      placement: AxisPlacement.Left,
      theme,
      size: 24 + Math.max(...names.map((name) => measureText(name, 12).width)),
      grid: { show: false },
      ticks: { show: false },
      splits: names.map((_, row) => row + (between ? 1 : 0.5)),
      values: names,
    });
    builder.addSeries({
      scaleKey: "y",
      theme,
      pathBuilder: () => null,
      pointsBuilder: () => null,
      lineColor: "transparent",
    });
    builder.addHook("draw", (plot) => {
      const { ctx, bbox } = plot;
      const row = (at) => {
        const top = plot.valToPos(at + 1, "y", true);
        return { top, height: plot.valToPos(at, "y", true) - top };
      };
      ctx.save();
      ctx.beginPath();
      ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
      ctx.clip();
      paint(ctx, (time) => plot.valToPos(time, "x", true), row);
      ctx.restore();
    });
    return builder;
  }, [names, range, theme]);
  const data = [
    [range.from.valueOf(), range.to.valueOf()],
    [null, null],
  ];
  return (
    <VizLayout width={width} height={height} legend={legend}>
      {(plotWidth, plotHeight) => (
        <UPlotChart config={config} data={data} width={plotWidth} height={plotHeight} />
      )}
    </VizLayout>
  );
}

/** Sequential schemes begin at the background, so they are turned round on a dark one. */
function shades({ scheme, steps, exponent, reverse }, theme) {
  const interpolate = scales[`interpolate${scheme}`];
  return (share) => {
    const step = Math.round(share ** exponent * (steps - 1)) / (steps - 1);
    return interpolate(theme.isDark !== reverse ? 1 - step : step);
  };
}

export function Heatmap({ panel, frames, theme, ...rest }) {
  const [time, ...buckets] = frames[0].fields;
  const { options } = panel;
  const write = getValueFormat(options.yAxis.unit);
  const names = buckets.map(({ name }) =>
    name === "+Inf" ? "∞" : formattedValueToString(write(Number(name))),
  );
  const top = Math.max(...buckets.flatMap(({ values }) => values));
  const shade = shades(options.color, theme);
  const step = time.config.interval;
  const paint = (ctx, x, row) => {
    buckets.forEach(({ values }, place) => {
      const { top: y, height } = row(place);
      values.forEach((value, at) => {
        if (value <= options.filterValues.le) return;
        const left = x(time.values[at] - step);
        ctx.fillStyle = shade(value / top);
        ctx.fillRect(left, y, Math.max(1, x(time.values[at]) - left - 0.5), height - options.cellGap);
      });
    });
  };
  const stops = Array.from({ length: 11 }, (_, at) => shade(at / 10)).join(", ");
  const legend = (
    <VizLayout.Legend placement="bottom">
      <div
        style={{
          display: "flex",
          gap: 8,
          alignItems: "center",
          paddingLeft: 60,
          ...theme.typography.bodySmall,
        }}
      >
        <span>0</span>
        <span style={{ width: 200, height: 8, background: `linear-gradient(to right, ${stops})` }} />
        <span>{Math.ceil(top)}</span>
      </div>
    </VizLayout.Legend>
  );
  return <Rows names={names} between theme={theme} paint={paint} legend={legend} {...rest} />;
}

/** Neighbours of one value are one bar; a step without a value ends it. */
function bars(time, field) {
  const found = [];
  field.values.forEach((value, at) => {
    const from = time.values[at];
    const last = found.at(-1);
    if (last && last.value === value && from - last.to <= time.config.interval) last.to = from;
    else found.push({ value, from, to: from });
  });
  return found;
}

export function StateTimeline({ panel, frames, theme, ...rest }) {
  const series = frames.map((frame) => ({
    name: getFieldDisplayName(frame.fields[1], frame, frames),
    time: frame.fields[0],
    field: frame.fields.find(({ type }) => type === FieldType.number),
  }));
  series.sort((one, other) => (one.name < other.name ? 1 : -1));
  const { rowHeight } = panel.options;
  const paint = (ctx, x, row) => {
    series.forEach(({ time, field }, place) => {
      const { top, height } = row(place);
      ctx.globalAlpha = panel.fieldConfig.defaults.custom.fillOpacity / 100;
      for (const { value, from, to } of bars(time, field)) {
        ctx.fillStyle = field.display(value).color;
        ctx.fillRect(
          x(from),
          top + (height * (1 - rowHeight)) / 2,
          x(to + time.config.interval) - x(from),
          height * rowHeight,
        );
      }
    });
  };
  const display = getDisplayProcessor({ field: series[0].field, theme });
  const items = Object.keys(panel.fieldConfig.defaults.mappings[0].options).map((value) => {
    const { text, color } = display(Number(value));
    return { label: text, color, yAxis: 1 };
  });
  const legend = (
    <VizLayout.Legend placement="bottom">
      <VizLegend items={items} displayMode="list" placement="bottom" />
    </VizLayout.Legend>
  );
  return (
    <Rows names={series.map(({ name }) => name)} theme={theme} paint={paint} legend={legend} {...rest} />
  );
}
