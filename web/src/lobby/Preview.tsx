// What the others will see and hear: the camera's picture, the microphone's level, and their switches.
import { useEffect, useRef } from 'react';
import type { LocalVideoTrack } from 'livekit-client';
import type { DevicesState, DeviceState, LocalDevices } from '../devices/localDevices';
import type { DeviceKind } from '../errors/deviceError';
import { MicLevel } from '../devices/MicLevel';
import { Icon } from '../ui/Icon';

interface Props {
  devices: LocalDevices;
  state: DevicesState;
}

export function Preview({ devices, state }: Props) {
  const { camera, microphone } = state;
  return (
    <div className="preview" data-camera={camera.status}>
      {camera.track ? <PreviewVideo track={camera.track} /> : <p>{withoutPicture(camera)}</p>}
      <div className="preview-bar">
        {microphone.track && <MicLevel track={microphone.track} />}
        <Toggle
          testId="toggle-mic"
          label="Microphone"
          device={microphone}
          icons={['mic', 'mic-off']}
          onToggle={() => toggle(devices, 'microphone', microphone)}
        />
        <Toggle
          testId="toggle-camera"
          label="Camera"
          device={camera}
          icons={['camera', 'camera-off']}
          onToggle={() => toggle(devices, 'camera', camera)}
        />
      </div>
    </div>
  );
}

/** What failed looks switched off, so pressing it asks again. */
function toggle(devices: LocalDevices, kind: DeviceKind, { wanted, status }: { wanted: boolean; status: string }) {
  if (status === 'failed') devices.retry();
  else devices.setWanted(kind, !wanted);
}

function PreviewVideo({ track }: { track: LocalVideoTrack }) {
  const video = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    const element = video.current;
    if (!element) return;
    track.attach(element);
    return () => {
      track.detach(element);
    };
  }, [track]);
  return <video ref={video} data-testid="preview-video" aria-label="Your camera" muted playsInline autoPlay />;
}

interface ToggleProps {
  testId: string;
  label: string;
  device: DeviceState<'camera'> | DeviceState<'microphone'>;
  icons: ['mic', 'mic-off'] | ['camera', 'camera-off'];
  onToggle: () => void;
}

function Toggle({ testId, label, device, icons, onToggle }: ToggleProps) {
  const on = device.wanted && device.status !== 'failed';
  return (
    <button
      type="button"
      className="round-button"
      data-testid={testId}
      data-status={device.status}
      aria-label={label}
      aria-pressed={on}
      title={`${label} ${on ? 'on' : 'off'}`}
      onClick={onToggle}
    >
      <Icon name={on ? icons[0] : icons[1]} size={22} />
    </button>
  );
}

function withoutPicture(camera: DeviceState<'camera'>): string {
  if (!camera.wanted) return 'Your camera is off';
  switch (camera.status) {
    case 'asking':
      return 'Asking the browser for your camera…';
    case 'failed':
      return 'No picture from your camera';
    default:
      return 'Your camera is starting…';
  }
}
