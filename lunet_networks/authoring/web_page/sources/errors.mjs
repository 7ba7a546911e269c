// What is wrong with a file, in words for the person who chose it.
export class FileError extends Error {}

export function refuse(message) {
  throw new FileError(message);
}
