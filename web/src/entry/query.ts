// What the page's address says: `?room=`, `?name=` and `token`, in the query or in the fragment.
// Pure: callers pass the address in and put the result into the address bar. A token belongs in
// the fragment, which browsers never send to a server, so one found in the query is moved there.
import { MAX_NAME_LENGTH, MAX_ROOM_LENGTH, MAX_TOKEN_LENGTH } from './validation';

/** What the address prefills. An absent or oversized value is the empty string. */
export interface Prefill {
  name: string;
  room: string;
  token: string;
}

function bounded(value: string | null, maxLength: number): string {
  const trimmed = (value ?? '').trim();
  return trimmed.length <= maxLength ? trimmed : '';
}

/** The fragment may be `#token=…` or `#room=…&token=…`. */
function fragmentOf(url: URL): URLSearchParams {
  return new URLSearchParams(url.hash.replace(/^#/, ''));
}

export function readPrefill(address: string): Prefill {
  const url = new URL(address);
  const fragment = fragmentOf(url);
  const pick = (key: string) => fragment.get(key) ?? url.searchParams.get(key);
  return {
    name: bounded(pick('name'), MAX_NAME_LENGTH),
    room: bounded(pick('room'), MAX_ROOM_LENGTH),
    token: bounded(pick('token'), MAX_TOKEN_LENGTH),
  };
}

/** The same address with a token of the query moved into the fragment. */
export function hideToken(address: string): string {
  const url = new URL(address);
  const token = url.searchParams.get('token');
  if (token === null) return address;
  url.searchParams.delete('token');
  const fragment = fragmentOf(url);
  if (!fragment.has('token')) fragment.set('token', token);
  url.hash = fragment.toString();
  return url.toString();
}

/** The address to hand to other people: the room, and nothing else of this page's address. */
export function inviteLink(address: string, room: string): string {
  const url = new URL('/', address);
  url.searchParams.set('room', room);
  return url.toString();
}

/** This page's address once a room has been joined, so that a reload comes back to it. */
export function addressInRoom(address: string, room: string): string {
  const url = new URL(address);
  url.searchParams.set('room', room);
  return url.toString();
}

/** The signalling address of the server this page came from. */
export function signallingUrl(address: string): string {
  const url = new URL(address);
  return `${url.protocol === 'https:' ? 'wss:' : 'ws:'}//${url.host}`;
}
