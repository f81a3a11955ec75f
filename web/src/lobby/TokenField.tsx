// Where an access token is entered on a server that hands out none, with what the token says.
import { useId } from 'react';
import { readClaims } from '../entry/token';
import { MAX_TOKEN_LENGTH } from '../entry/validation';

interface Props {
  value: string;
  problem: string | undefined;
  onChange: (value: string) => void;
}

export function TokenField({ value, problem, onChange }: Props) {
  const id = useId();
  return (
    <div className="field">
      <label htmlFor={id}>Access token</label>
      <textarea
        id={id}
        name="token"
        data-testid="token-input"
        rows={4}
        spellCheck={false}
        autoComplete="off"
        maxLength={MAX_TOKEN_LENGTH}
        value={value}
        aria-invalid={problem !== undefined}
        aria-describedby={`${id}-note`}
        onChange={(event) => onChange(event.target.value)}
      />
      <p id={`${id}-note`} className={problem ? 'field-problem' : 'field-hint'}>
        {problem ?? describe(value)}
      </p>
    </div>
  );
}

function describe(token: string): string {
  const claims = readClaims(token);
  if (!claims) {
    return 'This server does not hand out tokens itself. A token is a signed ticket for one room and one person; whoever runs the meeting can make you one.';
  }
  const who = claims.name || claims.identity || 'someone unnamed';
  const where = claims.room ? `room “${claims.room}”` : 'no particular room';
  const past = claims.expires !== undefined && claims.expires * 1000 < Date.now();
  return `For ${who}, ${where}${past ? ', but it has expired' : ''}.`;
}
