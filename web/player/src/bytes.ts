// Reading big-endian numbers out of box payloads, and joining byte runs.
//
// In → Out: a Uint8Array and an offset → numbers; several runs → one.
// Spec: ISO/IEC 14496-1, "Syntactic description language" (big-endian fields).

/** Bytes backed by an ordinary (not shared) buffer, as `SourceBuffer.appendBuffer` wants them. */
export type Bytes = Uint8Array<ArrayBuffer>;

/** Big-endian reader over one run of bytes; every read beyond its end throws a RangeError. */
export class ByteReader {
  private readonly view: DataView;

  constructor(bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get length(): number {
    return this.view.byteLength;
  }

  u8(at: number): number {
    return this.view.getUint8(at);
  }

  u16(at: number): number {
    return this.view.getUint16(at);
  }

  u32(at: number): number {
    return this.view.getUint32(at);
  }

  i32(at: number): number {
    return this.view.getInt32(at);
  }

  /** A 64-bit unsigned number; above 2^53 it loses its lowest bits. */
  u64(at: number): number {
    return this.view.getUint32(at) * 0x1_0000_0000 + this.view.getUint32(at + 4);
  }

  fourcc(at: number): string {
    return String.fromCharCode(this.u8(at), this.u8(at + 1), this.u8(at + 2), this.u8(at + 3));
  }
}

/** One run holding all of `runs`, in order; a single run is returned as it is. */
export function join(runs: readonly Bytes[]): Bytes {
  const only = runs[0];
  if (runs.length === 1 && only) return only;
  let length = 0;
  for (const run of runs) length += run.byteLength;
  const whole = new Uint8Array(length);
  let at = 0;
  for (const run of runs) {
    whole.set(run, at);
    at += run.byteLength;
  }
  return whole;
}
