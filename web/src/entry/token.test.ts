import { describe, expect, it } from 'vitest';
import { JoinFailure } from '../errors/connectionError';
import { readClaims, readTokenResponse } from './token';

const PAGE = 'http://localhost:7880/?room=r';

function jwt(claims: unknown): string {
  const part = (value: unknown) =>
    btoa(String.fromCharCode(...new TextEncoder().encode(JSON.stringify(value))))
      .replace(/\+/g, '-')
      .replace(/\//g, '_')
      .replace(/=+$/, '');
  return `${part({ alg: 'HS256' })}.${part(claims)}.signature`;
}

describe('readTokenResponse', () => {
  it('uses the address of the answer', () => {
    expect(readTokenResponse('{"token":"t","url":"wss://media.example"}', PAGE)).toEqual({
      token: 't',
      url: 'wss://media.example',
    });
  });
  it('uses the address of the page where the answer has none or no websocket address', () => {
    for (const body of ['{"token":"t"}', '{"token":"t","url":""}', '{"token":"t","url":"javascript:x"}']) {
      expect(readTokenResponse(body, PAGE).url).toBe('ws://localhost:7880');
    }
  });
  it('refuses an answer without a token', () => {
    for (const body of ['', 'null', '[]', '{"token":5}', '{"token":""}', '<html>']) {
      expect(() => readTokenResponse(body, PAGE), body).toThrow(JoinFailure);
    }
  });
});

describe('readClaims', () => {
  it('reads room, identity, name and expiry', () => {
    const token = jwt({ sub: 'ada-1', name: 'Adá 🎻', exp: 17, video: { room: 'r', roomJoin: true } });
    expect(readClaims(` ${token}\n`)).toEqual({
      room: 'r',
      identity: 'ada-1',
      name: 'Adá 🎻',
      expires: 17,
    });
  });
  it('leaves out what is not there', () => {
    expect(readClaims(jwt({}))).toEqual({ room: '', identity: '', name: '' });
  });
  it('says undefined to what is no token', () => {
    for (const bad of ['', 'abc', 'a.b', 'a.%%%.c', 'a.bnVsbA.c', 'a.b.c.d']) {
      expect(readClaims(bad), bad).toBeUndefined();
    }
  });
});
