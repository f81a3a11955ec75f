import { describe, expect, it } from 'vitest';
import { checkName, checkRoom, MAX_NAME_LENGTH, MAX_ROOM_LENGTH } from './validation';

describe('checkName', () => {
  it('trims and joins runs of spaces', () => {
    expect(checkName('  Ada   Lovelace ')).toEqual({ ok: true, value: 'Ada Lovelace' });
  });
  it('keeps letters of every script', () => {
    for (const name of ['Łukasz', '李小龍', 'نور', 'Zoë 🎻']) {
      expect(checkName(name)).toEqual({ ok: true, value: name });
    }
  });
  it('asks for a name when there is none', () => {
    for (const empty of ['', '   ', '\t']) {
      expect(checkName(empty)).toEqual({ ok: false, reason: 'Please enter your name.' });
    }
  });
  it('accepts the longest name and refuses one more character', () => {
    expect(checkName('a'.repeat(MAX_NAME_LENGTH)).ok).toBe(true);
    expect(checkName('a'.repeat(MAX_NAME_LENGTH + 1)).ok).toBe(false);
  });
  it('refuses control characters and text that reorders what follows it', () => {
    for (const bad of ['a\u0000b', 'a\nb', 'a\u202eb', 'a\u200bb', 'a\u2066b']) {
      expect(checkName(bad).ok, JSON.stringify(bad)).toBe(false);
    }
  });
});

describe('checkRoom', () => {
  it('asks for a room when there is none', () => {
    expect(checkRoom(' ')).toEqual({ ok: false, reason: 'Please enter a room.' });
  });
  it('accepts the longest room and refuses one more character', () => {
    expect(checkRoom('r'.repeat(MAX_ROOM_LENGTH)).ok).toBe(true);
    expect(checkRoom('r'.repeat(MAX_ROOM_LENGTH + 1)).ok).toBe(false);
  });
});
