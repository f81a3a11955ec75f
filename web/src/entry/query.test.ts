import { describe, expect, it } from 'vitest';
import { addressInRoom, hideToken, inviteLink, readPrefill, signallingUrl } from './query';

describe('readPrefill', () => {
  it('reads room and name from the query, decoded and trimmed', () => {
    expect(readPrefill('http://host/?room=studio%201&name=%20Ada+L%20')).toEqual({
      room: 'studio 1',
      name: 'Ada L',
      token: '',
    });
  });
  it('reads a token from the query or the fragment, the fragment first', () => {
    expect(readPrefill('http://host/?token=q').token).toBe('q');
    expect(readPrefill('http://host/#token=f').token).toBe('f');
    expect(readPrefill('http://host/?token=q#token=f').token).toBe('f');
  });
  it('ignores what is longer than the field it would fill', () => {
    const long = 'x'.repeat(9000);
    expect(readPrefill(`http://host/?room=${long}&name=${long}&token=${long}`)).toEqual({
      room: '',
      name: '',
      token: '',
    });
  });
  it('survives broken escapes', () => {
    expect(readPrefill('http://host/?room=%E0%A4%A&name=a').name).toBe('a');
  });
});

describe('hideToken', () => {
  it('moves a token from the query into the fragment', () => {
    expect(hideToken('http://host/?room=r&token=abc')).toBe('http://host/?room=r#token=abc');
  });
  it('leaves an address without one alone', () => {
    expect(hideToken('http://host/?room=r#x')).toBe('http://host/?room=r#x');
  });
});

describe('addresses', () => {
  it('invites to the room without token or name', () => {
    expect(inviteLink('http://host:7880/?name=Ada&room=old#token=t', 'a b')).toBe(
      'http://host:7880/?room=a+b',
    );
  });
  it('keeps a fragment when the room is written into the address', () => {
    expect(addressInRoom('http://host/?name=Ada#token=t', 'r')).toBe(
      'http://host/?name=Ada&room=r#token=t',
    );
  });
  it('uses wss exactly where the page is https', () => {
    expect(signallingUrl('http://localhost:7880/?room=r')).toBe('ws://localhost:7880');
    expect(signallingUrl('https://meet.example/x')).toBe('wss://meet.example');
    expect(signallingUrl('http://[::1]:7880/')).toBe('ws://[::1]:7880');
  });
});
