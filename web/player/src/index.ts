// @nearcast/player: plays Nearcast broadcasts a fraction of a second after they happen.
//
// In → Out: what this package promises to outsiders; nothing else is stable.
// Spec: README.md beside this folder; `api.md` is the report that a change of it must update.

export { PlayerError, type ErrorCode } from './errors.ts';
export { LATENCY_POLICY, type LatencyPolicy } from './latency.ts';
export { Player, type PlayerEvents, type PlayerOptions, type Stats, type Status } from './player.ts';
export type { Rendition } from './adaptation.ts';
export type { ClockEstimate } from './clock.ts';
export type { Shortfall } from './edge.ts';
export type { RendererKind } from './renderer/renderer.ts';
