import { describe, expect, it } from 'vitest';
import { avatarHue, initials } from './avatar';

describe('initials', () => {
  it.each([
    ['Ada Lovelace', 'AL'],
    ['ada', 'A'],
    ['Jean Paul Émile', 'JÉ'],
    ['李 小龍', '李小'],
    ['(guest) 7', 'G7'],
    ['ada-00ff7e', 'A0'],
    ['🎻', '?'],
    ['', '?'],
  ])('of %s are %s', (name, expected) => {
    expect(initials(name)).toBe(expected);
  });
});

describe('avatarHue', () => {
  it('is stable, within the circle, and differs between identities', () => {
    const hues = Array.from({ length: 20 }, (_, index) => avatarHue(`guest-${index}`));
    expect(hues).toEqual(Array.from({ length: 20 }, (_, index) => avatarHue(`guest-${index}`)));
    for (const hue of hues) expect(hue >= 0 && hue < 360).toBe(true);
    expect(new Set(hues).size).toBeGreaterThan(15);
  });
});
