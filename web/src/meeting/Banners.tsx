// What the user must know while the meeting goes on: the connection is being restored, or the
// browser keeps the sound back until they click.
import { useAudioPlayback, useConnectionState } from '@livekit/components-react';
import { ConnectionState, type Room } from 'livekit-client';
import { Icon } from '../ui/Icon';

export function ReconnectingBanner() {
  const state = useConnectionState();
  const lost = state === ConnectionState.Reconnecting || state === ConnectionState.SignalReconnecting;
  return (
    <div role="status">
      {lost && (
        <div className="banner" data-testid="reconnecting">
          <span className="spinner spinner-small" aria-hidden="true" />
          The connection was interrupted. Reconnecting…
        </div>
      )}
    </div>
  );
}

export function AudioBlockedBanner({ room }: { room: Room }) {
  const { canPlayAudio, startAudio } = useAudioPlayback(room);
  if (canPlayAudio) return null;
  return (
    <div className="banner" role="status">
      <Icon name="speaker" />
      The browser keeps the sound back.
      <button type="button" className="button button-primary" onClick={() => void startAudio()}>
        Turn sound on
      </button>
    </div>
  );
}
