// From an entry to a connected Room: the token, then the connection.
import { Room, type RoomOptions } from 'livekit-client';
import { audioCapture, videoCapture } from '../devices/capture';
import type { LocalDevices } from '../devices/localDevices';
import { identityFor } from '../entry/identity';
import { signallingUrl } from '../entry/query';
import { fetchToken, type AccessToken } from '../entry/token';
import { JoinFailure } from '../errors/connectionError';
import type { Entry } from '../lobby/Lobby';

/** Connects; rejects with JoinFailure or the SDK's ConnectionError. Aborting closes what was opened. */
export async function joinMeeting(
  entry: Entry,
  devices: LocalDevices,
  speakerId: string | undefined,
  signal: AbortSignal,
): Promise<Room> {
  const access = await accessFor(entry, signal);
  const room = new Room(roomOptions(devices, speakerId));
  const abort = () => void room.disconnect();
  signal.addEventListener('abort', abort);
  try {
    if (signal.aborted) throw new JoinFailure('cancelled');
    await room.connect(access.url, access.token);
    return room;
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

async function accessFor(entry: Entry, signal: AbortSignal): Promise<AccessToken> {
  if (entry.token) return { token: entry.token, url: signallingUrl(location.href) };
  const identity = await identityFor(entry.name);
  return fetchToken({ room: entry.room, identity, name: entry.name }, signal);
}

function roomOptions(devices: LocalDevices, speakerId: string | undefined): RoomOptions {
  const { camera, microphone } = devices.getState();
  return {
    // Ask for the size a tile has, and send only the layers somebody watches.
    adaptiveStream: true,
    dynacast: true,
    videoCaptureDefaults: videoCapture(camera.deviceId),
    audioCaptureDefaults: audioCapture(microphone.deviceId),
    ...(speakerId && { audioOutput: { deviceId: speakerId } }),
  };
}
