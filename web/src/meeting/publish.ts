// Brings the devices chosen in the lobby into the room, and explains why one is not to be had there.
import { ConnectionState, type Room, Track } from 'livekit-client';
import { pageContext } from '../devices/capture';
import { DEVICE_KINDS, type LocalDevices } from '../devices/localDevices';
import {
  classifyDeviceError,
  explainDeviceFailure,
  type DeviceExplanation,
  type DeviceKind,
} from '../errors/deviceError';

export const SOURCE_OF = {
  camera: Track.Source.Camera,
  microphone: Track.Source.Microphone,
} as const satisfies Record<DeviceKind, Track.Source>;

/** Publishing failed for this device. */
export class PublishFailure extends Error {
  readonly device: DeviceKind;

  constructor(device: DeviceKind, cause: unknown) {
    super('publishing failed', { cause });
    this.device = device;
  }
}

/** Publishes what the lobby holds, or will hold once the browser has answered. Tries both devices,
 *  then rejects with the first PublishFailure. */
export async function publishChosenDevices(room: Room, devices: LocalDevices): Promise<void> {
  const results = await Promise.allSettled(DEVICE_KINDS.map((kind) => publish(room, devices, kind)));
  const refused = results.find((result) => result.status === 'rejected');
  if (refused) throw refused.reason;
}

async function publish(room: Room, devices: LocalDevices, kind: DeviceKind): Promise<void> {
  const track = await devices.take(kind);
  if (track === undefined) return;
  if (!hasUseFor(room, kind)) {
    track.stop();
    return;
  }
  try {
    await room.localParticipant.publishTrack(track);
  } catch (error) {
    track.stop();
    throw new PublishFailure(kind, error);
  }
}

/** Not if the user has left meanwhile, may not publish, or has switched the device on by the controls. */
function hasUseFor({ state, localParticipant }: Room, kind: DeviceKind): boolean {
  return (
    state !== ConnectionState.Disconnected &&
    localParticipant.permissions?.canPublish !== false &&
    localParticipant.getTrackPublication(SOURCE_OF[kind]) === undefined
  );
}

export function explainPublishFailure(error: unknown): DeviceExplanation {
  if (error instanceof PublishFailure) return explainDevice(error.device, error.cause);
  return explainDevice('camera', error);
}

export function explainDevice(device: DeviceKind, error: unknown): DeviceExplanation {
  return explainDeviceFailure(classifyDeviceError(error, pageContext()), [device]);
}

/** Undefined for a refusal that was the user's own choice: closing the browser's screen picker. */
export function explainScreenFailure(error: unknown): DeviceExplanation | undefined {
  const { kind, detail } = classifyDeviceError(error, pageContext());
  if (kind === 'denied' && !/system/i.test(detail)) return undefined;
  const advice =
    kind === 'denied'
      ? 'Allow screen recording for this browser in the system’s privacy settings, then try again.'
      : `Please try again.${detail && ` Reason given: ${detail}`}`;
  return { kind, devices: [], title: 'Your screen cannot be shared', advice };
}
