// Which of the page's views is shown, and what leads from one to the next:
// lobby -> connecting -> meeting -> goodbye, with the connection error beside them.
import { type DisconnectReason, RoomEvent, type Room } from 'livekit-client';
import { useCallback, useEffect, useRef, useState } from 'react';
import { createLocalDevices } from './devices/capture';
import { rememberedName } from './entry/identity';
import { addressInRoom, readPrefill } from './entry/query';
import { serverHandsOutTokens } from './entry/token';
import { explainJoinFailure, explainLeave, type FailureExplanation } from './errors/connectionError';
import { Connecting, ConnectionErrorView, Goodbye } from './views';
import { Lobby, type Entry } from './lobby/Lobby';
import { joinMeeting } from './meeting/join';
import { Meeting } from './meeting/Meeting';

declare global {
  interface Window {
    /** A debugging aid: the SDK's Room while a meeting is on, for its tracks and statistics. */
    __sfumato?: { room: Room };
  }
}

type View =
  | { at: 'lobby' }
  | { at: 'connecting' }
  | { at: 'meeting'; room: Room }
  | { at: 'failed'; failure: FailureExplanation }
  | { at: 'goodbye'; reason: DisconnectReason | undefined };

const devices = createLocalDevices();

function firstEntry(): Entry {
  const { name, room, token } = readPrefill(location.href);
  return { name: name || rememberedName(), room, token };
}

export function App() {
  const [view, setView] = useState<View>({ at: 'lobby' });
  const [entry, setEntry] = useState(firstEntry);
  const [needsToken, setNeedsToken] = useTokenNeed(entry.token !== '');
  const [speakerId, setSpeakerId] = useState<string>();
  const attempt = useRef<AbortController>(undefined);

  const join = useCallback(
    async (wanted: Entry) => {
      const abort = new AbortController();
      attempt.current = abort;
      setEntry(wanted);
      setView({ at: 'connecting' });
      try {
        const room = await joinMeeting(wanted, devices, speakerId, abort.signal);
        room.once(RoomEvent.Disconnected, (reason) => {
          delete window.__sfumato;
          setView({ at: 'goodbye', reason });
        });
        window.__sfumato = { room };
        if (wanted.room) history.replaceState(null, '', addressInRoom(location.href, wanted.room));
        setView({ at: 'meeting', room });
      } catch (error) {
        if (abort.signal.aborted) return;
        const failure = explainJoinFailure(error);
        if (failure.kind === 'no-token-service') setNeedsToken(true);
        setView({ at: 'failed', failure });
      }
    },
    [setNeedsToken, speakerId],
  );

  const toLobby = useCallback(() => {
    attempt.current?.abort();
    setView({ at: 'lobby' });
  }, []);

  switch (view.at) {
    case 'lobby':
      return (
        <Lobby
          initial={entry}
          needsToken={needsToken}
          devices={devices}
          speakerId={speakerId}
          onSpeaker={setSpeakerId}
          onJoin={join}
        />
      );
    case 'connecting':
      return <Connecting room={entry.room} onCancel={toLobby} />;
    case 'meeting':
      return <Meeting room={view.room} devices={devices} roomName={entry.room} />;
    case 'failed':
      return <ConnectionErrorView failure={view.failure} onRetry={() => void join(entry)} onBack={toLobby} />;
    case 'goodbye':
      return (
        <Goodbye
          explanation={explainLeave(view.reason)}
          onRejoin={() => {
            devices.start();
            void join(entry);
          }}
          onLobby={toLobby}
        />
      );
  }
}

/** Whether the lobby asks for a token: one came with the address, or the server hands out none. */
function useTokenNeed(given: boolean) {
  const [needsToken, setNeedsToken] = useState(given);
  useEffect(() => {
    if (given) return;
    const abort = new AbortController();
    void serverHandsOutTokens(abort.signal).then((doesSo) => {
      if (!abort.signal.aborted && !doesSo) setNeedsToken(true);
    });
    return () => abort.abort();
  }, []);
  return [needsToken, setNeedsToken] as const;
}
