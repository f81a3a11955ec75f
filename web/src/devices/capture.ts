// Asks the browser for devices (getUserMedia) by way of the SDK, which also keeps the constraints
// for later restarts of a track.
import {
  createLocalTracks,
  LocalAudioTrack,
  LocalVideoTrack,
  VideoPresets,
  type AudioCaptureOptions,
  type VideoCaptureOptions,
} from 'livekit-client';
import type { PageContext } from '../errors/deviceError';
import { LocalDevices, type CaptureRequest } from './localDevices';

export function pageContext(): PageContext {
  return {
    hasMediaDevices: typeof navigator.mediaDevices?.getUserMedia === 'function',
    isSecure: window.isSecureContext,
  };
}

export function videoCapture(deviceId: string | undefined): VideoCaptureOptions {
  return { resolution: VideoPresets.h720.resolution, ...(deviceId && { deviceId }) };
}

export function audioCapture(deviceId: string | undefined): AudioCaptureOptions {
  return { ...(deviceId && { deviceId }) };
}

async function captureTracks(request: CaptureRequest) {
  if (!pageContext().hasMediaDevices) throw new Error('navigator.mediaDevices is missing');
  const tracks = await createLocalTracks({
    video: request.camera ? videoCapture(request.camera.deviceId) : false,
    audio: request.microphone ? audioCapture(request.microphone.deviceId) : false,
  });
  const camera = tracks.find((track) => track instanceof LocalVideoTrack);
  const microphone = tracks.find((track) => track instanceof LocalAudioTrack);
  return { camera, microphone };
}

export function createLocalDevices(): LocalDevices {
  return new LocalDevices(captureTracks, pageContext);
}
