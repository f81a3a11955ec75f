// The page before a meeting: who, where, and with which devices. Nothing here waits for a device:
// joining works while the browser still asks, and without any.
import { useEffect, useState, type FormEvent } from 'react';
import type { LocalDevices } from '../devices/localDevices';
import { useDevicesState } from '../devices/useDevices';
import { readClaims } from '../entry/token';
import { checkName, checkRoom, MAX_NAME_LENGTH, MAX_ROOM_LENGTH } from '../entry/validation';
import { explainDeviceFailures } from '../errors/deviceError';
import { DeviceNotice } from '../errors/DeviceNotice';
import { Brand, Footer } from '../ui/Brand';
import { DeviceChoices } from './DeviceChoices';
import { Field } from './Field';
import { Preview } from './Preview';
import { TokenField } from './TokenField';
import './lobby.css';

/** What the lobby knows at first, and what it hands on: with a token, the token decides who and where. */
export interface Entry {
  name: string;
  room: string;
  token: string;
}

interface Props {
  initial: Entry;
  /** Whether a token is to be entered, because this server hands out none. */
  needsToken: boolean;
  devices: LocalDevices;
  speakerId: string | undefined;
  onSpeaker: (deviceId: string) => void;
  onJoin: (entry: Entry) => void;
}

export function Lobby({ initial, needsToken, devices, speakerId, onSpeaker, onJoin }: Props) {
  const state = useDevicesState(devices);
  useEffect(() => devices.start(), [devices]);
  const failures = explainDeviceFailures({
    ...(state.camera.failure && { camera: state.camera.failure }),
    ...(state.microphone.failure && { microphone: state.microphone.failure }),
  });
  return (
    <div className="lobby">
      <header className="lobby-header">
        <Brand />
      </header>
      <main className="lobby-main">
        <section className="lobby-preview" aria-label="Preview">
          <Preview devices={devices} state={state} />
          {failures.map((explanation, index) => (
            <DeviceNotice
              key={explanation.kind}
              testId="lobby-error"
              explanation={explanation}
              onRetry={explanation.kind === 'insecure' ? undefined : () => devices.retry()}
            >
              {index === failures.length - 1 ? 'You can also join without and still see and hear the others.' : ''}
            </DeviceNotice>
          ))}
        </section>
        <JoinForm initial={initial} needsToken={needsToken} onJoin={onJoin} />
        <DeviceChoices devices={devices} state={state} speakerId={speakerId} onSpeaker={onSpeaker} />
      </main>
      <Footer />
    </div>
  );
}

function JoinForm({ initial, needsToken, onJoin }: Pick<Props, 'initial' | 'needsToken' | 'onJoin'>) {
  const [entry, setEntry] = useState(initial);
  const [complain, setComplain] = useState(false);
  const problems = findProblems(entry, needsToken);
  const change = (part: Partial<Entry>) => setEntry((old) => ({ ...old, ...part }));

  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    setComplain(true);
    const first = (['token', 'name', 'room'] as const).find((field) => problems[field]);
    if (first) event.currentTarget.querySelector<HTMLElement>(`[name="${first}"]`)?.focus();
    else onJoin(accepted(entry, needsToken));
  };

  return (
    <form className="join-form" noValidate onSubmit={submit}>
      <h1>Join a meeting</h1>
      {needsToken ? (
        <TokenField
          value={entry.token}
          problem={complain ? problems.token : undefined}
          onChange={(token) => change({ token })}
        />
      ) : (
        <>
          <Field
            label="Your name"
            name="name"
            testId="name-input"
            autoComplete="name"
            maxLength={MAX_NAME_LENGTH}
            value={entry.name}
            problem={complain ? problems.name : undefined}
            onChange={(name) => change({ name })}
          />
          <Field
            label="Room"
            name="room"
            testId="room-input"
            hint="Everyone who enters the same room meets."
            autoComplete="off"
            maxLength={MAX_ROOM_LENGTH}
            value={entry.room}
            problem={complain ? problems.room : undefined}
            onChange={(room) => change({ room })}
          />
        </>
      )}
      <button type="submit" className="button button-primary" data-testid="join-button">
        Join
      </button>
    </form>
  );
}

type Problems = Partial<Record<keyof Entry, string>>;

function findProblems(entry: Entry, needsToken: boolean): Problems {
  if (needsToken) {
    return readClaims(entry.token) ? {} : { token: 'This is not an access token: three parts joined by dots.' };
  }
  const name = checkName(entry.name);
  const room = checkRoom(entry.room);
  return { ...(!name.ok && { name: name.reason }), ...(!room.ok && { room: room.reason }) };
}

function accepted(entry: Entry, needsToken: boolean): Entry {
  if (needsToken) {
    const claims = readClaims(entry.token);
    return {
      token: entry.token.trim(),
      name: claims?.name || claims?.identity || '',
      room: claims?.room ?? '',
    };
  }
  const name = checkName(entry.name);
  const room = checkRoom(entry.room);
  return { token: '', name: name.ok ? name.value : '', room: room.ok ? room.value : '' };
}
