// What travels as a chat message, and what is shown of it. A message comes from another participant
// and is as hostile as any input: decoding never throws, and text is bounded.
import type { ReceivedChatMessage } from '@livekit/components-react';

/** Longest text that can be written, in UTF-16 code units: far below a data packet's 15 KiB. */
export const MAX_WRITTEN_LENGTH = 2000;
/** Longest text that is shown of a received message. */
export const MAX_SHOWN_LENGTH = 4000;
/** Messages kept on the page; older ones scroll out for good. */
export const MAX_SHOWN_MESSAGES = 200;

let unnumbered = 0;

/** Decodes `{"id", "timestamp" in milliseconds, "message"}`; whatever is missing or wrong is replaced. */
export function decodeChatMessage(bytes: Uint8Array): ReceivedChatMessage {
  let value: Record<string, unknown> = {};
  try {
    const parsed: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof parsed === 'object' && parsed !== null) value = parsed as Record<string, unknown>;
  } catch {
    // Not ours to read: shown as an empty message, which the log leaves out.
  }
  const { id, timestamp, message } = value;
  return {
    id: typeof id === 'string' && id !== '' ? id.slice(0, 64) : `unnumbered-${++unnumbered}`,
    timestamp: typeof timestamp === 'number' && Number.isFinite(timestamp) ? timestamp : Date.now(),
    message: typeof message === 'string' ? message.slice(0, MAX_SHOWN_LENGTH) : '',
  };
}

/** The messages worth showing, oldest first. */
export function shownMessages(all: ReceivedChatMessage[]): ReceivedChatMessage[] {
  return all.filter(({ message }) => message.trim() !== '').slice(-MAX_SHOWN_MESSAGES);
}

/** Hours and minutes as the user's locale writes them; empty for a time no calendar has. */
export function timeOfDay(timestamp: number): string {
  const date = new Date(timestamp);
  if (Number.isNaN(date.getTime())) return '';
  return date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' });
}

/** A random version 4 UUID (RFC 9562). Browsers keep crypto.randomUUID, which the chat library calls,
 *  from pages not served securely; getRandomValues they do not. */
export function randomUuid(): ReturnType<Crypto['randomUUID']> {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6]! & 0x0f) | 0x40;
  bytes[8] = (bytes[8]! & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
