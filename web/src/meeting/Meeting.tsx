// The meeting: a header, the stage, the chat beside it and the controls below; sound for all of it.
import { RoomAudioRenderer, RoomContext } from '@livekit/components-react';
import type { Room } from 'livekit-client';
import { memo, useEffect, useState } from 'react';
import { ChatPanel } from '../chat/ChatPanel';
import { useChatLog } from '../chat/useChatLog';
import { ControlBar } from '../controls/ControlBar';
import type { LocalDevices } from '../devices/localDevices';
import type { DeviceExplanation } from '../errors/deviceError';
import { DeviceNotice } from '../errors/DeviceNotice';
import { useParticipantState } from '../tile/useParticipantState';
import { AudioBlockedBanner, ReconnectingBanner } from './Banners';
import { Header } from './Header';
import { explainPublishFailure, publishChosenDevices } from './publish';
import { Stage } from './Stage';
import './meeting.css';

interface Props {
  room: Room;
  devices: LocalDevices;
  /** As entered; the server's own name for the room counts where this is empty. */
  roomName: string;
}

export function Meeting({ room, ...props }: Props) {
  return (
    <RoomContext.Provider value={room}>
      <Sound />
      <MeetingView room={room} {...props} />
    </RoomContext.Provider>
  );
}

// By itself, because it tells the server about its subscriptions each time it renders.
const Sound = memo(function Sound() {
  return <RoomAudioRenderer />;
});

function MeetingView({ room, devices, roomName }: Props) {
  const [chatOpen, setChatOpen] = useState(false);
  const [problem, setProblem] = useState<DeviceExplanation>();
  const log = useChatLog();
  const unread = useUnread(log.messages.filter(({ from }) => !from?.isLocal).length, chatOpen);
  const { canPublishData } = useParticipantState(room.localParticipant);

  useEffect(() => {
    publishChosenDevices(room, devices).catch((error: unknown) => setProblem(explainPublishFailure(error)));
  }, [room, devices]);

  return (
    <div className="meeting" data-chat={chatOpen ? 'open' : 'closed'}>
      <Header roomName={roomName || room.name} />
      <div className="meeting-banners">
        <ReconnectingBanner />
        <AudioBlockedBanner room={room} />
        {problem && (
          <DeviceNotice testId="meeting-error" explanation={problem} onDismiss={() => setProblem(undefined)} />
        )}
      </div>
      <main className="meeting-stage">
        <Stage />
      </main>
      {chatOpen && <ChatPanel log={log} canSend={canPublishData} onClose={() => setChatOpen(false)} />}
      <ControlBar
        room={room}
        devices={devices}
        chatOpen={chatOpen}
        unread={unread}
        onToggleChat={() => setChatOpen((open) => !open)}
        onProblem={setProblem}
      />
    </div>
  );
}

/** How many of `received` messages came since the chat was last open. */
function useUnread(received: number, open: boolean): number {
  const [seen, setSeen] = useState(received);
  useEffect(() => {
    if (open) setSeen(received);
  }, [open, received]);
  return open ? 0 : Math.max(0, received - seen);
}
