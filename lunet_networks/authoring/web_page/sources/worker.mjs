// What runs beside the page: a worker leads and reads, prepares and adds up; the others each run the network on windows.
import { gzip } from './bytes.mjs';
import { createEngine } from './engine.mjs';
import { FileError } from './errors.mjs';
import { caseName, readImage } from './images.mjs';
import { writeNifti } from './nifti.mjs';
import { labelImage } from './pipeline.mjs';
import { writePng } from './png.mjs';

// The label map as a file: { name, bytes, type }.
export async function labelFile(image, labels, names, model) {
  const name = `${caseName(names)}_seg`;
  if (image.picture) return { name: `${name}.png`, bytes: await writePng(image, labels, model.white), type: 'image/png' };
  return { name: `${name}.nii.gz`, bytes: await gzip(writeNifti(image, labels, model.extension)), type: 'application/gzip' };
}

function reason(error) {
  if (error instanceof FileError) return { refused: error.message };
  if (error instanceof RangeError || error instanceof WebAssembly.RuntimeError)
    return { failed: `there is not enough memory for this image (${error.message})` };
  return { failed: error.message };
}

// A function from a window to a promise of its logits, computed by the worker at the other end of a port.
function remoteEngine(port) {
  const waiting = [];
  port.onmessage = ({ data }) => {
    const { resolve, reject } = waiting.shift();
    if (data.failed) reject(new Error(data.failed));
    else resolve(data.logits);
  };
  return (window) => new Promise((resolve, reject) => {
    waiting.push({ resolve, reject });
    port.postMessage(window, [window.buffer]);
  });
}

async function serve({ wasm, plan, weights, port }) {
  const ready = createEngine(wasm, plan, weights);
  port.onmessage = async ({ data }) => {
    try {
      const logits = (await ready).run(data).slice();
      port.postMessage({ logits }, [logits.buffer]);
    } catch (error) {
      port.postMessage(reason(error));
    }
  };
}

async function lead({ files, model, ports }) {
  try {
    const began = performance.now(), image = await readImage(files, model), names = files.map(({ name }) => name);
    postMessage({ image });
    const found = await labelImage(image, model, ports.map(remoteEngine), (share) => postMessage({ share }));
    const file = await labelFile(image, found.labels, names, model);
    postMessage({ done: { ...found, file, seconds: (performance.now() - began) / 1000 } });
  } catch (error) {
    postMessage(reason(error));
  }
}

if (typeof WorkerGlobalScope !== 'undefined') onmessage = ({ data }) => (data.port ? serve(data) : lead(data));
