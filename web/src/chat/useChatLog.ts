// The chat of the room, from the moment of joining: mounted with the meeting, not with the panel,
// because messages are not kept anywhere else.
import { useChat, type ReceivedChatMessage } from '@livekit/components-react';
import { useMemo } from 'react';
import { decodeChatMessage, randomUuid, shownMessages } from './chatMessages';

// Must stay the same object: the hook starts over with an empty log when it changes.
const OPTIONS = { messageDecoder: decodeChatMessage };

if (typeof crypto.randomUUID !== 'function') crypto.randomUUID = randomUuid;

export interface ChatLog {
  messages: ReceivedChatMessage[];
  /** Rejects if the message could not be sent. */
  send: (text: string) => Promise<void>;
}

export function useChatLog(): ChatLog {
  const { chatMessages, send } = useChat(OPTIONS);
  return useMemo(
    () => ({
      messages: shownMessages(chatMessages),
      send: async (text: string) => {
        if (!send) throw new Error('the chat is not ready');
        await send(text);
      },
    }),
    [chatMessages, send],
  );
}
