// The product's name and mark, and the line at the foot of each page outside a meeting.
import markUrl from './mark.svg';

export function Brand({ small = false }: { small?: boolean }) {
  const size = small ? 22 : 30;
  return (
    <span className={small ? 'brand brand-small' : 'brand'}>
      <img src={markUrl} width={size} height={size} alt="" />
      Sfumato
    </span>
  );
}

export function Footer() {
  return <footer className="footer">works with LiveKit client SDKs</footer>;
}
