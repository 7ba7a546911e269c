// The page: files come in, workers label them, the view shows them, labels are saved.
import { fromBase64, gunzip } from './bytes.mjs';
import { createView } from './view.mjs';

const MOST_ENGINES = 4;
const $ = (id) => document.getElementById(id);
const text = (id) => $(id).textContent;
const model = JSON.parse(text('model'));
const content = Promise.all(['engine', 'plan', 'weights'].map((id) => gunzip(fromBase64(text(id)))));
const source = URL.createObjectURL(new Blob([text('library'), text('worker')], { type: 'text/javascript' }));
const view = createView($('view'), model.labels.map(({ colour }) => colour));
let workers = [], names = '', saved = null, began = 0, round = 0;

function say(words, kind = '') {
  $('state').textContent = words;
  $('state').className = kind;
}

function stop() {
  for (const worker of workers) worker.terminate();
  workers = [];
  $('cancel').hidden = $('bar').hidden = true;
}

function duration(seconds) {
  const whole = Math.max(1, Math.round(seconds));
  return whole < 90 ? `${whole} s` : `${Math.round(whole / 60)} min`;
}

async function label(files) {
  stop();
  const own = ++round;
  names = files.map((file) => file.name).join(', ');
  saved = null;
  view.clear();
  $('legend').replaceChildren();
  $('note').textContent = '';
  $('save').disabled = true;
  $('tools').hidden = true;
  document.body.dataset.state = 'busy';
  say(`Reading ${names} …`);
  try {
    const read = await Promise.all(files.map(async (file) => ({ name: file.name, bytes: new Uint8Array(await file.arrayBuffer()) })));
    const [wasm, plan, weights] = await content;
    if (own !== round) return;
    start(read, wasm, JSON.parse(new TextDecoder().decode(plan)), weights);
  } catch (error) {
    fail(`${names} cannot be read: ${error.message}`);
  }
}

function start(files, wasm, plan, weights) {
  const count = Math.max(1, Math.min(MOST_ENGINES, (navigator.hardwareConcurrency || 2) - 1)), ports = [];
  for (let k = 0; k < count; k++) {
    const { port1, port2 } = new MessageChannel(), worker = new Worker(source);
    worker.onerror = (event) => fail(`${names}: ${event.message}`);
    worker.postMessage({ wasm, plan, weights, port: port1 }, [port1]);
    workers.push(worker);
    ports.push(port2);
  }
  const leader = new Worker(source);
  workers.push(leader);
  leader.onmessage = ({ data }) => receive(data);
  leader.onerror = (event) => fail(`${names}: ${event.message}`);
  leader.postMessage({ files, model, ports }, [...ports, ...files.map(({ bytes }) => bytes.buffer)]);
  began = performance.now();
  $('bar').value = 0;
  $('cancel').hidden = $('bar').hidden = false;
}

function receive(data) {
  if (data.image) {
    const range = view.show(data.image, model.dims === 2);
    setWindow(range);
    $('tools').hidden = false;
    $('drop').classList.add('small');
    began = performance.now();
    say(`Labelling ${names} …`);
  } else if (data.share !== undefined) {
    $('bar').value = data.share;
    const seconds = (performance.now() - began) / 1000;
    if (seconds > 1) say(`Labelling ${names} … about ${duration((seconds * (1 - data.share)) / data.share)} left`);
  } else if (data.done) finish(data.done);
  else fail(data.refused ? `${names} ${data.refused}` : `${names} could not be labelled: ${data.failed}`);
}

function fail(words) {
  stop();
  document.body.dataset.state = 'failed';
  say(words, 'bad');
}

function finish(done) {
  stop();
  saved = done.file;
  view.overlay(done.labels);
  $('save').disabled = false;
  $('legend').replaceChildren(...model.labels.map((each, k) => row(each, k + 1, done)));
  $('note').textContent = `${model.note} Computed here in ${done.seconds.toFixed(1)} s on ${done.size.slice(0, model.dims).join(' x ')} ${model.dims === 3 ? 'voxels' : 'pixels'}.`;
  document.body.dataset.state = 'done';
  say(`${names} is labelled.`);
}

function row({ name, colour }, label, { counts, millilitres }) {
  const made = document.createElement('tr'), box = document.createElement('input'), patch = document.createElement('i');
  box.type = 'checkbox';
  box.checked = true;
  box.onchange = () => view.hide(label, !box.checked);
  patch.style.background = `rgb(${colour})`;
  const title = document.createElement('label');
  title.append(box, patch, name);
  const size = model.dims === 3 ? `${millilitres[label].toFixed(2)} mL` : `${counts[label]} pixels`;
  for (const part of [title, size]) made.insertCell().append(part);
  return made;
}

function setWindow({ least, greatest, low, high }) {
  const step = (greatest - least) / 500 || 1;
  for (const [id, value] of [['low', low], ['high', high]]) Object.assign($(id), { min: least, max: greatest, step, value });
}

function save() {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([saved.bytes], { type: saved.type }));
  link.download = saved.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

$('save').onclick = save;
$('cancel').onclick = () => {
  round++;
  stop();
  document.body.dataset.state = 'cancelled';
  say(`${names}: cancelled.`);
};
$('file').onchange = () => {
  if ($('file').files.length) label([...$('file').files]);
  $('file').value = '';
};
for (const type of ['dragover', 'drop'])
  addEventListener(type, (event) => {
    event.preventDefault();
    if (type === 'drop' && event.dataTransfer.files.length) label([...event.dataTransfer.files]);
  });
$('opacity').oninput = () => view.set({ opacity: +$('opacity').value });
for (const id of ['low', 'high']) $(id).oninput = () => view.set({ low: +$('low').value, high: Math.max(+$('high').value, +$('low').value + 1e-6) });
document.body.dataset.state = 'ready';
