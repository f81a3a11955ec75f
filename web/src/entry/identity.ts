// Who this tab is to the server: an identity made of the display name and a random suffix. It lives
// in sessionStorage, so a reload is the same participant, and two people called Ada are not. Browsers
// copy sessionStorage when a tab is duplicated; a Web Lock held for the life of the page tells the
// copy from the original, which would otherwise push each other out of the room.

const STORAGE_KEY = 'sfumato.identity';
/** Characters of the name kept in the identity. */
const MAX_SLUG_LENGTH = 24;

export interface KnownIdentity {
  name: string;
  identity: string;
}

/** The name as lower-case ASCII letters, digits and dashes: fit for URLs, logs and metrics labels. */
export function slug(name: string): string {
  const ascii = name
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, MAX_SLUG_LENGTH)
    .replace(/^-+|-+$/g, '');
  return ascii === '' ? 'guest' : ascii;
}

/** Three random bytes as hexadecimal. getRandomValues, unlike randomUUID, also works without HTTPS. */
export function randomSuffix(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(3));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

export function makeIdentity(name: string, suffix: string): string {
  return `${slug(name)}-${suffix}`;
}

export function parseKnownIdentity(stored: string | null): KnownIdentity | undefined {
  if (stored === null) return undefined;
  try {
    const value = JSON.parse(stored) as Partial<KnownIdentity> | null;
    if (typeof value?.name === 'string' && typeof value.identity === 'string') {
      return { name: value.name, identity: value.identity };
    }
  } catch {
    // Somebody else's value under our key: as good as none.
  }
  return undefined;
}

/** The name used last in this tab, if any. */
export function rememberedName(): string {
  return readStored()?.name ?? '';
}

/** The identity to join with under `name`; remembered for the next load of this tab. */
export async function identityFor(name: string): Promise<string> {
  const known = readStored();
  if (known?.name === name && (await claim(known.identity))) return known.identity;
  const identity = makeIdentity(name, randomSuffix());
  await claim(identity);
  try {
    sessionStorage.setItem(STORAGE_KEY, JSON.stringify({ name, identity } satisfies KnownIdentity));
  } catch {
    // Storage is refused in some private modes: the identity then lasts as long as the page.
  }
  return identity;
}

function readStored(): KnownIdentity | undefined {
  try {
    return parseKnownIdentity(sessionStorage.getItem(STORAGE_KEY));
  } catch {
    return undefined;
  }
}

const claimed = new Set<string>();

/** Whether this page holds `identity`; true as well where the browser has no locks (plain HTTP). */
async function claim(identity: string): Promise<boolean> {
  if (claimed.has(identity) || navigator.locks === undefined) return true;
  return new Promise<boolean>((resolve) => {
    navigator.locks
      .request(`sfumato.identity.${identity}`, { ifAvailable: true }, (lock) => {
        if (lock !== null) claimed.add(identity);
        resolve(lock !== null);
        // A promise that stays pending keeps the lock until the page goes away.
        return lock === null ? undefined : new Promise<void>(() => {});
      })
      .catch(() => resolve(true));
  });
}
