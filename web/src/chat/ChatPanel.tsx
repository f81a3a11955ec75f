// The chat: what was said, and a line to write on. Beside the tiles, or over them on a phone.
import type { ReceivedChatMessage } from '@livekit/components-react';
import { useEffect, useRef, useState, type FormEvent } from 'react';
import { Icon } from '../ui/Icon';
import { MAX_WRITTEN_LENGTH, timeOfDay } from './chatMessages';
import type { ChatLog } from './useChatLog';
import './chat.css';

interface Props {
  log: ChatLog;
  canSend: boolean;
  onClose: () => void;
}

export function ChatPanel({ log, canSend, onClose }: Props) {
  return (
    <aside className="chat" aria-label="Chat" data-testid="chat-panel">
      <header className="chat-header">
        <h2>Chat</h2>
        <button type="button" className="icon-button" aria-label="Close chat" onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      <Messages messages={log.messages} />
      {canSend ? <Composer send={log.send} /> : <p className="chat-note">You may read but not write here.</p>}
    </aside>
  );
}

function Messages({ messages }: { messages: ReceivedChatMessage[] }) {
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => {
    // In braces: newer browsers return a promise here, which is no clean-up function.
    end.current?.scrollIntoView({ block: 'end' });
  }, [messages.length]);
  return (
    <div className="chat-messages" role="log" aria-label="Messages" tabIndex={0}>
      {messages.length === 0 && <p className="chat-note">Nothing has been said here yet.</p>}
      {messages.map((message) => (
        <Message key={`${message.from?.identity}/${message.id}`} message={message} />
      ))}
      <div ref={end} />
    </div>
  );
}

function Message({ message }: { message: ReceivedChatMessage }) {
  const { from, timestamp } = message;
  const own = from?.isLocal === true;
  return (
    <article className="chat-message" data-testid="chat-message" data-local={own}>
      <header>
        <strong>{own ? 'You' : from?.name || from?.identity || 'Someone'}</strong>
        <time>{timeOfDay(timestamp)}</time>
      </header>
      <p>{message.message}</p>
    </article>
  );
}

function Composer({ send }: { send: ChatLog['send'] }) {
  const [text, setText] = useState('');
  const [failed, setFailed] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.focus(), []);

  const submit = async (event: FormEvent) => {
    event.preventDefault();
    const message = text.trim();
    if (message === '') return;
    setText('');
    try {
      await send(message);
      setFailed(false);
    } catch {
      setText((written) => written || message);
      setFailed(true);
    }
  };

  return (
    <form className="chat-composer" onSubmit={(event) => void submit(event)}>
      {failed && (
        <p className="field-problem" role="alert">
          Not sent. The connection may be interrupted; try again.
        </p>
      )}
      <input
        ref={input}
        data-testid="chat-input"
        aria-label="Message"
        placeholder="Write a message"
        autoComplete="off"
        maxLength={MAX_WRITTEN_LENGTH}
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
      <button
        type="submit"
        className="icon-button chat-send"
        data-testid="chat-send"
        aria-label="Send"
        disabled={text.trim() === ''}
      >
        <Icon name="send" />
      </button>
    </form>
  );
}
