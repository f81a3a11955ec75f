// The short views between lobby and meeting: joining, not joined, gone.
import type { ReactNode } from 'react';
import type { Explanation, FailureExplanation } from './errors/connectionError';
import { Brand, Footer } from './ui/Brand';

function Card({ testId, children }: { testId: string; children: ReactNode }) {
  return (
    <div className="page">
      <header className="page-header">
        <Brand />
      </header>
      <main className="card" data-testid={testId}>
        {children}
      </main>
      <Footer />
    </div>
  );
}

export function Connecting({ room, onCancel }: { room: string; onCancel: () => void }) {
  return (
    <Card testId="connecting">
      <span className="spinner" aria-hidden="true" />
      <h1 role="status">Joining {room ? `“${room}”` : 'the meeting'}…</h1>
      <div className="card-actions">
        <button type="button" className="button" onClick={onCancel}>
          Cancel
        </button>
      </div>
    </Card>
  );
}

interface ConnectionErrorProps {
  failure: FailureExplanation;
  onRetry: () => void;
  onBack: () => void;
}

export function ConnectionErrorView({ failure, onRetry, onBack }: ConnectionErrorProps) {
  const canRetry = failure.kind !== 'no-token-service';
  return (
    <Card testId="connection-error">
      <div role="alert" data-error-kind={failure.kind}>
        <h1>{failure.title}</h1>
        <p>{failure.advice}</p>
        {failure.detail && <p className="card-detail">{failure.detail}</p>}
      </div>
      <div className="card-actions">
        {canRetry && (
          <button type="button" className="button button-primary" data-testid="retry-button" onClick={onRetry}>
            Try again
          </button>
        )}
        <button type="button" className="button" data-testid="back-button" onClick={onBack}>
          Back
        </button>
      </div>
    </Card>
  );
}

interface GoodbyeProps {
  explanation: Explanation;
  onRejoin: () => void;
  onLobby: () => void;
}

export function Goodbye({ explanation, onRejoin, onLobby }: GoodbyeProps) {
  return (
    <Card testId="goodbye">
      <h1>{explanation.title}</h1>
      <p>{explanation.advice}</p>
      <div className="card-actions">
        <button type="button" className="button button-primary" data-testid="rejoin-button" onClick={onRejoin}>
          Join again
        </button>
        <button type="button" className="button" onClick={onLobby}>
          Another meeting
        </button>
      </div>
    </Card>
  );
}
