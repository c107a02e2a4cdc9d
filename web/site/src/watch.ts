// The watch page: the player, and around it what the server knows of the broadcast; then the room over it.
//
// In → Out: `/b/{id}` → picture first; then title, viewers, and plain words for every state without a picture.
// The player finds the picture by itself; the API is asked only for words, twice as often while nothing plays.
// Spec: design contract "Paths"; `/api/v1/openapi.json`, "broadcasts".

import '../../player/src/element.ts';
import { startAmbient } from './ambient.ts';
import { findBroadcast, type Lookup, repeat } from './api.ts';
import { startPlayer } from './broadcast_page.ts';
import type { RoomCounts } from './room.ts';
import { age, explain, short, watching } from './words.ts';

/** Without a picture the room is opened after so long all the same: people talk while they wait. */
const ROOM_AFTER_MS = 1_500;
/** The share of a picture that may be cut off to fill the page. */
const CROP_MAX = 0.2;
const CALM_MS = 5_000;
const EAGER_MS = 2_000;

function start(): void {
  const page = startPlayer();
  const heading = document.querySelector('h1');
  const facts = document.querySelector('.facts');
  const elsewhere = document.querySelector<HTMLElement>('.elsewhere');
  if (!page || !heading || !facts || !elsewhere) return;
  const { id, element } = page;
  heading.textContent = id;
  document.title = `${id} · Nearcast`;

  let lookup: Lookup = { kind: 'no-answer' };
  let room: RoomCounts | null = null;
  const show = (): void => {
    const status = element.player?.status ?? 'connecting';
    const explained = explain(status, lookup, id);
    if (explained === null) element.removeAttribute('message');
    else element.setAttribute('message', explained);
    elsewhere.hidden = !['ended', 'offline', 'failed'].includes(status);
    if (lookup.kind !== 'found') return;
    const { title, since, viewers, state } = lookup.broadcast;
    heading.textContent = title;
    document.title = `${title} · Nearcast`;
    const began = state === 'live' ? age(since, Date.now()) : null;
    const started = began === null ? null : began === 'just now' ? 'started just now' : `live for ${began}`;
    const crowd = room ? watching(room.viewers, room.exact) : watching(viewers);
    const words = [state === 'live' ? crowd : null, room && room.hearts > 0 ? `${short(room.hearts)} ♥` : null, started];
    const line = words.filter(Boolean).join(' · ');
    if (facts.textContent !== line) facts.textContent = line;
  };
  const openRoom = once(async () => {
    const { room: address, style } = document.querySelector('main')?.dataset ?? {};
    if (!address || !style) return;
    const [{ startRoom }] = await Promise.all([import(address) as Promise<typeof import('./room.ts')>, load(style)]);
    startRoom(id, element, (counts) => {
      room = counts;
      show();
    });
  });
  // Nothing may compete with the first picture.
  element.addEventListener('firstframe', () => {
    startAmbient(element.video);
    fit(element);
    openRoom();
  }, { once: true });
  setTimeout(openRoom, ROOM_AFTER_MS);
  element.video.addEventListener('resize', () => fit(element));
  addEventListener('resize', () => fit(element));
  const askAgain = repeat(async () => {
    // The first picture comes before any words about it.
    if (element.stats()?.join.firstFrameMs === null) await new Promise((resolve) => setTimeout(resolve, 300));
    lookup = await findBroadcast(id);
    show();
    return element.player?.status === 'playing' ? CALM_MS : EAGER_MS;
  });
  element.addEventListener('status', () => {
    show();
    if (element.player?.status !== 'connecting') askAgain();
  });
}

/** A picture held like the phone that shows it fills the page, if little of it is lost by that; any other is shown whole. */
function fit(element: HTMLElement & { video: HTMLVideoElement }): void {
  const { videoWidth, videoHeight } = element.video;
  const [picture, page] = [videoWidth / videoHeight, innerWidth / innerHeight];
  const lost = 1 - Math.min(picture, page) / Math.max(picture, page);
  element.style.setProperty('--nearcast-fit', picture < 1 && page < 1 && lost <= CROP_MAX ? 'cover' : 'contain');
}

/** Adds a style sheet; resolves when it holds, or when it cannot be had. */
function load(style: string): Promise<unknown> {
  const link = document.createElement('link');
  link.rel = 'stylesheet';
  link.href = style;
  document.head.append(link);
  return new Promise((resolve) => {
    link.addEventListener('load', resolve);
    link.addEventListener('error', resolve);
  });
}

/** A function that acts at its first call only. */
function once(act: () => Promise<void>): () => void {
  let done = false;
  return () => {
    if (done) return;
    done = true;
    void act();
  };
}

start();
