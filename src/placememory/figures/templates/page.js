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
