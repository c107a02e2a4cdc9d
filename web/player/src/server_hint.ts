// What the server says of the connection, at the beginning of its answer about a segment.
//
// In → Out: the headers of an answer → the rate that was delivered, whether it was all there was to send, what waits unsent.
// It tells how the segment before went on that connection. An answer that has been in a cache tells of somebody else's.
// Spec: CTA-5006, "CMSD-Dynamic" (etp); RFC 9651, "Parameters"; docs/delivery.md, "Hints".

/** A server's view of one connection. */
export interface ServerHint {
  /** Bits per second at which the last data were delivered; null before the first sample. */
  deliveryBps: number | null;
  /** There was no more to send: the path may carry more than `deliveryBps`. */
  limited: boolean;
  /** Bytes that wait at the server and were never sent. */
  unsentBytes: number;
}

const RATE_MAX_KBPS = 100_000_000;
const LENGTH_MAX = 1_000;

/** The hint of an answer; null where there is none, or where it is not about this connection. */
export function readHint(headers: Headers): ServerHint | null {
  const text = headers.get('cmsd-dynamic');
  // Of several members, each intermediary has added one; with more than one it is not a direct connection.
  if (text === null || text.length > LENGTH_MAX || text.includes(',') || headers.has('age') || headers.has('via')) return null;
  const [, ...parameters] = text.split(';').map((part) => part.trim());
  const value = (key: string): number => Number(parameters.find((part) => part.startsWith(`${key}=`))?.slice(key.length + 1) ?? NaN);
  const kbps = value('etp');
  const unsentBytes = value('nearcast-unsent');
  return {
    deliveryBps: kbps > 0 && kbps <= RATE_MAX_KBPS ? kbps * 1_000 : null,
    limited: parameters.includes('nearcast-limited'),
    unsentBytes: unsentBytes > 0 && Number.isFinite(unsentBytes) ? unsentBytes : 0,
  };
}
