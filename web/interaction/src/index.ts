// Everything that @nearcast/interaction offers.
//
// In → Out: see room.ts (a viewer in a room) and staff.ts (broadcaster and moderators).
// Spec: docs/ix.md.

export { FLIGHTS_PER_S, type Flight } from './hearts.ts';
export { colourOf, randomId } from './ids.ts';
export { friendlyName, graphemes, type Identity, type Me, type NoIdentity, type Store, tidyName } from './identity.ts';
export type { Fate, OwnComment } from './outbox.ts';
export type { ReaderState } from './reader.ts';
export { Room, type RoomEnvironment, type RoomOutput } from './room.ts';
export type { News, RoomState } from './room_state.ts';
export { type Command, Staff, type StaffEnvironment, type StaffOutput, type StaffStatus } from './staff.ts';
export { type Beat, COLOURS, type Comment, type Jury, type Mute, type Rules, type Snapshot, type StaffNews, type Viewers } from './wire.ts';
