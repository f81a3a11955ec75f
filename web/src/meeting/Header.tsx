// The meeting's header: which room, how many are in it, and a link to ask others in.
import { useParticipants } from '@livekit/components-react';
import { useState } from 'react';
import { inviteLink } from '../entry/query';
import { Brand } from '../ui/Brand';
import { Icon } from '../ui/Icon';

/** How long the button says that the link was copied, in milliseconds. */
const COPIED_MS = 2000;

export function Header({ roomName }: { roomName: string }) {
  const count = useParticipants({ updateOnlyOn: [] }).length;
  return (
    <header className="meeting-header">
      <Brand small />
      <h1 className="meeting-room">{roomName}</h1>
      <span className="meeting-count" title={`${count} in the meeting`}>
        <Icon name="people" size={18} />
        <span data-testid="participant-count">{count}</span>
        <span className="visually-hidden">in the meeting</span>
      </span>
      <InviteButton roomName={roomName} />
    </header>
  );
}

/** Left out where the clipboard is out of reach, as on pages not served securely. */
function InviteButton({ roomName }: { roomName: string }) {
  const [copied, setCopied] = useState(false);
  if (!navigator.clipboard || !roomName) return null;
  const copy = async () => {
    await navigator.clipboard.writeText(inviteLink(location.href, roomName));
    setCopied(true);
    setTimeout(() => setCopied(false), COPIED_MS);
  };
  return (
    <button type="button" className="button button-quiet meeting-invite" onClick={() => void copy().catch(() => {})}>
      <Icon name={copied ? 'check' : 'link'} size={18} />
      <span aria-live="polite">{copied ? 'Copied' : 'Copy link'}</span>
    </button>
  );
}
