// Labels images with a page, without a browser: node trial.mjs PAGE JOBS [ENGINE ...]. JOBS is a JSON file: a list of
// { files: [paths], output: folder }; a line of JSON for each tells the file that was written and the seconds of the
// processor that it took, or why there is none. ENGINE is a module that computes logits instead of the page's engine:
// its createEngine takes the model and what follows on the command line.
import fs from 'node:fs';
import path from 'node:path';
import { pathToFileURL } from 'node:url';

const [page, jobs, other, ...settings] = process.argv.slice(2);
const html = fs.readFileSync(page, 'utf8');
const part = (id) => new RegExp(`<script[^>]* id="${id}">([^]*?)</script>`).exec(html)[1];
const names = ['bytes', 'engine', 'images', 'pipeline', 'worker'].map((name) => `${name}_module`);
const [bytes, engine, images, pipeline, worker] = new Function(`${part('library')}\n${part('worker')}\nreturn [${names}];`)();
const packed = (id) => bytes.gunzip(bytes.fromBase64(part(id)));
const model = JSON.parse(part('model')), plan = JSON.parse(new TextDecoder().decode(await packed('plan')));
const network = other
  ? await (await import(pathToFileURL(other))).createEngine(model, ...settings)
  : await engine.createEngine(await packed('engine'), plan, await packed('weights'));
for (const { files, output } of JSON.parse(fs.readFileSync(jobs, 'utf8'))) {
  try {
    const before = process.cpuUsage();
    const read = files.map((file) => ({ name: path.basename(file), bytes: new Uint8Array(fs.readFileSync(file)) }));
    const image = await images.readImage(read, model);
    const found = await pipeline.labelImage(image, model, [async (window) => network.run(window)]);
    const { name, bytes: content } = await worker.labelFile(image, found.labels, read.map((file) => file.name), model);
    fs.writeFileSync(path.join(output, name), content);
    const { user, system } = process.cpuUsage(before);
    console.log(JSON.stringify({ file: path.join(output, name), seconds: (user + system) / 1e6 }));
  } catch (error) {
    console.log(JSON.stringify({ error: error.message, refused: error.constructor.name === 'FileError' }));
  }
}
