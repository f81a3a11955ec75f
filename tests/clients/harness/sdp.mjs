// Owns small session descriptions (RFC 8829) for tests: offers that no browser would make, and reading answers to them.

const FINGERPRINT = `sha-256 ${Array.from({ length: 32 }, (_, i) => (i * 7 % 256).toString(16).padStart(2, '0').toUpperCase()).join(':')}`;

/** Codecs: payload type and rtpmap. */
export const OPUS = [111, 'opus/48000/2'];
export const VP8 = [96, 'VP8/90000'];
export const GSM = [3, 'GSM/8000'];
export const H261 = [31, 'H261/90000'];

/**
 * An offer with one section for each entry.
 * @param {{kind: 'audio' | 'video' | 'application', codecs?: [number, string][], direction?: string}[]} sections
 * @param {{fingerprint?: string | null, ufrag?: string | null}} [options]  null leaves the attribute out
 */
export function offerSdp(sections, { fingerprint = FINGERPRINT, ufrag = 'abcd' } = {}) {
  const lines = ['v=0', 'o=- 4611731400430051336 2 IN IP4 127.0.0.1', 's=-', 't=0 0'];
  lines.push(`a=group:BUNDLE ${sections.map((_, i) => i).join(' ')}`, 'a=extmap-allow-mixed', 'a=msid-semantic: WMS');
  sections.forEach(({ kind, codecs = [], direction = 'sendonly' }, mid) => {
    const formats = kind === 'application' ? 'webrtc-datachannel' : codecs.map(([pt]) => pt).join(' ');
    const profile = kind === 'application' ? 'UDP/DTLS/SCTP' : 'UDP/TLS/RTP/SAVPF';
    lines.push(`m=${kind} 9 ${profile} ${formats}`, 'c=IN IP4 0.0.0.0');
    if (ufrag !== null) lines.push(`a=ice-ufrag:${ufrag}`, 'a=ice-pwd:0123456789abcdefghijklmn');
    if (fingerprint !== null) lines.push(`a=fingerprint:${fingerprint}`);
    lines.push('a=ice-options:trickle', 'a=setup:actpass', `a=mid:${mid}`);
    if (kind === 'application') return lines.push('a=sctp-port:5000', 'a=max-message-size:262144');
    lines.push(`a=${direction}`, 'a=rtcp-mux', ...codecs.map(([pt, map]) => `a=rtpmap:${pt} ${map}`));
    if (direction.startsWith('send')) lines.push(`a=msid:stream track-${mid}`, `a=ssrc:${1000 + mid} cname:test`);
    return undefined;
  });
  return `${lines.join('\r\n')}\r\n`;
}

/** The media sections of a description: kind, port, formats, direction and rtpmaps. */
export function sectionsOf(sdp) {
  const [session, ...media] = sdp.split(/\r?\n(?=m=)/);
  const directionIn = (text) => text.match(/^a=(sendrecv|sendonly|recvonly|inactive)\r?$/m)?.[1];
  return media.map((text) => {
    const [, kind, port, , formats] = text.match(/^m=(\S+) (\d+)\S* (\S+) ?([^\r\n]*)/);
    return {
      kind,
      port: Number(port),
      formats: formats.split(' ').filter(Boolean),
      direction: directionIn(text) ?? directionIn(session) ?? 'sendrecv',
      codecs: [...text.matchAll(/^a=rtpmap:(\d+) ([^\r\n]+)/gm)].map(([, pt, map]) => ({ pt, map })),
      mid: text.match(/^a=mid:(\S+)/m)?.[1],
    };
  });
}

/** Whether media could flow over a section; an application section counts when it has a port. */
export const isActive = ({ port, direction }) => port !== 0 && direction !== 'inactive';
