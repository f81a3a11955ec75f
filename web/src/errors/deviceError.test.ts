import { describe, expect, it } from 'vitest';
import { classifyDeviceError, explainDeviceFailure, explainDeviceFailures } from './deviceError';

const SECURE = { hasMediaDevices: true, isSecure: true };

describe('classifyDeviceError', () => {
  it.each([
    ['NotAllowedError', 'denied'],
    ['SecurityError', 'denied'],
    ['NotFoundError', 'not-found'],
    ['OverconstrainedError', 'not-found'],
    ['NotReadableError', 'in-use'],
    ['AbortError', 'in-use'],
    ['TypeError', 'other'],
  ])('%s is %s', (name, kind) => {
    expect(classifyDeviceError(new DOMException('why', name), SECURE)).toEqual({ kind, detail: 'why' });
  });
  it('knows an insecure page by its missing mediaDevices, whatever was thrown', () => {
    const context = { hasMediaDevices: false, isSecure: false };
    expect(classifyDeviceError(new TypeError('x is undefined'), context).kind).toBe('insecure');
    expect(classifyDeviceError(undefined, context).kind).toBe('insecure');
  });
  it('does not blame security where a secure page has no mediaDevices', () => {
    expect(classifyDeviceError(undefined, { hasMediaDevices: false, isSecure: true }).kind).toBe('other');
  });
  it('survives what is no error at all', () => {
    for (const thrown of [undefined, null, 'text', 5, {}]) {
      expect(classifyDeviceError(thrown, SECURE)).toEqual({ kind: 'other', detail: '' });
    }
  });
});

describe('explainDeviceFailures', () => {
  const denied = { kind: 'denied', detail: '' } as const;
  const missing = { kind: 'not-found', detail: '' } as const;

  it('has nothing to say when nothing failed', () => {
    expect(explainDeviceFailures({})).toEqual([]);
  });
  it('tells a shared reason once and names both devices', () => {
    const told = explainDeviceFailures({ camera: denied, microphone: denied });
    expect(told).toHaveLength(1);
    expect(told[0]!.devices).toEqual(['camera', 'microphone']);
    expect(told[0]!.title).toContain('camera and microphone');
  });
  it('tells different reasons apart', () => {
    const told = explainDeviceFailures({ camera: missing, microphone: denied });
    expect(told.map(({ kind, devices }) => [kind, devices])).toEqual([
      ['not-found', ['camera']],
      ['denied', ['microphone']],
    ]);
  });
});

describe('explainDeviceFailure', () => {
  it('says what to do for every reason', () => {
    for (const kind of ['denied', 'not-found', 'in-use', 'insecure', 'other'] as const) {
      const { title, advice } = explainDeviceFailure({ kind, detail: '' }, ['camera']);
      expect(title).toContain('camera');
      expect(advice.length).toBeGreaterThan(20);
    }
  });
  it('points to the system when the system refused', () => {
    const failure = { kind: 'denied', detail: 'Permission denied by system' } as const;
    expect(explainDeviceFailure(failure, ['camera']).advice).toContain('privacy settings');
  });
  it('passes on the words of the browser when it has none of its own', () => {
    const failure = { kind: 'other', detail: 'lens cap on' } as const;
    expect(explainDeviceFailure(failure, ['camera']).advice).toContain('lens cap on');
  });
});
