// The box that explains why a device is not to be had, and offers to try again.
import { Icon } from '../ui/Icon';
import type { DeviceExplanation } from './deviceError';

interface Props {
  explanation: DeviceExplanation;
  onRetry?: (() => void) | undefined;
  onDismiss?: (() => void) | undefined;
  /** Said after the advice. */
  children?: string;
  testId: string;
}

export function DeviceNotice({ explanation, onRetry, onDismiss, children, testId }: Props) {
  const { kind, devices, title, advice } = explanation;
  return (
    <div
      className="notice"
      role="alert"
      data-testid={testId}
      data-error-kind={kind}
      data-device={devices.join(' ')}
    >
      <Icon name="alert" />
      <div className="notice-text">
        <strong>{title}</strong>
        <p>
          {advice}
          {children && <> {children}</>}
        </p>
      </div>
      {(onRetry || onDismiss) && (
        <div className="notice-actions">
          {onRetry && (
            <button type="button" className="button button-quiet" data-testid={`${testId}-retry`} onClick={onRetry}>
              Try again
            </button>
          )}
          {onDismiss && (
            <button type="button" className="icon-button" aria-label="Dismiss" onClick={onDismiss}>
              <Icon name="close" />
            </button>
          )}
        </div>
      )}
    </div>
  );
}
