// Compressed bytes and bytes of either order.
import { refuse } from './errors.mjs';

async function through(bytes, stream) {
  return new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
}

export const isGzip = (bytes) => bytes[0] === 0x1f && bytes[1] === 0x8b;

// The bytes themselves where they are not compressed.
export async function gunzip(bytes) {
  if (!isGzip(bytes)) return bytes;
  try {
    return await through(bytes, new DecompressionStream('gzip'));
  } catch {
    return refuse('is damaged or cut off: its compressed bytes cannot be read to their end');
  }
}
export const gzip = (bytes) => through(bytes, new CompressionStream('gzip'));
export async function inflate(bytes) {
  try {
    return await through(bytes, new DecompressionStream('deflate'));
  } catch {
    return refuse('is damaged or cut off: its compressed bytes cannot be read to their end');
  }
}
export const deflate = (bytes) => through(bytes, new CompressionStream('deflate'));

const ORDER_IS_LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

// A typed array of values that stand in bytes; numbers of more than 16 bits become float32, as Python has them.
export function values(bytes, offset, count, Type, little) {
  const size = Type.BYTES_PER_ELEMENT;
  if (offset + count * size > bytes.length)
    refuse(`is cut off: its header announces ${count * size} bytes of voxels, ${Math.max(0, bytes.length - offset)} are there`);
  const part = bytes.slice(offset, offset + count * size);
  if (size > 1 && little !== ORDER_IS_LITTLE)
    for (let i = 0; i < part.length; i += size) part.subarray(i, i + size).reverse();
  const read = new Type(part.buffer, 0, count);
  if (size <= 2 || Type === Float32Array) return read;
  const floats = new Float32Array(count);
  for (let i = 0; i < count; i++) floats[i] = Number(read[i]);
  return floats;
}

export const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
