'use strict';

/* One answer, of a photo, a stream or a run: what it says, and how it is shown. */

/** Make an element: make('p', {class: 'muted'}, 'text', child, ...). */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith('on')) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, '');
    else if (value !== null && value !== undefined && value !== false) {
      element.setAttribute(key, value);
    }
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const ABSENT = EMBEDDED ? 'not in this file' : 'no image';
const metres = (d) => `${d.toFixed(d < 10 ? 2 : d < 100 ? 1 : 0)} m`;
const degrees = (angle) => `${(angle * 180 / Math.PI).toFixed(0)}\u00b0`;

/** A name without its middle, where it is long. */
function shorten(name, length = 40) {
  const tail = Math.floor(length * 0.4);
  return name.length <= length ? name : `${name.slice(0, length - tail - 1)}\u2026${name.slice(-tail)}`;
}

/** Semi-axes and turn of the ellipse of 95 %, of a row-major (6, 6) covariance. */
function ellipseOf(covariance) {
  if (!covariance) return null;
  const [a, b, d] = [covariance[0], covariance[1], covariance[7]];
  const middle = (a + d) / 2;
  const swing = Math.hypot((a - d) / 2, b);
  const axis = (value) => Math.sqrt(5.991 * Math.max(0, value));
  return [axis(middle + swing), axis(middle - swing), Math.atan2(2 * b, a - d) / 2];
}

/** What an estimate says, with places by row; `more` adds truth, error and kind of a run. */
function understand(estimate, places, more = {}) {
  const poseOf = (pose) => pose && { x: pose.x, y: pose.y, yaw: estimate.yaw ?? turnOf(pose) };
  const candidates = estimate.candidates.map((candidate) => {
    const row = candidate.row ?? places.rowOf(candidate.session, candidate.index);
    const known = row >= 0;
    return {
      row,
      rank: candidate.rank,
      similarity: candidate.similarity,
      name: candidate.name ?? (known ? places.name[row] : ''),
      session: candidate.session ?? (known ? places.sessions[places.session[row]] : ''),
      x: candidate.pose ? candidate.pose.x : known ? places.x[row] : NaN,
      y: candidate.pose ? candidate.pose.y : known ? places.y[row] : NaN,
    };
  });
  const hypotheses = ((estimate.belief && estimate.belief.hypotheses) || []).map((guess) => ({
    row: guess.place ? places.rowOf(...guess.place) : guess.row,
    weight: guess.weight,
    x: guess.position ? guess.position[0] : NaN,
    y: guess.position ? guess.position[1] : NaN,
  })).filter((guess, i) => i === 0 || guess.weight >= 0.01);
  const pose = poseOf(estimate.pose);
  return {
    name: estimate.name,
    kind: kindOf(estimate.verdict, null),
    reason: estimate.reason || '',
    note: estimate.note || '',
    probability: estimate.probability,
    pose,
    guess: pose ? null : poseOf(estimate.hypothesis),
    ellipse: pose ? ellipseOf(estimate.covariance) : null,
    spread: pose && estimate.covariance ? Math.sqrt(estimate.covariance[0] + estimate.covariance[7]) : null,
    age: estimate.age,
    spent: Object.values(estimate.milliseconds || {}).reduce((sum, part) => sum + part, 0),
    candidates,
    hypotheses,
    truth: null,
    error: null,
    ...more,
  };
}

/** A picture, or the words that say why there is none. */
function picture(address, name, words = ABSENT) {
  const box = make('div', { class: 'picture' });
  fill(box, address, name, words);
  return box;
}

function fill(box, address, name, words) {
  if (!address) { box.replaceChildren(make('span', {}, words)); return; }
  const image = make('img', { alt: name, loading: 'lazy', decoding: 'async' });
  image.addEventListener('error', () => box.replaceChildren(make('span', {}, words)));
  image.src = address;
  box.replaceChildren(image);
}

function captioned(box, what, ...lines) {
  return make('figure', {}, box, make('figcaption', {}, make('b', {}, what),
    ...lines.flatMap((line) => [make('br'), line])));
}

/** Show an answer: verdict, how sure, why, the query beside its place, and all candidates. */
function showAnswer(into, answer, places, { query = null, queryWords = ABSENT, onCandidate,
  took = null } = {}) {
  const { mark, words } = KINDS[answer.kind];
  const head = make('h3', { class: `kind-${answer.kind}` }, `${mark} ${words}`);
  const facts = [];
  const sure = answer.probability;
  const known = sure !== null && sure !== undefined && !Number.isNaN(sure);
  if (known) facts.push(`probability ${sure.toFixed(2)}`);
  if (answer.error !== null && !Number.isNaN(answer.error)) facts.push(`error ${metres(answer.error)}`);
  const bar = known ? make('div', { class: 'sure', 'aria-hidden': 'true' },
    make('div', { class: answer.kind })) : null;
  if (bar) bar.firstChild.style.width = `${Math.round(100 * Math.min(1, sure))}%`;

  const likely = answer.hypotheses[0];
  const best = answer.candidates[0];
  const shown = likely && likely.row >= 0 ? likely.row : best ? best.row : -1;
  const called = answer.pose ? 'Place where it is' : likely ? 'Likeliest place, not trusted' : 'Most similar place';
  const pair = make('div', { class: 'pair' },
    captioned(picture(query, `Query ${answer.name}`, queryWords), 'Query', shorten(answer.name)));
  if (shown >= 0) {
    pair.append(captioned(picture(places.image(shown, 480), `Place ${places.name[shown]}`), called,
      shorten(places.name[shown]), `session ${places.sessions[places.session[shown]]}`));
  } else pair.append(captioned(picture(null, '', 'no place'), called));

  const list = make('dl');
  const add = (term, text) => { if (text) list.append(make('dt', {}, term), make('dd', {}, text)); };
  const place = (pose) => `${pose.x.toFixed(2)}, ${pose.y.toFixed(2)} m${
    Number.isNaN(pose.yaw) ? '' : `, yaw ${degrees(pose.yaw)}`}`;
  if (answer.pose) add('Position', place(answer.pose) + (answer.spread
    ? `, standard deviation ${metres(answer.spread)}` : ''));
  if (answer.guess) add('Hypothesis', `${place(answer.guess)}; not trusted`);
  if (answer.truth) add('True position', `${answer.truth.x.toFixed(2)}, ${answer.truth.y.toFixed(2)} m`);
  if (answer.hypotheses.length > 1) {
    add('Hypotheses', answer.hypotheses.slice(0, 5).map((h) => h.weight.toFixed(2)).join(', '));
  }
  if (answer.age) add('Newest evidence', `${answer.age.toFixed(1)} s before`);
  add('Note', answer.note);
  if (answer.spent) add('Computed in', `${answer.spent.toFixed(0)} ms`);
  if (took) add('Answered in', `${(took / 1000).toFixed(2)} s`);

  const others = make('div', { class: 'three' });
  for (const candidate of answer.candidates.slice(0, 6)) {
    const button = make('button', { type: 'button', class: 'pick',
      onclick: () => onCandidate && onCandidate(candidate) },
    picture(places.image(candidate.row, 240), ''),
    make('span', { class: 'unseen' }, `Show candidate ${candidate.rank} on the map`));
    others.append(captioned(button, `${candidate.rank} \u00b7 ${candidate.similarity.toFixed(3)}`,
      shorten(candidate.name, 24)));
  }
  into.replaceChildren(...[
    head,
    facts.length ? make('p', { class: 'number' }, facts.join(' \u00b7 ')) : null,
    bar,
    answer.reason && answer.reason !== answer.note ? make('p', { class: 'reason' }, `Why: ${answer.reason}`) : null,
    pair,
    list.children.length ? list : null,
    answer.candidates.length ? make('h4', {}, 'Candidates of this frame alone, by similarity') : null,
    answer.candidates.length ? others : null,
  ].filter(Boolean));
}
