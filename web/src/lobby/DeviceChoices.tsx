// Which camera, microphone and speaker. The speaker only where the browser lets a page choose it.
import { supportsAudioOutputSelection } from 'livekit-client';
import { DeviceSelect } from '../devices/DeviceSelect';
import type { DevicesState, LocalDevices } from '../devices/localDevices';

interface Props {
  devices: LocalDevices;
  state: DevicesState;
  speakerId: string | undefined;
  onSpeaker: (deviceId: string) => void;
}

export function DeviceChoices({ devices, state, speakerId, onSpeaker }: Props) {
  const { camera, microphone } = state;
  const current = (track: { mediaStreamTrack: MediaStreamTrack } | undefined) =>
    track?.mediaStreamTrack.getSettings().deviceId;
  // Labels appear once the browser granted something.
  const granted = `${camera.status} ${microphone.status}`;
  return (
    <section className="device-choices" aria-label="Devices">
      <DeviceSelect
        kind="videoinput"
        label="Camera"
        icon="camera"
        testId="camera-select"
        value={camera.deviceId ?? current(camera.track)}
        refresh={granted}
        onChoose={(deviceId) => devices.choose('camera', deviceId)}
      />
      <DeviceSelect
        kind="audioinput"
        label="Microphone"
        icon="mic"
        testId="mic-select"
        value={microphone.deviceId ?? current(microphone.track)}
        refresh={granted}
        onChoose={(deviceId) => devices.choose('microphone', deviceId)}
      />
      {supportsAudioOutputSelection() && (
        <DeviceSelect
          kind="audiooutput"
          label="Speaker"
          icon="speaker"
          testId="speaker-select"
          value={speakerId}
          refresh={granted}
          onChoose={onSpeaker}
        />
      )}
    </section>
  );
}
