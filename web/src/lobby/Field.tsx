// A labelled text field with a hint and, when something is wrong with it, the reason.
import { useId } from 'react';

interface Props {
  label: string;
  name: string;
  testId: string;
  value: string;
  maxLength: number;
  autoComplete: string;
  hint?: string;
  problem?: string | undefined;
  onChange: (value: string) => void;
}

export function Field({ label, name, testId, hint, problem, onChange, ...input }: Props) {
  const id = useId();
  const note = problem ?? hint;
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input
        {...input}
        id={id}
        name={name}
        type="text"
        data-testid={testId}
        aria-invalid={problem !== undefined}
        aria-describedby={note ? `${id}-note` : undefined}
        onChange={(event) => onChange(event.target.value)}
      />
      {note && (
        <p id={`${id}-note`} className={problem ? 'field-problem' : 'field-hint'}>
          {note}
        </p>
      )}
    </div>
  );
}
