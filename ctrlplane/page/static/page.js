'use strict';
// The page draws what came with the document, so that it is whole as soon as it is there, and then each point that /api/events sends. Text goes into
// the document as text only.
const keep = 600, colours = 8;
let points = [], stages = [];
const el = id => document.getElementById(id);
const svg = (name, attributes) => {
  const e = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const k in attributes) e.setAttribute(k, attributes[k]);
  return e;
};
const make = (name, cls, text) => {
  const e = document.createElement(name);
  if (cls) e.className = cls;
  if (text !== undefined) e.textContent = text;
  return e;
};
const scaled = (n, units, step = 1000) => {
  let u = 0;
  while (n >= step * 0.99995 && u < units.length - 1) { n /= step; u++; }
  return (u === 0 || n >= 100 ? n.toFixed(!Number.isInteger(n) && n < 10 && u === 0 ? 1 : 0) : n.toFixed(1)) + units[u];
};
const bits = n => scaled(Math.round(n), [' bit/s', ' kbit/s', ' Mbit/s', ' Gbit/s', ' Tbit/s']);
const size = n => scaled(n, [' B', ' kB', ' MB', ' GB', ' TB', ' PB']);
const count = n => scaled(n, ['', ' k', ' M', ' G']);
const percent = n => (100 * n).toFixed(n > 0 && n < 0.9995 ? 1 : 0) + ' %';
const age = s => s < 60 ? Math.round(s) + ' s' : s < 3600 ? Math.floor(s / 60) + ' min' : s < 86400 ? Math.floor(s / 3600) + ' h ' + Math.floor(s % 3600 / 60) + ' min' : Math.floor(s / 86400) + ' d';
const sum = list => list.reduce((a, b) => a + b, 0);
const shareOf = p => { const e = p.sealed + p.opened; return e + p.clear > 0 ? e / (e + p.clear) : null; };

// chart draws lines over the last ten minutes. Series are [name, f(point)]; f gives null where there is nothing to draw.
function chart(id, series, format, top) {
  const now = points.length ? points[points.length - 1].t : Date.now(), from = now - keep * 1000;
  let most = top || 0;
  const lines = series.map(([name, f]) => [name, points.map(p => [p.t, f(p)])]);
  if (!top) for (const [, l] of lines) for (const [, v] of l) most = Math.max(most, v || 0);
  if (!(most > 0)) most = 1;
  const w = 600, h = 150, s = svg('svg', { viewBox: `0 0 ${w} ${h}`, preserveAspectRatio: 'none', role: 'img', 'aria-label': series.map(x => x[0]).join(', ') });
  for (const y of [0, h / 2, h]) s.append(svg('line', { x1: 0, x2: w, y1: y, y2: y, class: 'grid' }));
  const legend = make('div', 'legend');
  lines.forEach(([name, l], i) => {
    let d = '', gap = true, last = null;
    for (const [t, v] of l) {
      if (v === null) { gap = true; continue; }
      d += (gap || (last !== null && t - last > 5000) ? 'M' : 'L') + ((t - from) / (keep * 1000) * w).toFixed(1) + ' ' + (h - Math.min(v / most, 1) * h).toFixed(1);
      gap = false; last = t;
    }
    s.append(svg('path', { d, class: 'line c' + i % colours }));
    const latest = l.length ? l[l.length - 1][1] : null, item = make('span');
    item.append(make('i', 'b' + i % colours), name + ' ' + (latest === null ? '–' : format(latest)));
    legend.append(item);
  });
  const axis = make('div', 'axis'), plot = make('div', 'plot'), times = make('div', 'times');
  for (const v of [most, most / 2, 0]) axis.append(make('span', '', format(v)));
  plot.append(axis, s);
  times.append(make('span', '', '10 min ago'), make('span', '', '5 min'), make('span', '', 'now'));
  el(id).replaceChildren(plot, times, legend);
}

// bars draws named numbers, the largest one full.
function bars(id, list, format, none) {
  const most = Math.max(1e-9, ...list.map(x => x[1]));
  const rows = list.map(([name, v], i) => {
    const row = make('div', 'bar'), track = make('div', 'track'), s = svg('svg', { viewBox: '0 0 100 10', preserveAspectRatio: 'none' });
    s.append(svg('rect', { x: 0, y: 0, width: 100 * v / most, height: 10, class: 'b' + i % colours }));
    track.append(s);
    const label = make('span', '', name);
    label.title = name;
    row.append(label, track, make('b', '', format(v)));
    return row;
  });
  el(id).replaceChildren(...(rows.length ? rows : [make('p', 'none', none)]));
}

function draw() {
  const p = points[points.length - 1];
  if (!p) return;
  const workers = p.workers.map((w, i) => (w.core >= 0 ? 'core ' + w.core : 'worker ' + i));
  const share = shareOf(p);
  el('share').textContent = share === null ? 'idle' : percent(share);
  el('rate').textContent = bits(p.sealed + p.opened);
  el('now').textContent = count(p.encrypted);
  el('clear').textContent = count(p.in_clear);
  el('lost').textContent = count(sum(p.workers.map(w => w.lost)));
  chart('throughput', workers.map((name, i) => [name, q => q.workers[i] ? q.workers[i].bps : null]), bits);
  chart('busy', workers.map((name, i) => [name, q => q.workers[i] ? q.workers[i].busy : null]), percent, 1);
  chart('shares', [['encrypted', shareOf]], percent, 1);
  chart('handshakes', [['encrypted', q => q.handshakes], ['in the clear', q => q.plain], ['refused', q => q.refused], ['aborted', q => q.aborted]], n => count(n) + '/s');
  const recent = points.slice(-10), cycles = stages.map((name, s) => {
    const seen = recent.flatMap(q => q.workers.map(w => w.cycles[s])).filter(c => c > 0);
    return [name, seen.length ? sum(seen) / seen.length : 0];
  });
  bars('stages', cycles, n => Math.round(n).toString(), '');
  const drops = {};
  for (const q of points.slice(-60)) for (const d in q.drops || {}) drops[d] = (drops[d] || 0) + q.drops[d];
  bars('drops', Object.entries(drops).sort((a, b) => b[1] - a[1]).slice(0, 12), n => count(n) + '/min', 'none in the last minute');
}

const columns = {
  encrypted: [['Client', c => c.client], ['Server', c => c.server], ['Cipher', c => c.aead], ['Data', c => size(c.sealed.bytes + c.opened.bytes)], ['Age', c => age(c.age_s)], ['Idle', c => age(c.idle_s)], ['Keys', c => c.sealed.generation + '/' + c.opened.generation], ['Rule', c => c.rule], ['Far end', c => c.auth === 'none' ? '' : c.auth], ['Session ID', c => c.session_id.slice(0, 16)]],
  plain: [['Client', c => c.client], ['Server', c => c.server], ['Reason', c => c.because || c.reason || ''], ['Policy', c => c.verdict], ['Rule', c => c.rule], ['Age', c => age(c.age_s)], ['Idle', c => age(c.idle_s)]],
  refused: [['Client', c => c.client], ['Server', c => c.server], ['Reason', c => c.because || c.reason || ''], ['Policy', c => c.verdict], ['Rule', c => c.rule], ['Refused', c => age(c.age_s) + ' ago']],
};
const chosen = () => document.querySelector('input[name=state]:checked').value;
function fill(state, found) {
  const head = make('tr');
  for (const [name] of columns[state]) head.append(make('th', '', name));
  el('head').replaceChildren(head);
  el('rows').replaceChildren(...found.rows.map(c => {
    const row = make('tr');
    for (const [name, f] of columns[state]) row.append(make('td', name === 'Session ID' ? 'id' : '', f(c)));
    return row;
  }));
  const some = state === 'refused' ? ' latest' : ' with most data', reasons = Object.entries(found.reasons || {}).sort((a, b) => b[1] - a[1]);
  el('matches').textContent = found.matches + ' of ' + found.total + (found.rows.length < found.matches ? ', the ' + found.rows.length + some : '') +
    (reasons.length ? ': ' + reasons.map(([name, n]) => n + ' ' + name).join(', ') : '');
}

let asked = 0;
async function list() {
  const state = chosen(), turn = ++asked;
  try {
    const answer = await fetch('api/connections?state=' + state + '&q=' + encodeURIComponent(el('q').value.trim()));
    if (!answer.ok) throw new Error(await answer.text());
    const found = await answer.json();
    if (turn === asked) fill(state, found);
  } catch (e) {
    if (turn === asked) el('matches').textContent = e.message;
  }
}

function say(text, bad) { el('link').textContent = text; el('link').className = bad ? 'bad' : ''; }

function start() {
  const begin = JSON.parse(el('begin').textContent), about = begin.about;
  stages = about.stages;
  el('name').textContent = about.name;
  document.title = 'Linecrypt ' + about.name;
  el('about').textContent = about.inside + ' (inside) ↔ ' + about.outside + ' (outside), policy ' + about.policy;
  points = begin.history || [];
  draw();
  if (points.length) say('as of ' + new Date(points[points.length - 1].t).toLocaleTimeString());
  const wanted = location.hash.slice(1); // an address ending in #refused shows those
  for (const r of document.querySelectorAll('input[name=state]')) if (r.value === wanted) r.checked = true;
  if (begin.connections && chosen() === 'encrypted') fill('encrypted', begin.connections); else list();
  const events = new EventSource('api/events');
  events.onopen = () => say(about.ready ? 'live' : 'the data plane is not ready: no packet passes', !about.ready);
  events.onerror = () => say('the control plane does not answer; trying again', true);
  events.onmessage = e => {
    points.push(JSON.parse(e.data));
    points = points.slice(-keep);
    draw();
  };
}
let typing;
el('q').addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(list, 200); });
for (const r of document.querySelectorAll('input[name=state]')) r.addEventListener('change', () => { history.replaceState(null, '', '#' + chosen()); list(); });
el('search').addEventListener('submit', e => { e.preventDefault(); list(); });
setInterval(() => { if (!document.hidden) list(); }, 5000);
start();
