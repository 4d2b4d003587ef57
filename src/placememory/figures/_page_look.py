"""Style and script of the page; both are written into it, so that it needs nothing else."""

from __future__ import annotations

CSS = """
:root { color-scheme: light dark; --bg: #fbfbfa; --card: #fff; --ink: #1f2933; --muted: #5f6b77;
  --line: #e1e5e9; --right: #00795a; --wrong: #b84d00; --off: #7a4fa3; --unknown: #5f6b77;
  --right-fill: #009e73; --wrong-fill: #d55e00; --off-fill: #8e63b5; --unknown-fill: #8a96a3; }
@media (prefers-color-scheme: dark) { :root { --bg: #14181c; --card: #1c2227; --ink: #e6eaee;
  --muted: #9aa6b2; --line: #2f373f; --right: #3ccfa4; --wrong: #ff9955; --off: #c3a0e6;
  --unknown: #9aa6b2; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 40px 24px 80px; }
h1 { font-size: 28px; line-height: 1.2; letter-spacing: -0.01em; margin: 0 0 4px;
  overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 48px 0 14px; }
p { margin: 0 0 8px; max-width: 78ch; }
.muted, figcaption, .note { color: var(--muted); }
.note { font-size: 13.5px; }
table { border-collapse: collapse; margin: 24px 0 12px; width: 100%; }
th, td { text-align: left; padding: 9px 24px 9px 0; border-bottom: 1px solid var(--line);
  vertical-align: baseline; overflow-wrap: anywhere; }
th { font-weight: 500; width: 20em; }
td.value { font-weight: 650; font-size: 17px; font-variant-numeric: tabular-nums;
  white-space: nowrap; width: 1%; }
tr:first-child .value { font-size: 26px; line-height: 1.1; letter-spacing: -0.01em; }
.label { margin: 22px 0 0; font-weight: 600; }
.bar { display: flex; height: 10px; gap: 2px; margin: 22px 0 8px; }
.label + .bar { margin-top: 6px; }
.bar span { border-radius: 2px; min-width: 3px; }
.key { display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 13.5px; }
.right { color: var(--right); } .wrong { color: var(--wrong); }
.off { color: var(--off); } .unknown, .silent, .refused { color: var(--unknown); }
.fill-right { background: var(--right-fill); } .fill-wrong { background: var(--wrong-fill); }
.fill-off { background: var(--off-fill); } .fill-unknown { background: var(--unknown-fill); }
.fill-silent { background: var(--unknown-fill); } .fill-refused { background: var(--line); }
figure { margin: 0 0 28px; }
figure.wide img { display: block; max-width: 100%; height: auto; background: #fff;
  border: 1px solid var(--line); border-radius: 8px; padding: 10px; }
figcaption { margin-top: 8px; font-size: 13.5px; }
.tools { display: flex; flex-wrap: wrap; gap: 8px; margin: 0 0 18px; align-items: center;
  position: sticky; top: 0; background: var(--bg); padding: 10px 0; z-index: 1; }
button, input { font: inherit; font-size: 14px; color: inherit; background: var(--card);
  border: 1px solid var(--line); border-radius: 999px; padding: 5px 14px; }
button { cursor: pointer; }
button[aria-pressed="true"] { background: var(--ink); border-color: var(--ink); color: var(--bg); }
input { flex: 1 1 160px; max-width: 300px; }
.grid { display: grid; gap: 16px;
  grid-template-columns: repeat(auto-fill, minmax(min(340px, 100%), 1fr)); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 12px 14px; min-width: 0; }
.card[hidden] { display: none; }
.head { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 12px;
  margin: 0 0 8px; font-variant-numeric: tabular-nums; }
.head b { font-weight: 650; white-space: nowrap; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 8px; }
.pair.three { grid-template-columns: 1fr 1fr 1fr; }
.pair figure { margin: 0; min-width: 0; }
.pair img, .none { display: block; width: 100%; height: auto; border-radius: 4px; }
.pair img { max-height: 260px; object-fit: contain; background: #0001; }
.none { aspect-ratio: 4 / 3; display: grid; place-items: center; color: var(--muted);
  border: 1px dashed var(--line); font-size: 13px; }
.pair figcaption { font-size: 12px; margin-top: 4px; line-height: 1.35; overflow-wrap: anywhere; }
.pair figcaption b { font-weight: 600; color: var(--ink); }
details { margin-top: 8px; font-size: 12.5px; } summary { cursor: pointer; color: var(--muted); }
ol { list-style: none; margin: 4px 0 0; padding: 0; font-variant-numeric: tabular-nums; }
li { overflow-wrap: anywhere; }
@media (max-width: 640px) { main { padding: 24px 14px 60px; } td.note { display: block;
  padding-top: 0; } tr { display: block; border-bottom: 1px solid var(--line); padding: 8px 0; }
  th, td, td.value { display: block; border: 0; padding: 0; width: auto; }
  .pair.three { grid-template-columns: 1fr 1fr; } }
@media print { .tools { display: none; } .card { break-inside: avoid; } }
"""

SCRIPT = """
const cards = [...document.querySelectorAll('.card')];
const buttons = [...document.querySelectorAll('button[data-verdict]')];
const search = document.querySelector('input[type=search]');
const empty = document.getElementById('empty');
function update() {
  const wanted = buttons.find(b => b.getAttribute('aria-pressed') === 'true').dataset.verdict;
  const text = search.value.trim().toLowerCase();
  let shown = 0;
  for (const card of cards) {
    card.hidden = !((wanted === 'all' || card.dataset.verdict === wanted)
      && card.dataset.names.toLowerCase().includes(text));
    shown += !card.hidden;
  }
  empty.hidden = shown > 0;
}
for (const button of buttons) button.addEventListener('click', () => {
  for (const other of buttons) other.setAttribute('aria-pressed', String(other === button));
  update();
});
search.addEventListener('input', update);
"""
