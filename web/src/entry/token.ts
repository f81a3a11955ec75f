// Where the access token comes from: a server in development mode hands one out at `/dev/token`;
// elsewhere that path answers 404 and the user pastes a token their own backend signed.
// A token's claims are read here for display only; checking its signature is the server's work.
import { JoinFailure } from '../errors/connectionError';
import { signallingUrl } from './query';

/** Longest wait for `/dev/token`, in milliseconds: it is answered from memory on the same host. */
const TOKEN_TIMEOUT_MS = 10_000;

export interface AccessToken {
  token: string;
  /** Signalling address, ws: or wss:. */
  url: string;
}

/** What a token says about itself, unverified. */
export interface TokenClaims {
  room: string;
  identity: string;
  name: string;
  /** Seconds since the epoch, if the token expires. */
  expires?: number;
}

export interface TokenQuestion {
  room: string;
  identity: string;
  name: string;
}

function tokenPath(question: TokenQuestion): string {
  return `/dev/token?${new URLSearchParams({ ...question }).toString()}`;
}

/** Whether this server hands out tokens. A server that cannot be reached counts as one that does:
 *  joining then says that it cannot be reached, which is the more useful message. */
export async function serverHandsOutTokens(signal: AbortSignal): Promise<boolean> {
  const question = { room: 'probe', identity: 'probe', name: 'probe' };
  try {
    const response = await fetch(tokenPath(question), { signal, cache: 'no-store' });
    return response.status !== 404;
  } catch {
    return true;
  }
}

/** Asks the development server for a token; throws JoinFailure. */
export async function fetchToken(question: TokenQuestion, signal: AbortSignal): Promise<AccessToken> {
  const response = await request(tokenPath(question), signal);
  if (response.status === 404) throw new JoinFailure('no-token-service');
  if (!response.ok) {
    throw new JoinFailure('token-refused', `${response.status} ${await firstLine(response)}`);
  }
  return readTokenResponse(await response.text(), location.href);
}

async function request(path: string, signal: AbortSignal): Promise<Response> {
  const bounded = AbortSignal.any([signal, AbortSignal.timeout(TOKEN_TIMEOUT_MS)]);
  try {
    return await fetch(path, { signal: bounded, cache: 'no-store' });
  } catch (error) {
    if (signal.aborted) throw new JoinFailure('cancelled');
    throw new JoinFailure('unreachable', error instanceof Error ? error.message : undefined);
  }
}

/** The start of an error body: enough for a reason, too little to flood the page. */
async function firstLine(response: Response): Promise<string> {
  const body = await response.text().catch(() => '');
  return body.split('\n', 1)[0]?.slice(0, 200) ?? '';
}

/** The answer of `/dev/token`; an absent url means the server the page came from. */
export function readTokenResponse(body: string, address: string): AccessToken {
  let value: { token?: unknown; url?: unknown } | null = null;
  try {
    value = JSON.parse(body) as { token?: unknown; url?: unknown } | null;
  } catch {
    // Falls through to the refusal below.
  }
  if (typeof value?.token !== 'string' || value.token === '') {
    throw new JoinFailure('token-refused', 'the answer holds no token');
  }
  const url = typeof value.url === 'string' && /^wss?:\/\//.test(value.url) ? value.url : '';
  return { token: value.token, url: url || signallingUrl(address) };
}

/** The claims of a JSON Web Token (RFC 7519), or undefined if it is not one. */
export function readClaims(token: string): TokenClaims | undefined {
  const parts = token.trim().split('.');
  if (parts.length !== 3) return undefined;
  try {
    const base64 = parts[1]!.replace(/-/g, '+').replace(/_/g, '/');
    const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
    const claims = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    const text = (value: unknown) => (typeof value === 'string' ? value : '');
    const grant = claims['video'] as { room?: unknown } | undefined;
    return {
      room: text(grant?.room),
      identity: text(claims['sub']),
      name: text(claims['name']),
      ...(typeof claims['exp'] === 'number' && { expires: claims['exp'] }),
    };
  } catch {
    return undefined;
  }
}
