// One component for each kind of panel, all of them Grafana's own.
import { VizOrientation, getDisplayValueAlignmentFactors, getFieldDisplayValues } from "@grafana/data";
import { BarGauge, BigValue, TimeSeries, VizRepeater } from "@grafana/ui";
import { TableNG } from "@grafana/ui/unstable";
import { Heatmap, StateTimeline } from "./grids.jsx";

function Graph({ panel, frames, marks, range, theme, width, height }) {
  const mark = (config) => {
    config.addHook("draw", (plot) => {
      for (const time of marks) {
        const x = plot.valToPos(time, "x", true);
        plot.ctx.save();
        plot.ctx.strokeStyle = theme.colors.text.secondary;
        plot.ctx.setLineDash([3, 3]);
        plot.ctx.beginPath();
        plot.ctx.moveTo(x, plot.bbox.top);
        plot.ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
        plot.ctx.stroke();
        plot.ctx.restore();
      }
    });
    return null;
  };
  return (
    <TimeSeries
      frames={frames}
      timeRange={range}
      timeZone="utc"
      width={width}
      height={height}
      legend={panel.options.legend}
      options={panel.options}
    >
      {mark}
    </TimeSeries>
  );
}

/** Draws each of several values in a part of the panel. */
function Repeated({ panel, frames, theme, width, height, sparkline, children, ...rest }) {
  const getValues = () =>
    getFieldDisplayValues({
      fieldConfig: panel.fieldConfig,
      reduceOptions: panel.options.reduceOptions,
      replaceVariables: (text) => text,
      theme,
      data: frames,
      sparkline,
      timeZone: "utc",
    });
  return (
    <VizRepeater
      getValues={getValues}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={children}
      source={frames}
      renderCounter={0}
      width={width}
      height={height}
      {...rest}
    />
  );
}

function Number(props) {
  const { options } = props.panel;
  return (
    <Repeated {...props} orientation={VizOrientation.Auto} autoGrid sparkline={options.graphMode !== "none"}>
      {({ value, alignmentFactors, width, height, count }) => (
        <BigValue
          value={value.display}
          count={count}
          sparkline={value.sparkline}
          colorMode={options.colorMode}
          graphMode={options.graphMode}
          justifyMode={options.justifyMode}
          textMode={options.textMode}
          alignmentFactors={alignmentFactors}
          disableWideLayout={!options.wideLayout}
          width={width}
          height={height}
          theme={props.theme}
        />
      )}
    </Repeated>
  );
}

function Bars(props) {
  const { options } = props.panel;
  return (
    <Repeated
      {...props}
      orientation={VizOrientation.Horizontal}
      sparkline={false}
      minVizWidth={options.minVizWidth}
      minVizHeight={options.minVizHeight}
      maxVizHeight={options.maxVizHeight}
    >
      {({ value, alignmentFactors, width, height }) => (
        <BarGauge
          value={value.display}
          field={value.field}
          display={value.view.getFieldDisplayProcessor(value.colIndex)}
          orientation={VizOrientation.Horizontal}
          displayMode={options.displayMode}
          valueDisplayMode={options.valueMode}
          namePlacement={options.namePlacement}
          showUnfilled={options.showUnfilled}
          alignmentFactors={alignmentFactors}
          itemSpacing={10}
          lcdCellWidth={12}
          width={width}
          height={height}
          theme={props.theme}
        />
      )}
    </Repeated>
  );
}

const Rows = ({ panel, frames, width, height }) => (
  <TableNG
    data={frames[0]}
    width={width}
    height={height}
    sortBy={panel.options.sortBy}
    cellHeight={panel.options.cellHeight}
    fieldConfig={panel.fieldConfig}
  />
);

/** By the type that the JSON names. */
export const VISUALS = {
  timeseries: Graph,
  stat: Number,
  bargauge: Bars,
  table: Rows,
  heatmap: Heatmap,
  "state-timeline": StateTimeline,
};
