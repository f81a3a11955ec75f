import { describe, expect, it } from 'vitest';
import { makeIdentity, parseKnownIdentity, randomSuffix, slug } from './identity';

describe('slug', () => {
  it('keeps ASCII letters and digits, without accents', () => {
    expect(slug('Zoë Müller 2')).toBe('zoe-muller-2');
  });
  it('falls back to guest when nothing of the name is ASCII', () => {
    expect(slug('李小龍')).toBe('guest');
    expect(slug('  !!  ')).toBe('guest');
  });
  it('is bounded and neither starts nor ends with a dash', () => {
    const long = slug('a'.repeat(23) + ' b'.repeat(40));
    expect(long).toBe('a'.repeat(23));
  });
});

describe('identity', () => {
  it('is the name and the suffix', () => {
    expect(makeIdentity('Ada', '00ff7e')).toBe('ada-00ff7e');
  });
  it('has six hexadecimal digits of randomness', () => {
    const suffixes = new Set(Array.from({ length: 50 }, randomSuffix));
    for (const suffix of suffixes) expect(suffix).toMatch(/^[0-9a-f]{6}$/);
    expect(suffixes.size).toBeGreaterThan(45);
  });
  it('is read back from storage, and only if it is well formed', () => {
    expect(parseKnownIdentity('{"name":"Ada","identity":"ada-1"}')).toEqual({
      name: 'Ada',
      identity: 'ada-1',
    });
    for (const bad of [null, '', 'null', '{', '{"name":1,"identity":"x"}', '[]']) {
      expect(parseKnownIdentity(bad)).toBeUndefined();
    }
  });
});
