// Everything that can go wrong, as one typed error.
//
// In → Out: a code from a closed list, a sentence for people, the cause → an Error the page can branch on.
// Fatal means that the player has stopped; anything else it is already repairing by itself.
// Spec: none; codes are this package's own.

/** What went wrong. The list is closed; a page may switch over it. */
export type ErrorCode =
  /** The server could not be reached or cut the connection. Repaired by itself. */
  | 'network'
  /** The server answered with something that is not a playlist or a segment. Repaired by itself. */
  | 'format'
  /** The browser refused the media (decoder or buffer). Repaired by itself unless fatal. */
  | 'media'
  /** This browser can play neither fMP4 through Media Source Extensions nor HLS. Fatal. */
  | 'unsupported';

/** An error of the player. */
export class PlayerError extends Error {
  override readonly name = 'PlayerError';

  constructor(
    readonly code: ErrorCode,
    message: string,
    /** True when the player has given up. */
    readonly fatal: boolean = false,
    override readonly cause?: unknown,
  ) {
    super(message);
  }
}

/** `error` as a PlayerError, so that nothing untyped reaches a page. */
export function asPlayerError(error: unknown, code: ErrorCode): PlayerError {
  if (error instanceof PlayerError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new PlayerError(code, message, false, error);
}
