/** Style of the report: one column that also fits a telephone, light and dark as the reader's system is. */
export const reportStyle = `
:root { color-scheme: light dark;
  --page: #ffffff; --card: #f6f7f9; --text: #1b1f24; --muted: #5d6670; --line: #d5dae0; --grid: #e4e8ec;
  --s0: #2563c9; --s1: #d0492b; --s2: #1c8a52; --s3: #9a3fc4; --s4: #b07a00; --s5: #0e8a96; --s6: #c2387c; --s7: #6a5a4a; }
@media (prefers-color-scheme: dark) { :root {
  --page: #14171b; --card: #1d2126; --text: #e4e8ec; --muted: #9aa4af; --line: #363d45; --grid: #2b3138;
  --s0: #6ea8ff; --s1: #ff8a6a; --s2: #5fd08f; --s3: #d592f5; --s4: #ebb94a; --s5: #58cfdb; --s6: #ff8fc0; --s7: #c4ad94; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 24px 20px 60px; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 8px; }
h2 { font-size: 19px; margin: 36px 0 10px; padding-top: 14px; border-top: 1px solid var(--line); }
h3 { font-size: 16px; margin: 22px 0 8px; }
p { margin: 6px 0 10px; max-width: 78ch; }
.note { color: var(--muted); font-size: 13.5px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { padding: 5px 10px; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; }
thead th { color: var(--muted); border-bottom: 2px solid var(--line); }
thead th[colspan] { text-align: center; border-left: 1px solid var(--line); color: var(--text); }
.first { text-align: left; position: sticky; left: 0; background: var(--page); }
.from { border-left: 1px solid var(--line); }
tr.class .first { padding-left: 26px; font-weight: 400; }
tr.class td { color: var(--muted); }
.sd { color: var(--muted); }
.best { font-weight: 700; }
.text { text-align: left; }
.facts { width: auto; } .facts th, .facts td { text-align: left; white-space: normal; overflow-wrap: anywhere; vertical-align: top; }
.facts th { min-width: 90px; max-width: 240px; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); gap: 14px; }
figure { margin: 0; background: var(--card); border-radius: 8px; padding: 12px; }
figcaption { font-size: 13.5px; margin-bottom: 6px; }
.chart figcaption { display: flex; flex-wrap: wrap; gap: 2px 16px; align-items: baseline; }
.legend { display: flex; flex-wrap: wrap; gap: 0 14px; color: var(--muted); }
.key { white-space: nowrap; } .key i { display: inline-block; width: 12px; height: 12px; border-radius: 3px;
  margin-right: 5px; vertical-align: -1px; }
svg { display: block; width: 100%; height: auto; font: 12px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
.curve { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.band { opacity: 0.18; stroke: none; } .grid { stroke: var(--grid); fill: none; } .axis { stroke: var(--muted); fill: none; }
.tick { fill: var(--muted); } .label { fill: var(--text); }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 360px), 1fr)); gap: 14px; }
.pictures.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 520px), 1fr)); }
img { display: block; max-width: 100%; height: auto; border-radius: 4px; }
pre { background: var(--card); border-radius: 8px; padding: 12px; font-size: 13px; line-height: 1.45; margin: 0;
  overflow-x: auto; white-space: pre-wrap; }
summary { cursor: pointer; margin: 8px 0; }
@media (max-width: 560px) { body { padding: 16px 12px 40px; } h1 { font-size: 22px; } th, td { padding: 5px 8px; }
  .first { white-space: normal; min-width: 96px; max-width: 128px; overflow-wrap: anywhere; } tr.class .first { padding-left: 16px; }
  figure { padding: 8px; } svg { font-size: 14px; } }
@media print { body { max-width: none; } figure, tr { break-inside: avoid; } }
`;
