// What one can do in a meeting: microphone, camera, screen, chat, leave.
import type { LocalParticipant, Room } from 'livekit-client';
import type { LocalDevices } from '../devices/localDevices';
import type { DeviceExplanation, DeviceKind } from '../errors/deviceError';
import { explainDevice, explainScreenFailure } from '../meeting/publish';
import { useParticipantState } from '../tile/useParticipantState';
import { ControlButton } from './ControlButton';
import './controls.css';

interface Props {
  room: Room;
  devices: LocalDevices;
  chatOpen: boolean;
  unread: number;
  onToggleChat: () => void;
  onProblem: (problem: DeviceExplanation | undefined) => void;
}

export function ControlBar({ room, devices, chatOpen, unread, onToggleChat, onProblem }: Props) {
  const local = room.localParticipant;
  const { isMicrophoneOn, isCameraOn, isScreenShared, canPublish } = useParticipantState(local);
  const switchDevice = async (kind: DeviceKind, on: boolean) => {
    onProblem(undefined);
    try {
      await setDevice(local, kind, on);
      devices.remember(kind, on);
    } catch (error) {
      onProblem(explainDevice(kind, error));
    }
  };
  const switchScreen = async (on: boolean) => {
    onProblem(undefined);
    // Sound of the shared tab too, where the browser offers it.
    await local
      .setScreenShareEnabled(on, { audio: true })
      .catch((error: unknown) => onProblem(explainScreenFailure(error)));
  };

  return (
    <nav className="controls" aria-label="Meeting controls">
      {canPublish && (
        <>
          <ControlButton
            testId="control-mic"
            icon={isMicrophoneOn ? 'mic' : 'mic-off'}
            label="Microphone"
            state={isMicrophoneOn ? 'on' : 'off'}
            onPress={() => switchDevice('microphone', !isMicrophoneOn)}
          />
          <ControlButton
            testId="control-camera"
            icon={isCameraOn ? 'camera' : 'camera-off'}
            label="Camera"
            state={isCameraOn ? 'on' : 'off'}
            onPress={() => switchDevice('camera', !isCameraOn)}
          />
          {canShareScreen() && (
            <ControlButton
              testId="control-screen"
              icon="screen"
              label="Share screen"
              state={isScreenShared ? 'active' : 'idle'}
              onPress={() => switchScreen(!isScreenShared)}
            />
          )}
        </>
      )}
      <ControlButton
        testId="control-chat"
        icon="chat"
        label="Chat"
        state={chatOpen ? 'active' : 'idle'}
        badge={unread}
        onPress={onToggleChat}
      />
      <ControlButton testId="control-leave" icon="leave" label="Leave" state="leave" onPress={() => room.disconnect()} />
    </nav>
  );
}

function setDevice(local: LocalParticipant, kind: DeviceKind, on: boolean) {
  return kind === 'camera' ? local.setCameraEnabled(on) : local.setMicrophoneEnabled(on);
}

/** Phones have no getDisplayMedia, nor do pages not served securely. */
function canShareScreen(): boolean {
  const media = navigator.mediaDevices as MediaDevices | undefined;
  return typeof media?.getDisplayMedia === 'function';
}
