// Runs the plan of a network: the layers are functions of the WebAssembly module, the plan says which of them in which
// order, on which places of its memory.

// Returns { run, bytes }: run takes an image (Float32Array, channel by channel) and returns the logits, which are
// overwritten by the next run; bytes says how much memory the engine has.
export async function createEngine(wasm, plan, weights) {
  const none = () => 0; // what the C++ library would write to a file
  const files = { fd_close: none, fd_seek: none, fd_write: none };
  const { instance } = await WebAssembly.instantiate(wasm, { wasi_snapshot_preview1: files });
  const { memory, malloc, _initialize, ...functions } = instance.exports;
  _initialize();
  const reserve = (bytes) => {
    const place = malloc(bytes) >>> 0;
    if (!place) throw new Error(`there is no memory for the network: it needs ${Math.round(bytes / 1e6)} MB`);
    return place;
  };
  const starts = { w: reserve(weights.byteLength), a: reserve(4 * plan.arena) };
  new Uint8Array(memory.buffer).set(weights, starts.w);
  const address = (name) => starts[name[0]] + 4 * Number(name.slice(1));
  const whole = (value) => (typeof value === 'string' ? address(value) : value);
  const list = (values) => {
    const place = reserve(4 * values.length);
    new Uint32Array(memory.buffer).set(values.map(whole), place / 4);
    return place;
  };
  const argument = (value) => (value === null ? 0 : Array.isArray(value) ? list(value) : whole(value));
  const steps = plan.steps.map(([name, ...values]) => [functions[name], values.map(argument)]);
  const length = ({ channels, size }) => channels * size[0] * size[1] * size[2];
  return {
    run(image) {
      new Float32Array(memory.buffer).set(image, address(plan.image.at) / 4);
      for (const [step, values] of steps) step(...values);
      return new Float32Array(memory.buffer, address(plan.logits.at), length(plan.logits));
    },
    bytes: () => memory.buffer.byteLength,
  };
}
