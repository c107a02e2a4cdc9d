// Just enough of a media playlist for a test to know what to ask for.
// In → Out: the text of a media playlist → its segments, what is announced, its numbers.
// Spec: RFC 8216bis, "Media Playlist Tags"; the LHLS community draft, "EXT-X-PREFETCH".

export function parse(text) {
  const tag = (name) => text.match(new RegExp(`^#${name}:(.*)$`, 'm'))?.[1];
  const playlist = {
    text,
    msn: Number(tag('EXT-X-MEDIA-SEQUENCE') ?? 0),
    target: Number(tag('EXT-X-TARGETDURATION')),
    partTarget: Number(text.match(/PART-TARGET=([\d.]+)/)?.[1] ?? NaN),
    map: text.match(/EXT-X-MAP:URI="([^"]+)"/)?.[1],
    segments: [],
    parts: [],
    prefetch: [...text.matchAll(/^#EXT-X-PREFETCH:(.*)$/gm)].map((match) => match[1]),
    ended: /^#EXT-X-ENDLIST/m.test(text),
  };
  let pending = { discontinuity: false };
  for (const line of text.split(/\r?\n/)) {
    if (line.startsWith('#EXTINF:')) pending.duration = Number(line.slice(8).split(',')[0]);
    else if (line === '#EXT-X-DISCONTINUITY') pending.discontinuity = true;
    else if (line.startsWith('#EXT-X-PROGRAM-DATE-TIME:')) pending.date = line.slice(25);
    else if (line.startsWith('#EXT-X-PART:')) {
      playlist.parts.push({
        uri: line.match(/URI="([^"]+)"/)[1],
        duration: Number(line.match(/DURATION=([\d.]+)/)[1]),
        independent: line.includes('INDEPENDENT=YES'),
      });
    } else if (line && !line.startsWith('#')) {
      playlist.segments.push({ uri: line, ...pending });
      pending = { discontinuity: false };
    }
  }
  return playlist;
}

/** Reads and parses; throws if it cannot be read. */
export async function read(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return { ...parse(await answer.text()), url, headers: answer.headers };
}

/** `{epoch}.{msn}.m4s` → the URL of the segment `ahead` further on. */
export function further(uri, ahead) {
  const match = uri.match(/^(.*?)(\d+)\.(\d+)\.(m4s|ts)(.*)$/);
  if (!match) throw new Error(`not a segment: ${uri}`);
  return `${match[1]}${match[2]}.${Number(match[3]) + ahead}.${match[4]}${match[5]}`;
}
