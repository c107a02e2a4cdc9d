// What the player asks of whatever puts media on the screen.
//
// In → Out: init sections and chunks → a media element that plays them, and what of them is buffered.
// Spec: Media Source Extensions, "SourceBuffer"; WebKit, "ManagedMediaSource".

import type { Bytes } from '../bytes.ts';
import type { PlayerError } from '../errors.ts';
import type { InitSection } from '../init.ts';
import type { BufferedRange } from '../recovery.ts';

/** Which way media reaches the element. */
export type RendererKind = 'mse' | 'native';

/** Told by a renderer. */
export interface RendererOutput {
  /** The renderer is of no more use; the player builds another. */
  failed(error: PlayerError): void;
}

/** Takes media for one element. `destroy` frees the element. */
export interface Renderer {
  readonly kind: RendererKind;
  /** What follows is described by `init`; false when only a new renderer can take it. */
  setInit(init: InitSection, mime: string): boolean;
  append(bytes: Bytes): void;
  /** What can be played, oldest first. */
  ranges(): BufferedRange[];
  /** Everything before `positionS` may be dropped. */
  evictBefore(positionS: number): void;
  destroy(): void;
}
