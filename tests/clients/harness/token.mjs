// Owns access tokens made by hand (RFC 7519, HS256), so that wrong ones can be made as easily as right ones.
import { createHmac } from 'node:crypto';

export const API_KEY = 'devkey';
export const API_SECRET = 'secret';

const base64url = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/**
 * @param {{identity?: string, room?: string, name?: string, video?: object, claims?: object, header?: object,
 *          key?: string, secret?: string, ttl?: number, now?: number}} options
 *   `video` is merged over {roomJoin: true, room}; `claims` over the whole; `ttl` and `now` are seconds.
 */
export function accessToken({
  identity,
  room,
  name,
  video = {},
  claims = {},
  header = {},
  key = API_KEY,
  secret = API_SECRET,
  ttl = 600,
  now = Math.floor(Date.now() / 1000),
}) {
  const body = {
    iss: key,
    sub: identity,
    name,
    nbf: now - 10,
    exp: now + ttl,
    video: { roomJoin: true, room, ...video },
    ...claims,
  };
  const head = { alg: 'HS256', typ: 'JWT', ...header };
  const signed = `${base64url(head)}.${base64url(body)}`;
  if (head.alg === 'none') return `${signed}.`;
  const hash = { HS256: 'sha256', HS512: 'sha512' }[head.alg];
  return `${signed}.${createHmac(hash, secret).update(signed).digest('base64url')}`;
}
