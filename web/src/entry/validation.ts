// What a name, a room and a token may look like before anything is sent to the server.
// Pure. Lengths are counted in UTF-16 code units after trimming, as `maxlength` in HTML counts them.

/** Longest display name the page sends: what fits a tile's label with room to spare. */
export const MAX_NAME_LENGTH = 64;
/** Longest room name the page sends. */
export const MAX_ROOM_LENGTH = 64;
/** Longest access token the page accepts: a token travels in a URL, and servers bound those at 8 KiB. */
export const MAX_TOKEN_LENGTH = 8000;

export type Checked = { ok: true; value: string } | { ok: false; reason: string };

/** C0 and C1 control characters, and the Unicode controls that reorder or hide text around them. */
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/;

function checkText(raw: string, what: string, maxLength: number): Checked {
  const value = raw.trim().replace(/ {2,}/g, ' ');
  if (value === '') return { ok: false, reason: `Please enter ${what}.` };
  if (value.length > maxLength) {
    return { ok: false, reason: `Please use at most ${maxLength} characters.` };
  }
  if (UNPRINTABLE.test(value)) {
    return { ok: false, reason: 'Please use printable characters only.' };
  }
  return { ok: true, value };
}

export function checkName(raw: string): Checked {
  return checkText(raw, 'your name', MAX_NAME_LENGTH);
}

export function checkRoom(raw: string): Checked {
  return checkText(raw, 'a room', MAX_ROOM_LENGTH);
}
