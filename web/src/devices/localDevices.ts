// The user's own camera and microphone before and between meetings: what is wanted, what was got,
// why something was not. Lives outside React, because a request for a device outlasts the lobby: who
// joins while the browser still asks is heard as soon as they answer.
// Always holds: a track is owned either by this store or by whoever took it, never by both; a track
// that arrives after the wish for it has gone is stopped.
import type { LocalAudioTrack, LocalVideoTrack } from 'livekit-client';
import { TrackEvent } from 'livekit-client';
import { classifyDeviceError, type DeviceFailure, type DeviceKind, type PageContext } from '../errors/deviceError';

export const DEVICE_KINDS = ['camera', 'microphone'] as const satisfies DeviceKind[];

interface TrackOf {
  camera: LocalVideoTrack;
  microphone: LocalAudioTrack;
}

export interface DeviceState<K extends DeviceKind> {
  /** What the user switched on, whether or not it can be had. */
  wanted: boolean;
  status: 'idle' | 'asking' | 'ready' | 'failed';
  /** There is one exactly while status is 'ready'. */
  track?: TrackOf[K] | undefined;
  /** There is one exactly while status is 'failed'. */
  failure?: DeviceFailure | undefined;
  /** Chosen by the user; undefined leaves the choice to the browser. */
  deviceId?: string | undefined;
}

export type DevicesState = { [K in DeviceKind]: DeviceState<K> };

/** Which devices to ask for in one prompt, each with the chosen id if there is one. */
export type CaptureRequest = Partial<Record<DeviceKind, { deviceId?: string | undefined }>>;
export type Capture = (request: CaptureRequest) => Promise<Partial<TrackOf>>;

export class LocalDevices {
  private state: DevicesState = {
    camera: { wanted: true, status: 'idle' },
    microphone: { wanted: true, status: 'idle' },
  };
  private readonly listeners = new Set<() => void>();
  /** The latest request for each device; an answer to an older one is stale. */
  private readonly requests: Partial<Record<DeviceKind, Promise<void>>> = {};
  private readonly capture: Capture;
  private readonly context: () => PageContext;

  constructor(capture: Capture, context: () => PageContext) {
    this.capture = capture;
    this.context = context;
  }

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  readonly getState = (): DevicesState => this.state;

  /** Asks for everything wanted that is not there yet, in a single prompt where possible. */
  start(): void {
    const missing = DEVICE_KINDS.filter(
      (kind) => this.state[kind].wanted && this.state[kind].status === 'idle',
    );
    this.ask(missing);
  }

  /** Asks again for what failed. */
  retry(): void {
    this.ask(DEVICE_KINDS.filter((kind) => this.state[kind].wanted && this.state[kind].status === 'failed'));
  }

  setWanted(kind: DeviceKind, wanted: boolean): void {
    if (this.state[kind].wanted === wanted) return;
    this.patch(kind, { wanted });
    if (wanted) this.ask([kind]);
    else this.drop(kind);
  }

  choose(kind: DeviceKind, deviceId: string): void {
    this.patch(kind, { deviceId });
    if (!this.state[kind].wanted) return;
    // Some systems lend a camera once: let go of the old one before asking for the new one.
    this.drop(kind);
    this.ask([kind]);
  }

  /** Hands the track over once the browser has answered; undefined if there is none to have. */
  async take<K extends DeviceKind>(kind: K): Promise<TrackOf[K] | undefined> {
    for (let waited; waited !== this.requests[kind]; ) {
      waited = this.requests[kind];
      await waited;
    }
    const { track } = this.state[kind];
    delete this.requests[kind];
    track?.off(TrackEvent.Ended, this.onEnded[kind]);
    this.patch(kind, { status: 'idle', track: undefined, failure: undefined } as Partial<DeviceState<K>>);
    return track as TrackOf[K] | undefined;
  }

  /** Remembers how a device was left in the meeting, without touching it. */
  remember(kind: DeviceKind, wanted: boolean): void {
    this.patch(kind, { wanted });
  }

  /** Lets go of everything; wishes and choices stay. */
  release(): void {
    for (const kind of DEVICE_KINDS) this.drop(kind);
  }

  private ask(kinds: DeviceKind[]): void {
    if (kinds.length === 0) return;
    const request: Promise<void> = this.acquire(kinds, () => request);
    for (const kind of kinds) {
      this.requests[kind] = request;
      this.patch(kind, { status: 'asking', failure: undefined });
    }
  }

  private async acquire(kinds: DeviceKind[], self: () => Promise<void>): Promise<void> {
    // Let ask() record the request first: only then can an answer be told from a stale one.
    await Promise.resolve();
    try {
      const tracks = await this.capture(this.requestFor(kinds));
      for (const kind of kinds) this.accept(kind, tracks[kind], self());
    } catch (error) {
      if (kinds.length === 1) this.refuse(kinds[0]!, error, self());
      // A joint refusal does not say whose it is: ask for each alone.
      else for (const kind of kinds) await this.acquireAlone(kind, self());
    }
  }

  private async acquireAlone(kind: DeviceKind, request: Promise<void>): Promise<void> {
    if (this.requests[kind] !== request) return;
    try {
      const tracks = await this.capture(this.requestFor([kind]));
      this.accept(kind, tracks[kind], request);
    } catch (error) {
      this.refuse(kind, error, request);
    }
  }

  private requestFor(kinds: DeviceKind[]): CaptureRequest {
    return Object.fromEntries(kinds.map((kind) => [kind, { deviceId: this.state[kind].deviceId }]));
  }

  private accept(kind: DeviceKind, track: TrackOf[DeviceKind] | undefined, request: Promise<void>): void {
    if (this.requests[kind] !== request) {
      track?.stop();
      return;
    }
    if (track === undefined) {
      this.refuse(kind, undefined, request);
      return;
    }
    track.on(TrackEvent.Ended, this.onEnded[kind]);
    this.patch(kind, { status: 'ready', track } as Partial<DeviceState<DeviceKind>>);
  }

  private refuse(kind: DeviceKind, error: unknown, request: Promise<void>): void {
    if (this.requests[kind] !== request) return;
    this.patch(kind, { status: 'failed', failure: classifyDeviceError(error, this.context()) });
  }

  private drop(kind: DeviceKind): void {
    delete this.requests[kind];
    const { track } = this.state[kind];
    track?.off(TrackEvent.Ended, this.onEnded[kind]);
    track?.stop();
    this.patch(kind, { status: 'idle', track: undefined, failure: undefined });
  }

  /** A device that was unplugged, or taken away by the system. */
  private lose(kind: DeviceKind): void {
    this.drop(kind);
    this.patch(kind, { status: 'failed', failure: { kind: 'not-found', detail: '' } });
  }

  private readonly onEnded: Record<DeviceKind, () => void> = {
    camera: () => this.lose('camera'),
    microphone: () => this.lose('microphone'),
  };

  private patch<K extends DeviceKind>(kind: K, change: Partial<DeviceState<K>>): void {
    this.state = { ...this.state, [kind]: { ...this.state[kind], ...change } };
    for (const listener of this.listeners) listener();
  }
}
