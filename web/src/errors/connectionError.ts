// Why a meeting could not be joined, and why one ended, in words a user can act on. Pure.
import { ConnectionErrorReason, DisconnectReason } from 'livekit-client';

export type JoinFailureKind =
  | 'no-token-service'
  | 'token-refused'
  | 'unreachable'
  | 'media-blocked'
  | 'timeout'
  | 'unsupported-browser'
  | 'cancelled'
  | 'other';

/** A refusal found by the page itself, before or beside the connection. */
export class JoinFailure extends Error {
  override readonly name = 'JoinFailure';
  readonly kind: JoinFailureKind;

  constructor(kind: JoinFailureKind, detail?: string) {
    super(detail ?? '');
    this.kind = kind;
  }
}

export interface Explanation {
  title: string;
  advice: string;
}

export interface FailureExplanation extends Explanation {
  kind: JoinFailureKind;
  /** The technical reason, for whoever runs the server; may be empty. */
  detail: string;
}

const WORDS: Record<JoinFailureKind, Explanation> = {
  'no-token-service': {
    title: 'This server does not hand out tokens',
    advice: 'Go back and enter an access token from whoever runs the meeting.',
  },
  'token-refused': {
    title: 'The server refused the access token',
    advice: 'It may have expired, belong to another server, or not allow joining this room. Ask for a new one and try again.',
  },
  unreachable: {
    title: 'The server cannot be reached',
    advice: 'Check your network, and that the server is running, then try again.',
  },
  'media-blocked': {
    title: 'Audio and video cannot get through',
    advice: 'The server answered, but its media port did not. A firewall or a VPN may block UDP; another network may work.',
  },
  timeout: {
    title: 'The server took too long to answer',
    advice: 'It may be busy or the network slow. Please try again.',
  },
  'unsupported-browser': {
    title: 'This browser cannot hold a video meeting',
    advice: 'WebRTC is missing or switched off, perhaps by an extension. A current Chrome, Edge, Firefox or Safari will do.',
  },
  cancelled: { title: 'Joining was cancelled', advice: 'Try again whenever you like.' },
  other: { title: 'Joining did not work', advice: 'Please try again. If it keeps failing, the line below helps whoever runs the server.' },
};

export function explainJoinFailure(error: unknown): FailureExplanation {
  const kind = classifyJoinFailure(error);
  const detail = error instanceof Error ? error.message : '';
  return { kind, detail, ...WORDS[kind] };
}

/** What Room.connect rejects with is read by its fields, so that a copy of the class does as well. */
function classifyJoinFailure(error: unknown): JoinFailureKind {
  if (error instanceof JoinFailure) return error.kind;
  const { reason, status, message } = (error ?? {}) as {
    reason?: ConnectionErrorReason;
    status?: number;
    message?: string;
  };
  if (status === 401 || status === 403) return 'token-refused';
  if (/pc connection|peer connection/i.test(message ?? '')) return 'media-blocked';
  if (/webrtc|supported on this browser/i.test(message ?? '')) return 'unsupported-browser';
  switch (reason) {
    case ConnectionErrorReason.NotAllowed:
      return 'token-refused';
    case ConnectionErrorReason.ServerUnreachable:
    case ConnectionErrorReason.WebSocket:
      return 'unreachable';
    case ConnectionErrorReason.Timeout:
      return 'timeout';
    case ConnectionErrorReason.Cancelled:
      return 'cancelled';
    default:
      return 'other';
  }
}

/** Why the meeting ended. Undefined is what the SDK reports after it gave up reconnecting. */
export function explainLeave(reason: DisconnectReason | undefined): Explanation {
  switch (reason) {
    case DisconnectReason.CLIENT_INITIATED:
      return { title: 'You left the meeting', advice: 'The others can carry on without you.' };
    case DisconnectReason.DUPLICATE_IDENTITY:
      return {
        title: 'You joined from somewhere else',
        advice: 'Another tab or device entered with the same identity, so this one was let go.',
      };
    case DisconnectReason.PARTICIPANT_REMOVED:
      return { title: 'You were removed from the meeting', advice: 'Someone with permission to do so asked for it.' };
    case DisconnectReason.ROOM_DELETED:
    case DisconnectReason.ROOM_CLOSED:
      return { title: 'The meeting has ended', advice: 'Its room was closed for everyone.' };
    case DisconnectReason.SERVER_SHUTDOWN:
      return { title: 'The server is restarting', advice: 'Wait a moment, then join again.' };
    default:
      return {
        title: 'The connection was lost',
        advice: 'Reconnecting did not work. Check your network, then join again.',
      };
  }
}
