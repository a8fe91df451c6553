// One board on one page. When all of it stands there, `window.drawn` tells which panels are empty or failed.
import "@fontsource/inter/400.css";
import "@fontsource/inter/500.css";
import { ThemeContext, createTheme, dateTime } from "@grafana/data";
import { initPluginTranslations } from "@grafana/i18n";
import { GlobalStyles, PanelChrome } from "@grafana/ui";
import { createRoot } from "react-dom/client";
import { dressed, isEmpty, transformed } from "./fields.js";
import { chooseAll, framesOf, timesOf } from "./prometheus.js";
import { VISUALS } from "./visuals.jsx";

// As Grafana lays them out.
const CELL = 30;
const GAP = 8;
const HEADER = 56;

const asked = new URLSearchParams(location.search);
const theme = createTheme({ colors: { mode: asked.get("theme") } });
const to = Number(asked.get("to")) * 1000;
const range = { from: to - Number(asked.get("seconds")) * 1000, to };
const scrape = Number(asked.get("scrape"));
const width = Number(asked.get("width"));
const column = (width - GAP) / 24;

const place = ({ x, y, w, h }) => ({
  position: "absolute",
  left: GAP + x * column,
  top: HEADER + y * (CELL + GAP),
  width: w * column - GAP,
  height: h * (CELL + GAP) - GAP,
});

async function load(panel, around) {
  const { width: pixels } = place(panel.gridPos);
  try {
    const frames = await framesOf(panel, { ...around, pixels });
    return { panel, frames: dressed(panel, await transformed(panel, frames), theme), empty: isEmpty(frames) };
  } catch (error) {
    return { panel, frames: [], empty: true, error: error.message };
  }
}

function Panel({ panel, frames, empty, error, marks }) {
  const at = place(panel.gridPos);
  const Visual = VISUALS[panel.type];
  const shown = { from: dateTime(range.from), to: dateTime(range.to), raw: { from: "now-24h", to: "now" } };
  return (
    <div style={at}>
      <PanelChrome
        title={panel.title}
        description={panel.description}
        width={at.width}
        height={at.height}
        statusMessage={error}
      >
        {(innerWidth, innerHeight) =>
          empty ? (
            <div style={{ display: "grid", placeItems: "center", height: innerHeight }}>
              {error ?? "No data"}
            </div>
          ) : (
            <Visual
              panel={panel}
              frames={frames}
              marks={marks}
              range={shown}
              theme={theme}
              width={innerWidth}
              height={innerHeight}
            />
          )
        }
      </PanelChrome>
    </div>
  );
}

const Row = ({ panel }) => (
  <div style={{ ...place(panel.gridPos), ...theme.typography.h5, display: "flex", alignItems: "center" }}>
    {panel.title}
  </div>
);

function Header({ board }) {
  const chip = {
    border: `1px solid ${theme.colors.border.medium}`,
    borderRadius: 2,
    padding: "4px 8px",
    ...theme.typography.bodySmall,
  };
  return (
    <div
      style={{
        position: "absolute",
        left: GAP,
        right: GAP,
        height: HEADER,
        display: "flex",
        alignItems: "center",
        gap: 12,
      }}
    >
      <div style={{ ...theme.typography.h4, margin: 0, flex: 1 }}>{board.title}</div>
      {board.templating.list.map(({ name, label }) => (
        <span key={name} style={chip}>
          {label}: All
        </span>
      ))}
      <span style={chip}>{Math.round((range.to - range.from) / 3600_000)} hours, UTC</span>
    </div>
  );
}

function Board({ board, loaded, marks }) {
  const bottom = Math.max(...board.panels.map(({ gridPos }) => gridPos.y + gridPos.h));
  const height = HEADER + bottom * (CELL + GAP);
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div
        id="drawing"
        style={{ position: "relative", width, height, background: theme.colors.background.canvas }}
      >
        <Header board={board} />
        {board.panels.map((panel) =>
          panel.type === "row" ? (
            <Row key={panel.id} panel={panel} />
          ) : (
            <Panel key={panel.id} marks={marks} {...loaded.find((one) => one.panel === panel)} />
          ),
        )}
      </div>
    </ThemeContext.Provider>
  );
}

/** Until nothing on the page has changed for so long: panels measure themselves, then draw, then load their icons. */
function quiet(milliseconds) {
  return new Promise((resolve) => {
    let timer = setTimeout(resolve, milliseconds);
    new MutationObserver(() => {
      clearTimeout(timer);
      timer = setTimeout(resolve, milliseconds);
    }).observe(document.body, { subtree: true, childList: true, attributes: true });
  });
}

async function draw() {
  await initPluginTranslations("grafana");
  await Promise.all([document.fonts.load("400 12px Inter"), document.fonts.load("500 14px Inter")]);
  const board = await (await fetch(`/dashboards/${asked.get("board")}.json`)).json();
  const around = { range, scrape, chosen: await chooseAll(board, range) };
  const marks = (
    await Promise.all(board.annotations.list.map((one) => timesOf(one, { ...around, pixels: width })))
  ).flat();
  const loaded = await Promise.all(
    board.panels.filter(({ type }) => type !== "row").map((panel) => load(panel, around)),
  );
  createRoot(document.getElementById("board")).render(<Board board={board} loaded={loaded} marks={marks} />);
  await quiet(300);
  return loaded.map(({ panel, empty, error }) => ({ title: panel.title, empty, error }));
}

draw().then(
  (panels) => (window.drawn = { panels }),
  (error) => (window.drawn = { panels: [], error: String(error.stack ?? error) }),
);
