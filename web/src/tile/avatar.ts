// The stand-in for a camera that is off: initials on a colour of one's own. Pure.

/** First letters of the first and the last word, or the first one of a single word. */
export function initials(name: string): string {
  const words = name.split(/[\s_-]+/).filter((word) => /[\p{L}\p{N}]/u.test(word));
  const letters = [words[0], words.length > 1 ? words.at(-1) : undefined].map(firstLetter);
  return letters.join('').toLocaleUpperCase() || '?';
}

function firstLetter(word: string | undefined): string {
  return word?.match(/[\p{L}\p{N}]/u)?.[0] ?? '';
}

/** A hue in degrees, the same for the same identity on every screen. */
export function avatarHue(identity: string): number {
  let hash = 0;
  for (let i = 0; i < identity.length; i++) hash = (hash * 31 + identity.charCodeAt(i)) >>> 0;
  return hash % 360;
}
