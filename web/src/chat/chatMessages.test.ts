import { describe, expect, it } from 'vitest';
import {
  decodeChatMessage,
  MAX_SHOWN_LENGTH,
  MAX_SHOWN_MESSAGES,
  randomUuid,
  shownMessages,
  timeOfDay,
} from './chatMessages';

const encode = (value: unknown) =>
  new TextEncoder().encode(typeof value === 'string' ? value : JSON.stringify(value));

describe('decodeChatMessage', () => {
  it('reads id, time and text', () => {
    expect(decodeChatMessage(encode({ id: 'a', timestamp: 5, message: 'hi 🎻' }))).toEqual({
      id: 'a',
      timestamp: 5,
      message: 'hi 🎻',
    });
  });
  it('never throws, whatever arrives', () => {
    const inputs = ['', '{', 'null', '[]', '5', { id: 1, timestamp: 'x', message: {} }, { timestamp: null }];
    for (const input of [...inputs.map(encode), new Uint8Array([0xff, 0xfe, 0x00])]) {
      const { id, timestamp, message } = decodeChatMessage(input);
      expect(id).not.toBe('');
      expect(Number.isFinite(timestamp)).toBe(true);
      expect(message).toBe('');
    }
  });
  it('numbers messages without an id apart', () => {
    expect(decodeChatMessage(encode('{}')).id).not.toBe(decodeChatMessage(encode('{}')).id);
  });
  it('bounds text and id', () => {
    const { id, message } = decodeChatMessage(
      encode({ id: 'i'.repeat(9999), message: 'm'.repeat(MAX_SHOWN_LENGTH + 1) }),
    );
    expect(id).toHaveLength(64);
    expect(message).toHaveLength(MAX_SHOWN_LENGTH);
  });
});

describe('shownMessages', () => {
  const message = (text: string, index = 0) => ({ id: `${index}`, timestamp: index, message: text });

  it('leaves out what has no text', () => {
    expect(shownMessages([message('a'), message(' '), message('')])).toEqual([message('a')]);
  });
  it('keeps the latest up to the bound', () => {
    const all = Array.from({ length: MAX_SHOWN_MESSAGES + 5 }, (_, index) => message('x', index));
    const shown = shownMessages(all);
    expect(shown).toHaveLength(MAX_SHOWN_MESSAGES);
    expect(shown.at(-1)!.timestamp).toBe(MAX_SHOWN_MESSAGES + 4);
  });
});

describe('timeOfDay', () => {
  it('is empty for a time no calendar has', () => {
    expect(timeOfDay(1e300)).toBe('');
    expect(timeOfDay(0)).not.toBe('');
  });
});

describe('randomUuid', () => {
  it('is version 4, variant 10', () => {
    for (let i = 0; i < 50; i++) {
      expect(randomUuid()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    }
  });
});
