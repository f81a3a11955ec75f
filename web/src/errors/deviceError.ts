// Why a camera or microphone is not to be had, in words a user can act on. Pure: it maps what
// getUserMedia rejects with (W3C Media Capture and Streams, section 10.2) to an explanation.

export type DeviceKind = 'camera' | 'microphone';
export type DeviceErrorKind = 'denied' | 'not-found' | 'in-use' | 'insecure' | 'other';

/** One reason that may concern one device or both. */
export interface DeviceExplanation {
  kind: DeviceErrorKind;
  devices: DeviceKind[];
  title: string;
  advice: string;
}

export interface DeviceFailure {
  kind: DeviceErrorKind;
  /** The browser's own words, shown where we have none better. */
  detail: string;
}

/** What of the page's surroundings decides the explanation. */
export interface PageContext {
  /** Whether `navigator.mediaDevices.getUserMedia` exists. */
  hasMediaDevices: boolean;
  /** `window.isSecureContext`. */
  isSecure: boolean;
}

const KIND_BY_NAME: Record<string, DeviceErrorKind> = {
  NotAllowedError: 'denied',
  PermissionDeniedError: 'denied',
  SecurityError: 'denied',
  NotFoundError: 'not-found',
  DevicesNotFoundError: 'not-found',
  OverconstrainedError: 'not-found',
  NotReadableError: 'in-use',
  TrackStartError: 'in-use',
  AbortError: 'in-use',
};

export function classifyDeviceError(error: unknown, context: PageContext): DeviceFailure {
  const name = error instanceof Error || isErrorLike(error) ? error.name : '';
  const detail = error instanceof Error || isErrorLike(error) ? error.message : '';
  if (!context.hasMediaDevices) return { kind: context.isSecure ? 'other' : 'insecure', detail };
  return { kind: KIND_BY_NAME[name] ?? 'other', detail };
}

/** DOMException is no Error in every browser, and a test's stand-in is neither. */
function isErrorLike(error: unknown): error is { name: string; message: string } {
  const candidate = error as { name?: unknown; message?: unknown } | null;
  return typeof candidate?.name === 'string' && typeof candidate.message === 'string';
}

/** One explanation per reason, so that a reason both devices share is told once. */
export function explainDeviceFailures(
  failures: Partial<Record<DeviceKind, DeviceFailure>>,
): DeviceExplanation[] {
  const explanations: DeviceExplanation[] = [];
  for (const device of ['camera', 'microphone'] as const) {
    const failure = failures[device];
    if (failure === undefined) continue;
    const same = explanations.find(({ kind }) => kind === failure.kind);
    const devices = [...(same?.devices ?? []), device];
    const told = explainDeviceFailure(failure, devices);
    if (same) Object.assign(same, told);
    else explanations.push(told);
  }
  return explanations;
}

export function explainDeviceFailure(
  failure: DeviceFailure,
  devices: DeviceKind[],
): DeviceExplanation {
  return { kind: failure.kind, devices, ...WORDS[failure.kind](devices, failure.detail) };
}

interface Words {
  title: string;
  advice: string;
}

const WORDS: Record<DeviceErrorKind, (devices: DeviceKind[], detail: string) => Words> = {
  denied: (devices, detail) =>
    /system/i.test(detail)
      ? {
          title: `Your computer does not let this browser use your ${list(devices)}`,
          advice: `Allow the ${list(devices)} for this browser in the system’s privacy settings, then try again.`,
        }
      : {
          title: `This page is not allowed to use your ${list(devices)}`,
          advice: `Open the site settings next to the address, allow the ${list(devices)}, then try again.`,
        },
  'not-found': (devices) => ({
    title: `No ${list(devices, 'or')} was found`,
    advice: 'Plug one in or switch it on, then try again.',
  }),
  'in-use': (devices) => ({
    title: `Your ${list(devices)} cannot be started`,
    advice: `Another program or tab probably holds ${devices.length > 1 ? 'them' : 'it'}. Close it there, then try again.`,
  }),
  insecure: (devices) => ({
    title: `Browsers share the ${list(devices)} with secure pages only`,
    advice: 'Open this page by https://, or by http://localhost on the machine that runs the server.',
  }),
  other: (devices, detail) => ({
    title: `Your ${list(devices)} did not start`,
    advice: detail ? `Reason given: ${detail}` : 'No reason was given. Try again, or try another browser.',
  }),
};

function list(devices: DeviceKind[], conjunction = 'and'): string {
  return devices.join(` ${conjunction} `);
}
