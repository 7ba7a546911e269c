"""How a report looks: on a light and a dark screen, on a narrow one, on paper."""

from __future__ import annotations

from lunet_networks.bundle.report.charts import FONTS

__all__ = ["STYLE"]

STYLE = (
    """
:root { color-scheme: light dark; --ink: #1f2328; --soft: #59636e; --line: #d9dee4; --page: #fff; --card: #f6f8fa;
  --bar: #cfe4f5; --mark: #0a6fb8; }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --soft: #9aa4af; --line: #343a42; --page: #15181c;
  --card: #1d2126; --bar: #1f4a68; --mark: #7cc4f2; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 FONTS; }
header, main, footer { max-width: 1120px; margin: 0 auto; padding: 0 24px; }
header { padding-top: 40px; }
footer { padding-top: 16px; padding-bottom: 48px; margin-top: 48px; border-top: 1px solid var(--line);
  color: var(--soft); font-size: 14px; }
h1 { font-size: 30px; line-height: 1.2; margin: 0 0 8px; letter-spacing: -.01em; overflow-wrap: anywhere; }
h2 { font-size: 21px; line-height: 1.3; margin: 48px 0 12px; }
h3 { font-size: 17px; line-height: 1.35; margin: 0; overflow-wrap: anywhere; }
p { margin: 8px 0; max-width: 78ch; }
a { color: var(--mark); }
.soft, .soft a, small { color: var(--soft); }
small { font-size: 13px; display: block; white-space: nowrap; }
code { font: .92em ui-monospace, 'Cascadia Mono', Menlo, Consolas, 'Liberation Mono', monospace;
  overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: 4px 20px; margin-top: 20px; padding: 10px 0;
  border-block: 1px solid var(--line); }
nav a { text-decoration: none; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); gap: 12px; margin: 24px 0 0;
  padding: 0; }
.tiles div { background: var(--card); border-radius: 10px; padding: 12px 16px; }
.tiles dt { color: var(--soft); font-size: 14px; }
.tiles dd { margin: 0; font-size: 24px; line-height: 1.3; font-variant-numeric: tabular-nums; }
.pair { display: grid; grid-template-columns: minmax(0, 1.15fr) minmax(0, 1fr); gap: 32px; align-items: start; }
.three { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: 16px; }
figure { margin: 0; }
figcaption { color: var(--soft); font-size: 14px; margin-top: 4px; }
img { display: block; width: 100%; height: auto; }
.chart img { max-width: 560px; }
.case { background: var(--card); border-radius: 12px; padding: 18px 20px 20px; margin: 20px 0; break-inside: avoid; }
.case img { border-radius: 6px; background: #000; }
.case ul { list-style: none; margin: 4px 0 14px; padding: 0; display: flex; flex-wrap: wrap; gap: 2px 24px;
  font-variant-numeric: tabular-nums; }
.single figure { max-width: 680px; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 22px; margin: 12px 0 0; padding: 8px 14px; list-style: none;
  background: #26292e; color: #fff; border-radius: 8px; font-size: 14px; width: fit-content; max-width: 100%; }
.legend svg { width: 34px; height: 10px; margin-right: 8px; vertical-align: middle; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100%; font-size: 15px; }
th { text-align: left; font-weight: 600; }
th, td { padding: 7px 14px 7px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
thead th { color: var(--soft); font-size: 14px; border-bottom-width: 2px; vertical-align: bottom; }
td.number, th.number { text-align: right; white-space: nowrap; }
.spread { white-space: nowrap; }
.cases td, .cases th { padding-block: 4px; white-space: nowrap; }
.cases tr > :first-child { position: sticky; left: 0; background: var(--page); }
.cases .group { padding-left: 20px; }
.cases th[scope=colgroup] { text-align: right; }
.cases td.wide { white-space: normal; min-width: 14ch; }
.bar { background: linear-gradient(var(--bar), var(--bar)) no-repeat left 3px / var(--share) calc(100% - 6px);
  padding-left: 6px; min-width: 96px; }
.badge { border: 1px solid var(--line); border-radius: 99px; padding: 0 8px; font-size: 12px; margin-left: 8px;
  color: var(--soft); }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 3px 20px; margin: 0; }
.facts dt { color: var(--soft); }
.facts dd { margin: 0; overflow-wrap: anywhere; }
.three + h3 { margin-top: 24px; }
.settings { columns: 3 260px; column-gap: 32px; padding: 0; margin: 12px 0; list-style: none; }
.settings li { break-inside: avoid; }
.settings span { color: var(--soft); }
@media (max-width: 760px) {
  header, main, footer { padding-inline: 16px; }
  header { padding-top: 24px; }
  h1 { font-size: 25px; }
  .pair, .three { grid-template-columns: minmax(0, 1fr); }
  .pair th, .pair td { padding-right: 8px; font-size: 14px; }
  .pair small, .pair .spread { font-size: 12px; }
  .case { padding: 14px; margin-inline: -4px; }
  .facts { grid-template-columns: minmax(0, 1fr); }
  .facts dd { margin-bottom: 8px; }
}
@media print {
  :root { --ink: #000; --soft: #444; --line: #bbb; --page: #fff; --card: #f6f8fa; --bar: #cfe4f5; --mark: #000; }
  body { font-size: 12px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  header, main, footer { max-width: none; padding-inline: 0; }
  nav { display: none; }
  h2 { break-after: avoid; margin-top: 24px; }
  tr, figure, .tiles { break-inside: avoid; }
  .scroll { overflow: visible; }
  .three { grid-template-columns: repeat(3, minmax(0, 1fr)); }
}
"""
).replace("FONTS", FONTS)
