// Bytes of a growing response, cut into lines.
//
// In → Out: bytes as they come → whole lines, without their ends; a line that is longer than allowed is left out.
// Spec: JSON Lines; Encoding Standard, "TextDecoder" (streams).

import { LINE_MAX } from './wire.ts';

/** Cuts one body. */
export class LineSplitter {
  private readonly decoder = new TextDecoder();
  private rest = '';
  private tooLong = false;

  push(bytes: Uint8Array): string[] {
    const pieces = this.decoder.decode(bytes, { stream: true }).split('\n');
    const lines: string[] = [];
    pieces.forEach((piece, index) => {
      if (!this.tooLong) this.rest += piece;
      if (this.rest.length > LINE_MAX) {
        this.rest = '';
        this.tooLong = true;
      }
      if (index === pieces.length - 1) return;
      if (!this.tooLong && this.rest !== '') lines.push(this.rest);
      this.rest = '';
      this.tooLong = false;
    });
    return lines;
  }
}
