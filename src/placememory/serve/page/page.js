'use strict';

/* The page: its tabs, and what each of them does with the map. */

const $ = (id) => document.getElementById(id);
const ROW = 34;  // pixels of a row in the list of frames
const TRAIL = 2000;
let places = null;
let run = null;
let rows = [];
let chosen = -1;

function complain(error) {
  $('problem').textContent = error ? error.message : '';
  $('problem').hidden = !error;
  if (error && !(error instanceof ServiceError)) throw error;
}

const guard = (work) => (...given) => Promise.resolve().then(() => work(...given)).catch(complain);

const map = new MapView($('map'), (what, row) => (what === 'frame' ? chooseFrame(row) : choosePlace(row)));
const timeline = new Timeline($('timeline'), (frame) => chooseFrame(frame));
$('zoom-in').onclick = () => map.zoom(1.5);
$('zoom-out').onclick = () => map.zoom(1 / 1.5);
$('zoom-fit').onclick = () => map.fit();
if (innerWidth < 860) $('legend').open = false;

/* ---- legend ---- */

const ICONS = {
  circle: '<circle cx="8" cy="8" r="4.5"/>', square: '<path d="M4 4h8v8H4z"/>',
  diamond: '<path d="M8 2.6 13.4 8 8 13.4 2.6 8z"/>', up: '<path d="M8 2.6 13.4 12.5H2.6z"/>',
  down: '<path d="M8 13.4 13.4 3.5H2.6z"/>', area: '<path d="M2 3h12v10H2z" opacity=".5"/>',
  cross: '<path d="m4 2 4 4 4-4 2 2-4 4 4 4-2 2-4-4-4 4-2-2 4-4-4-4z"/>',
  arrow: '<path d="M14 8 3 13l2.500-5L3 3z"/>',
  plus: '<path d="M7 2h2v5h5v2H9v5H7V9H2V7h5z"/>', line: '<path d="M1 7h14v2H1z"/>',
  ring: '<circle cx="8" cy="8" r="5" class="hollow"/>',
  dashed: '<circle cx="8" cy="8" r="5" class="hollow" stroke-dasharray="3 2"/>',
};
const legend = new Map();  // grows only, so that the map keeps its size while frames change
map.onDraw = (signs) => {
  $('map').dataset.drawn = `${map.drawnPlaces || 0} places, ${map.run ? map.drawnFrames : 0} frames`;
  const before = [...legend.values()].join();
  for (const one of signs) legend.set(one[2], one);
  if ([...legend.values()].join() === before) return;
  $('legend').hidden = legend.size === 0;
  $('legend-items').replaceChildren(...[...legend.values()].map(([shape, colour, words]) => {
    const icon = new DOMParser().parseFromString('<svg xmlns="http://www.w3.org/2000/svg" '
      + `width="16" height="16" aria-hidden="true">${ICONS[shape]}</svg>`, 'image/svg+xml').documentElement;
    icon.style.fill = colour;
    for (const part of icon.querySelectorAll('.hollow')) {
      part.style.fill = 'none';
      part.style.stroke = colour;
      part.style.strokeWidth = '2';
    }
    return make('li', {}, document.adoptNode(icon), words);
  }));
};

/* ---- tabs ---- */

const TABS = ['photo', 'live', 'run', 'numbers', 'places'];
function showTab(name) {
  legend.clear();
  for (const other of TABS) {
    const on = other === name;
    $(`tab-${other}`).setAttribute('aria-selected', String(on));
    $(`tab-${other}`).tabIndex = on ? 0 : -1;
    $(`panel-${other}`).hidden = !on;
  }
  const running = name === 'run' || (name === 'places' && run && $('hypotheses').checked);
  $('time').hidden = !run || name !== 'run';
  map.run = run && (running || name === 'numbers' || EMBEDDED) ? run : null;
  map.bySession = name === 'places' && places.sessions.length > 1;
  if (map.coverage) map.coverage.shown = name === 'places' && $('coverage').checked;
  map.withHypotheses = $('hypotheses').checked;
  map.place = name === 'places' ? map.place : -1;
  map.heat = name === 'live' ? live.heat : null;
  map.answer = { photo: photo.answer, live: live.answer, run: frame.answer }[name] || null;
  if (name !== 'run') pause();
  if (name === 'live') followStreams(); else stopStream();
  if (name === 'run' && !run) openRun($('run').value);
  if (name === 'run') drawList();
  $('map-note').hidden = true;
  if (name === 'run') noteRun();
  else if (name === 'places' && !places.x.some((x) => !Number.isNaN(x))) {
    note('No place of this memory has a pose: nothing can be drawn on a map.');
  }
  map.touch();
}
for (const name of TABS) {
  $(`tab-${name}`).onclick = () => showTab(name);
  $(`tab-${name}`).onkeydown = (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const there = TABS.filter((other) => !$(`tab-${other}`).hidden);
    const next = there[(there.indexOf(name) + step + there.length) % there.length];
    showTab(next);
    $(`tab-${next}`).focus();
  };
}

function note(text) {
  $('map-note').textContent = text;
  $('map-note').hidden = !text;
}

/* ---- a photo ---- */

const photo = { file: null, answer: null, address: null, asked: null };

const ask = guard(async (file) => {
  showTab('photo');
  complain(null);
  photo.file = file;
  if (photo.asked) photo.asked.abort();
  if (photo.address) URL.revokeObjectURL(photo.address);
  photo.asked = new AbortController();
  photo.address = URL.createObjectURL(file);
  photo.answer = null;
  map.answer = null;
  const waiting = make('p', { class: 'muted' }, `Looking where ${file.name} is \u2026`);
  $('photo-answer').replaceChildren(waiting);
  const options = Object.fromEntries(new FormData($('options')));
  const { session } = options;
  delete options.session;
  if (options.yaw) options.yaw = Number(options.yaw) * Math.PI / 180;
  const started = performance.now();
  try {
    const sent = { method: 'POST', body: file, signal: photo.asked.signal,
      headers: { 'Content-Type': file.type || 'application/octet-stream' } };
    const told = session
      ? { ...await request('api/search', { k: options.k, session }, sent), name: file.name,
        verdict: null, pose: null }
      : await request('api/localize', options, sent);
    const took = performance.now() - started;
    photo.answer = understand({ ...told, name: file.name }, places);
    showAnswer($('photo-answer'), photo.answer, places,
      { query: photo.address, onCandidate: lookAt, took });
    map.answer = photo.answer;
    lookAt(photo.answer.pose || photo.answer.hypotheses[0] || photo.answer.candidates[0]);
  } catch (error) {
    if (error.name === 'AbortError') return;
    waiting.remove();
    throw error;
  }
});
$('photo').onchange = () => { if ($('photo').files[0]) ask($('photo').files[0]); };
$('photo').onclick = () => { $('photo').value = ''; };  // the same file may be chosen again
$('options').onchange = () => { if (photo.file) ask(photo.file); };
$('options').onsubmit = (event) => event.preventDefault();
for (const kind of ['dragenter', 'dragover', 'dragleave', 'drop']) {
  addEventListener(kind, (event) => {
    if (EMBEDDED || !event.dataTransfer || ![...event.dataTransfer.types].includes('Files')) return;
    event.preventDefault();
    document.body.classList.toggle('over', kind === 'dragenter' || kind === 'dragover');
    if (kind === 'drop' && event.dataTransfer.files[0]) ask(event.dataTransfer.files[0]);
  });
}

function lookAt(what) {
  if (!what) return;
  map.candidate = what.rank || null;
  map.touch(true);
  map.show(what.x, what.y);
}

/* ---- a live stream ---- */

const live = { answer: null, heat: null, source: null, id: null, timer: 0, frames: 0 };

const followStreams = guard(async () => {
  clearTimeout(live.timer);
  const streams = await request('api/streams');
  const select = $('stream');
  const ids = streams.map((stream) => stream.id);
  const was = select.value;
  if (ids.join() !== [...select.options].map((option) => option.value).join()) {
    select.replaceChildren(...streams.map((stream) => make('option', { value: stream.id },
      `${stream.id} (${stream.frames} frames)`)));
    if (ids.includes(was)) select.value = was;
  }
  if (!ids.length) {
    stopSource();
    $('live-state').textContent = 'No stream is open. A robot opens one with POST api/streams and sends its frames there.';
  } else if (!live.source || live.id !== select.value) listen(select.value);
  if ($('tab-live').getAttribute('aria-selected') === 'true') live.timer = setTimeout(followStreams, 2000);
});
$('stream').onchange = () => listen($('stream').value);

function listen(id) {
  stopSource();
  Object.assign(live, { id, answer: null, heat: [], frames: 0 });
  Object.assign(map, { heat: live.heat, trail: [], answer: null });
  $('live-answer').replaceChildren();
  $('live-state').textContent = 'Connected; waiting for the next frame.';
  live.source = new EventSource(addressOf(`api/streams/${encodeURIComponent(id)}/events`, { token }));
  live.source.addEventListener('estimate', (event) => {
    const told = JSON.parse(event.data);
    live.frames += 1;
    live.answer = understand(told, places);
    live.heat = told.heat || [];
    const { pose } = live.answer;
    map.trail.push(pose ? [pose.x, pose.y] : null);
    if (map.trail.length > TRAIL) map.trail.splice(0, map.trail.length - TRAIL);
    $('live-state').textContent = `${live.frames} frames since this page listens`;
    drawLive();
  });
  live.source.onerror = () => {
    $('live-state').textContent = 'The connection is lost; trying again. What is shown is old.';
  };
}

let liveWaits = false;
function drawLive() {
  if (liveWaits) return;  // however fast frames come, once a display frame
  liveWaits = true;
  requestAnimationFrame(() => {
    liveWaits = false;
    if (!live.source || !live.answer) return;
    Object.assign(map, { answer: live.answer, heat: live.heat });
    showAnswer($('live-answer'), live.answer, places,
      { queryWords: 'the robot keeps its image', onCandidate: lookAt });
    map.touch(true);
    if (live.answer.pose) map.show(live.answer.pose.x, live.answer.pose.y);
  });
}

function stopSource() {
  if (live.source) live.source.close();
  live.source = null;
}

function stopStream() {
  clearTimeout(live.timer);
  stopSource();
}

/* ---- a run ---- */

const frame = { answer: null, loading: false };

const openRun = guard(async (name) => {
  complain(null);
  run = await loadRun(name);
  $('kinds').replaceChildren(chip('all', 'All', run.count));
  const counts = new Uint32Array(KIND_NAMES.length);
  for (const kind of run.kind) counts[kind] += 1;
  KIND_NAMES.forEach((kind, i) => {
    if (counts[i]) $('kinds').append(chip(kind, KINDS[kind].words, counts[i]));
  });
  chosen = -1;
  frame.answer = null;
  $('frame-answer').replaceChildren(make('p', { class: 'muted' },
    'Choose a frame in the list, in the timeline or on the map.'));
  timeline.setRun(run);
  $('timeline').setAttribute('aria-valuemax', String(run.count));
  filter();
  showTab('run');
  timeline.resize();
  map.fit();
});
$('run').onchange = () => openRun($('run').value);

function chip(kind, words, count) {
  const mark = kind === 'all' ? '' : `${KINDS[kind].mark} `;
  return make('button', { type: 'button', 'data-kind': kind, 'aria-pressed': String(kind === 'all'),
    onclick: (event) => {
      for (const other of $('kinds').children) {
        other.setAttribute('aria-pressed', String(other === event.currentTarget));
      }
      filter();
    } }, make('span', { class: `kind-${kind}-mark` }, `${mark}${words} ${count.toLocaleString('en')}`));
}

function filter() {
  const pressed = $('kinds').querySelector('[aria-pressed=true]');
  rows = run.select(pressed.dataset.kind, $('find').value, $('order').value);
  const all = rows.length === run.count;
  map.rows = [...rows].sort((a, b) => run.kind[a] - run.kind[b] || a - b);  // the worst of a spot is drawn
  timeline.shown = null;
  if (!all) {
    timeline.shown = new Uint8Array(run.count);
    for (const i of rows) timeline.shown[i] = 1;
  }
  $('counted').textContent = all ? `${run.count.toLocaleString('en')} frames, ${run.located.toLocaleString('en')} located`
    : `${rows.length.toLocaleString('en')} of ${run.count.toLocaleString('en')} frames`;
  $('list').scrollTop = Math.max(0, rows.indexOf(chosen) - 2) * ROW;
  drawList();
  noteRun();
  timeline.touch();
  map.touch();
}
$('order').onchange = filter;
$('find').oninput = filter;

function noteRun() {
  if (!run) return;
  const lost = rows.reduce((sum, i) => sum + Number.isNaN(run.px[i]), 0);
  note(lost ? `${lost.toLocaleString('en')} frames were not located and are not on the map: where they were is not known.` : '');
}

/** Keep in the list only the rows that are visible. */
function drawList() {
  const list = $('frames');
  const box = $('list');
  if (!run || box.clientHeight === 0) return;
  const first = Math.max(0, Math.floor(box.scrollTop / ROW) - 3);
  const last = Math.min(rows.length, first + Math.ceil(box.clientHeight / ROW) + 6);
  list.style.setProperty('padding-top', `${first * ROW}px`);
  list.style.setProperty('padding-bottom', `${(rows.length - last) * ROW}px`);
  list.replaceChildren(...rows.slice(first, last).map((i, k) => {
    const { mark, words } = KINDS[run.kindName(i)];
    const sure = run.sureness(i);
    return make('li', { role: 'option', id: `frame-${i}`, 'data-frame': i,
      'aria-selected': String(i === chosen), 'aria-setsize': rows.length,
      'aria-posinset': first + k + 1 },
    make('span', { class: `kind-${run.kindName(i)}`, title: words }, `${mark} ${words}`),
    make('span', { class: 'name muted', title: run.name[i] }, run.name[i]),
    make('span', { class: 'number' }, sure.toFixed(2)));
  }));
  list.setAttribute('aria-activedescendant', rows.slice(first, last).includes(chosen) ? `frame-${chosen}` : '');
}
$('list').onscroll = drawList;
$('frames').onclick = (event) => {
  const row = event.target.closest('[data-frame]');
  if (row) chooseFrame(Number(row.dataset.frame));
};

function step(by) {
  if (!rows.length) return;
  const at = rows.indexOf(chosen);
  const next = at < 0 ? (by > 0 ? 0 : rows.length - 1) : Math.min(rows.length - 1, Math.max(0, at + by));
  chooseFrame(rows[next]);
}
const KEYS = { ArrowDown: 1, ArrowUp: -1, PageDown: 20, PageUp: -20, Home: -Infinity, End: Infinity };
$('frames').onkeydown = (event) => {
  if (!(event.key in KEYS)) return;
  event.preventDefault();
  step(KEYS[event.key]);
};
$('timeline').onkeydown = (event) => {
  const by = { ArrowRight: 1, ArrowLeft: -1, ...KEYS, ArrowUp: 1, ArrowDown: -1, PageUp: 20, PageDown: -20 };
  if (!(event.key in by)) return;
  event.preventDefault();
  step(by[event.key]);
};
$('previous').onclick = () => step(-1);
$('next').onclick = () => step(1);

function chooseFrame(i) {
  if (!run || i < 0) return;
  if ($('panel-run').hidden) showTab('run');
  chosen = i;
  timeline.frame = i;
  timeline.touch();
  map.candidate = null;
  const list = $('list');
  const at = rows.indexOf(i);
  const top = at * ROW;
  if (at >= 0 && (top < list.scrollTop || top + ROW > list.scrollTop + list.clientHeight)) {
    list.scrollTop = Math.max(0, top - list.clientHeight / 2);
  }
  drawList();
  const words = KINDS[run.kindName(i)].words;
  const stamped = run.stamp[i] !== null && run.stamp[0] !== null;
  $('when').textContent = `Frame ${(i + 1).toLocaleString('en')} of ${run.count.toLocaleString('en')}${
    stamped ? `, ${((run.stamp[i] - run.stamp[0]) / 1e9).toFixed(1)} s` : ''}`;
  $('timeline').setAttribute('aria-valuenow', String(i + 1));
  $('timeline').setAttribute('aria-valuetext', `frame ${i + 1}: ${words}, ${run.sureness(i).toFixed(2)}`);
  if (!playing) $('said').textContent = `Frame ${i + 1}: ${words}`;
  loadFrame();
}

/** Load the chosen frame; while one is on its way only the newest choice waits. */
const loadFrame = guard(async () => {
  if (frame.loading) return;
  frame.loading = true;
  try {
    for (let i = -1; i !== chosen;) {
      i = chosen;
      const told = await run.detail(i);
      const known = !Number.isNaN(run.tx[i]);
      frame.answer = understand(told, places, {
        kind: run.kindName(i), error: run.error[i], name: run.name[i],
        truth: known ? { x: run.tx[i], y: run.ty[i] } : null });
      map.answer = frame.answer;
      showAnswer($('frame-answer'), frame.answer, places, {
        query: run.picture(i), onCandidate: lookAt,
        queryWords: run.image[i] ? ABSENT : 'no image' });
      map.touch(true);
      map.show(run.px[i], run.py[i]);
      const address = new URL(location.href);
      address.hash = `frame=${i + 1}${EMBEDDED ? '' : `&run=${encodeURIComponent(run.title)}`}`;
      if (!playing) history.replaceState(null, '', address);
    }
  } finally { frame.loading = false; }
});

/* ---- playback ---- */

let playing = 0;
function pause() {
  clearTimeout(playing);
  playing = 0;
  $('play').textContent = 'Play';
  $('play').setAttribute('aria-pressed', 'false');
}
function tick() {
  const at = rows.indexOf(chosen);
  if (at === rows.length - 1 || !rows.length) { pause(); return; }
  playing = setTimeout(tick, 1000 / Number($('speed').value));
  chooseFrame(rows[at + 1]);
}
$('play').onclick = () => {
  if (playing) { pause(); return; }
  if (rows.indexOf(chosen) === rows.length - 1) chosen = -1;
  $('play').textContent = 'Pause';
  $('play').setAttribute('aria-pressed', 'true');
  tick();
};

/* ---- places, sessions, coverage ---- */

function cover() {
  const reach = Number($('reach').value);
  const found = map.cover(reach);
  if (map.coverage) map.coverage.shown = $('coverage').checked && !$('panel-places').hidden;
  const parts = [];
  if (found) {
    parts.push(`${Math.round(found.area).toLocaleString('en')} m\u00b2 are within ${reach} m of a place`);
    if (found.share !== null) parts.push(`${(100 * found.share).toFixed(0)} % of the map's free area`);
    if (found.twice) parts.push(`${(100 * found.twice).toFixed(0)} % of them seen by several sessions`);
  }
  $('covered').textContent = found ? `${parts.join('; ')}. Straight distances: walls are not looked at.`
    : 'Nothing is covered: no place with a pose is shown.';
  map.touch();
}
$('coverage').onchange = cover;
$('reach').oninput = cover;
$('hypotheses').onchange = () => showTab('places');

const choosePlace = guard(async (row) => {
  showTab('places');
  map.place = row;
  map.touch();
  const session = places.sessions[places.session[row]];
  const told = EMBEDDED ? {} : await request(places.path(row));
  if (map.place !== row) return;
  const list = make('dl');
  const add = (term, text) => list.append(make('dt', {}, term), make('dd', {}, text));
  add('Session', session);
  add('Number', String(places.index[row]));
  if (!Number.isNaN(places.x[row])) {
    add('Position', `${places.x[row].toFixed(2)}, ${places.y[row].toFixed(2)} m${
      Number.isNaN(places.yaw[row]) ? '' : `, yaw ${degrees(places.yaw[row])}`}`);
  }
  if (told.floor) add('Floor', told.floor);
  if (told.vertex_id !== null && told.vertex_id !== undefined) add('Vertex', String(told.vertex_id));
  const address = EMBEDDED || told.image ? places.image(row, 640) : null;
  $('place').replaceChildren(captioned(picture(address, `Place ${places.name[row]}`,
    ABSENT), places.name[row]), list);
});

function showSessions(told) {
  $('sessions').replaceChildren(...told.sessions.map((session, i) => {
    const swatch = make('span', { class: 'swatch', 'aria-hidden': 'true' });
    swatch.style.background = told.sessions.length > 1 ? SESSION_COLOURS[i % SESSION_COLOURS.length]
      : 'var(--place)';
    const box = make('input', { type: 'checkbox', checked: true, onchange: (event) => {
      map.hidden[event.target.checked ? 'delete' : 'add'](i);
      cover();
    } });
    return make('li', {}, make('label', {}, box, swatch,
      `${session.name} (${session.count.toLocaleString('en')} places)`));
  }));
  const list = $('memory');
  for (const [term, value] of [['Memory', told.memory], ['Frame', told.frame_id],
    ['Encoder', told.encoder], ['Revision', told.revision]]) {
    if (value) list.append(make('dt', {}, term), make('dd', {}, String(value)));
  }
}

function showNumbers(report) {
  $('numbers').replaceChildren(make('tbody', {}, ...report.summary.map(([name, value, text]) => make(
    'tr', {}, make('th', { scope: 'row' }, name), make('td', { class: 'value' }, value),
    make('td', { class: 'note' }, text || '')))));
  $('notes').replaceChildren(...report.notes.map((text) => make('p', {}, text)));
  $('figures').replaceChildren(...report.figures.map(({ caption, image }) => make('figure', {},
    make('img', { alt: caption, src: image, loading: 'lazy' }), make('figcaption', {}, caption))));
}

/* ---- start ---- */

guard(async () => {
  const [told, columns] = await loadMap();
  places = columns;
  map.places = places;
  const { report } = EMBEDDED || {};
  const file = String(told.memory).split('/').pop();
  $('title').textContent = report ? report.title : file;
  document.title = report ? report.title : `${file} \u00b7 placememory`;
  $('subtitle').textContent = `${places.count.toLocaleString('en')} places in ${
    told.sessions.length === 1 ? 'one session' : `${told.sessions.length} sessions`}${
    report ? ` of ${file}` : ''}`;
  showSessions(told);
  $('options').elements.session.append(...places.sessions.map((name) => make('option', { value: name }, name)));
  if (told.image) {
    const image = new Image();
    image.onload = () => { map.setGround(image, told.image); cover(); };
    image.src = EMBEDDED ? EMBEDDED.images['api/map/image'] : String(addressOf(told.image.url, { token }));
  }
  const runs = EMBEDDED ? [{ name: EMBEDDED.run.name }] : await request('api/runs');
  $('run').replaceChildren(...runs.map(({ name }) => make('option', { value: name }, name)));
  $('run-field').hidden = runs.length < 2;
  for (const [name, there] of [['photo', !EMBEDDED], ['live', !EMBEDDED], ['run', runs.length],
    ['numbers', Boolean(report)]]) $(`tab-${name}`).hidden = !there;
  $('show-hypotheses').hidden = !runs.length;
  if (report) showNumbers(report);
  cover();
  showTab(EMBEDDED ? 'run' : 'photo');
  const wanted = new URLSearchParams(location.hash.slice(1));
  const name = wanted.get('run') || (runs[0] && runs[0].name);
  if (EMBEDDED || (wanted.has('frame') && name)) {
    if (runs.some((other) => other.name === name)) $('run').value = name;
    await openRun(name);
    if (wanted.has('frame')) chooseFrame(Number(wanted.get('frame')) - 1);
    else if (run.count) chooseFrame(run.select('all', '', 'worst')[0]);
  }
  map.fit();
  document.documentElement.dataset.ready = 'yes';
})();
