// onnxruntime-web as the engine of a page in node, for a comparison; see trial.mjs. installed: the folder in which npm
// installed the package; file: the network as ONNX.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

export async function createEngine(model, installed, file) {
  const runtime = createRequire(path.resolve(installed, 'package.json'))('onnxruntime-web');
  runtime.env.wasm.numThreads = 1;
  const session = await runtime.InferenceSession.create(fs.readFileSync(file), { executionProviders: ['wasm'] });
  const shape = [1, model.channels, ...model.roi.slice(0, model.dims)];
  return {
    async run(window) {
      const { pred } = await session.run({ image: new runtime.Tensor('float32', window, shape) });
      return pred.data;
    },
  };
}
