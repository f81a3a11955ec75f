import { TrackEvent } from 'livekit-client';
import { describe, expect, it } from 'vitest';
import { LocalDevices, type Capture, type CaptureRequest } from './localDevices';

/** What the store uses of a local track. */
class Track {
  stopped = false;
  private readonly handlers = new Map<string, () => void>();
  on(event: string, handler: () => void) {
    this.handlers.set(event, handler);
  }
  off(event: string) {
    this.handlers.delete(event);
  }
  emit(event: string) {
    this.handlers.get(event)?.();
  }
  stop() {
    this.stopped = true;
  }
}

/** A browser whose user answers when the test says so. */
class Browser {
  readonly asked: { request: CaptureRequest; grant: () => Track[]; refuse: (name: string) => void }[] = [];

  readonly capture = ((request: CaptureRequest) =>
    new Promise((resolve, reject) => {
      const grant = () => {
        const tracks = Object.keys(request).map((kind) => [kind, new Track()] as const);
        resolve(Object.fromEntries(tracks));
        return tracks.map(([, track]) => track);
      };
      const refuse = (name: string) => reject(new DOMException('', name));
      this.asked.push({ request, grant, refuse });
    })) as unknown as Capture;

  devices() {
    return new LocalDevices(this.capture, () => ({ hasMediaDevices: true, isSecure: true }));
  }
}

const settle = () => new Promise((resolve) => setTimeout(resolve));

describe('LocalDevices', () => {
  it('asks for camera and microphone in one prompt', async () => {
    const browser = new Browser();
    const devices = browser.devices();
    devices.start();
    devices.start();
    await settle();
    expect(browser.asked.map(({ request }) => Object.keys(request))).toEqual([['camera', 'microphone']]);
    expect(devices.getState().camera.status).toBe('asking');
    browser.asked[0]!.grant();
    await settle();
    expect(devices.getState().camera.status).toBe('ready');
    expect(devices.getState().microphone.status).toBe('ready');
  });

  it('asks one by one after a joint refusal, and tells whose it was', async () => {
    const browser = new Browser();
    const devices = browser.devices();
    devices.start();
    await settle();
    browser.asked[0]!.refuse('NotFoundError');
    await settle();
    browser.asked[1]!.refuse('NotFoundError');
    await settle();
    browser.asked[2]!.grant();
    await settle();
    const { camera, microphone } = devices.getState();
    expect([camera.status, camera.failure?.kind]).toEqual(['failed', 'not-found']);
    expect([microphone.status, microphone.failure]).toEqual(['ready', undefined]);
  });

  it('stops a track that arrives after the wish for it has gone', async () => {
    const browser = new Browser();
    const devices = browser.devices();
    devices.start();
    await settle();
    devices.setWanted('camera', false);
    const [camera, microphone] = browser.asked[0]!.grant();
    await settle();
    expect(camera!.stopped).toBe(true);
    expect(devices.getState().camera).toMatchObject({ wanted: false, status: 'idle' });
    expect(microphone!.stopped).toBe(false);
  });

  it('frees a camera before it asks for another one', async () => {
    const browser = new Browser();
    const devices = browser.devices();
    devices.start();
    await settle();
    const [camera] = browser.asked[0]!.grant();
    await settle();
    devices.choose('camera', 'second');
    expect(camera!.stopped).toBe(true);
    await settle();
    expect(browser.asked[1]!.request).toEqual({ camera: { deviceId: 'second' } });
  });

  it('hands a track over once the browser answers, and does not stop it later', async () => {
    const browser = new Browser();
    const devices = browser.devices();
    devices.start();
    await settle();
    const taken = devices.take('microphone');
    const [, microphone] = browser.asked[0]!.grant();
    expect(await taken).toBe(microphone);
    devices.release();
    expect(microphone!.stopped).toBe(false);
    expect(devices.getState().microphone).toMatchObject({ wanted: true, status: 'idle' });
  });

  it('hands over nothing where nothing was got', async () => {
    const browser = new Browser();
    const devices = browser.devices();
    expect(await devices.take('camera')).toBeUndefined();
    devices.setWanted('camera', false);
    devices.setWanted('camera', true);
    const taken = devices.take('camera');
    await settle();
    browser.asked[0]!.refuse('NotAllowedError');
    expect(await taken).toBeUndefined();
  });

  it('says so when a device is unplugged, and asks again on retry', async () => {
    const browser = new Browser();
    const devices = browser.devices();
    devices.start();
    await settle();
    const [camera] = browser.asked[0]!.grant();
    await settle();
    camera!.emit(TrackEvent.Ended);
    expect(devices.getState().camera).toMatchObject({ status: 'failed', failure: { kind: 'not-found' } });
    devices.retry();
    await settle();
    expect(Object.keys(browser.asked[1]!.request)).toEqual(['camera']);
  });
});
