// The readings of a month as a chart: what counts as a line, what does not as marks. The tables below it say the same.
"use strict";
(() => {
  const drawn = new Map(); // from the element to its chart and its data
  const begun = new WeakSet(); // elements whose data were asked for: something else may come into the page before they do

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const used = (quality) => quality >= 100 && quality < 200;
  const lacking = (quality) => quality >= 200 && quality < 300;

  // One row for each time: the value that counts, the one that does not, and whether there is none.
  function columns(meter) {
    const rows = new Map();
    const row = (at) => rows.get(at) || rows.set(at, [null, null, null]).get(at);
    let top = 0, low = 0;
    meter.start.forEach((at, place) => {
      const text = meter.value[place], value = text === null ? null : Number(text);
      if (used(meter.quality[place])) {
        row(at)[0] = value;
        top = Math.max(top, value);
        low = Math.min(low, value);
      } else if (value !== null) row(at)[1] = value;
      else if (lacking(meter.quality[place])) row(at)[2] = 0; // else another row of the time has a value
    });
    for (const [from, to] of meter.absent) {
      row(from)[2] = 0;
      row(to - 1)[2] = 0;
    }
    // A rating far above all that counts would flatten it, too: the legend says it.
    const rated = meter.rated === null || (top > 0 && top * 10 < Number(meter.rated)) ? 0 : Number(meter.rated);
    const high = Math.max(top, rated, 1e-9) * 1.12, deep = low < 0 ? low * 1.12 : 0;
    const times = [...rows.keys()].sort((one, other) => one - other);
    const pick = (place, change) => times.map((at) => {
      const value = rows.get(at)[place];
      return value === null ? null : change(value);
    });
    // What lies far outside is marked at the edge: it would flatten all that counts.
    const clamped = (value) => Math.min(high * 0.985, Math.max(deep, value));
    return {
      data: [times, pick(0, Number), pick(1, clamped), pick(2, () => deep)],
      real: times.map((at) => rows.get(at)[1]),
      range: [deep, high],
    };
  }

  function draw(place, meter, width = place.clientWidth) {
    const { data, real, range } = columns(meter);
    const { zone, used: usedName, excluded, missing } = place.dataset;
    const output = place.closest("figure").querySelector("output");
    const ink = colour("--quiet"), line = colour("--line");
    const axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui" };
    const time = new Intl.DateTimeFormat(document.documentElement.lang, {
      dateStyle: "medium", timeStyle: "short", timeZone: zone,
    });
    const marks = (name, size) => ({
      stroke: colour(name), width: 0, paths: () => null,
      points: { show: true, size, fill: colour(name), stroke: colour(name), width: 0 },
    });
    const chart = new uPlot({
      width, height: 260,
      legend: { show: false }, cursor: { y: false, points: { size: 7 } },
      tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), zone),
      scales: { y: { range: () => range } },
      axes: [
        { ...axis, values: (_, ticks) => ticks.map((at) => new Intl.DateTimeFormat(document.documentElement.lang, {
          month: "numeric", day: "numeric", ...(ticks[1] - ticks[0] < 86400 ? { hour: "2-digit", minute: "2-digit" } : {}), timeZone: zone,
        }).format(at * 1000)), space: 90 },
        { ...axis, size: 62 },
      ],
      series: [
        {},
        { stroke: colour("--used"), width: 1.25, spanGaps: false, points: { show: false }, fill: colour("--used-soft") },
        marks("--excluded", 8),
        marks("--missing", 5),
      ],
      hooks: {
        setCursor: [(self) => {
          const at = self.cursor.idx;
          if (at === null || at === undefined) return void (output.textContent = "");
          const [times, counted, , absent] = data;
          const said = counted[at] !== null ? `${usedName}: ${counted[at]} ${meter.unit}`
            : real[at] !== null ? `${excluded}: ${real[at]} ${meter.unit}` : absent[at] !== null ? missing : "";
          output.textContent = `${time.format(times[at] * 1000)}  ${said}`;
        }],
        drawAxes: [(self) => {
          if (meter.rated === null || Number(meter.rated) > range[1]) return;
          const y = self.valToPos(Number(meter.rated), "y", true), { left, width } = self.bbox;
          self.ctx.save();
          self.ctx.strokeStyle = colour("--rated");
          self.ctx.setLineDash([6, 6]);
          self.ctx.beginPath();
          self.ctx.moveTo(left, y);
          self.ctx.lineTo(left + width, y);
          self.ctx.stroke();
          self.ctx.restore();
        }],
      },
    }, data, place);
    drawn.set(place, { chart, meter });
  }

  async function load(address, places) {
    const answer = fetch(address, { headers: { accept: "application/json" } });
    const found = await answer.then((here) => here.ok ? here.json() : null).catch(() => null); // it may break off, too
    if (!found) return void places.forEach((place) => begun.delete(place));
    for (const place of places) if (place.isConnected) draw(place, found.meters[Number(place.dataset.meter)]);
  }

  function again(widest = Infinity) { // other colours, another width
    for (const [place, { chart, meter }] of [...drawn]) {
      chart.destroy();
      drawn.delete(place);
      if (place.isConnected) draw(place, meter, Math.min(place.clientWidth, widest));
    }
  }

  function begin() { // one answer has all meters of a month
    const asked = new Map();
    for (const place of document.querySelectorAll("[data-chart]")) {
      const { chart } = place.dataset;
      if (!begun.has(place)) asked.set(chart, [...(asked.get(chart) || []), place]);
      begun.add(place);
    }
    asked.forEach((places, address) => load(address, places));
  }
  begin();
  document.addEventListener("htmx:afterSwap", begin);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => again());
  let width = innerWidth;
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; again(); } });

  // On paper: as on a light screen, and as wide as a sheet.
  const root = document.documentElement;
  let theme = null;
  addEventListener("beforeprint", () => {
    theme ??= root.dataset.theme;
    root.dataset.theme = "light";
    again(640);
  });
  addEventListener("afterprint", () => {
    if (theme !== null) root.dataset.theme = theme;
    theme = null;
    again();
  });
})();

// What was asked for by a link and has come elsewhere in the page: whoever reads with the keyboard goes on from there.
document.addEventListener("htmx:afterSettle", ({ target }) => target.querySelector("[data-arrive]")?.focus());
